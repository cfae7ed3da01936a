//! `/metrics`: what the layers measure, gathered and written for Prometheus.
//!
//! Each layer counts what happens in it. What can be read at any time (sizes, connections) is read when somebody asks.
//! Nothing of it carries a label whose values a client chooses, but for the names of operations, which are bounded.

mod gathered;
mod names;
mod operations;
mod process;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

pub(super) use operations::{Begun, Code, Via, count_refusal};

use super::{Connections, HttpOptions, HttpParts, HttpState, listen};
use crate::app::App;
use crate::graphql::Schema;
use gathered::{Bounds, Gathered};
use names::Names;
use operations::OperationLabels;

/// The content type of the `OpenMetrics` text format, which Prometheus asks for.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of Prometheus' older format, which everybody else gets.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How many connections may be open at a time to a listener of its own.
const OPEN_MAX: usize = 32;

/// The bounds of the times of operations, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// One label with its value.
type Label = [(&'static str, &'static str); 1];

/// The metrics of a server.
pub struct Metrics {
    registry: Registry,
    names: Names,
    operations: Family<OperationLabels, Counter>,
    queries: Histogram,
    mutations: Histogram,
    closes: Family<[(&'static str, String); 1], Counter>,
    bounds: Bounds,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// The metrics of these parts.
    #[must_use]
    pub fn new(app: &Arc<App>, schema: &Schema, connections: &Connections) -> Self {
        let mut registry = Registry::default();
        let operations = Family::default();
        registry.register(
            "colloquy_operations",
            "Operations that have ended, by name, code of the first error and transport",
            operations.clone(),
        );
        let seconds =
            Family::<Label, Histogram, _>::new_with_constructor(|| Histogram::new(SECONDS));
        let of_type = |name| seconds.get_or_create_owned(&[("type", name)]);
        let (queries, mutations) = (of_type("query"), of_type("mutation"));
        registry.register(
            "colloquy_operation_seconds",
            "Times of queries and mutations, from when they are known to their answer",
            seconds,
        );
        let closes = Family::default();
        registry.register(
            "colloquy_websocket_closes",
            "WebSockets that have ended, by the code that the server closed with; peer where the peer closed or was gone",
            closes.clone(),
        );
        registry.register(
            "colloquy_build",
            "Which build runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let bounds = Bounds::default();
        let gathered = Gathered::new(app, schema, connections, bounds.clone());
        registry.register_collector(Box::new(gathered));
        registry.register_collector(Box::new(process::Process::new(app.clock.now())));
        Self {
            registry,
            names: Names::default(),
            operations,
            queries,
            mutations,
            closes,
            bounds,
        }
    }

    /// Counts a WebSocket that has ended; `None` where the peer closed it or was gone.
    pub(super) fn closed(&self, code: Option<u16>) {
        let code = code.map_or_else(|| "peer".to_owned(), |code| code.to_string());
        self.closes.get_or_create_owned(&[("code", code)]).inc();
    }

    /// Counts an operation that was refused because its WebSocket runs too many.
    pub(super) fn refused_operation(&self) {
        self.bounds.operations.inc();
    }

    /// Counts a connection that was turned away because there are too many.
    pub(super) fn refused_connection(&self) {
        self.bounds.open.inc();
    }

    /// Writes everything: the content type, and the text. Who asks for `OpenMetrics` gets it.
    fn write(&self, headers: &HeaderMap) -> Result<(&'static str, String), fmt::Error> {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let mut accepts = accepts.filter_map(|value| value.to_str().ok());
        let mut written = String::new();
        if accepts.any(|value| value.contains("application/openmetrics-text")) {
            text::encode(&mut written, &self.registry)?;
            return Ok((OPENMETRICS, written));
        }
        prometheus_text::encode(&mut written, &self.registry)?;
        Ok((TEXT, written))
    }
}

/// The route of the metrics, under no rules for browsers: their pages have no business here.
pub(super) fn router(metrics: Arc<Metrics>) -> Router {
    let routes = Router::new().route("/metrics", get(answer));
    routes.with_state(metrics)
}

/// Serves the metrics, and nothing else, on a listener of their own until the server stops. In the clear: the address
/// is to be reached from inside only.
pub async fn serve_metrics(listener: TcpListener, state: HttpState) {
    let router = router(Arc::clone(&state.metrics));
    let http = HttpOptions {
        certificates: None,
        open_max: OPEN_MAX,
        ..HttpOptions::clone(&state.http)
    };
    let http = Arc::new(http);
    let parts = HttpParts {
        http,
        ..HttpParts::clone(&state)
    };
    listen::serve(listener, router, parts.into()).await;
}

async fn answer(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> Response {
    match metrics.write(&headers) {
        Ok((content_type, written)) => {
            let headers = [
                (header::CONTENT_TYPE, content_type),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, written).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
