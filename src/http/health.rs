//! Health, for whoever runs the server.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::HttpState;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// `/healthz`: the process is alive.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `/readyz`: the database answers and the listener hears it. Where the sweep alone tells of the other
/// servers there is no listener: `null` then.
pub(super) async fn ready(State(state): State<HttpState>) -> (StatusCode, Json<Value>) {
    let database = matches!(timeout(PATIENCE, state.app.ping()).await, Ok(Ok(())));
    let listener = state.app.realtime.listener_is_live();
    let stopping = state.shutdown.is_cancelled();
    let ready = database && listener.unwrap_or(true) && !stopping;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "database": database,
        "listener": listener,
        "stopping": stopping,
    });
    (status, Json(body))
}
