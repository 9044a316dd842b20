//! Where connections come from.

use std::{fs, io, path::PathBuf};

use super::stream::Socket;
use crate::webhook::client::Client;

/// A socket's path that is ours to remove.
#[derive(Debug)]
pub struct SocketPath(pub PathBuf);

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A socket that accepts.
#[derive(Debug)]
pub enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix {
        /// Goes before the socket does: once nobody answers there, the path may be another daemon's.
        _path: Option<SocketPath>,
        socket: tokio::net::UnixListener,
    },
}

impl Listener {
    pub async fn accept(&self) -> io::Result<(Socket, Client)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                Ok((stream.into(), Client::Tcp(address)))
            }
            Self::Unix { socket, .. } => {
                let (stream, _) = socket.accept().await?;
                Ok((stream.into(), Client::Unix))
            }
        }
    }
}
