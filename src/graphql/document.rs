//! What a request asks for, judged before anything of it is executed.
//!
//! The engine trusts documents too much: it follows fragments as often as they are spread, executes without
//! variables that it needs, and runs a mutation twice that is written twice. So each request is prepared here
//! first, and only what is [`Prepared`] can be executed.

mod extent;
mod lexemes;
mod limits;
mod roots;
mod rules;
#[cfg(test)]
mod tests;
mod typenames;
mod types;
mod variables;

use std::sync::Arc;

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType};
use async_graphql::{Name, Pos, Positioned, Request, Response, ServerError};

use self::extent::Extent;
pub use self::limits::DocumentLimits;
use self::types::Types;
use super::error::{code, refusal};
use super::{Schema, refusal_response};
use crate::app::Error;

/// A request that may be executed.
#[derive(Debug)]
pub struct Prepared {
    request: Request,
    kind: OperationType,
    name: Option<Name>,
    cost: u64,
    tells_cost: bool,
}

/// A request that may not be executed.
#[derive(Debug)]
pub struct Rejected {
    /// At which step it was found.
    pub fault: Fault,
    /// The errors.
    pub response: Box<Response>,
}

/// What is wrong with a request (GraphQL over HTTP, "Status Codes", tells these apart).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its document is none.
    Syntax,
    /// It does not validate, its operation cannot be told, its variables do not fit, or it asks for too much.
    Invalid,
    /// None: the server is at fault.
    Ours,
}

/// What a schema's requests are judged by.
#[derive(Debug)]
pub(super) struct Rules {
    types: Types,
    limits: DocumentLimits,
    introspection: bool,
}

impl Rules {
    /// The rules of a schema, by its definition.
    pub(super) fn new(sdl: &str, limits: DocumentLimits, introspection: bool) -> Self {
        Self {
            types: Types::new(sdl),
            limits,
            introspection,
        }
    }
}

impl Prepared {
    /// What kind of operation it is.
    #[must_use]
    pub fn kind(&self) -> OperationType {
        self.kind
    }

    /// What it is called in its document, if it has a name there.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it costs at most: about the number of fields in its answer.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Whether the answer is to say what it costs, as `extensions.cost`: the request has that member, and it is true.
    pub(super) fn tells_cost(&self) -> bool {
        self.tells_cost
    }

    pub(super) fn into_request(self) -> Request {
        self.request
    }
}

impl Rejected {
    fn invalid(error: ServerError) -> Self {
        Self {
            fault: Fault::Invalid,
            response: Box::new(Response::from_errors(vec![error])),
        }
    }

    fn syntax(error: ServerError) -> Self {
        Self {
            fault: Fault::Syntax,
            ..Self::invalid(error)
        }
    }
}

/// A request of malformed or unacceptable content.
fn bad(why: impl Into<String>, at: impl Into<Option<Pos>>) -> ServerError {
    refusal(code::BAD_USER_INPUT, why, at.into())
}

/// A request that asks for more than one may.
fn too_complex(why: impl Into<String>) -> ServerError {
    refusal(code::QUERY_TOO_COMPLEX, why, None)
}

/// Judges a request, and makes of it what may be executed: its variables are coerced (GraphQL, "Coercing
/// Variable Values"), and what is written twice at the root of a mutation is there once.
///
/// # Errors
///
/// [`Rejected`], with the first thing that is wrong.
pub fn prepare(schema: &Schema, mut request: Request) -> Result<Prepared, Rejected> {
    let Some(rules) = schema.data::<Arc<Rules>>() else {
        let error = Error::Internal("a schema has no rules".into());
        return Err(Rejected {
            fault: Fault::Ours,
            response: Box::new(refusal_response(error)),
        });
    };
    let limits = &rules.limits;
    limits.measure_text(&request.query)?;
    let name = request.operation_name.clone();
    let document = request.parsed_query().map_err(|error| syntax(&error))?;
    if let Some(document) = typenames::wrap(document) {
        request.set_parsed_query(document);
    }
    let document = request.parsed_query().map_err(|error| syntax(&error))?;
    let (called, operation) = operation(document, name.as_deref()).map_err(Rejected::invalid)?;
    let called = called.cloned();
    let kind = operation.node.ty;
    rules::check(document, operation, rules.introspection).map_err(Rejected::invalid)?;
    // Before they are merged, which compares each with all.
    let roots = operation.node.selection_set.node.items.len();
    limits.count_roots(roots).map_err(Rejected::invalid)?;
    let merged = (kind == OperationType::Mutation)
        .then(|| roots::merge(document, operation, name.as_deref()))
        .transpose()
        .map_err(Rejected::invalid)?
        .flatten();
    let definitions = operation.node.variable_definitions.clone();
    let given = std::mem::take(&mut request.variables);
    request.variables =
        variables::coerce(&rules.types, &definitions, given).map_err(Rejected::invalid)?;
    if let Some(document) = merged {
        request.set_parsed_query(document);
    }
    let variables = std::mem::take(&mut request.variables);
    let document = request.parsed_query().map_err(|error| syntax(&error))?;
    let extent = Extent::measure(document, &rules.types, &variables, limits.page);
    let cost = limits.judge(&extent, document, name.as_deref());
    request.variables = variables;
    let tells_cost = request.extensions.get("cost") == Some(&true.into());
    Ok(Prepared {
        tells_cost,
        cost: cost.map_err(Rejected::invalid)?,
        request,
        kind,
        name: called,
    })
}

/// The operation that a request means (GraphQL, `GetOperation`).
pub(in crate::graphql) fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<(Option<&'a Name>, &'a Positioned<OperationDefinition>), ServerError> {
    let mut operations = document.operations.iter();
    match name {
        Some(wanted) => operations
            .find(|(name, _)| name.is_some_and(|name| name == wanted))
            .ok_or_else(|| bad("The document has no operation of this name.", None)),
        None => match (operations.next(), operations.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(bad(
                "The document has several operations: say which by `operationName`.",
                None,
            )),
        },
    }
}

/// Says where a document cannot be read and what was expected there, without repeating it.
fn syntax(error: &ServerError) -> Rejected {
    let expected = error.message.lines().last().unwrap_or_default();
    let expected = expected.trim_start_matches([' ', '=']);
    let position = error.locations.first().copied();
    // What the parser says by itself has one line, and no excerpt.
    let why = match position {
        Some(Pos { line, column }) => {
            format!("The document cannot be read at line {line}, column {column}: {expected}.")
        }
        None => format!("The document cannot be read: {expected}."),
    };
    Rejected::syntax(bad(why, position))
}
