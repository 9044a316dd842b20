//! Taking in a request's body, within its limits of size, time and memory.

use std::{error::Error, future::poll_fn, pin::Pin, time::Duration};

use axum::http::{StatusCode, header, request::Parts};
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use crate::webhook::memory::{MemoryShare, Reservation};

/// What a body may take.
#[derive(Debug)]
pub struct BodyLimits {
    /// In bytes.
    pub size: usize,
    /// Zero is no limit.
    pub time: Duration,
}

/// What came.
#[derive(Debug)]
pub struct ReceivedBody {
    pub bytes: Vec<u8>,
    pub reservation: Reservation,
    /// Why the rest did not come, if it did not. Like webhook 2.8 we go on with the part that is there.
    pub cut_off: Option<String>,
}

/// Why a body is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyRefused {
    #[error("the request body is larger than -max-body-size")]
    TooLarge,
    #[error("the request body did not come within -body-timeout")]
    TooSlow,
    #[error("too many large requests at a time")]
    NoRoom,
}

impl BodyRefused {
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A request's body, until somebody wants it.
#[derive(Debug)]
pub enum RequestBody {
    OnTheWire(Incoming),
    Received(Result<ReceivedBody, BodyRefused>),
}

impl RequestBody {
    /// Reads it to its end.
    pub async fn receive(
        self,
        head: &Parts,
        limits: &BodyLimits,
        memory: &MemoryShare,
    ) -> Result<ReceivedBody, BodyRefused> {
        let mut body = match self {
            Self::Received(received) => return received,
            Self::OnTheWire(body) => body,
        };
        let received = if body.size_hint().lower() > limits.size as u64 {
            // Known before a byte of it is asked for: whoever waits for `100 Continue` need not send it.
            Err(BodyRefused::TooLarge)
        } else if limits.time.is_zero() {
            collect(&mut body, limits, memory).await
        } else {
            timeout(limits.time, collect(&mut body, limits, memory))
                .await
                .unwrap_or(Err(BodyRefused::TooSlow))
        };
        if received.is_err() {
            discard(body, head);
        }
        received
    }

    /// The request is answered without it.
    pub fn leave(self, head: &Parts) {
        if let Self::OnTheWire(body) = self
            && !body.is_end_stream()
        {
            discard(body, head);
        }
    }
}

async fn collect(
    body: &mut Incoming,
    limits: &BodyLimits,
    memory: &MemoryShare,
) -> Result<ReceivedBody, BodyRefused> {
    let announced = body.size_hint().upper().unwrap_or(u64::MAX);
    let reservation = memory.reserve(0).ok_or(BodyRefused::NoRoom)?;
    let mut received = ReceivedBody { bytes: Vec::new(), reservation, cut_off: None };
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        let data = match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => data,
            // Trailers say nothing that rules look at.
            Ok(Err(_)) => continue,
            Err(error) => {
                received.cut_off =
                    Some(error.source().map_or_else(|| error.to_string(), ToString::to_string));
                break;
            }
        };
        let length = received.bytes.len() + data.len();
        if length > limits.size {
            return Err(BodyRefused::TooLarge);
        }
        let have = received.bytes.capacity();
        if length > have {
            // Twice as much each time, but no more than is to come; what is counted is what is held.
            let most = usize::try_from(announced).unwrap_or(limits.size).clamp(length, limits.size);
            let wanted = (have * 2).clamp(length, most);
            received.reservation.add(memory.reserve(wanted - have).ok_or(BodyRefused::NoRoom)?);
            received.bytes.reserve_exact(wanted - received.bytes.len());
        }
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}

/// So much of the rest of a refused body is taken in, and for so long: whoever sends more than that does not
/// mean to end.
const MOST_DISCARDED: usize = 64 << 20;
const LONGEST_DISCARDED: Duration = Duration::from_secs(5);

/// Takes in, for a while and to nobody, what is left of a body whose request is answered already: a client
/// that sends all of it before it reads would otherwise find its connection broken in place of the answer.
fn discard(mut body: Incoming, head: &Parts) {
    // Whoever waits to be asked for the body is not asked.
    if !head.headers.contains_key(header::EXPECT) {
        let rest = async move {
            let mut discarded = 0;
            while discarded < MOST_DISCARDED
                && let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                discarded += frame.data_ref().map_or(0, axum::body::Bytes::len);
            }
        };
        tokio::spawn(timeout(LONGEST_DISCARDED, rest));
    }
}
