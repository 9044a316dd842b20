//! Connections: many, slow and hostile ones too.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

use crate::connection_slots::{ActiveRequest, ConnectionSlot, ConnectionSlots};

/// Clients at a time, if there are descriptors for them.
const CONNECTIONS: u64 = 1024;

/// How long a client may take to ask, and stay silent between two requests.
const ASKS_WITHIN: Duration = Duration::from_secs(15);

/// How long a client may take nothing of what it has asked for.
const TAKES_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of a request's head, and of what is buffered for a client.
const BUFFER: usize = 16 << 10;

/// Serves until this future is dropped. When there are too many clients the one goes that has waited for the longest, be it
/// with its question or with taking an answer: so whoever asks now is answered.
pub async fn serve(listener: TcpListener, router: Router) {
    let slots = Arc::new(ConnectionSlots::beside(0, CONNECTIONS));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                back_off(&error, &slots).await;
                continue;
            }
        };
        // This machine's own clients may be a proxy, which speaks for many.
        let ip = address.ip().to_canonical();
        let Some(slot) = slots.acquire((!ip.is_loopback()).then_some(ip)).await else { continue };
        tokio::spawn(connection(stream, Arc::new(slot), router.clone()));
    }
}

async fn connection(stream: TcpStream, slot: Arc<ConnectionSlot>, router: Router) {
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(TAKES_WITHIN));
    let of_connection = Arc::clone(&slot);
    let service = service_fn(move |request| {
        slot.request_received();
        let active = ActiveRequest(Arc::clone(&slot));
        let answer = TowerToHyperService::new(router.clone()).call(request);
        async move {
            let answer = answer.await;
            drop(active);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKS_WITHIN)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    tokio::select! {
        // Whatever went wrong was the client's doing, and it knows.
        _ = connection => {}
        () = of_connection.evicted() => {}
    }
}

/// Without descriptors somebody goes, and a moment passes.
async fn back_off(error: &io::Error, slots: &ConnectionSlots) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        slots.evict_one();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
