//! Accepting connections and serving HTTP/1.1 on each, until it is time to stop.

use std::{pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{connection::Connection, service::Service};
use crate::webhook::{
    client::Peer,
    net::{Connections, Listener, Seat, Socket, Stream, Tls},
    shutdown::Stop,
};

/// The head of a request may be this long.
const LONGEST_HEAD: usize = 256 * 1024;

/// Time for an answer from when the commands are ended: they have some of it, and clean up after it.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Descriptors that we want to be allowed, and those kept for other things than connections and commands.
const DESCRIPTORS: u64 = 8192;
const SPARE_DESCRIPTORS: u64 = 64;

/// Connections at a time, if there are descriptors for them.
const CONNECTIONS: u64 = 4096;

/// A command's pipes, files and handle.
const DESCRIPTORS_PER_COMMAND: u64 = 6;

/// What serves connections.
pub struct Server {
    pub service: Arc<Service>,
    pub tls: Option<Arc<Tls>>,
    pub connections: Arc<Connections>,
    /// For the head of a request, and for shaking hands before it; zero is no limit.
    pub header_time: Duration,
}

/// Room for connections beside `commands` running commands, as far as the system grants it.
pub fn connections(commands: u32) -> Connections {
    let limits = getrlimit(Resource::Nofile);
    let wanted = limits.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS);
    let mut granted = limits.current.unwrap_or(u64::MAX);
    if granted < wanted
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limits.maximum }).is_ok()
    {
        granted = wanted;
    }
    let commands = u64::from(commands) * DESCRIPTORS_PER_COMMAND;
    let left = granted.saturating_sub(SPARE_DESCRIPTORS + commands.min(granted / 2));
    Connections::new(usize::try_from(left.clamp(16, CONNECTIONS)).unwrap_or(usize::MAX))
}

impl Server {
    /// Takes connections until the daemon stops.
    pub async fn run(self: Arc<Self>, listener: Listener, mut stop: Stop) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.serving_ends() => return,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.bear(&error).await;
                    continue;
                }
            };
            let seat = tokio::select! {
                seat = self.connections.seat() => seat,
                () = stop.serving_ends() => return,
            };
            tokio::spawn(Arc::clone(&self).connection(socket, peer, Arc::new(seat), stop.clone()));
        }
    }

    /// A connection that could not be accepted was either broken off, which is its own business, or there are
    /// no descriptors: then somebody idle goes, and a moment passes.
    async fn bear(&self, error: &std::io::Error) {
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        if exhausted.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
            warn!("cannot take a connection: {error}");
            self.connections.unseat_one();
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn connection(self: Arc<Self>, socket: Socket, peer: Peer, seat: Arc<Seat>, mut stop: Stop) {
        let socket = Arc::new(socket);
        let service = Connection {
            service: Arc::clone(&self.service),
            peer,
            seat: Arc::clone(&seat),
            socket: Arc::clone(&socket),
            stop: stop.clone(),
        };
        let stream = Stream(socket);
        let Some(tls) = &self.tls else { return self.serve(stream, service, &seat, stop).await };
        let hands_shaken = async {
            let accepted = match self.header_time {
                Duration::ZERO => tls.accept(stream).await,
                time => timeout(time, tls.accept(stream)).await.unwrap_or_else(|late| Err(late.into())),
            };
            accepted.inspect_err(|error| info!("http: TLS handshake error from {peer}: {error}")).ok()
        };
        let stream = tokio::select! {
            stream = hands_shaken => stream,
            () = seat.unseated() => None,
            () = stop.serving_ends() => None,
        };
        if let Some(stream) = stream {
            self.serve(stream, service, &seat, stop).await;
        }
    }

    async fn serve<S>(&self, stream: S, service: Connection, seat: &Seat, mut stop: Stop)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout((!self.header_time.is_zero()).then_some(self.header_time))
            .max_header_size(LONGEST_HEAD)
            // A client may close its side when it has said all, and still wants its answer.
            .half_close(true)
            .title_case_headers(true);
        let respond = service_fn(move |request| {
            let service = service.clone();
            async move { Ok::<_, std::convert::Infallible>(service.respond(request).await) }
        });
        let mut served = pin!(http.serve_connection(TokioIo::new(stream), respond));
        let mut end = stop.clone();
        let mut over = pin!(async {
            end.commands_end().await;
            // Who has not said all is not waited for any longer, and who has asked gets what there is to say.
            if !seat.is_owed_a_request() {
                sleep(LAST_ANSWER).await;
            }
        });
        let mut stopping = false;
        loop {
            tokio::select! {
                // A broken connection is the client's business.
                _ = served.as_mut() => return,
                () = seat.unseated() => return,
                () = stop.serving_ends(), if !stopping => {
                    stopping = true;
                    served.as_mut().graceful_shutdown();
                }
                () = over.as_mut() => return,
            }
        }
    }
}
