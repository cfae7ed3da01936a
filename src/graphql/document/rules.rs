//! Rules of the specification that the engine's validation leaves out.

use async_graphql::ServerError;
use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned};

use super::bad;

/// Checks what the engine does not: `__typename` is a field like any other, and `on` is no fragment's name
/// (GraphQL, section 2.8).
pub(super) fn check(
    document: &ExecutableDocument,
    operation: &Positioned<OperationDefinition>,
    introspection: bool,
) -> Result<(), ServerError> {
    if let Some(fragment) = document.fragments.get(&Name::new("on")) {
        return Err(bad("A fragment cannot be named `on`.", fragment.pos));
    }
    let check = Check { introspection };
    check.set(&operation.node.selection_set.node)?;
    let mut fragments = document.fragments.values();
    fragments.try_for_each(|fragment| check.set(&fragment.node.selection_set.node))
}

struct Check {
    introspection: bool,
}

impl Check {
    fn set(&self, set: &SelectionSet) -> Result<(), ServerError> {
        set.items
            .iter()
            .try_for_each(|selection| match &selection.node {
                Selection::Field(field) => self.field(field),
                Selection::InlineFragment(inline) => self.set(&inline.node.selection_set.node),
                Selection::FragmentSpread(_) => Ok(()),
            })
    }

    fn field(&self, field: &Positioned<Field>) -> Result<(), ServerError> {
        match field.node.name.node.as_str() {
            "__typename" => typename(field),
            "__schema" | "__type" if !self.introspection => {
                let why = "Introspection is off: the schema is in the server's documentation.";
                Err(bad(why, field.pos))
            }
            _ => self.set(&field.node.selection_set.node),
        }
    }
}

fn typename(field: &Positioned<Field>) -> Result<(), ServerError> {
    if !field.node.arguments.is_empty() {
        return Err(bad("`__typename` takes no arguments.", field.pos));
    }
    if !field.node.selection_set.node.items.is_empty() {
        return Err(bad("`__typename` has no fields.", field.pos));
    }
    Ok(())
}
