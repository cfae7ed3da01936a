//! The claims of the tokens that Colloquy makes, for development and for scripts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::model::UserId;

/// What a token of ours says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The subject: the user's id.
    pub sub: String,
    /// The tenant; the default one where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user's picture, a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// When it was issued, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Before when it is not valid, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// What the token is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// What the token permits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

impl Claims {
    /// Claims for a user, valid from `now` for a time.
    #[must_use]
    pub fn new(user: &UserId, now: DateTime<Utc>, valid_for: Duration) -> Self {
        let seconds = i64::try_from(valid_for.as_secs()).unwrap_or(i64::MAX);
        Self {
            sub: user.as_str().to_owned(),
            tenant: None,
            name: None,
            picture: None,
            iat: Some(now.timestamp()),
            nbf: None,
            exp: now.timestamp().saturating_add(seconds),
            jti: None,
            permissions: Vec::new(),
        }
    }
}
