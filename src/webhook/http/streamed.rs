//! The output of a command as a body, while the command runs.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::{Bytes, HttpBody};
use futures_util::FutureExt;
use hyper::body::Frame;
use tokio::{sync::mpsc::Receiver, task::JoinHandle};

use super::access_log::Access;
use crate::webhook::{
    command::Finished,
    net::{Answering, Socket},
};

/// The output of a command that runs.
pub struct Output {
    pub first: Option<Bytes>,
    pub rest: Receiver<Bytes>,
    pub command: JoinHandle<Finished>,
    pub client_gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub socket: Arc<Socket>,
    /// However long it takes to send the output: nothing else is asked of the client meanwhile.
    pub _answering: Arc<Answering>,
}

/// That output as a body. A command that fails cuts it off, so that the client can tell.
pub struct Streamed {
    pub output: Output,
    pub access: Option<Access>,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Self { output, access } = &mut *self;
        if output.client_gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())));
        }
        if output.socket.is_cut_off() {
            return Poll::Pending;
        }
        let next = match output.first.take() {
            Some(first) => Some(first),
            None => ready!(output.rest.poll_recv(cx)),
        };
        if let Some(bytes) = next {
            if let Some(access) = access {
                access.bytes += bytes.len() as u64;
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if let Ok(Finished { failed: false, .. }) = ready!(output.command.poll_unpin(cx)) {
            return Poll::Ready(None);
        }
        output.socket.cut_off();
        Poll::Pending
    }
}
