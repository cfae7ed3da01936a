//! How often anybody may ask, over HTTP and WebSocket: who is refused, and with what answer.
//!
//! [`limit`] stands in front of the endpoint and knows the address; the user is known later, where the operation is.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::address::Peer;
use super::{HttpState, answer, body};
use crate::app::{Error, Network, RateLimited, Session};

/// A request's address, for who serves the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin(pub(super) Network);

/// Marks an answer to a token that is forged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forged;

/// Lets a request through, if its address may ask.
pub(super) async fn limit(
    State(state): State<HttpState>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let Some(Peer(peer)) = peer else {
        return timed(next.run(request).await);
    };
    let network = Network::from(state.trusted_proxies.origin(peer, request.headers()));
    let rates = &state.app.rates;
    let mut may = rates.address(network);
    if request.headers().contains_key(header::AUTHORIZATION) {
        may = may.and_then(|()| rates.may_try(network));
    }
    if let Err(limited) = may {
        let (parts, rest) = request.into_parts();
        body::pass_over(&state, &parts.headers, rest.into_data_stream());
        return refuse(&parts.headers, limited);
    }
    request.extensions_mut().insert(Origin(network));
    let response = next.run(request).await;
    if response.extensions().get::<Forged>().is_some() {
        rates.forged(network);
    }
    timed(response)
}

fn refuse(headers: &HeaderMap, limited: RateLimited) -> Response {
    let mut response = answer::reject(headers, Error::RateLimited(limited));
    let seconds = HeaderValue::from(limited.retry_after());
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// Says when to try again, where that is not said.
fn timed(mut response: Response) -> Response {
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        let headers = response.headers_mut();
        let soon = HeaderValue::from_static("1");
        headers.entry(header::RETRY_AFTER).or_insert(soon);
    }
    response
}

/// Takes tokens for an operation, from the address and the user. Where the address has paid already, with the
/// request, there is none.
pub(super) fn admit(
    state: &HttpState,
    network: Option<Network>,
    session: Option<&Session>,
) -> Result<(), RateLimited> {
    let rates = &state.app.rates;
    network.map_or(Ok(()), |network| rates.address(network))?;
    session.map_or(Ok(()), |session| rates.user(&session.actor))
}
