//! Postgres' errors as diesel has them.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

/// The class of errors that are about the connection (PostgreSQL manual, appendix A). A proxy says so where
/// it has no session to give or lost the one it gave.
const CONNECTION_CLASS: &str = "08";

/// An error with the place and the constraint that it names.
pub(super) fn to_diesel(error: &tokio_postgres::Error) -> Error {
    if error.is_closed() {
        let text = "the connection closed".to_owned();
        return Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(text));
    }
    if let Some(cause) = error.as_db_error() {
        return Error::DatabaseError(kind(cause.code()), Box::new(Cause(cause.clone())));
    }
    let text = super::super::pool::describe(error);
    Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(text))
}

fn kind(code: &SqlState) -> DatabaseErrorKind {
    if code.code().starts_with(CONNECTION_CLASS) {
        return DatabaseErrorKind::ClosedConnection;
    }
    let kinds = [
        (
            SqlState::UNIQUE_VIOLATION,
            DatabaseErrorKind::UniqueViolation,
        ),
        (
            SqlState::FOREIGN_KEY_VIOLATION,
            DatabaseErrorKind::ForeignKeyViolation,
        ),
        (
            SqlState::T_R_SERIALIZATION_FAILURE,
            DatabaseErrorKind::SerializationFailure,
        ),
        (
            SqlState::READ_ONLY_SQL_TRANSACTION,
            DatabaseErrorKind::ReadOnlyTransaction,
        ),
        (
            SqlState::NOT_NULL_VIOLATION,
            DatabaseErrorKind::NotNullViolation,
        ),
        (SqlState::CHECK_VIOLATION, DatabaseErrorKind::CheckViolation),
    ];
    let found = kinds.into_iter().find(|(known, _)| known == code);
    found.map_or(DatabaseErrorKind::Unknown, |(_, kind)| kind)
}

#[derive(Debug)]
struct Cause(DbError);

impl DatabaseErrorInformation for Cause {
    fn message(&self) -> &str {
        self.0.message()
    }

    fn details(&self) -> Option<&str> {
        self.0.detail()
    }

    fn hint(&self) -> Option<&str> {
        self.0.hint()
    }

    fn table_name(&self) -> Option<&str> {
        self.0.table()
    }

    fn column_name(&self) -> Option<&str> {
        self.0.column()
    }

    fn constraint_name(&self) -> Option<&str> {
        self.0.constraint()
    }

    fn statement_position(&self) -> Option<i32> {
        match self.0.position()? {
            ErrorPosition::Original(position) | ErrorPosition::Internal { position, .. } => {
                i32::try_from(*position).ok()
            }
        }
    }
}
