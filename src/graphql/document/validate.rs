//! The engine's validation by itself. What is remembered as valid is executed by a schema that does not validate again.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute};
use async_graphql::{Request, Response, Value, async_trait};
use futures_util::FutureExt as _;

use crate::graphql::Schema;
use crate::graphql::root::{Mutation, Query, Subscription};

/// Ends a request behind its validation.
#[derive(Debug, Clone, Copy)]
struct Unexecuted;

impl ExtensionFactory for Unexecuted {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(*self)
    }
}

#[async_trait::async_trait]
impl Extension for Unexecuted {
    async fn execute(
        &self,
        _: &ExtensionContext<'_>,
        _: Option<&str>,
        _: NextExecute<'_>,
    ) -> Response {
        Response::new(Value::Null)
    }
}

/// A schema that validates requests and executes none.
#[derive(Clone)]
pub(super) struct Validator(Schema);

impl Validator {
    pub(super) fn new(
        builder: async_graphql::SchemaBuilder<Query, Mutation, Subscription>,
    ) -> Self {
        Self(builder.extension(Unexecuted).finish())
    }

    /// The errors, if there are any.
    pub(super) fn validate(&self, request: Request) -> Result<(), Box<Response>> {
        // Nothing in it waits.
        match self.0.execute(request).now_or_never() {
            Some(response) if response.errors.is_empty() => Ok(()),
            Some(response) => Err(Box::new(response)),
            None => Err(Box::new(crate::graphql::refusal_response(
                crate::app::Error::Internal("a validation waits".into()),
            ))),
        }
    }
}
