//! What a token whose signature fits must say besides, and who its bearer is.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Number, Value};

use super::{Mapping, Pointer, TokenError};
use crate::app::{Actor, Session};
use crate::model::{Profile, TenantId, UserId};

/// The most characters of a name or picture claim that are kept; a longer one is ignored.
const PROFILE_MAX_CHARS: usize = 2_000;

/// The most characters of a token's id (`jti`).
const TOKEN_ID_MAX_CHARS: usize = 255;

/// The most things that a token may permit.
const PERMISSIONS_MAX: usize = 200;

/// The most characters of one of them.
const PERMISSION_MAX_CHARS: usize = 100;

/// What is asked of tokens.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// By how much clocks may differ when a token's times are judged.
    pub leeway: Duration,
    /// The issuers that are accepted; where there are none, whoever has the key is.
    pub issuers: Vec<String>,
    /// For whom a token may be; where there are none, it may be for anybody.
    pub audiences: Vec<String>,
    /// Which claim says what.
    pub mapping: Mapping,
}

impl Rules {
    /// Judges the claims of a token at a time.
    pub(super) fn judge(
        &self,
        claims: &Value,
        now: DateTime<Utc>,
    ) -> Result<(Session, Profile), TokenError> {
        let ends_at = self.ends_at(claims, now)?;
        let issued_at = self.issued_at(claims, now)?;
        self.check_source(claims)?;
        let session = Session {
            actor: self.actor(claims)?,
            ends_at,
            issued_at,
            token_id: token_id(claims)?,
            permissions: self.permissions(claims)?,
        };
        Ok((session, self.profile(claims, issued_at)))
    }

    /// When the token stops being accepted, which is after now.
    fn ends_at(&self, claims: &Value, now: DateTime<Utc>) -> Result<DateTime<Utc>, TokenError> {
        let expires_at = time(claims, "exp")?.ok_or(TokenError::Malformed)?;
        let ends_at = expires_at.checked_add_signed(self.leeway()?);
        let ends_at = ends_at.ok_or(TokenError::Malformed)?;
        if ends_at <= now {
            return Err(TokenError::Expired);
        }
        let password = self.mapping.password_expiry.as_ref();
        match password.map_or(Ok(None), |place| instant(claims, place))? {
            Some(expiry) if expiry <= now => Err(TokenError::Password),
            Some(expiry) => Ok(expiry.min(ends_at)),
            None => Ok(ends_at),
        }
    }

    /// When it was issued, where it says so. Neither that nor its beginning may lie ahead.
    fn issued_at(
        &self,
        claims: &Value,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, TokenError> {
        let (begins_at, issued_at) = (time(claims, "nbf")?, time(claims, "iat")?);
        // Beyond all calendars nothing lies ahead.
        let latest = now.checked_add_signed(self.leeway()?);
        let latest = latest.unwrap_or(DateTime::<Utc>::MAX_UTC);
        if begins_at.max(issued_at).is_some_and(|time| time > latest) {
            return Err(TokenError::Immature);
        }
        Ok(issued_at.filter(|time| *time >= DateTime::UNIX_EPOCH))
    }

    fn leeway(&self) -> Result<chrono::Duration, TokenError> {
        chrono::Duration::from_std(self.leeway).or(Err(TokenError::Malformed))
    }

    fn check_source(&self, claims: &Value) -> Result<(), TokenError> {
        let issuer = claims.get("iss").and_then(Value::as_str);
        let is_from = |known: &String| issuer == Some(known);
        if !self.issuers.is_empty() && !self.issuers.iter().any(is_from) {
            return Err(TokenError::Issuer);
        }
        let audience = self.mapping.audience.of(claims);
        let meant = |known: &String| match audience {
            Some(Value::String(one)) => one == known,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(known)),
            _ => false,
        };
        if !self.audiences.is_empty() && !self.audiences.iter().any(meant) {
            return Err(TokenError::Audience);
        }
        Ok(())
    }

