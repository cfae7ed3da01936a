//! How large a document is when its fragments are written out.
//!
//! The engine's validation follows each spread of a fragment anew. A document of a few hundred bytes, whose
//! fragments spread each other twice, would keep it busy for minutes, so it is measured first: each fragment
//! once, which takes as long as the document is.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Name, Request};

/// The most fields of an operation, or of a fragment, with its fragments written out.
pub(super) const FIELDS_MAX: usize = 5_000;

/// How deep selections and fragments may stand in each other while they are counted.
const DEPTH_MAX: usize = 64;

/// Whether an operation or a fragment of a request is too large. What cannot be parsed is not: execution says
/// better what is wrong with it.
pub(super) fn is_too_large(request: &mut Request) -> bool {
    let Ok(document) = request.parsed_query() else {
        return false;
    };
    let mut extent = Extent {
        document,
        known: HashMap::new(),
    };
    let operations = document.operations.iter();
    let operations = operations.map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document.fragments.values();
    let fragments = fragments.map(|fragment| &fragment.node.selection_set.node);
    operations
        .chain(fragments)
        .any(|set| extent.fields(set, 0) > FIELDS_MAX)
}

struct Extent<'a> {
    document: &'a ExecutableDocument,
    /// The fields of the fragments that were counted, or are being counted: those that spread themselves are
    /// refused by validation.
    known: HashMap<&'a Name, usize>,
}

impl<'a> Extent<'a> {
    fn fields(&mut self, set: &'a SelectionSet, depth: usize) -> usize {
        if depth > DEPTH_MAX {
            return usize::MAX;
        }
        let mut count = 0_usize;
        for selection in &set.items {
            let more = match &selection.node {
                Selection::Field(field) => self
                    .fields(&field.node.selection_set.node, depth + 1)
                    .saturating_add(1),
                Selection::InlineFragment(inline) => {
                    self.fields(&inline.node.selection_set.node, depth + 1)
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, depth + 1)
                }
            };
            count = count.saturating_add(more);
        }
        count
    }

    fn fragment(&mut self, name: &Name, depth: usize) -> usize {
        if let Some(count) = self.known.get(name) {
            return *count;
        }
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else {
            return 0;
        };
        self.known.insert(name, 0);
        let count = self.fields(&fragment.node.selection_set.node, depth);
        self.known.insert(name, count);
        count
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn is_large(query: &str) -> bool {
        is_too_large(&mut Request::new(query))
    }

    fn bomb(length: usize) -> String {
        let mut query = "{ ...F0 }".to_owned();
        for n in 0..length {
            let next = n + 1;
            write!(query, " fragment F{n} on Query {{ ...F{next} ...F{next} }}").unwrap();
        }
        write!(query, " fragment F{length} on Query {{ viewer {{ id }} }}").unwrap();
        query
    }

    #[test]
    fn fragments_count_as_often_as_they_are_spread() {
        assert!(!is_large(&bomb(11)));
        assert!(is_large(&bomb(12)));
        assert!(is_large(&bomb(60)));
        // A chain is no bomb, but nobody writes one so long, and counting it must not use up the stack.
        assert!(is_large(&bomb(10_000)));
        let unused = bomb(60).replacen("...F0", "viewer { id }", 1);
        assert!(is_large(&unused));
    }

    #[test]
    fn fields_count_wherever_they_stand() {
        let flat = |count| format!("{{ {} }}", "viewer { id } ".repeat(count));
        assert!(!is_large(&flat(2_500)));
        assert!(is_large(&flat(2_501)));
        let inline = format!("{{ ... on Query {{ {} }} }}", "a ".repeat(5_001));
        assert!(is_large(&inline));
        assert!(!is_large("{ ...A } fragment A on Query { ...A }"));
        assert!(!is_large("{ no document"));
    }
}
