//! Sockets, headers, status codes: the GraphQL endpoint, the WebSocket protocol, GraphiQL, health, metrics.

mod accept;
mod address;
mod answer;
mod attachments;
mod auth;
mod body;
mod bounds;
mod browsers;
mod channel;
mod compression;
mod connection;
mod connections;
mod cross_site;
mod documents;
mod exchange;
#[cfg(test)]
mod fuzz;
mod graphiql;
mod graphql;
mod health;
mod http2;
mod layers;
mod listen;
mod mcp;
mod metrics;
mod multipart;
mod operation;
mod options;
mod origins;
mod patient;
mod rates;
mod request;
mod socketio;
mod sse;
mod stalls;
mod stream;
mod tls;
mod websocket;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response, map_response_with_state};
use axum::routing::{get, post};
use browsers::Told;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use address::{AddressRange, AddressRangeError, TrustedProxies};
pub use connections::Connections;
pub use documents::{Documents, TrustedDocuments, TrustedDocumentsError};
pub use listen::{listen, serve};
pub use metrics::{Metrics, serve_metrics};
pub use options::{HttpOptions, SocketOptions};
pub use origins::Origins;
pub use tls::{CertificateError, Certificates};

use crate::app::App;
use crate::graphql::Schema;

/// What the handlers share. It is cloned several times for a request, which is to cost one count.
#[derive(Clone)]
pub struct HttpState(Arc<HttpParts>);

impl From<HttpParts> for HttpState {
    fn from(parts: HttpParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for HttpState {
    type Target = HttpParts;

    fn deref(&self) -> &HttpParts {
        &self.0
    }
}

/// The parts of [`HttpState`].
#[derive(Clone)]
pub struct HttpParts {
    /// The application.
    pub app: Arc<App>,
    /// The schema.
    pub schema: Schema,
    /// Cancelled when the server stops.
    pub shutdown: CancellationToken,
    /// Times and bounds of the connections.
    pub options: Arc<SocketOptions>,
    /// What the server offers, and what it takes from everybody.
    pub http: Arc<HttpOptions>,
    /// Who is connected.
    pub connections: Connections,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The proxies whose word is taken for where requests come from.
    pub trusted_proxies: TrustedProxies,
    /// The open connections and the mutations under way, which the server waits for when it stops.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for HttpParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpParts").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState").finish_non_exhaustive()
    }
}

/// The routes, with all that wraps them.
pub fn router(state: &HttpState) -> Router {
    let endpoint = get(graphql::get_or_upgrade).post(graphql::post);
    // Layers that stand together, the outermost first: each call of `layer` would box what is in it anew, for each
    // request.
    let layers = (
        map_response_with_state(state.clone(), metrics::count_refusal),
        from_fn_with_state(state.clone(), rates::limit),
    );
    let files = attachments::route().layer(from_fn_with_state(state.clone(), rates::limit));
    let routes = Router::new().route("/attachments/{id}", files);
    let routes = if state.http.mcp {
        routes.route("/mcp", post(mcp::post).layer(layers.clone()))
    } else {
        routes
    };
    let routes = if state.http.socketio {
        let connect = get(socketio::connect).layer(layers.clone());
        routes
            .route("/socket.io/", connect.clone())
            .route("/socket.io", connect)
    } else {
        routes
    };
    let routes = routes
        .route("/graphql", endpoint.layer(layers))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(state.clone());
    let routes = if state.http.graphiql {
        routes.merge(graphiql::router())
    } else {
        routes.route("/", get(graphiql::absent))
    };
    let routes = layers::wrap(guard(routes, state), &state.http);
    if state.http.metrics {
        // Outside of what tells browsers of other origins that they may read.
        routes.merge(metrics::router(Arc::clone(&state.metrics)))
    } else {
        routes
    }
}

/// Refuses what is out of bounds, compresses answers, and tells browsers about them.
fn guard(routes: Router, state: &HttpState) -> Router {
    let told = Told::new(&state.http);
    let judge = from_fn_with_state(state.clone(), bounds::judge);
    let tell = map_response(move |response| {
        let response = told.tell(response);
        std::future::ready(response)
    });
    match state.http.compress_from {
        Some(from) => routes.layer((tell, judge, compression::layer(from))),
        None => routes.layer((tell, judge)),
    }
}
