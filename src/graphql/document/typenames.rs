//! `__typename` with directives. The engine's validation passes over the field, and would miss both a directive that
//! is wrong and the use of a variable; so the directives are put where it looks.

use async_graphql::Positioned;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, InlineFragment, Selection, SelectionSet,
};

/// The document with `... @skip(if: $x) { __typename }` for each `__typename @skip(if: $x)`, which is the same;
/// `None` where there is none.
pub(super) fn wrap(document: &ExecutableDocument) -> Option<ExecutableDocument> {
    let operations = document.operations.iter();
    let operations = operations.map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document.fragments.values();
    let fragments = fragments.map(|fragment| &fragment.node.selection_set.node);
    if !operations.chain(fragments).any(is_concerned) {
        return None;
    }
    let mut document = document.clone();
    match &mut document.operations {
        DocumentOperations::Single(operation) => rewrite(&mut operation.node.selection_set.node),
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                rewrite(&mut operation.node.selection_set.node);
            }
        }
    }
    for fragment in document.fragments.values_mut() {
        rewrite(&mut fragment.node.selection_set.node);
    }
    Some(document)
}

fn is_conditional(field: &Field) -> bool {
    field.name.node == "__typename" && !field.directives.is_empty()
}

fn is_concerned(set: &SelectionSet) -> bool {
    set.items.iter().any(|selection| match &selection.node {
        Selection::Field(field) => {
            is_conditional(&field.node) || is_concerned(&field.node.selection_set.node)
        }
        Selection::InlineFragment(inline) => is_concerned(&inline.node.selection_set.node),
        Selection::FragmentSpread(_) => false,
    })
}

fn rewrite(set: &mut SelectionSet) {
    for selection in &mut set.items {
        let position = selection.pos;
        match &mut selection.node {
            Selection::Field(field) if is_conditional(&field.node) => {
                let directives = std::mem::take(&mut field.node.directives);
                let inner = SelectionSet {
                    items: vec![selection.clone()],
                };
                let inline = InlineFragment {
                    type_condition: None,
                    directives,
                    selection_set: Positioned::new(inner, position),
                };
                selection.node = Selection::InlineFragment(Positioned::new(inline, position));
            }
            Selection::Field(field) => rewrite(&mut field.node.selection_set.node),
            Selection::InlineFragment(inline) => rewrite(&mut inline.node.selection_set.node),
            Selection::FragmentSpread(_) => {}
        }
    }
}
