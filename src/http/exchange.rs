//! How far a connection of HTTP/1.1 is with a request and its answer. The service notes it, and the connection
//! below judges by it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::stream::Ends;

/// What a connection is at.
#[derive(Debug, Default, Clone, Copy)]
enum Phase {
    /// Nothing: the next request may take its time.
    #[default]
    Rest,
    /// A head is coming, since then.
    Head(Instant),
    /// A request is answered, or the connection is used for something else.
    Busy,
}

/// The exchange of a request and its answer.
#[derive(Debug, Default)]
pub(super) struct Exchange(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    ends: Option<Ends>,
}

impl Exchange {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something came from the peer.
    pub(super) fn arrived(&self, at: Instant) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Rest) {
            state.phase = Phase::Head(at);
        }
    }

    /// Since when a head has been coming.
    pub(super) fn head_since(&self) -> Option<Instant> {
        match self.state().phase {
            Phase::Head(since) => Some(since),
            Phase::Rest | Phase::Busy => None,
        }
    }

    /// The head has come, or the connection is used for something that has no heads.
    pub(super) fn leave(&self) {
        self.state().phase = Phase::Busy;
    }

    /// When the answer that is being written has to end, if it has to.
    pub(super) fn ends(&self) -> Option<Ends> {
        self.state().ends.clone()
    }

    /// Notes an answer. The exchange is over when its body has been handed over.
    pub(super) fn answer(self: Arc<Self>, mut response: Response<Body>) -> Response<Noted> {
        self.state().ends = response.extensions_mut().remove::<Ends>();
        response.map(|body| Noted {
            body,
            exchange: self,
        })
    }
}

/// The body of an answer, whose end is noted.
#[derive(Debug)]
pub(super) struct Noted {
    body: Body,
    exchange: Arc<Exchange>,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.exchange.state().phase = Phase::Rest;
    }
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
