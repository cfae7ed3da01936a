//! What notices that a stream of HTTP/2 is not read.
//!
//! hyper asks an answer's body for more only when the peer's window has room. So a stream whose body has said
//! something, and is not asked for more, has a reader who is behind. A body is said in pieces, so that only a
//! piece of it waits inside of hyper, where nobody watches.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, poll_fn};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::http2::Active;
use super::patient::give_up;
use super::stream::Ends;

/// How much of a body is handed over at once, in bytes: a frame of HTTP/2.
const PIECE: usize = 16 * 1024;

/// Whether a stream's reader is behind.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    blocked: Option<Instant>,
    ends: Option<Ends>,
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn block(&self) {
        self.state().blocked = Some(Instant::now());
    }

    fn free(&self) {
        self.state().blocked = None;
    }
}

/// Runs a stream to its end, or until its reader has taken nothing for too long, or beyond the end of what it is
/// told. Dropped, it is reset, and what waits in it is forgotten.
pub(super) async fn watched<F>(mut stream: Pin<Box<F>>, watch: Arc<Watch>, within: Duration)
where
    F: Future<Output = ()>,
{
    let mut timer: Option<(Instant, BoxFuture<'static, ()>)> = None;
    let running = poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let (blocked, ends) = {
            let state = watch.state();
            (state.blocked, state.ends.clone())
        };
        let Some(since) = blocked else {
            timer = None;
            return Poll::Pending;
        };
        let (of, overdue) =
            timer.get_or_insert_with(|| (since, give_up(within, ends.clone()).boxed()));
        if *of != since {
            (*of, *overdue) = (since, give_up(within, ends).boxed());
        }
        if overdue.as_mut().poll(cx).is_ready() {
            tracing::debug!("a stream is given up: its reader does not take what it is told");
            return Poll::Ready(());
        }
        Poll::Pending
    });
    running.await;
}

/// The body of an answer, in pieces.
pub(super) struct Pieces {
    body: Body,
    left: Bytes,
    watch: Arc<Watch>,
    _active: Active,
}

impl Pieces {
    /// An answer whose body is said in pieces, and watched.
    pub(super) fn of(
        mut response: Response<Body>,
        watch: Arc<Watch>,
        active: Active,
    ) -> Response<Self> {
        watch.state().ends = response.extensions_mut().remove::<Ends>();
        // The window may have had no room from the beginning.
        watch.block();
        response.map(|body| Self {
            body,
            left: Bytes::new(),
            watch,
            _active: active,
        })
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let size = self.left.len().min(PIECE);
        self.watch.block();
        Frame::data(self.left.split_to(size))
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.left.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match frame {
            Poll::Pending => self.watch.free(),
            Poll::Ready(Some(Ok(frame))) => {
                return Poll::Ready(Some(Ok(match frame.into_data() {
                    Ok(data) => {
                        self.left = data;
                        self.piece()
                    }
                    Err(frame) => frame,
                })));
            }
            Poll::Ready(_) => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.left.is_empty() {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}
