//! Reading what a client asks for, from a body in JSON or from the parameters of a URL, by the GraphQL over HTTP
//! specification (edition of September 2026, section "Request").
//!
//! The JSON is read once, by visitors of our own ([`json`]). What is no JSON is told from what is JSON of another
//! shape, for these are different errors, whichever comes first in the body; `RawValue` would have read the
//! variables twice to tell them apart.

mod json;
#[cfg(test)]
mod tests;

use async_graphql::{Extensions, Request, Value as GraphQlValue, Variables};
use axum::http::StatusCode;
use percent_encoding::percent_decode;
use serde_json::{Map, Value};

use self::json::{Members, Shape};

/// A request that is well-formed. Whether its document can be run is another matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct GraphQlRequest {
    /// The text of the document; never a blank one.
    pub(super) query: Option<String>,
    /// The operation of the document that is meant; never an empty one.
    pub(super) operation_name: Option<String>,
    /// The values of the operation's variables.
    pub(super) variables: Map<String, Value>,
    /// What belongs to extensions of the protocol.
    pub(super) extensions: Map<String, Value>,
    /// The id of a document that the server knows; never an empty one.
    pub(super) document_id: Option<String>,
}

/// What a body holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// One request.
    One(GraphQlRequest),
    /// Several, of which each is judged alone. There is at least one.
    Batch(Vec<Result<GraphQlRequest, RequestError>>),
}

/// Whose fault an unreadable request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It cannot be read at all.
    Malformed,
    /// It can be read, but is no request of GraphQL.
    Invalid,
}

