//! Asks those who keep files elsewhere, in bounded memory and time. It happens once or twice for a file.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::{HeaderMap, Request, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::outgoing::{self, Body, ExchangeError, Reach, RootsError};

/// How long the connection and the answer's head may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How slowly a body may come on average, in bytes a second, beside that time.
const SLOWEST: u64 = 256 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// The exchange failed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// How much of an answer's body is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    /// Its first bytes, and no more.
    First(usize),
    /// All of it, so many bytes at most: its first bytes are kept, and all are counted and hashed.
    Whole(usize, u64),
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The first bytes of its body.
    pub(super) first: Bytes,
    /// How many bytes were read, and their SHA-256.
    pub(super) read: (u64, [u8; 32]),
}

/// Asks.
#[derive(Debug, Clone)]
pub(super) struct Client(outgoing::Client);

impl Client {
    /// A client that trusts the system's roots. Where a store is not asked over TLS, there need not be any.
    pub(super) fn new(secure: bool) -> Result<Self, RootsError> {
        match outgoing::Client::new(None) {
            Ok(client) => Ok(Self(client)),
            Err(_) if !secure => Ok(Self(outgoing::Client::plain())),
            Err(error) => Err(error),
        }
    }

    /// Sends a request whose address is whole, and reads its answer.
    pub(super) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        reading: Reading,
    ) -> Result<Answer, ClientError> {
        let more = match reading {
            Reading::First(_) => 0,
            Reading::Whole(_, most) => most / SLOWEST,
        };
        let uri = request.uri().clone();
        // The store is the operator's, and may be anywhere.
        let opened = Box::pin(self.0.open(&uri, Reach::Everywhere, request));
        let opened = timeout(ANSWER_WITHIN, opened).await;
        let opened = opened.or(Err(ClientError::Late))??;
        let within = ANSWER_WITHIN.saturating_add(Duration::from_secs(more));
        let read = timeout(within, read(opened.body, reading)).await;
        let (first, read) = read.or(Err(ClientError::Late))??;
        Ok(Answer {
            status: opened.head.status,
            headers: opened.head.headers,
            first,
            read,
        })
    }
}

/// Reads of a body what is wanted of it.
async fn read(mut body: Body, reading: Reading) -> Result<(Bytes, (u64, [u8; 32])), ExchangeError> {
    let (keep, most) = match reading {
        Reading::First(keep) => (keep, u64::try_from(keep).unwrap_or(u64::MAX)),
        Reading::Whole(keep, most) => (keep, most),
    };
    let (mut first, mut sum, mut length) = (BytesMut::new(), Sha256::new(), 0_u64);
    while length < most
        && let Some(piece) = body.next().await
    {
        let piece = piece?;
        let room = keep.saturating_sub(first.len());
        first.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        length = length.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        sum.update(&piece);
    }
    Ok((first.freeze(), (length, sum.finalize().into())))
}
