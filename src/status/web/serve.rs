//! Connections: many, slow and hostile ones too.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_io_timeout::TimeoutStream;

/// More clients than that wait in the kernel's queue.
const CONNECTIONS: usize = 2048;

/// How long a client may take to ask, and stay silent between two requests.
const ASKS_WITHIN: Duration = Duration::from_secs(15);

/// How long a client may take nothing of what it has asked for.
const TAKES_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of a request's head, and of what is buffered for a client.
const BUFFER: usize = 16 << 10;

/// Serves until this future is dropped.
pub async fn serve(listener: TcpListener, router: Router) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                back_off(&error).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(TAKES_WITHIN));
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(ASKS_WITHIN)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(Box::pin(stream)), service);
            // Whatever went wrong was the client's doing, and it knows.
            let _ = connection.await;
            drop(seat);
        });
    }
}

/// Without descriptors there is nothing to do but wait for one.
async fn back_off(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
