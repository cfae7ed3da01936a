//! Fields whose values are at hand, resolved without the engine.
//!
//! The engine makes a future for each field of each element of a list, allocates it, and polls it through a set of
//! futures. For a page of messages, whose usual fields are columns of rows that were read already, that is most of
//! what the page costs. So what is [`AtOnce`] gives these values straight away. Whatever else a selection holds has
//! the whole of it left to the engine, so that answers are the same either way, which a test compares.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Directive, Field, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value};

use super::context::RequestContext;
use super::scalar::object_value;
use crate::model::{Metadata, User, UserId};

/// A thing some of whose fields are at hand.
pub(super) trait AtOnce: OutputType {
    /// The value of a field without directives; `None` where the engine has to find it.
    fn at_once(&self, field: &Field, look: &Look<'_>) -> Option<Value>;
}

/// One attempt.
pub(super) struct Look<'a> {
    ctx: &'a ContextSelectionSet<'a>,
    /// The bytes of texts so far.
    texts: Cell<usize>,
    people: &'a HashMap<UserId, Option<Arc<User>>>,
    /// People who were asked for and are not among these.
    lacks: RefCell<Vec<UserId>>,
}

impl Look<'_> {
    /// A text as a field's value. It counts towards what an answer may have.
    pub(super) fn text(&self, text: Option<&str>) -> Value {
        let Some(text) = text else {
            return Value::Null;
        };
        self.texts.set(self.texts.get().saturating_add(text.len()));
        text.into()
    }

    /// What the application keeps, as a field's value. It counts as a text.
    pub(super) fn metadata(&self, metadata: Option<&Metadata>) -> Value {
        let Some(metadata) = metadata else {
            return Value::Null;
        };
        let told = self.texts.get().saturating_add(metadata.length());
        self.texts.set(told);
        object_value(metadata.as_object())
    }

    /// What is shown of a person's row, if there is one; `None` where it is to be read first.
    pub(super) fn person(
        &self,
        id: &UserId,
        shown: impl FnOnce(Option<&User>) -> Value,
    ) -> Option<Value> {
        if let Some(row) = self.people.get(id) {
            return Some(shown(row.as_deref()));
        }
        self.lacks.borrow_mut().push(id.clone());
        None
    }

    /// A selection of a thing.
    pub(super) fn object<T: AtOnce>(&self, thing: &T, set: &SelectionSet) -> Option<Value> {
        let mut values = IndexMap::with_capacity(set.items.len());
        self.fill(thing, set, &mut values)?;
        Some(Value::Object(values))
    }

    fn fill<T: AtOnce>(
        &self,
        thing: &T,
        set: &SelectionSet,
        values: &mut IndexMap<Name, Value>,
    ) -> Option<()> {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let key = &field.response_key().node;
                    // What is selected twice is to be merged.
                    if !is_plain(&field.directives) || values.contains_key(key) {
                        return None;
                    }
                    let value = if field.name.node == "__typename" {
                        Value::String(thing.introspection_type_name().into_owned())
                    } else {
                        thing.at_once(field, self)?
                    };
                    values.insert(key.clone(), value);
                }
                Selection::InlineFragment(inline) => {
                    let inline = &inline.node;
                    let on = inline.type_condition.as_ref();
                    let on = on.map(|on| &on.node.on.node);
                    if !is_plain(&inline.directives) || on.is_some_and(|on| **on != *T::type_name())
                    {
                        return None;
                    }
                    self.fill(thing, &inline.selection_set.node, values)?;
                }
                Selection::FragmentSpread(spread) => {
                    let spread = &spread.node;
                    let fragments = &self.ctx.query_env.fragments;
                    let fragment = &fragments.get(&spread.fragment_name.node)?.node;
                    let on = &fragment.type_condition.node.on.node;
                    if !is_plain(&spread.directives) || **on != *T::type_name() {
                        return None;
                    }
                    self.fill(thing, &fragment.selection_set.node, values)?;
                }
            }
        }
        Some(())
    }
}

/// Whether directives say nothing any more: what they left out is not there.
fn is_plain(directives: &[Positioned<Directive>]) -> bool {
    directives
        .iter()
        .all(|directive| matches!(directive.node.name.node.as_str(), "skip" | "include"))
}

/// Resolves things at once, if that is possible. The people that are asked for are read first; where that fails, each
/// field says so by itself.
async fn resolve<T: AtOnce>(ctx: &ContextSelectionSet<'_>, things: &[T]) -> Option<Vec<Value>> {
    let mut people = HashMap::new();
    loop {
        let lacks = match attempt(ctx, things, &people) {
            Ok(values) => return Some(values),
            Err(lacks) => lacks,
        };
        if lacks.is_empty() {
            return None;
        }
        let loaders = RequestContext::of(ctx)?.loaders()?;
        let mut rows = loaders.users(&lacks).await.ok()?;
        let found = lacks.into_iter().map(|id| {
            let row = rows.remove(&id);
            (id, row)
        });
        people.extend(found);
    }
}

/// The values, or whom they lack; nobody, where the engine has to resolve them.
fn attempt<T: AtOnce>(
    ctx: &ContextSelectionSet<'_>,
    things: &[T],
    people: &HashMap<UserId, Option<Arc<User>>>,
) -> Result<Vec<Value>, Vec<UserId>> {
    let look = Look {
        ctx,
        texts: Cell::default(),
        people,
        lacks: RefCell::default(),
    };
    let set = &ctx.item.node;
    let mut values = Vec::with_capacity(things.len());
    for thing in things {
        match look.object(thing, set) {
            Some(value) => values.push(value),
            // Others may lack other people: all are found in one attempt.
            None if look.lacks.borrow().is_empty() => return Err(Vec::new()),
            None => {}
        }
    }
    let mut lacks = look.lacks.into_inner();
    if lacks.is_empty() {
        let request = RequestContext::of(ctx);
        let has_room = request.is_some_and(|request| request.takes_texts(look.texts.get()));
        return has_room.then_some(values).ok_or_else(Vec::new);
    }
    lacks.sort_unstable();
    lacks.dedup();
    Err(lacks)
}

/// A list of things that are resolved at once where that is possible, and as usual where not.
#[derive(Debug, Clone)]
pub(super) struct QuickList<T>(pub(super) Vec<T>);

impl<T: AtOnce> OutputType for QuickList<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        match resolve(ctx, &self.0).await {
            Some(values) => Ok(Value::List(values)),
            None => self.0.resolve(ctx, field).await,
        }
    }
}
