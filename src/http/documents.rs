//! Which documents may run, and how a client names one instead of sending it.
//!
//! There are two ways. A document may be persisted by whoever first sends it with its hash (Apollo's protocol of
//! automatic persisted queries), which saves bytes and lets nobody do more. Or the operator lists the documents of
//! their own clients in a file ([`TrustedDocuments`]), which may be all that runs.

mod persisted;
#[cfg(test)]
mod tests;
mod trusted;

use std::sync::Arc;

use async_graphql::{Request, Response};
use axum::http::StatusCode;
use serde_json::Value;

use self::persisted::{Checked, Persisted};
pub use self::trusted::{TrustedDocuments, TrustedDocumentsError};
use super::request::GraphQlRequest;
use crate::graphql::{code, refusal_as};

/// How many documents are persisted where nothing else is said.
const PERSISTED_MAX: usize = 1000;

/// Which documents may run. Clones share what is persisted.
#[derive(Debug, Clone)]
pub struct Documents {
    trusted: Option<Arc<TrustedDocuments>>,
    required: bool,
    persisted: Option<Arc<Persisted>>,
}

impl Default for Documents {
    fn default() -> Self {
        Self::new(PERSISTED_MAX)
    }
}

impl Documents {
    /// Any document may run. At most so many are persisted, with 8 KiB of text each on average; 0 for none.
    #[must_use]
    pub fn new(persisted_max: usize) -> Self {
        Self {
            trusted: None,
            required: false,
            persisted: (persisted_max > 0).then(|| Arc::new(Persisted::new(persisted_max))),
        }
    }

    /// Lets clients name these documents. Where it is `required` that a document is one of them, no other runs, and
    /// none is persisted.
    #[must_use]
    pub fn trusting(self, trusted: TrustedDocuments, required: bool) -> Self {
        Self {
            trusted: Some(Arc::new(trusted)),
            required,
            persisted: self.persisted.filter(|_| !required),
        }
    }

    /// Whether only listed documents run.
    #[must_use]
    pub fn are_required(&self) -> bool {
        self.required
    }

    /// Finds the document of a request, which it sends or names.
    ///
    /// # Errors
    ///
    /// Where it names one that is not known, or sends one that may not run.
    pub(super) fn resolve(&self, mut request: GraphQlRequest) -> Result<Resolved, DocumentError> {
        let sent = request.query.take();
        let (text, remember) = match Name::of(&request)? {
            Name::None => (self.sent(sent.ok_or(DocumentError::Missing)?)?, None),
            Name::Id(id) => (self.by_id(id, sent)?, None),
            Name::Hash(hash) => self.by_hash(hash, sent)?,
        };
        Ok(Resolved {
            request: request.into_request(text),
            remember,
        })
    }

    /// Persists a document that came with its hash. Only for who has shown who they are, and after the document has
    /// been judged: so nobody fills the memory with what is none, or asks for too much.
    pub(super) fn remember(&self, hash: Checked, text: &str) {
        if let Some(persisted) = &self.persisted {
            persisted.keep(hash, text);
        }
    }

    fn listed(&self, id: &str) -> Option<&str> {
        self.trusted.as_ref()?.find(id)
    }

    /// A document that is sent as it is.
    fn sent(&self, text: String) -> Result<String, DocumentError> {
        let trusted = self.trusted.as_ref();
        if self.required && !trusted.is_some_and(|trusted| trusted.holds(&text)) {
            return Err(DocumentError::NotTrusted);
        }
        Ok(text)
    }

    fn by_id(&self, id: &str, sent: Option<String>) -> Result<String, DocumentError> {
        match (self.listed(id), sent) {
            (Some(listed), None) => Ok(listed.to_owned()),
            (Some(listed), Some(sent)) if listed == sent => Ok(sent),
            (Some(_), Some(_)) => Err(DocumentError::OtherText),
            (None, Some(sent)) => self.sent(sent),
            (None, None) if self.trusted.is_some() => Err(DocumentError::NotListed),
            (None, None) => Err(DocumentError::NotSupported),
        }
    }

