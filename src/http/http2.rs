//! HTTP/2 (RFC 9113), with a bound on everything that a peer can make the server hold.
//!
//! A stream that its peer does not read is the one thing that neither the socket nor hyper gives up on: the
//! socket is fine, and hyper waits for the peer's window. So the server watches each stream by itself.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{Request, Response};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::HttpState;
use super::address::Peer;
use super::channel::Channel;
use super::patient::Patient;
use super::stalls::{Pieces, Watch, watched};

/// How many requests of a connection may be answered at a time: as many as WebSockets have operations.
const STREAMS: u32 = 100;

/// How much of a request's body is taken before the application has read it, in bytes: of one, and of all those
/// of a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// How much of an answer is buffered in front of the connection, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// How large the headers of a request may be with its address, in bytes as RFC 9113 counts them. h2 answers more
/// with 431; `bounds` refuses what comes near it.
const HEADERS: u32 = 40 * 1024;

/// How many streams a peer may have reset before the server has looked at them ("rapid reset"), and how many
/// the server may have reset for the peer's faults, before the connection is ended.
const PEER_RESETS: usize = 20;
const OUR_RESETS: usize = 100;

/// How long a connection may take to close in order once it is told that it has been idle.
const FAREWELL_WITHIN: Duration = Duration::from_secs(5);

/// Serves a connection to its end.
pub(super) async fn serve(channel: Channel<Patient>, peer: Peer, router: Router, state: HttpState) {
    let options = &state.options;
    let newest = Newest::default();
    let activity = Activity::new();
    let streams = Streams {
        tasks: state.tasks.clone(),
        newest: Arc::clone(&newest),
        within: options.write_within,
    };
    let connection = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADERS)
        .max_pending_accept_reset_streams(PEER_RESETS)
        .max_local_error_reset_streams(OUR_RESETS)
        .keep_alive_interval(options.ping_after)
        .keep_alive_timeout(options.pong_within)
        .serve_connection(
            TokioIo::new(channel),
            service(router, peer, newest, activity.clone()),
        );
    let mut connection = Box::pin(connection);
    let within = tokio::select! {
        ended = &mut connection => return told(ended),
        () = state.shutdown.cancelled() => options.drain_within.saturating_add(FAREWELL_WITHIN),
        () = activity.idle(state.http.head_within, state.http.idle_within) => FAREWELL_WITHIN,
    };
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(within, connection).await {
        told(ended);
    }
}

fn told(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// The watch of the request that has just come: hyper hands its future to the executor right behind.
type Newest = Arc<Mutex<Option<Arc<Watch>>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The routes, with a watch over each answer.
fn service(
    router: Router,
    peer: Peer,
    newest: Newest,
    activity: Activity,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Pieces>,
    Error = Infallible,
    Future: Send + 'static,
> {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let watch = Arc::new(Watch::default());
        *lock(&newest) = Some(Arc::clone(&watch));
        let active = activity.begin();
        let answer = router.call(request);
        async move {
            let response = answer.await?;
            Ok(Pieces::of(response, watch, active))
        }
    })
}

/// Runs the streams of a connection, each until it ends or its reader is given up.
#[derive(Clone)]
struct Streams {
    tasks: TaskTracker,
    newest: Newest,
    within: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let watch = lock(&self.newest).take().unwrap_or_default();
        self.tasks
            .spawn(watched(Box::pin(stream), watch, self.within));
    }
}

/// How much a connection is used.
#[derive(Debug, Clone)]
struct Activity(Arc<Mutex<Use>>);

#[derive(Debug)]
struct Use {
    active: usize,
    /// Whether there has been a request.
    begun: bool,
    /// Since when it is as it is.
    since: Instant,
}

/// A request that is answered.
#[derive(Debug)]
pub(super) struct Active(Activity);

impl Activity {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Use {
            active: 0,
            begun: false,
            since: Instant::now(),
        })))
    }

    fn begin(&self) -> Active {
        let mut at = lock(&self.0);
        at.active = at.active.saturating_add(1);
        at.begun = true;
        Active(self.clone())
    }

    /// Waits until nothing has been asked for so long: `first` before the first request, and `later` behind it.
    fn idle(&self, first: Duration, later: Duration) -> BoxFuture<'static, ()> {
        let activity = self.clone();
        let idle = async move {
            loop {
                let (busy, ends) = {
                    let at = lock(&activity.0);
                    let within = if at.begun { later } else { first };
                    let since = if at.active > 0 {
                        Instant::now()
                    } else {
                        at.since
                    };
                    (at.active > 0, since + within)
                };
                if !busy && ends <= Instant::now() {
                    return;
                }
                sleep_until(ends).await;
            }
        };
        idle.boxed()
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut at = lock(&self.0.0);
        at.active = at.active.saturating_sub(1);
        at.since = Instant::now();
    }
}
