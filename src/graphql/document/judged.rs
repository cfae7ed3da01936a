//! What is found out about a document once, and remembered while it is asked for.
//!
//! Clients send the same few documents again and again. Reading one, validating it and measuring it costs several times
//! what executing it costs, and comes to the same each time. What depends on the variables does not, and is done for
//! each request.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationType, Selection, SelectionSet, VariableDefinition,
};
use async_graphql::{Name, Positioned, Variables};
use async_graphql_value::{ConstValue, Value};
use lru::LruCache;

use super::extent::Extent;

/// The most documents that are remembered.
const DOCUMENTS_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("it is not zero");

/// What a token of a document takes in memory, in bytes: a field of a selection, with its place, name and lists.
const TOKEN: usize = 256;

/// The largest document that is remembered, in bytes of memory.
const WEIGHT_MAX: usize = 512 * 1024;

/// The most memory that remembered documents take, in bytes.
const WEIGHTS_MAX: usize = 32 * 1024 * 1024;

/// A document of which everything holds that does not depend on the values of its variables.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) text: Arc<str>,
    /// Which of its operations is meant.
    pub(super) operation_name: Option<String>,
    /// How many tokens it has.
    pub(super) tokens: usize,
    /// As it is to be executed.
    pub(super) document: ExecutableDocument,
    pub(super) kind: OperationType,
    /// What the operation is called in the document.
    pub(super) called: Option<Name>,
    pub(super) variables: Vec<Positioned<VariableDefinition>>,
    /// Its extent, where that is the same for all variables.
    pub(super) extent: Option<Extent>,
    /// Whether the engine has to validate it with each request's variables: a variable stands inside of a value.
    pub(super) validate_anew: bool,
}

impl Judged {
    /// What it takes in memory, in bytes.
    fn weight(&self) -> usize {
        self.tokens
            .saturating_mul(TOKEN)
            .saturating_add(self.text.len())
    }

    /// Whether these values are some that the engine may not take, though it took others: null for a variable that has a
    /// default may stand where no null may (GraphQL, `IsVariableUsageAllowed`).
    pub(super) fn has_null_for_default(&self, variables: &Variables) -> bool {
        self.variables.iter().any(|definition| {
            let definition = &definition.node;
            definition.default_value.is_some()
                && variables.get(&definition.name.node) == Some(&ConstValue::Null)
        })
    }
}

/// Documents that were found good, by text and operation; those that were not asked for longest are forgotten first.
#[derive(Debug)]
pub(super) struct Remembered {
    hasher: RandomState,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    by_hash: LruCache<u64, Arc<Judged>>,
    bytes: usize,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            known: Mutex::new(Known {
                by_hash: LruCache::new(DOCUMENTS_MAX),
                bytes: 0,
            }),
        }
    }
}

impl Remembered {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A document that was found good.
    pub(super) fn find(&self, text: &str, operation: Option<&str>) -> Option<Arc<Judged>> {
        let hash = self.hasher.hash_one((text, operation));
        let found = self.known().by_hash.get(&hash).cloned()?;
        let same = *found.text == *text && found.operation_name.as_deref() == operation;
        same.then_some(found)
    }

    /// Remembers a document that is good.
    pub(super) fn put(&self, judged: Arc<Judged>) {
        let size = judged.weight();
        if size > WEIGHT_MAX || judged.validate_anew {
            return;
        }
        let key = (&*judged.text, judged.operation_name.as_deref());
        let hash = self.hasher.hash_one(key);
        let mut known = self.known();
        known.bytes += size;
        if let Some((_, old)) = known.by_hash.push(hash, judged) {
            known.bytes -= old.weight();
        }
        while known.bytes > WEIGHTS_MAX
            && let Some((_, old)) = known.by_hash.pop_lru()
        {
            known.bytes -= old.weight();
        }
    }
}

/// Whether a variable of a document stands inside of a list or an object: then what is written beside it can be judged
/// only together with its value.
pub(super) fn has_variables_inside(document: &ExecutableDocument) -> bool {
    let operations = document.operations.iter();
    let operations = operations.map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document.fragments.values();
    let fragments = fragments.map(|fragment| &fragment.node.selection_set.node);
    operations.chain(fragments).any(is_set_concerned)
}

fn is_set_concerned(set: &SelectionSet) -> bool {
    set.items.iter().any(|selection| match &selection.node {
        Selection::Field(field) => is_field_concerned(&field.node),
        Selection::InlineFragment(inline) => is_set_concerned(&inline.node.selection_set.node),
        Selection::FragmentSpread(_) => false,
    })
}

fn is_field_concerned(field: &Field) -> bool {
    let mut arguments = field.arguments.iter().map(|(_, value)| &value.node);
    arguments.any(|value| !matches!(value, Value::Variable(_)) && has_variable(value))
        || is_set_concerned(&field.selection_set.node)
}

fn has_variable(value: &Value) -> bool {
    if let Value::List(items) = value {
        return items.iter().any(has_variable);
    }
    if let Value::Object(members) = value {
        return members.values().any(has_variable);
    }
    matches!(value, Value::Variable(_))
}
