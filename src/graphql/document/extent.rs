//! How large an operation is when its fragments are written out, and how large its answer can be.
//!
//! The engine's validation follows each spread of a fragment anew. A document of a few hundred bytes, whose
//! fragments spread each other twice, would keep it busy for minutes, so it is measured first: each fragment
//! once, which takes as long as the document is.

use std::cell::Cell;
use std::collections::HashMap;

use async_graphql::parser::types::{
    ExecutableDocument, Field, FieldDefinition, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Variables};
use async_graphql_value::{ConstValue, Value};

use super::operation;
use super::types::{Types, base, root};
use crate::model::{ATTACHMENTS_MAX, PAGE_DEFAULT};

/// How deep selections and fragments may stand in each other while they are counted.
const DEPTH_MAX: usize = 64;

/// What each field at the root of a mutation costs besides what it returns: it writes.
const WRITE: u64 = 10;

/// The lists of introspection. Each multiplies the answer by the size of the schema.
const INTROSPECTION_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// The fields that lead to lists without pages, with the most that is in them.
const LISTS: [(&str, usize); 1] = [("attachments", ATTACHMENTS_MAX)];

/// How large a selection is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) fields: usize,
    pub(super) depth: usize,
    pub(super) aliases: usize,
    pub(super) directives: usize,
    /// The largest page that is asked for, as it is written.
    pub(super) page: usize,
    /// How deep lists of introspection stand in each other.
    pub(super) introspection: usize,
    pub(super) cost: u64,
    /// The fields that stand at the selection's own level.
    pub(super) own: usize,
}

impl Size {
    const UNBOUNDED: Self = Self {
        fields: usize::MAX,
        depth: usize::MAX,
        aliases: usize::MAX,
        directives: usize::MAX,
        page: usize::MAX,
        introspection: usize::MAX,
        cost: u64::MAX,
        own: usize::MAX,
    };

    /// Both beside each other.
    fn and(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            depth: self.depth.max(other.depth),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            page: self.page.max(other.page),
            introspection: self.introspection.max(other.introspection),
            cost: self.cost.saturating_add(other.cost),
            own: self.own.saturating_add(other.own),
        }
    }
}

/// The size of everything in a document.
#[derive(Debug)]
pub(super) struct Extent {
    /// The largest of each kind, in any operation or fragment: all of them are validated.
    largest: Size,
    /// The sizes of the operations, in the document's order.
    operations: Vec<Size>,
}

impl Extent {
    /// The fields of all operations together: the engine validates each, with its fragments written out.
    pub(super) fn in_all(&self) -> usize {
        let fields = self.operations.iter().map(|size| size.fields);
        fields.fold(0, usize::saturating_add)
    }

    /// Measures a document, where the values of its variables make no difference.
    pub(super) fn of_all_variables(
        document: &ExecutableDocument,
        types: &Types,
        page_max: usize,
    ) -> Option<Self> {
        let (extent, asked) = Self::weigh(document, types, &Variables::default(), page_max);
        (!asked).then_some(extent)
    }

    /// Measures a document with coerced variables.
    pub(super) fn measure(
        document: &ExecutableDocument,
        types: &Types,
        variables: &Variables,
        page_max: usize,
    ) -> Self {
        Self::weigh(document, types, variables, page_max).0
    }

    /// The extent, and whether a variable was asked for it.
    fn weigh(
        document: &ExecutableDocument,
        types: &Types,
        variables: &Variables,
        page_max: usize,
    ) -> (Self, bool) {
        let mut scale = Scale {
            document,
            types,
            variables,
            page_max,
            known: HashMap::new(),
            asked: Cell::new(false),
        };
        let operations = document.operations.iter();
        let operations: Vec<Size> = operations
            .map(|(_, operation)| scale.operation(&operation.node))
            .collect();
        let fragments: Vec<Size> = document
            .fragments
            .keys()
            .map(|name| scale.fragment(name, 0))
            .collect();
        let all = operations.iter().chain(&fragments);
        let largest = all.fold(Size::default(), |a, b| Size {
            fields: a.fields.max(b.fields),
            depth: a.depth.max(b.depth),
            aliases: a.aliases.max(b.aliases),
            directives: a.directives.max(b.directives),
            page: a.page.max(b.page),
            introspection: a.introspection.max(b.introspection),
            cost: a.cost.max(b.cost),
            own: a.own.max(b.own),
        });
        let asked = scale.asked.get();
        let extent = Self {
            largest,
            operations,
        };
        (extent, asked)
    }

    pub(super) fn largest(&self) -> Size {
        self.largest
    }

    /// The root fields and the cost of the operation that is meant.
    pub(super) fn of_operation(
        &self,
        document: &ExecutableDocument,
        name: Option<&str>,
    ) -> (usize, u64) {
        let wanted = operation(document, name).ok().map(|(_, wanted)| wanted);
        let operations = document.operations.iter().zip(&self.operations);
        let mut operations = operations.filter(|((_, found), _)| {
            wanted.is_some_and(|wanted| std::ptr::eq::<Positioned<_>>(*found, wanted))
        });
        let found = operations.next();
        found.map_or((0, 0), |(_, size)| (size.own, size.cost))
    }
}

