//! Accepting connections and serving HTTP/1.1 on each, until it is time to stop.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use super::{connection::Connection, respond::respond, service::Service};
use crate::webhook::{
    client::Client,
    log_allowance,
    net::{ConnectionSlots, HeadRoom, Listener, Stream, Tls},
    shutdown::Shutdown,
};

/// The head of a request may be this long.
const LONGEST_HEAD: usize = 256 * 1024;

/// Time for an answer from when the commands are ended: they have some of it, and clean up after it.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// What serves connections.
pub struct Server {
    pub service: Arc<Service>,
    pub tls: Option<Arc<Tls>>,
    pub slots: Arc<ConnectionSlots>,
    /// For the head of a request, and for shaking hands before it; zero is no limit.
    pub header_time: Duration,
    /// For a client to take something of an answer; zero is no limit.
    pub write_time: Duration,
}

impl Server {
    /// Takes connections until the daemon stops.
    pub async fn run(self: Arc<Self>, listener: Listener, mut shutdown: Shutdown) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.stopping() => return,
            };
            let (socket, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.back_off(&error).await;
                    continue;
                }
            };
            let share = self.service.proxies.share(client);
            let slot = tokio::select! {
                slot = self.slots.acquire(share) => slot,
                () = shutdown.stopping() => return,
            };
            let Some(slot) = slot else { continue };
            let connection = Connection {
                service: Arc::clone(&self.service),
                client,
                slot: Arc::new(slot),
                socket: Arc::new(socket),
                head: Arc::new(HeadRoom::new(self.service.heads.share(share))),
                shutdown: shutdown.clone(),
            };
            tokio::spawn(log_allowance::of_strangers(Arc::clone(&self).connection(connection)));
        }
    }

    /// A connection that could not be accepted was either broken off, which is its own business, or there are
    /// no descriptors: then somebody idle goes, and a moment passes.
    async fn back_off(&self, error: &io::Error) {
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        if Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno)) {
            warn!("cannot take a connection: {error}");
            self.slots.evict_one();
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn connection(self: Arc<Self>, connection: Connection) {
        let stream = Stream { socket: Arc::clone(&connection.socket), head: Arc::clone(&connection.head) };
        let Some(tls) = &self.tls else { return self.serve(stream, connection).await };
        let mut shutdown = connection.shutdown.clone();
        let stream = tokio::select! {
            stream = self.shake_hands(tls, stream, connection.client) => stream,
            () = connection.slot.evicted() => None,
            () = shutdown.stopping() => None,
        };
        if let Some(stream) = stream {
            self.serve(stream, connection).await;
        }
    }

    async fn shake_hands(&self, tls: &Tls, stream: Stream, client: Client) -> Option<TlsStream<Stream>> {
        let accepted = match self.header_time {
            Duration::ZERO => tls.accept(stream).await,
            time => timeout(time, tls.accept(stream)).await.unwrap_or_else(|late| Err(late.into())),
        };
        accepted.inspect_err(|error| info!("http: TLS handshake error from {client}: {error}")).ok()
    }

    async fn serve<S>(&self, stream: S, connection: Connection)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let slot = Arc::clone(&connection.slot);
        let mut shutdown = connection.shutdown.clone();
        let connection = Arc::new(connection);
        let requests = service_fn(move |request| {
            let connection = Arc::clone(&connection);
            async move { Ok::<_, Infallible>(respond(&connection, request).await) }
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout((!self.write_time.is_zero()).then_some(self.write_time));
        let stream = TokioIo::new(Box::pin(stream));
        let mut served = pin!(self.http().serve_connection(stream, requests));
        tokio::select! {
            // A broken connection is the client's business.
            _ = served.as_mut() => return,
            () = slot.evicted() => return,
            () = shutdown.stopping() => served.as_mut().graceful_shutdown(),
        }
        let over = async {
            shutdown.ending().await;
            // Who has not said all is not waited for any longer, and who has asked gets what there is to say.
            if !slot.is_idle() {
                sleep(LAST_ANSWER).await;
            }
        };
        tokio::select! {
            _ = served => {}
            () = slot.evicted() => {}
            () = over => {}
        }
    }

    fn http(&self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout((!self.header_time.is_zero()).then_some(self.header_time))
            .max_header_size(LONGEST_HEAD)
            // A client may close its side when it has said all, and still wants its answer.
            .half_close(true)
            .title_case_headers(true);
        http
    }
}