/// Why a request was not read. Nothing that the client sent is in the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("The body is not in UTF-8.")]
    NotUtf8,
    #[error("The body ends before its JSON does.")]
    CutOff,
    #[error("The body is not JSON, or is nested too deeply: see line {line}, column {column}.")]
    NotJson { line: usize, column: usize },
    #[error("The parameter `{0}` is not in UTF-8.")]
    ParameterNotUtf8(&'static str),
    #[error("The parameter `{0}` is not JSON, or is nested too deeply.")]
    ParameterNotJson(&'static str),
    #[error("The parameter `{0}` is given more than once.")]
    Repeated(&'static str),
    #[error("A request is a JSON object.")]
    NotAnObject,
    #[error("A list of requests is not taken here: send them one at a time.")]
    NoLists,
    #[error("The list of requests is empty.")]
    EmptyList,
    #[error("The list has more than {0} requests.")]
    LongList(usize),
    #[error("The member `{0}` is not a string.")]
    NotAString(&'static str),
    #[error("The member `{0}` is not an object.")]
    NotAMap(&'static str),
    #[error(
        "There are more than {} values in `variables` and `extensions`.",
        json::VALUES_MAX
    )]
    TooManyValues,
    #[error("The request has no document: give it in `query`, or name a known one.")]
    NoDocument,
}

impl RequestError {
    /// Whose fault it is.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::NotUtf8
            | Self::CutOff
            | Self::NotJson { .. }
            | Self::ParameterNotUtf8(_)
            | Self::ParameterNotJson(_)
            | Self::Repeated(_) => Kind::Malformed,
            Self::NotAnObject
            | Self::NoLists
            | Self::EmptyList
            | Self::LongList(_)
            | Self::NotAString(_)
            | Self::NotAMap(_)
            | Self::TooManyValues
            | Self::NoDocument => Kind::Invalid,
        }
    }

    /// The status of the answer: 400 or 422 (section "Status Codes").
    pub(super) fn status(self) -> StatusCode {
        match self.kind() {
            Kind::Malformed => StatusCode::BAD_REQUEST,
            Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    fn of_body(error: &serde_json::Error) -> Self {
        if error.is_eof() {
            return Self::CutOff;
        }
        Self::NotJson {
            line: error.line(),
            column: error.column(),
        }
    }
}

impl Body {
    /// Reads a body. `batch` is how many requests a list may have; without it, no list is taken.
    ///
    /// # Errors
    ///
    /// Where the body is no request. The requests of a list have errors of their own.
    pub(super) fn from_json(body: &[u8], batch: Option<usize>) -> Result<Self, RequestError> {
        // Checked first and at once: serde_json would check each string, and not those that it passes over.
        let text = std::str::from_utf8(body).or(Err(RequestError::NotUtf8))?;
        let shape = json::read(text, batch).map_err(|error| RequestError::of_body(&error))?;
        match (shape, batch) {
            (Shape::Object(members), _) => GraphQlRequest::new(*members).map(Self::One),
            (Shape::List { .. }, None) => Err(RequestError::NoLists),
            (Shape::List { length: 0, .. }, _) => Err(RequestError::EmptyList),
            (Shape::List { length, .. }, Some(most)) if length > most => {
                Err(RequestError::LongList(most))
            }
            (Shape::List { elements, .. }, _) => {
                let requests = elements.into_iter().map(|element| match element {
                    Shape::Object(members) => GraphQlRequest::new(*members),
                    Shape::List { .. } | Shape::Scalar => Err(RequestError::NotAnObject),
                });
                Ok(Self::Batch(requests.collect()))
            }
            (Shape::Scalar, _) => Err(RequestError::NotAnObject),
        }
    }
}

impl GraphQlRequest {
    /// Reads the query of a URL, as it stands behind the `?`.
    ///
    /// # Errors
    ///
    /// Where the parameters are no request.
    pub(super) fn from_url(query: &str) -> Result<Self, RequestError> {
        let given = Parameters::read(query)?;
        let mut exhausted = false;
        let mut json = |name, text: Option<String>| {
            let text = text.filter(|text| !text.is_empty());
            let read = text.map(|text| json::read_value(&text)).transpose();
            let read = read.or(Err(RequestError::ParameterNotJson(name)))?;
            exhausted |= read.as_ref().is_some_and(|(_, exhausted)| *exhausted);
            Ok(read.map(|(value, _)| value))
        };
        Self::new(Members {
            variables: json("variables", given.variables)?,
            extensions: json("extensions", given.extensions)?,
            query: given.query.map(Value::String),
            operation_name: given.operation_name.map(Value::String),
            document_id: given.document_id.map(Value::String),
            exhausted,
        })
    }

    fn new(members: Members) -> Result<Self, RequestError> {
        if members.exhausted {
            return Err(RequestError::TooManyValues);
        }
        let query = string("query", members.query)?;
        let operation_name = string("operationName", members.operation_name)?;
        let document_id = string("documentId", members.document_id)?;
        let mut request = Self {
            query,
            operation_name: operation_name.filter(|name| !name.is_empty()),
            variables: map("variables", members.variables)?,
            extensions: map("extensions", members.extensions)?,
            document_id: document_id.filter(|id| !id.is_empty()),
        };
        let names_a_document = request.document_id.is_some() || request.persisted_query().is_some();
        if names_a_document {
            // Clients that name a document leave its place empty.
            request.query = request.query.filter(|text| !text.trim().is_empty());
        }
        if request.query.is_none() && !names_a_document {
            return Err(RequestError::NoDocument);
        }
        Ok(request)
    }

    /// What the extension `persistedQuery` says.
    pub(super) fn persisted_query(&self) -> Option<&Value> {
        let said = self.extensions.get("persistedQuery");
        said.filter(|said| !said.is_null())
    }

    /// The request for the executor. `query` is the text of the document, whether it was sent or looked up.
    pub(super) fn into_request(self, query: String) -> Request {
        let mut request = Request::new(query);
        request.operation_name = self.operation_name;
        request.variables = Variables::from_json(Value::Object(self.variables));
        let extensions = self.extensions.into_iter().map(|(name, value)| {
            // It never fails: all that JSON can say, a value can.
            let value = GraphQlValue::from_json(value);
            (name, value.unwrap_or_default())
        });
        request.extensions = Extensions(extensions.collect());
        request
    }
}

/// Reads a message of another protocol, whose payloads are as hostile as a body; nothing where it is no JSON. The
/// flag says that there were too many values, so that some are missing.
pub(super) fn read_value(text: &str) -> Option<(Value, bool)> {
    json::read_value(text).ok()
}

fn string(name: &'static str, value: Option<Value>) -> Result<Option<String>, RequestError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(RequestError::NotAString(name)),
    }
}

fn map(name: &'static str, value: Option<Value>) -> Result<Map<String, Value>, RequestError> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(RequestError::NotAMap(name)),
    }
}

/// The parameters of a URL, decoded.
#[derive(Default)]
struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
    document_id: Option<String>,
}

impl Parameters {
    /// Reads `application/x-www-form-urlencoded`. What is not ours is passed over.
    ///
    /// By hand, because `form_urlencoded` puts a replacement for what is not UTF-8.
    fn read(query: &str) -> Result<Self, RequestError> {
        let mut parameters = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decode(name) else {
                continue;
            };
            let Some((name, place)) = parameters.place(&name) else {
                continue;
            };
            let value = decode(value).ok_or(RequestError::ParameterNotUtf8(name))?;
            if place.replace(value).is_some() {
                return Err(RequestError::Repeated(name));
            }
        }
        Ok(parameters)
    }

    fn place(&mut self, name: &str) -> Option<(&'static str, &mut Option<String>)> {
        Some(match name {
            "query" => ("query", &mut self.query),
            "operationName" => ("operationName", &mut self.operation_name),
            "variables" => ("variables", &mut self.variables),
            "extensions" => ("extensions", &mut self.extensions),
            "documentId" => ("documentId", &mut self.document_id),
            _ => return None,
        })
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8();
    decoded.ok().map(Into::into)
}
