//! Refusals: what the caller of a write can mend.

/// Which kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// The value is not acceptable as it is.
    Invalid,
    /// The thing does not exist, or the caller may not see it.
    NotFound,
    /// The caller sees the thing and may not do this to it.
    Forbidden,
    /// The state of the thing does not allow it now.
    Conflict,
    /// The text is too long.
    TooLong,
    /// There are too many of them.
    TooMany,
}

/// Why a write was not done, for the person who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind.
    pub code: RefusalCode,
    /// A full sentence for a person.
    pub message: String,
    /// The input field at fault; null where it is none in particular.
    pub field: Option<&'static str>,
    /// The list that the input at fault is an element of, and its place; null where it is of none.
    pub element: Option<(&'static str, usize)>,
}

impl Refusal {
    fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            element: None,
        }
    }

    /// The value is not acceptable.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::Invalid, message)
    }

    /// The thing does not exist for the caller.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::NotFound, message)
    }

    /// The caller may not do this.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::Forbidden, message)
    }

    /// The state does not allow this.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::Conflict, message)
    }

    /// The text is too long.
    #[must_use]
    pub fn too_long(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::TooLong, message)
    }

    /// There are too many.
    #[must_use]
    pub fn too_many(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::TooMany, message)
    }

    /// Names the input field at fault, as the API spells it.
    #[must_use]
    pub fn at(self, field: &'static str) -> Self {
        Self {
            field: Some(field),
            ..self
        }
    }

    /// Names the list that the input at fault is an element of, as the API spells it, and its place.
    #[must_use]
    pub fn of(self, list: &'static str, place: usize) -> Self {
        Self {
            element: Some((list, place)),
            ..self
        }
    }
}
