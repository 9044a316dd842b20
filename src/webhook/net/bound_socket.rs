//! The socket that we listen on: a port, a Unix socket, or what systemd has opened.

use std::{
    env, fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    os::{
        fd::{AsFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            fs::FileTypeExt,
            net::{SocketAddr as UnixAddress, UnixListener, UnixStream},
        },
    },
    path::Path,
    process,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use listenfd::ListenFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::listener::{Listener, SocketPath};
use crate::webhook::{go::syscall::reason, options::Options};

/// Connections that the kernel keeps for us until we take them; it cuts that down to what it is set to.
const BACKLOG: i32 = 4096;

/// So often somebody silent is asked whether he is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An open socket that listens, from before there is a runtime.
#[derive(Debug)]
pub struct BoundSocket {
    socket: Family,
    /// How the log calls it: `0.0.0.0:9000` or `{unix:/run/hooks}`.
    name: String,
    /// The path to remove at the end.
    path: Option<SocketPath>,
}

#[derive(Debug)]
enum Family {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

impl BoundSocket {
    /// What systemd hands over, else `-socket`, else `-ip` and `-port`.
    pub fn open(options: &Options) -> anyhow::Result<Self> {
        if let Some(socket) = from_systemd()? {
            return Ok(socket);
        }
        if !options.socket.as_os_str().is_empty() {
            ensure!(
                options.setuid == 0 && options.setgid == 0,
                "error listening on socket: -socket cannot be used with -setuid and -setgid"
            );
            return at_path(&options.socket)
                .with_context(|| format!("error listening on socket {}", options.socket.display()));
        }
        at_port(&options.ip, options.port)
            .with_context(|| format!("error listening on port: listen tcp {}:{}", options.ip, options.port))
    }

    /// Hands the socket to the runtime.
    pub fn into_listener(self) -> io::Result<Listener> {
        Ok(match self.socket {
            Family::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                prepare(&socket)?;
                Listener::Tcp(tokio::net::TcpListener::from_std(socket)?)
            }
            Family::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Listener::Unix { _path: self.path, socket: tokio::net::UnixListener::from_std(socket)? }
            }
        })
    }
}

/// What its connections take over from a socket that listens.
fn prepare(socket: &impl AsFd) -> io::Result<()> {
    // Answers are small and whole: waiting to fill a packet only delays them.
    sockopt::set_tcp_nodelay(socket, true)?;
    // Only so is it noticed that the other machine is gone, while nothing is sent to it.
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE)?;
    Ok(())
}

impl fmt::Display for BoundSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The socket of a systemd unit, if this process is meant to have one.
fn from_systemd() -> anyhow::Result<Option<BoundSocket>> {
    let own = process::id().to_string();
    if env::var("LISTEN_PID").ok().as_deref() != Some(own.as_str()) {
        return Ok(None);
    }
    // Takes the variables out of the environment: no command is to think they are for it.
    let mut sockets = ListenFd::from_env();
    match sockets.len() {
        0 => return Ok(None),
        1 => {}
        many => bail!("error listening on systemd socket: {many} sockets were passed, expected one"),
    }
    if let Ok(Some(socket)) = sockets.take_tcp_listener(0) {
        ensure_listens(&socket)?;
        let name = socket.local_addr()?.to_string();
        return Ok(Some(BoundSocket { socket: Family::Tcp(socket), name, path: None }));
    }
    let socket = sockets.take_unix_listener(0).ok().flatten();
    let socket = socket.context("error listening on systemd socket: what was passed is no stream socket")?;
    ensure_listens(&socket)?;
    let name = unix_name(&socket.local_addr()?);
    Ok(Some(BoundSocket { socket: Family::Unix(socket), name, path: None }))
}

fn ensure_listens(socket: &impl AsFd) -> anyhow::Result<()> {
    ensure!(
        sockopt::socket_acceptconn(socket)?,
        "error listening on systemd socket: what was passed does not listen (Accept=yes is not supported)"
    );
    Ok(())
}

fn unix_name(address: &UnixAddress) -> String {
    match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => format!("{{unix:{}}}", path.display()),
        (None, Some(name)) => format!("{{unix:@{}}}", String::from_utf8_lossy(name)),
        (None, None) => "{unix:}".to_owned(),
    }
}

fn at_path(path: &Path) -> anyhow::Result<BoundSocket> {
    let name = format!("{{unix:{}}}", path.display());
    if let Some(rest) = path.as_os_str().as_bytes().strip_prefix(b"@") {
        let socket = UnixListener::bind_addr(&UnixAddress::from_abstract_name(rest)?)
            .map_err(|error| refused(&error))?;
        return Ok(BoundSocket { socket: Family::Unix(socket), name, path: None });
    }
    let socket = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path).map_err(|error| refused(&error))?
        }
        bound => bound.map_err(|error| refused(&error))?,
    };
    Ok(BoundSocket { socket: Family::Unix(socket), name, path: Some(SocketPath(path.to_owned())) })
}

/// A socket that nobody answers on: its daemon died without removing it.
fn is_stale(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn at_port(host: &str, port: i64) -> anyhow::Result<BoundSocket> {
    let port = u16::try_from(port).map_err(|_| anyhow::anyhow!("invalid port"))?;
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    ensure!(
        in_brackets.is_some() || !host.contains(':'),
        "too many colons in address (write an IPv6 address in brackets)"
    );
    let bare = in_brackets.unwrap_or(host);
    let socket = match bare {
        // The default address takes both families, where the machine has both.
        "0.0.0.0" | "" => {
            listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).or_else(|error| match error.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
                _ => listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)),
            })
        }
        _ => listen(preferred((bare, port).to_socket_addrs()?).context("the name has no address")?),
    };
    let socket = socket.map_err(|error| refused(&error))?;
    let port = socket.local_addr()?.port();
    Ok(BoundSocket { socket: Family::Tcp(socket), name: format!("{host}:{port}"), path: None })
}

/// Of the addresses of a name the first one of IPv4, if there is one.
fn preferred(addresses: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
    let addresses: Vec<_> = addresses.collect();
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

fn refused(error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("bind: {}", reason(error))
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket: OwnedFd = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_addresses_of_both_families_means_the_one_of_ipv4() {
        let [v6, other, v4] = ["[::1]:1", "[::2]:1", "127.0.0.1:1"].map(|address| address.parse().unwrap());
        assert_eq!(preferred([v6, other, v4].into_iter()), Some(v4));
        assert_eq!(preferred([v6, other].into_iter()), Some(v6));
        assert_eq!(preferred([].into_iter()), None);
    }
}