    fn actor(&self, claims: &Value) -> Result<Actor, TokenError> {
        let Mapping {
            subject, tenant, ..
        } = &self.mapping;
        let user = id(claims, subject)?.ok_or(TokenError::Subject)?;
        let tenant = id(claims, tenant)?.map_or(Ok(TenantId::default()), TenantId::new);
        let user = UserId::new(user).or(Err(TokenError::Subject))?;
        Ok(Actor::new(tenant.or(Err(TokenError::Subject))?, user))
    }

    fn permissions(&self, claims: &Value) -> Result<Arc<[String]>, TokenError> {
        let permissions: Vec<String> = match self.mapping.permissions.of(claims) {
            None => Vec::new(),
            Some(Value::String(scope)) => {
                scope.split_ascii_whitespace().map(str::to_owned).collect()
            }
            Some(Value::Array(all)) => {
                let texts = all.iter().map(|one| one.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().ok_or(TokenError::Malformed)?
            }
            Some(_) => return Err(TokenError::Malformed),
        };
        let short = |one: &String| one.chars().count() <= PERMISSION_MAX_CHARS;
        if permissions.len() > PERMISSIONS_MAX || !permissions.iter().all(short) {
            return Err(TokenError::Malformed);
        }
        Ok(permissions.into())
    }

    /// A claim that only decorates never makes a token unusable: what Postgres cannot hold is left out.
    fn profile(&self, claims: &Value, issued_at: Option<DateTime<Utc>>) -> Profile {
        let picture = self.mapping.picture.of(claims).and_then(Value::as_str);
        Profile {
            display_name: self
                .mapping
                .name
                .of(claims)
                .filter(|text| is_storable(text)),
            avatar_url: picture.filter(|text| is_storable(text)).map(str::to_owned),
            issued_at,
        }
    }
}

fn is_storable(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0') && text.chars().count() <= PROFILE_MAX_CHARS
}

/// What the token is called, where it says so.
fn token_id(claims: &Value) -> Result<Option<Arc<str>>, TokenError> {
    let Some(id) = id(claims, &Pointer::to("jti")).or(Err(TokenError::Malformed))? else {
        return Ok(None);
    };
    if id.is_empty() || id.contains('\0') || id.chars().count() > TOKEN_ID_MAX_CHARS {
        return Err(TokenError::Malformed);
    }
    Ok(Some(id.into()))
}

/// An id: a text, or a whole number, which some issuers use, as its decimal digits.
fn id(claims: &Value, place: &Pointer) -> Result<Option<String>, TokenError> {
    match place.of(claims) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
        Some(_) => Err(TokenError::Subject),
    }
}

/// A `NumericDate` (RFC 7519, section 2), which may have a fraction: the second it is in.
fn time(claims: &Value, name: &str) -> Result<Option<DateTime<Utc>>, TokenError> {
    let read = |value: &Value| DateTime::from_timestamp_secs(floor(value.as_number()?)?);
    let value = claims.get(name).filter(|value| !value.is_null());
    let time = value.map(|value| read(value).ok_or(TokenError::Malformed));
    time.transpose()
}

fn floor(number: &Number) -> Option<i64> {
    let whole = || number.as_f64()?.floor().to_string().parse().ok();
    number.as_i64().or_else(whole)
}

/// A time as JavaScript writes one: in the form of RFC 3339, or in milliseconds since 1970. Nothing, zero
/// and the empty text say that there is none.
fn instant(claims: &Value, place: &Pointer) -> Result<Option<DateTime<Utc>>, TokenError> {
    let time = match place.of(claims) {
        None => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => DateTime::parse_from_rfc3339(text).ok().map(Into::into),
        Some(Value::Number(number)) => match floor(number) {
            Some(0) => return Ok(None),
            millis => millis.and_then(DateTime::from_timestamp_millis),
        },
        Some(_) => None,
    };
    time.map(Some).ok_or(TokenError::Malformed)
}
