//! What a request asks for, judged before anything of it is executed.
//!
//! The engine trusts documents too much: it follows fragments as often as they are spread, executes without
//! variables that it needs, and runs a mutation twice that is written twice. So each request is prepared here
//! first, and only what is [`Prepared`] can be executed. What is the same for all requests with a document is found out
//! once (`judged.rs`), the engine's own validation included; what executes them does not validate again.

mod extent;
mod judged;
mod lexemes;
mod limits;
mod roots;
mod rules;
#[cfg(test)]
mod tests;
mod typenames;
mod types;
mod validate;
mod variables;

use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType};
use async_graphql::{
    Name, Pos, Positioned, Request, Response, SchemaBuilder, ServerError, Variables,
};

use self::extent::Extent;
use self::judged::{Judged, Remembered, has_variables_inside};
pub use self::limits::DocumentLimits;
use self::types::Types;
use self::validate::Validator;
use super::error::{code, refusal};
use super::root::{Mutation, Query, Subscription};
use super::{Schema, refusal_response};
use crate::app::Error;

/// A request that may be executed.
#[derive(Debug)]
pub struct Prepared {
    judged: Arc<Judged>,
    variables: Variables,
    cost: u64,
    tells_cost: bool,
    tells_beginning: bool,
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
pub(super) struct Rules {
    types: Types,
    limits: DocumentLimits,
    introspection: bool,
    validator: Validator,
    remembered: Remembered,
}

impl Rules {
    /// The rules of a schema, by its definition and by what makes one that only validates.
    pub(super) fn new(
        sdl: &str,
        limits: DocumentLimits,
        introspection: bool,
        validator: SchemaBuilder<Query, Mutation, Subscription>,
    ) -> Self {
        Self {
            types: Types::new(sdl),
            limits,
            introspection,
            validator: Validator::new(validator),
            remembered: Remembered::default(),
        }
    }
}

impl Prepared {
    /// What kind of operation it is.
    #[must_use]
    pub fn kind(&self) -> OperationType {
        self.judged.kind
    }

    /// What it is called in its document, if it has a name there.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.judged.called.as_deref()
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

    /// The same, of which a subscription says first that it has begun: an answer without data, at the place of the log
    /// that it begins behind.
    #[must_use]
    pub fn telling_beginning(mut self) -> Self {
        self.tells_beginning = true;
        self
    }

    /// Whether a subscription is to say that it has begun.
    pub(super) fn tells_beginning(&self) -> bool {
        self.tells_beginning
    }

    fn judged(&self) -> &Judged {
        &self.judged
    }

    /// The text of its document.
    pub(super) fn text(&self) -> &Arc<str> {
        &self.judged.text
    }

    /// Which operation of the document was named.
    pub(super) fn operation_name(&self) -> Option<&str> {
        self.judged.operation_name.as_deref()
    }

    /// Its document as it is executed.
    pub(super) fn document(&self) -> &ExecutableDocument {
        &self.judged.document
    }

    /// The values of its variables, as they are executed.
    pub(super) fn variables(&self) -> &Variables {
        &self.variables
    }

