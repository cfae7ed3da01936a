//! What can go wrong, whatever the transport.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::{RateLimited, TokenError};
use crate::model::{FilterError, PageError, Permission, Refusal, RefusalCode};
use crate::realtime::AdmissionError;
use crate::store::PoolError;

/// In how many seconds to try again where the service is not available. What it lacks comes back soon or not at all,
/// and who asks waits longer each time.
const UNAVAILABLE_SECONDS: u64 = 1;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operation needs a user and the request names none.
    #[error("This needs a token: send it as `Authorization: Bearer …`.")]
    Unauthenticated,
    /// The token is not accepted.
    #[error("The token is not accepted: {0}.")]
    Token(#[from] TokenError),
    /// The token was revoked.
    #[error("The token is not accepted: it was revoked.")]
    Revoked,
    /// The token does not permit it.
    #[error("{}", lacks(*.0))]
    Forbidden(Permission),
    /// The thing does not exist, or the actor may not see it.
    #[error("{0} does not exist, or you may not see it.")]
    NotFound(&'static str),
    /// An argument is malformed.
    #[error("{0}")]
    BadInput(String),
    /// The cursor is of another life of the database's logs.
    #[error("The cursor has expired: load the chat again and go on from its `eventCursor`.")]
    CursorExpired,
    /// The caller can mend it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Somebody asks too often.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The operation took longer than it may.
    #[error("The operation takes longer than it may: ask for less at a time.")]
    TimedOut,
    /// The database cannot be reached, or has no time. Trying again later helps.
    #[error("The service is not available at the moment.")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The installation has not set what this needs.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// A fault of ours.
    #[error("Something went wrong on the server.")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn lacks(permission: Permission) -> String {
    match permission.name() {
        Some(name) => format!("This needs the permission {name}, which the token lacks."),
        None => "This is for the tenant's administrators.".to_owned(),
    }
}

impl From<PageError> for Error {
    fn from(error: PageError) -> Self {
        Self::BadInput(error.to_string())
    }
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        Self::BadInput(error.to_string())
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<AdmissionError> for Error {
    fn from(error: AdmissionError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        if is_outage(&error) {
            Self::Unavailable(error.into())
        } else {
            Self::Internal(error.into())
        }
    }
}

/// Whether the database was away or out of time, which is nobody's fault in the statement. Diesel keeps no
/// SQLSTATE, so what Postgres sends on shutdown, cancellation and recovery is known by its fixed text
/// (we set the language of our sessions to the server's, and match what does not vary).
fn is_outage(error: &DieselError) -> bool {
    const TEXTS: [&str; 8] = [
        "terminating connection",
        "connection closed",
        "error communicating with the server",
        "canceling statement due to statement timeout",
        "canceling statement due to lock timeout",
        "the database system is",
        "cannot execute",
        "too many clients already",
    ];
    if let DieselError::DatabaseError(kind, info) = error {
        return matches!(kind, DatabaseErrorKind::ClosedConnection)
            || TEXTS.iter().any(|text| info.message().contains(text));
    }
    if let DieselError::RollbackErrorOnCommit { rollback_error, .. } = error {
        return is_outage(rollback_error);
    }
    matches!(error, DieselError::BrokenTransactionManager)
}

impl Error {
    /// In how many seconds trying again may help, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited(limited) => Some(limited.retry_after()),
            Self::Unavailable(_) => Some(UNAVAILABLE_SECONDS),
            Self::Unauthenticated
            | Self::Token(_)
            | Self::Revoked
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::BadInput(_)
            | Self::CursorExpired
            | Self::Refused(_)
            | Self::TimedOut
            | Self::NotConfigured(_)
            | Self::Internal(_) => None,
        }
    }

    /// The same error, but another refusal where the chat does not exist for the actor.
    pub(super) fn not_found_as(self, refusal: Refusal) -> Self {
        let not_found = matches!(&self, Self::Refused(why) if why.code == RefusalCode::NotFound);
        if not_found {
            Self::Refused(refusal)
        } else {
            self
        }
    }
}
