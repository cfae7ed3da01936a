//! An operation told over one HTTP answer, as it happens: what server-sent events and multipart share.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::future::{BoxFuture, Shared};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::connections::Admission;
use super::metrics::Via;
use super::operation::{self, Operation, Refused};
use super::{HttpState, sse};
use crate::app::Session;
use crate::graphql::{Answer, Prepared};

/// How long a reader who is behind may take to reach the end of a stream that has to end.
const GRACE: Duration = Duration::from_millis(500);

/// What is told.
#[derive(Debug)]
pub(super) enum Told {
    /// The answer has begun.
    Begin,
    /// The operation says something.
    Answer(Answer),
    /// Nothing has happened for a while.
    Alive,
    /// The operation has ended. Nothing follows.
    Completed,
    /// The token is not accepted any more. Nothing follows.
    Expired,
    /// The server stops. Nothing follows.
    Stopping,
}

/// How an answer is written.
pub(super) trait Format: 'static {
    /// Its content type.
    const CONTENT_TYPE: &'static str;

    /// What it is called in the metrics.
    const VIA: Via;

    /// What is written for what is told.
    fn write(told: &Told) -> Bytes;
}

/// Answers with a stream.
pub(super) fn answer<F: Format>(
    state: &HttpState,
    headers: &HeaderMap,
    session: Option<Session>,
    admission: Admission,
    request: Result<Prepared, Refused>,
) -> Response {
    let metrics = &state.metrics;
    let begun = metrics.begin(F::VIA, session.is_some(), request.as_ref().ok());
    let actor = session.as_ref().map(|session| session.actor.clone());
    let operation = operation::start(state, actor, request, sse::last_event_id(headers), None);
    let operation = begun.over(operation);
    let (told, ends) = told(state, session, admission, operation);
    let bytes = told.map(|told| Ok::<_, Infallible>(F::write(&told)));
    let bytes =
        bytes.filter(|bytes| std::future::ready(!matches!(bytes, Ok(bytes) if bytes.is_empty())));
    let mut response = Body::from_stream(bytes).into_response();
    response.extensions_mut().insert(ends);
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, F::CONTENT_TYPE);
    set(header::CACHE_CONTROL, "no-store");
    // Proxies of the nginx family would collect events before they pass them on.
    set(header::HeaderName::from_static("x-accel-buffering"), "no");
    response
}

/// What an operation tells, and when that has to end.
pub(super) fn told(
    state: &HttpState,
    session: Option<Session>,
    admission: Admission,
    operation: Operation,
) -> (impl futures_util::Stream<Item = Told> + Send + use<>, Ends) {
    let left = session
        .as_ref()
        .map(|session| session.time_left(state.app.clock.now()));
    let ends = Ends {
        expires: left.and_then(|left| Instant::now().checked_add(left)),
        revoked: session.map(|session| state.app.revoked(&session).boxed().shared()),
        by_itself: operation.ends,
        shutdown: state.shutdown.clone(),
        drain_within: state.options.drain_within,
    };
    let told = tell(
        state.options.alive_every,
        ends.clone(),
        admission,
        operation,
    );
    (told, ends)
}

fn tell(
    alive_every: Duration,
    ends: Ends,
    admission: Admission,
    operation: Operation,
) -> impl futures_util::Stream<Item = Told> + Send {
    let mut answers = operation.answers;
    async_stream::stream! {
        // The place among the connections is given back when the stream ends or its reader is gone.
        let _admission = admission;
        let (expired, stopped) = (ends.expired(), ends.stopped());
        tokio::pin!(expired, stopped);
        yield Told::Begin;
        loop {
            let told = tokio::select! {
                biased;
                () = &mut expired => Told::Expired,
                () = &mut stopped => Told::Stopping,
                answer = answers.next() => answer.map_or(Told::Completed, Told::Answer),
                () = sleep(alive_every) => Told::Alive,
            };
            match told {
                Told::Expired | Told::Stopping | Told::Completed => {
                    yield told;
                    break;
                }
                Told::Answer(Answer::Failed { .. }) => {
                    yield told;
                    yield Told::Completed;
                    break;
                }
                Told::Begin | Told::Answer(_) | Told::Alive => yield told,
            }
        }
    }
}

/// When a stream has to end, whatever it says. Its connection knows it too, for a reader who is behind.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    expires: Option<Instant>,
    /// Comes when the token is revoked.
    revoked: Option<Shared<BoxFuture<'static, ()>>>,
    /// Whether the operation ends by itself soon.
    by_itself: bool,
    shutdown: CancellationToken,
    drain_within: Duration,
}

impl Ends {
    /// Waits until the token is not accepted any more: its time is over, or it is revoked.
    async fn expired(&self) {
        let expired = async {
            match self.expires {
                None => pending().await,
                Some(at) => sleep_until(at).await,
            }
        };
        let revoked = async {
            match self.revoked.clone() {
                None => pending().await,
                Some(revoked) => revoked.await,
            }
        };
        tokio::select! {
            () = expired => {}
            () = revoked => {}
        }
    }

    /// Waits until the stream has to end because the server stops: what ends by itself gets time for that.
    async fn stopped(&self) {
        self.shutdown.cancelled().await;
        if self.by_itself {
            sleep(self.drain_within).await;
        }
    }

    /// Waits until a reader who is behind has had their time to hear of the end.
    pub(super) async fn overdue(&self) {
        let expired = async {
            self.expired().await;
            sleep(GRACE).await;
        };
        let stopped = async {
            self.stopped().await;
            sleep(GRACE).await;
        };
        tokio::select! {
            () = expired => {}
            () = stopped => {}
        }
    }
}