    fn by_hash(
        &self,
        hash: &str,
        sent: Option<String>,
    ) -> Result<(String, Option<Checked>), DocumentError> {
        match (self.listed(hash), sent, &self.persisted) {
            (Some(listed), None, _) => Ok((listed.to_owned(), None)),
            (Some(listed), Some(sent), _) if listed == sent => Ok((sent, None)),
            (Some(_), Some(_), _) => Err(DocumentError::OtherHash),
            (None, Some(sent), Some(_)) => {
                let checked = Checked::new(hash, &sent).ok_or(DocumentError::OtherHash)?;
                Ok((sent, Some(checked)))
            }
            (None, None, Some(persisted)) => {
                let found = persisted.find(hash).ok_or(DocumentError::NotFound)?;
                Ok((found.as_ref().to_owned(), None))
            }
            (None, Some(_), None) if self.required => Err(DocumentError::NotTrusted),
            (None, None, None) if self.required => Err(DocumentError::NotListed),
            (None, _, None) => Err(DocumentError::NotSupported),
        }
    }
}

/// What is run for a request.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The request for the executor, with its document.
    pub(super) request: Request,
    /// To be given to [`Documents::remember`] once the client has shown who they are, with the request's text.
    pub(super) remember: Option<Checked>,
}

/// How a request names its document, whether it sends it too or not.
enum Name<'a> {
    None,
    Id(&'a str),
    Hash(&'a str),
}

impl<'a> Name<'a> {
    fn of(request: &'a GraphQlRequest) -> Result<Self, DocumentError> {
        if let Some(id) = &request.document_id {
            return Ok(Self::Id(id));
        }
        let Some(said) = request.persisted_query() else {
            return Ok(Self::None);
        };
        if said.get("version").and_then(Value::as_u64) != Some(1) {
            return Err(DocumentError::Version);
        }
        let hash = said.get("sha256Hash").and_then(Value::as_str);
        hash.map(Self::Hash).ok_or(DocumentError::NoHash)
    }
}

/// Why a request has no document that may run. What the client sent is not in the sentence.
///
/// Clients of Apollo's protocol know the first two by their code or by their text. The codes of the others are those
/// of Apollo's router, which other servers have taken over in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentError {
    /// The client sends it again with its text.
    #[error("PersistedQueryNotFound")]
    NotFound,
    /// The client sends texts from now on.
    #[error("PersistedQueryNotSupported")]
    NotSupported,
    /// Of another code and text than [`NotFound`](Self::NotFound): to send the text would not help.
    #[error("The document that the request names is not in the list of trusted documents.")]
    NotListed,
    #[error("Only documents of a list run here, and this is none of them.")]
    NotTrusted,
    #[error("provided sha does not match query")]
    OtherHash,
    #[error("The request sends another document than the one that `documentId` names.")]
    OtherText,
    #[error("Only version 1 of `extensions.persistedQuery` is known here.")]
    Version,
    #[error("`extensions.persistedQuery.sha256Hash` is not a string.")]
    NoHash,
    #[error("The request has no document.")]
    Missing,
}

impl DocumentError {
    /// The code for `extensions.code`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::NotFound => code::PERSISTED_QUERY_NOT_FOUND,
            Self::NotSupported => code::PERSISTED_QUERY_NOT_SUPPORTED,
            Self::NotListed => code::PERSISTED_QUERY_NOT_IN_LIST,
            Self::NotTrusted => code::QUERY_NOT_IN_SAFELIST,
            Self::OtherHash | Self::OtherText | Self::Version | Self::NoHash | Self::Missing => {
                code::BAD_USER_INPUT
            }
        }
    }

    /// The status of the answer over HTTP. The answer to a GET must not be stored: it is another one soon.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::NotFound | Self::NotListed => StatusCode::NOT_FOUND,
            Self::NotTrusted => StatusCode::FORBIDDEN,
            Self::NotSupported
            | Self::OtherHash
            | Self::OtherText
            | Self::Version
            | Self::NoHash
            | Self::Missing => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// The answer, which says only this.
    pub(super) fn response(self) -> Response {
        refusal_as(self.code(), self.to_string())
    }
}
