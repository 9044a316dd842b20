//! A connection, over TCP or a Unix socket: its bytes for the server, and its end for who has to know.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BufMut;
use rustix::net::RecvFlags;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready},
    net::{TcpStream, UnixStream},
    time::sleep,
};

use super::head_room::HeadRoom;

/// The socket of a connection.
#[derive(Debug)]
pub struct Socket {
    stream: Transport,
    cut_off: AtomicBool,
}

#[derive(Debug)]
enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls the same method of whichever transport it is.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match &$socket.stream {
            Transport::Tcp($stream) => $call,
            Transport::Unix($stream) => $call,
        }
    };
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self { stream: Transport::Tcp(stream), cut_off: AtomicBool::new(false) }
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self { stream: Transport::Unix(stream), cut_off: AtomicBool::new(false) }
    }
}

impl Socket {
    /// Breaks the connection as soon as all that is said already has been written: an error of the body
    /// would break it at once, and take along what the client has not been sent yet.
    pub fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Relaxed);
    }

    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// The first byte that the client sends, left where it is.
    pub async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let mut peek = || match either!(self, stream => rustix::net::recv(stream, &mut byte, RecvFlags::PEEK))
        {
            Ok((read, _)) => Ok(read > 0),
            Err(errno) => Err(io::Error::from(errno)),
        };
        let any = either!(self, stream => stream.async_io(Interest::READABLE, &mut peek).await)?;
        Ok(any.then_some(byte[0]))
    }

    /// Waits until the client sends no more; over a stream of output that means that it has gone.
    pub async fn closed(&self) {
        while self.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
            // The next request, or the end of encryption, is there and not read: nothing wakes us again.
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Reads what there is, up to the room in `buf`.
    fn try_read(&self, buf: &mut impl BufMut) -> io::Result<usize> {
        let room = buf.remaining_mut();
        let mut read = 0;
        let emptied = either!(self, stream => stream.try_io(Interest::READABLE, || {
            read = stream.try_read_buf(buf)?;
            // Less than there is room for is all that there was. The socket counts as empty from here on, as it does
            // with tokio's own reads: else it would be asked once more before it is waited for.
            if (1..room).contains(&read) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        }));
        if read > 0 { Ok(read) } else { emptied.map(|()| 0) }
    }

    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        either!(self, stream => stream.ready(interest).await)
    }
}

/// The bytes of a connection.
#[derive(Debug)]
pub struct Stream {
    pub socket: Arc<Socket>,
    pub head: Arc<HeadRoom>,
}

/// What is read at a time. Less than hyper's buffer has at first: one that is filled doubles, and is nobody's to count.
const PIECE: usize = (8 << 10) - 1;

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut piece = buf.limit(PIECE);
        loop {
            ready!(either!(self.socket, stream => stream.poll_read_ready(cx)))?;
            match self.socket.try_read(&mut piece) {
                Ok(read) if self.head.take(read) => return Poll::Ready(Ok(())),
                Ok(_) => return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Stream {
    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(either!(self.socket, stream => stream.poll_write_ready(cx)))?;
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |socket| either!(socket, stream => stream.try_write(buf)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |socket| either!(socket, stream => stream.try_write_vectored(bufs)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.socket.is_cut_off() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = rustix::net::Shutdown::Write;
        Poll::Ready(either!(self.socket, stream => rustix::net::shutdown(stream, end)).map_err(Into::into))
    }
}
