//! The daemon that takes pushes, and its hooks file.

use std::{
    env,
    ffi::OsString,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use super::findings::{Findings, ok};
use crate::{home::Home, proc_table, regular_file, text::printable};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn look(findings: &mut Findings, home: &Home) {
    let daemon = running(home);
    match daemon {
        None => findings.wrong("webhookd does not run, and no push comes in: ./start_webhook.sh"),
        Some(pid) => answers(findings, pid),
    }
    hooks(findings, home, daemon);
}

/// The process that the pid file names, if that is a webhookd and not whatever has its number by now.
fn running(home: &Home) -> Option<i32> {
    let pid = String::from_utf8(regular_file::read(&home.dir().join("webhook.pid")).ok()??).ok()?;
    let pid: i32 = pid.trim().parse().ok()?;
    let name = fs_err::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim_end() == "webhookd" && proc_table::process(pid).is_some()).then_some(pid)
}

fn answers(findings: &mut Findings, pid: i32) {
    let silent =
        listening(pid).into_iter().find_map(|address| ask(address).err().map(|error| (address, error)));
    match silent {
        None => ok(&format!("webhookd runs (pid {pid}) and answers")),
        Some((address, error)) => findings.wrong(&format!(
            "webhookd (pid {pid}) does not answer on {address}: {error}; see the end of webhook.log, and start it anew"
        )),
    }
}

/// Whatever it says is an answer, also that it wants TLS.
fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    match stream.read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// Where a process listens, by proc(5): its sockets, and the kernel's table of them.
fn listening(pid: i32) -> Vec<SocketAddr> {
    let descriptors = fs_err::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let sockets: Vec<PathBuf> =
        descriptors.filter_map(|entry| fs_err::read_link(entry.path()).ok()).collect();
    let mut addresses = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = fs_err::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields[..] else { continue };
            if sockets.contains(&PathBuf::from(format!("socket:[{inode}]"))) {
                addresses.extend(address(local));
            }
        }
    }
    addresses
}

/// Words of 32 bits as the machine has them, and the port. Every address of this machine is reached on loopback.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(bytes) => IpAddr::from(Ipv4Addr::from(bytes)),
        Err(_) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[..]).ok()?)),
    };
    let ip = match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// By `webhookd -check`, with what the daemon was started with, or would be.
fn hooks(findings: &mut Findings, home: &Home, daemon: Option<i32>) {
    let Some(webhookd) = env::current_exe().ok().map(|exe| exe.with_file_name("webhookd")) else { return };
    let started = daemon.map(proc_table::command_line).unwrap_or_default();
    let arguments: Vec<OsString> = match started.get(1..) {
        Some(arguments) if !arguments.is_empty() => {
            arguments.iter().cloned().map(OsString::from_vec).collect()
        }
        _ => ["-template", "-hooks", "hooks.json"].map(OsString::from).into(),
    };
    let mut check = Command::new(&webhookd);
    check.arg("-check").args(arguments).current_dir(home.dir());
    match check.output() {
        Ok(output) if output.status.success() => ok("the hooks file is sound"),
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said)
                .lines()
                .map(|line| printable(line.trim()))
                .collect::<Vec<_>>()
                .join("; ");
            findings
                .wrong(&format!("the hooks file: {said}; mend it, then kill -HUP the daemon or start it"));
        }
        Err(error) => findings.wrong(&format!("{}: {error}; compile it", webhookd.display())),
    }
}