    pub(super) fn into_request(self) -> Request {
        let mut request = Request::new(String::new()).variables(self.variables);
        match Arc::try_unwrap(self.judged) {
            Ok(judged) => {
                request.set_parsed_query(judged.document);
                request.operation_name = judged.operation_name;
            }
            Err(judged) => {
                request.set_parsed_query(judged.document.clone());
                request.operation_name.clone_from(&judged.operation_name);
            }
        }
        request
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
/// Variable Values"), and what is written twice at the root of a mutation is there once. What somebody sent who is `known`
/// is remembered.
///
/// # Errors
///
/// [`Rejected`], with the first thing that is wrong.
pub fn prepare(schema: &Schema, mut request: Request, known: bool) -> Result<Prepared, Rejected> {
    let Some(rules) = schema.data::<Arc<Rules>>() else {
        let error = Error::Internal("a schema has no rules".into());
        return Err(Rejected {
            fault: Fault::Ours,
            response: Box::new(refusal_response(error)),
        });
    };
    let tells_cost = request.extensions.get("cost") == Some(&true.into());
    let given = std::mem::take(&mut request.variables);
    let found = rules
        .remembered
        .find(&request.query, request.operation_name.as_deref());
    let (judged, is_new) = match found {
        Some(judged) => (judged, false),
        None => (Arc::new(rules.judge(request)?), true),
    };
    let (variables, cost) = rules
        .judge_variables(&judged, given)
        .map_err(Rejected::invalid)?;
    let prepared = Prepared {
        judged,
        variables,
        cost,
        tells_cost,
        tells_beginning: false,
    };
    // Behind the bounds: validation writes the fragments out.
    if is_new || prepared.judged.has_null_for_default(&prepared.variables) {
        rules.validate(&prepared)?;
    }
    if is_new && known {
        rules.remembered.put(Arc::clone(&prepared.judged));
    }
    Ok(prepared)
}

impl Rules {
    /// Finds out about a document what does not depend on the values of its variables.
    fn judge(&self, request: Request) -> Result<Judged, Rejected> {
        let limits = &self.limits;
        let tokens = limits.measure_text(&request.query)?;
        let name = request.operation_name.as_deref();
        let parsed = parse_query(&request.query).map_err(ServerError::from);
        let mut document = parsed.map_err(|error| syntax(&error))?;
        if let Some(wrapped) = typenames::wrap(&document) {
            document = wrapped;
        }
        let (called, meant) = operation(&document, name).map_err(Rejected::invalid)?;
        let (called, kind) = (called.cloned(), meant.node.ty);
        rules::check(&document, meant, self.introspection).map_err(Rejected::invalid)?;
        // Before they are merged, which compares each with all.
        let roots = meant.node.selection_set.node.items.len();
        limits.count_roots(roots).map_err(Rejected::invalid)?;
        let variables = meant.node.variable_definitions.clone();
        let merged = (kind == OperationType::Mutation)
            .then(|| roots::merge(&document, meant, name))
            .transpose()
            .map_err(Rejected::invalid)?
            .flatten();
        let document = merged.unwrap_or(document);
        let extent = Extent::of_all_variables(&document, &self.types, limits.page);
        Ok(Judged {
            validate_anew: has_variables_inside(&document),
            tokens,
            text: request.query.into(),
            operation_name: request.operation_name,
            document,
            kind,
            called,
            variables,
            extent,
        })
    }

    /// Coerces the values of a request's variables, and finds out what it costs with them.
    fn judge_variables(
        &self,
        judged: &Judged,
        given: Variables,
    ) -> Result<(Variables, u64), ServerError> {
        let variables = variables::coerce(&self.types, &judged.variables, given)?;
        let (document, name) = (&judged.document, judged.operation_name.as_deref());
        let judge = |extent: &Extent| self.limits.judge(extent, document, name);
        let cost = if let Some(extent) = &judged.extent {
            judge(extent)?
        } else {
            let page = self.limits.page;
            judge(&Extent::measure(document, &self.types, &variables, page))?
        };
        Ok((variables, cost))
    }

    fn validate(&self, prepared: &Prepared) -> Result<(), Rejected> {
        let judged = prepared.judged();
        let mut request = Request::new(String::new()).variables(prepared.variables.clone());
        request.operation_name.clone_from(&judged.operation_name);
        request.set_parsed_query(judged.document.clone());
        self.validator
            .validate(request)
            .map_err(|response| Rejected {
                fault: Fault::Invalid,
                response,
            })
    }
}

/// A request that was prepared before, to be executed again: its document with coerced variables.
pub(super) fn prepared_before(
    schema: &Schema,
    text: &Arc<str>,
    operation_name: Option<&str>,
    variables: Variables,
) -> Request {
    let mut request = Request::new(&**text);
    request.operation_name = operation_name.map(str::to_owned);
    let rules = schema.data::<Arc<Rules>>();
    let judged = rules.and_then(|rules| {
        let found = rules.remembered.find(text, operation_name);
        found.or_else(|| {
            let mut again = Request::new(&**text);
            again.operation_name.clone_from(&request.operation_name);
            rules.judge(again).ok().map(Arc::new)
        })
    });
    if let Some(judged) = judged {
        request.set_parsed_query(judged.document.clone());
    }
    request.variables(variables)
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
