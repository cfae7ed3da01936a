//! Constraint violations by name: every constraint is named, so that a violation can become an outcome.

use diesel::QueryResult;
use diesel::result::{DatabaseErrorKind, Error};

/// Turns the violation of one constraint into a value.
pub trait OnConstraint<T> {
    /// Returns `outcome()` where the unique constraint or index `name` was violated.
    ///
    /// # Errors
    ///
    /// Every other error, as it is.
    fn on_unique(self, name: &str, outcome: impl FnOnce() -> T) -> QueryResult<T>;
}

impl<T> OnConstraint<T> for QueryResult<T> {
    fn on_unique(self, name: &str, outcome: impl FnOnce() -> T) -> Self {
        match self {
            Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, info))
                if info.constraint_name() == Some(name) =>
            {
                Ok(outcome())
            }
            other => other,
        }
    }
}
