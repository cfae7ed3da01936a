//! Sockets, headers, status codes: the GraphQL endpoint, the WebSocket protocol, GraphiQL, health.

mod accept;
mod address;
mod auth;
mod body;
mod connections;
mod graphiql;
mod graphql;
mod health;
mod layers;
mod listen;
mod multipart;
mod operation;
mod options;
mod rates;
mod sse;
mod stream;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use address::{AddressRange, AddressRangeError, TrustedProxies};
pub use connections::Connections;
pub use listen::{listen, serve};
pub use options::SocketOptions;

use crate::app::App;
use crate::graphql::Schema;

/// What the handlers share.
#[derive(Clone)]
pub struct HttpState {
    /// The application.
    pub app: Arc<App>,
    /// The schema.
    pub schema: Schema,
    /// Cancelled when the server stops.
    pub shutdown: CancellationToken,
    /// Times and bounds of the connections.
    pub options: SocketOptions,
    /// Who is connected.
    pub connections: Connections,
    /// The proxies whose word is taken for where requests come from.
    pub trusted_proxies: TrustedProxies,
    /// The open connections and the mutations under way, which the server waits for when it stops.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState").finish_non_exhaustive()
    }
}

/// The routes. Pages of `origins` may call them from browsers; by default none but our own.
pub fn router(state: HttpState, origins: Vec<HeaderValue>) -> Router {
    let endpoint = get(graphql::get_or_upgrade).post(graphql::post);
    let endpoint = endpoint.layer(from_fn_with_state(state.clone(), rates::limit));
    let routes = Router::new()
        .route("/graphql", endpoint)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(state)
        .merge(graphiql::router());
    layers::wrap(routes, origins)
}
