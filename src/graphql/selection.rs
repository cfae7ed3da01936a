//! What a subscription selects, found in its document without executing it: its one root field, whether its
//! answers are the same for every viewer, and which of its variables they depend on.

mod allowed;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Name, Positioned};
use async_graphql_value::Value;

use self::allowed::{known_type, same_for_all};
use super::document::operation;

/// For whom the answers of a selection are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shared {
    /// For nobody else: it names something that is the viewer's own, or may be.
    Never,
    /// For everybody in a chat that shows its whole history to everybody.
    InWholeHistory,
    /// For everybody in the chat.
    Always,
}

/// What the answers of a subscription depend on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Analysis {
    pub(super) shared: Shared,
    /// The variables that say where the stream begins and nothing else: the answers do not depend on them.
    pub(super) only_place: Vec<Name>,
    /// The variables that the operation declares.
    pub(super) declared: Vec<Name>,
    /// Whether it names attachments, which some tokens do not permit to be read.
    pub(super) attachments: bool,
}

/// Why a document is no subscription that can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("A subscription has exactly one root field, without @skip and @include.")]
pub(super) struct NotOneRoot;

/// The type that the root field leads to, where its answers can be shared at all.
const ROOTS: &[(&str, &str)] = &[("chatEvents", "ChatEvent")];

/// An answer to an older message, which stands in history that not everybody may see.
const IN_HISTORY: (&str, &str) = ("Message", "replyTo");

/// Analyses a subscription; `None` where the document has no such operation.
pub(super) fn analyse(
    document: &ExecutableDocument,
    name: Option<&str>,
) -> Option<Result<Analysis, NotOneRoot>> {
    let (_, operation) = operation(document, name).ok()?;
    let operation = &operation.node;
    (operation.ty == OperationType::Subscription).then(|| Reader::new(document).read(operation))
}

/// Walks a document. A fragment is looked into once for each type it is spread on, so its cost is bounded by
/// the document's length, whatever spreads what.
struct Reader<'a> {
    document: &'a ExecutableDocument,
    seen: HashSet<(&'a str, &'static str)>,
    used: HashSet<&'a Name>,
    shared: Shared,
    attachments: bool,
}

impl<'a> Reader<'a> {
    fn new(document: &'a ExecutableDocument) -> Self {
        Self {
            document,
            seen: HashSet::new(),
            used: HashSet::new(),
            shared: Shared::Always,
            attachments: false,
        }
    }

    fn read(mut self, operation: &'a OperationDefinition) -> Result<Analysis, NotOneRoot> {
        let mut roots = Vec::new();
        self.roots(&operation.selection_set, &mut roots)?;
        let [root] = roots.as_slice() else {
            return Err(NotOneRoot);
        };
        let conditional = |directive: &Positioned<Directive>| {
            matches!(directive.node.name.node.as_str(), "skip" | "include")
        };
        if root.directives.iter().any(conditional) {
            return Err(NotOneRoot);
        }
        let name = root.name.node.as_str();
        match ROOTS.iter().find(|(root, _)| *root == name) {
            Some((_, ty)) => self.selection(&root.selection_set.node, Some(ty)),
            None => self.selection(&root.selection_set.node, None),
        }
        self.directives(&operation.directives);
        self.directives(&root.directives);
        let place = root.arguments.iter().filter_map(|(_, value)| {
            if let Value::Variable(name) = &value.node {
                return Some(name);
            }
            None
        });
        let only_place = place.filter(|name| !self.used.contains(name));
        Ok(Analysis {
            only_place: only_place.cloned().collect(),
            declared: operation
                .variable_definitions
                .iter()
                .map(|definition| definition.node.name.node.clone())
                .collect(),
            shared: self.shared,
            attachments: self.attachments,
        })
    }

    /// Collects the root fields through fragments.
    fn roots(
        &mut self,
        set: &'a Positioned<SelectionSet>,
        roots: &mut Vec<&'a Field>,
    ) -> Result<(), NotOneRoot> {
        for selection in &set.node.items {
            let (directives, inner) = match &selection.node {
                Selection::Field(field) => {
                    roots.push(&field.node);
                    continue;
                }
                Selection::InlineFragment(fragment) => (
                    &fragment.node.directives,
                    Some(&fragment.node.selection_set),
                ),
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let fragment = self.document.fragments.get(name);
                    let fragment = fragment.filter(|_| self.seen.insert((name.as_str(), "")));
                    let set = fragment.map(|fragment| &fragment.node.selection_set);
                    (&spread.node.directives, set)
                }
            };
            if !directives.is_empty() {
                return Err(NotOneRoot);
            }
            if let Some(set) = inner {
                self.roots(set, roots)?;
            }
        }
        Ok(())
    }

    /// Reads a selection on a type; `None` where the type is beyond what is known to be the same for all.
    fn selection(&mut self, set: &'a SelectionSet, ty: Option<&'static str>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => self.field(&field.node, ty),
                Selection::InlineFragment(fragment) => {
                    self.directives(&fragment.node.directives);
                    let condition = fragment.node.type_condition.as_ref();
                    let ty = condition.map_or(ty, |on| known_type(&on.node.on.node));
                    self.selection(&fragment.node.selection_set.node, ty);
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.node.directives);
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name) {
                        let ty = known_type(&fragment.node.type_condition.node.on.node);
                        if self.seen.insert((name.as_str(), ty.unwrap_or("?"))) {
                            self.selection(&fragment.node.selection_set.node, ty);
                        }
                    }
                }
            }
        }
    }

    fn field(&mut self, field: &'a Field, ty: Option<&'static str>) {
        self.directives(&field.directives);
        for (_, value) in &field.arguments {
            self.value(&value.node);
        }
        let name = field.name.node.as_str();
        if name == "__typename" {
            return;
        }
        self.attachments |= (ty, name) == (Some("Message"), "attachments");
        let known = ty.and_then(|ty| same_for_all(ty, name));
        let shared = match (ty, known) {
            (Some(ty), Some(_)) if (ty, name) == IN_HISTORY => Shared::InWholeHistory,
            (_, Some(_)) => Shared::Always,
            (_, None) => Shared::Never,
        };
        self.shared = self.shared.min(shared);
        self.selection(&field.selection_set.node, known.flatten());
    }

    fn directives(&mut self, directives: &'a [Positioned<Directive>]) {
        for directive in directives {
            for (_, value) in &directive.node.arguments {
                self.value(&value.node);
            }
        }
    }

    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Variable(name) => {
                self.used.insert(name);
            }
            Value::List(values) => values.iter().for_each(|value| self.value(value)),
            Value::Object(members) => members.values().for_each(|value| self.value(value)),
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_) => {}
        }
    }
}
