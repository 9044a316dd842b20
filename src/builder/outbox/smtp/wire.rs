//! A connection on which every step has a limit as a whole, however its bytes trickle.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

/// A socket, and when the present step must be over.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    until: Instant,
}

impl Wire {
    /// Tries the host's addresses in turn, until `until`.
    pub fn connect(host: &str, port: u16, until: Instant) -> io::Result<Self> {
        let mut failed = io::Error::new(ErrorKind::NotFound, "it has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(until)?) {
                Ok(socket) => return Ok(Self { socket, until }),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The step that begins now must be over by then.
    pub fn step(&mut self, until: Instant) {
        self.until = until;
    }

    /// The other end.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.until)?))?;
        self.socket.read(buffer).map_err(timed_out)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.until)?))?;
        self.socket.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(too_late()) } else { Ok(left) }
}

/// A socket that has waited as long as it was told says `WouldBlock`, which some readers take for "try again".
fn timed_out(error: io::Error) -> io::Error {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) { too_late() } else { error }
}

fn too_late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "no answer in time")
}
