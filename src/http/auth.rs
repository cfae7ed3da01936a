//! Who a request is from: the bearer token (RFC 6750) of the `Authorization` header, or the same line in a
//! socket's `connection_init`. Never the URL, which ends in logs.

use axum::http::{HeaderMap, header};

use super::layers::id_of;
use crate::app::{App, Error, Session, TokenError};

/// The session of a request's headers; `None` where they carry no token.
pub(super) async fn session_of(app: &App, headers: &HeaderMap) -> Result<Option<Session>, Error> {
    let Some(line) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let line = line.to_str().or(Err(TokenError::Malformed))?;
    session_of_line(app, line, id_of(headers)).await.map(Some)
}

/// The session of a `Bearer …` line.
async fn session_of_line(
    app: &App,
    line: &str,
    request_id: Option<&str>,
) -> Result<Session, Error> {
    let (scheme, token) = line.trim().split_once(' ').ok_or(TokenError::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Malformed.into());
    }
    session_of_token(app, token.trim(), request_id).await
}

/// The session of a token.
async fn session_of_token(
    app: &App,
    token: &str,
    request_id: Option<&str>,
) -> Result<Session, Error> {
    let session = app.authenticate(token).await?;
    Ok(session.named(request_id))
}

/// The session of a Socket.IO client's `auth`: its member `token`, without which nobody is served. `request_id` is that
/// of the upgrade.
pub(super) async fn session_of_auth(
    app: &App,
    auth: Option<&serde_json::Value>,
    request_id: Option<&str>,
) -> Result<Session, Error> {
    match auth.and_then(|auth| auth.get("token")) {
        None | Some(serde_json::Value::Null) => Err(Error::Unauthenticated),
        Some(serde_json::Value::String(token)) => {
            session_of_token(app, token.trim(), request_id).await
        }
        Some(_) => Err(TokenError::Malformed.into()),
    }
}

/// The session of a socket's `connection_init` payload: the member `authorization`, in any case of its
/// letters; `None` where it carries no token. `request_id` is that of the upgrade.
pub(super) async fn session_of_init(
    app: &App,
    payload: Option<&serde_json::Value>,
    request_id: Option<&str>,
) -> Result<Option<Session>, Error> {
    let members = payload.and_then(serde_json::Value::as_object);
    let line = members
        .into_iter()
        .flatten()
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value);
    match line {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(line)) => {
            session_of_line(app, line, request_id).await.map(Some)
        }
        Some(_) => Err(TokenError::Malformed.into()),
    }
}