fn takes(definition: &FieldDefinition, name: &str) -> bool {
    let mut arguments = definition.arguments.iter();
    arguments.any(|argument| argument.node.name.node == name)
}

fn as_number(value: &ConstValue) -> Option<usize> {
    let ConstValue::Number(number) = value else {
        return None;
    };
    number.as_u64()?.try_into().ok()
}

struct Scale<'a> {
    document: &'a ExecutableDocument,
    types: &'a Types,
    variables: &'a Variables,
    page_max: usize,
    /// The fragments that were measured, or are being measured: those that spread themselves are refused by
    /// validation.
    known: HashMap<&'a Name, Size>,
    /// Whether the value of a variable was asked for.
    asked: Cell<bool>,
}

impl<'a> Scale<'a> {
    fn operation(&mut self, operation: &'a OperationDefinition) -> Size {
        let ty = root(operation.ty);
        let mut size = self.set(&operation.selection_set.node, Some(ty), 0);
        size.directives = size.directives.saturating_add(operation.directives.len());
        if ty == "Mutation" {
            let roots = u64::try_from(size.own).unwrap_or(u64::MAX);
            size.cost = size.cost.saturating_add(roots.saturating_mul(WRITE));
        }
        size
    }

    fn set(&mut self, set: &'a SelectionSet, ty: Option<&'a str>, nesting: usize) -> Size {
        if nesting > DEPTH_MAX {
            return Size::UNBOUNDED;
        }
        let mut size = Size::default();
        for selection in &set.items {
            let (more, directives) = match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    (self.field(field, ty, nesting), &field.directives)
                }
                Selection::InlineFragment(inline) => {
                    let inline = &inline.node;
                    let condition = inline.type_condition.as_ref();
                    let ty = condition.map_or(ty, |on| Some(on.node.on.node.as_str()));
                    let size = self.set(&inline.selection_set.node, ty, nesting + 1);
                    (size, &inline.directives)
                }
                Selection::FragmentSpread(spread) => {
                    let spread = &spread.node;
                    let size = self.fragment(&spread.fragment_name.node, nesting + 1);
                    (size, &spread.directives)
                }
            };
            size = size.and(more);
            size.directives = size.directives.saturating_add(directives.len());
        }
        size
    }

    fn field(&mut self, field: &'a Field, ty: Option<&'a str>, nesting: usize) -> Size {
        let name = field.name.node.as_str();
        let definition = ty.and_then(|ty| self.types.field(ty, name));
        let leads_to = definition.map(|definition| base(&definition.ty.node).as_str());
        let inner = self.set(&field.selection_set.node, leads_to, nesting + 1);
        let page = definition.and_then(|definition| self.page(field, definition));
        let times = definition.map_or(1, |definition| self.times(field, definition, page));
        let in_introspection = definition.is_none() && INTROSPECTION_LISTS.contains(&name);
        Size {
            fields: inner.fields.saturating_add(1),
            depth: inner.depth.saturating_add(1),
            aliases: inner
                .aliases
                .saturating_add(usize::from(field.alias.is_some())),
            page: inner.page.max(page.unwrap_or_default()),
            introspection: inner
                .introspection
                .saturating_add(usize::from(in_introspection)),
            cost: inner.cost.saturating_mul(times).saturating_add(1),
            own: 1,
            ..inner
        }
    }

    /// How many elements of a list a field asks for, where it takes that.
    fn page(&self, field: &Field, definition: &FieldDefinition) -> Option<usize> {
        takes(definition, "first").then(|| {
            let mut sizes = ["first", "last"].into_iter();
            let size = sizes.find_map(|name| self.size(field, name));
            size.unwrap_or(PAGE_DEFAULT)
        })
    }

    /// How many elements a field can lead to: those of its page, or as many as it is given ids.
    fn times(&self, field: &Field, definition: &FieldDefinition, page: Option<usize>) -> u64 {
        let count = if let Some(page) = page {
            page.min(self.page_max)
        } else if takes(definition, "ids") {
            self.size(field, "ids").unwrap_or(self.page_max)
        } else {
            let name = definition.name.node.as_str();
            let list = LISTS.iter().find(|(list, _)| *list == name);
            list.map_or(1, |(_, most)| *most)
        };
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// The number that an argument is, or the length of the list.
    fn size(&self, field: &Field, argument: &str) -> Option<usize> {
        let value = &field.get_argument(argument)?.node;
        if let Value::Variable(name) = value {
            self.asked.set(true);
            let value = self.variables.get(name)?;
            return match (as_number(value), value) {
                (None, ConstValue::List(items)) => Some(items.len()),
                (number, _) => number,
            };
        }
        // The elements of a list may be variables.
        if let Value::List(items) = value {
            return Some(items.len());
        }
        as_number(&value.clone().into_const()?)
    }

    fn fragment(&mut self, name: &Name, nesting: usize) -> Size {
        if let Some(size) = self.known.get(name) {
            return *size;
        }
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else {
            return Size::default();
        };
        self.known.insert(name, Size::default());
        let fragment = &fragment.node;
        let ty = fragment.type_condition.node.on.node.as_str();
        let mut size = self.set(&fragment.selection_set.node, Some(ty), nesting);
        size.directives = size.directives.saturating_add(fragment.directives.len());
        self.known.insert(name, size);
        size
    }
}
