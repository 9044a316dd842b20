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

use super::access_log::AccessLine;
use crate::webhook::{
    command::CommandResult,
    net::{ActiveRequest, Socket},
};

/// The output of a command that runs. A command that fails cuts it off, so that the client can tell.
pub struct StreamedOutput {
    pub first: Option<Bytes>,
    rest: Receiver<Bytes>,
    command: JoinHandle<CommandResult>,
    socket: Arc<Socket>,
    client_gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// However long it takes to send the output: nothing else is asked of the client meanwhile.
    _request: Arc<ActiveRequest>,
    pub access: Option<AccessLine>,
}

impl StreamedOutput {
    /// `first` and `rest` are what `command` says, in pieces.
    pub fn new(
        first: Bytes,
        rest: Receiver<Bytes>,
        command: JoinHandle<CommandResult>,
        socket: Arc<Socket>,
        request: Arc<ActiveRequest>,
    ) -> Self {
        let watched = Arc::clone(&socket);
        let client_gone = Box::pin(async move { watched.closed().await });
        Self { first: Some(first), rest, command, socket, client_gone, _request: request, access: None }
    }
}

impl HttpBody for StreamedOutput {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.client_gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())));
        }
        if self.socket.is_cut_off() {
            return Poll::Pending;
        }
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => ready!(self.rest.poll_recv(cx)),
        };
        if let Some(bytes) = next {
            if let Some(access) = &mut self.access {
                access.bytes += bytes.len() as u64;
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if let Ok(CommandResult { failed: false, .. }) = ready!(self.command.poll_unpin(cx)) {
            return Poll::Ready(None);
        }
        self.socket.cut_off();
        Poll::Pending
    }
}
