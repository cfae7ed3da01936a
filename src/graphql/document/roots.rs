//! What is written twice at the root of a mutation: it is one field (GraphQL, `CollectFields`), but the engine
//! would execute it twice.

use std::collections::HashSet;

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, ServerError};

use super::bad;

/// The document with each root field of the mutation once; `None` where it is so already.
pub(super) fn merge(
    document: &ExecutableDocument,
    operation: &Positioned<OperationDefinition>,
    name: Option<&str>,
) -> Result<Option<ExecutableDocument>, ServerError> {
    let set = &operation.node.selection_set.node;
    let mut keys = HashSet::new();
    let mut seen = HashSet::new();
    if is_unique(document, set, &mut keys, &mut seen) {
        return Ok(None);
    }
    let Some(merged) = merged(set) else {
        let why = "A field at the root of a mutation is written twice, with other arguments, with \
                   directives or in fragments: write it once, or give it another name.";
        return Err(bad(why, operation.pos));
    };
    let mut document = document.clone();
    let operations = document.operations.iter().map(|(found, _)| found.cloned());
    let place = operations.enumerate().find(|(_, found)| {
        name.is_none() || found.as_ref().is_some_and(|found| name == Some(found))
    });
    if let Some((_, wanted)) = place {
        replace(&mut document, wanted.as_ref(), merged);
    }
    Ok(Some(document))
}

fn replace(document: &mut ExecutableDocument, wanted: Option<&Name>, set: SelectionSet) {
    use async_graphql::parser::types::DocumentOperations as Operations;
    let operation = match (&mut document.operations, wanted) {
        (Operations::Single(operation), _) => Some(operation),
        (Operations::Multiple(all), Some(name)) => all.get_mut(name),
        (Operations::Multiple(_), None) => None,
    };
    if let Some(operation) = operation {
        operation.node.selection_set.node = set;
    }
}

/// Whether no two root fields have one key. A fragment is looked into once: spread twice, it repeats its fields.
fn is_unique<'a>(
    document: &'a ExecutableDocument,
    set: &'a SelectionSet,
    keys: &mut HashSet<&'a Name>,
    seen: &mut HashSet<&'a Name>,
) -> bool {
    set.items.iter().all(|selection| match &selection.node {
        Selection::Field(field) => keys.insert(&field.node.response_key().node),
        Selection::InlineFragment(inline) => {
            is_unique(document, &inline.node.selection_set.node, keys, seen)
        }
        Selection::FragmentSpread(spread) => {
            let name = &spread.node.fragment_name.node;
            match document.fragments.get_key_value(name) {
                Some((name, fragment)) => {
                    seen.insert(name)
                        && is_unique(document, &fragment.node.selection_set.node, keys, seen)
                }
                None => true,
            }
        }
    })
}

/// The selection with equal fields merged; `None` where that is not as simple as it looks.
fn merged(set: &SelectionSet) -> Option<SelectionSet> {
    let mut fields: Vec<Positioned<Field>> = Vec::new();
    for selection in &set.items {
        let Selection::Field(field) = &selection.node else {
            return None;
        };
        let key = &field.node.response_key().node;
        let twin = fields
            .iter_mut()
            .find(|known| known.node.response_key().node == *key);
        match twin {
            None => fields.push(field.clone()),
            Some(known) if is_same(&known.node, &field.node) => {
                let more = field.node.selection_set.node.items.iter().cloned();
                known.node.selection_set.node.items.extend(more);
            }
            Some(_) => return None,
        }
    }
    let items = fields.into_iter().map(|field| {
        let position = field.pos;
        Positioned::new(Selection::Field(field), position)
    });
    Some(SelectionSet {
        items: items.collect(),
    })
}

fn is_same(a: &Field, b: &Field) -> bool {
    let plain = a.directives.is_empty() && b.directives.is_empty();
    let given = a.arguments.iter().all(|(name, value)| {
        let other = b.get_argument(&name.node);
        other.is_some_and(|other| other.node == value.node)
    });
    plain && a.name.node == b.name.node && a.arguments.len() == b.arguments.len() && given
}
