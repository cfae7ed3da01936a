//! Sockets, headers, status codes: the GraphQL endpoint, the WebSocket protocol, GraphiQL, health.

mod auth;
mod graphiql;
mod graphql;
mod health;
mod layers;
mod websocket;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Response};
use axum::Router;
use axum::http::HeaderValue;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::app::{App, Error};
use crate::graphql::{RequestContext, Schema, execute, refusal_response};

/// How long a socket may usually take to say who it is.
pub const INIT_WITHIN: Duration = Duration::from_secs(10);

/// What the handlers share.
#[derive(Clone)]
pub struct HttpState {
    /// The application.
    pub app: Arc<App>,
    /// The schema.
    pub schema: Schema,
    /// Cancelled when the server stops.
    pub shutdown: CancellationToken,
    /// How long a socket may take to say who it is.
    pub init_within: Duration,
    /// The open sockets, which the server waits for when it stops.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState").finish_non_exhaustive()
    }
}

/// Executes a mutation to its end, also when whoever asked for it has hung up: a write that is cut off would
/// leave its transaction open, with a chat's lock, until its connection is looked at again.
async fn execute_to_end(state: HttpState, request: Request, context: RequestContext) -> Response {
    let schema = state.schema;
    let run = async move { execute(&schema, request, context).await };
    let done = state.tasks.spawn(run.instrument(Span::current())).await;
    done.unwrap_or_else(|error| refusal_response(Error::Internal(error.into())))
}

/// The routes. Pages of `origins` may call them from browsers; by default none but our own.
pub fn router(state: HttpState, origins: Vec<HeaderValue>) -> Router {
    let endpoint = get(graphql::get_or_upgrade).post(graphql::post);
    let routes = Router::new()
        .route("/graphql", endpoint)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(state)
        .merge(graphiql::router());
    layers::wrap(routes, origins)
}

/// Serves until `shutdown` is cancelled and the requests under way are answered.
///
/// # Errors
///
/// Whatever keeps the listener from accepting.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}
