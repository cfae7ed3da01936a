//! How much a request may ask for.

use async_graphql::parser::types::ExecutableDocument;

use super::extent::Extent;
use super::{Rejected, bad, lexemes, too_complex};
use crate::model::PAGE_MAX;

/// How deep the brackets of a document may stand in each other: the parser needs stack for each, and takes no more.
const NESTING_MAX: usize = 64;

/// How deep lists of introspection may stand in each other: each multiplies the answer by the schema.
const INTROSPECTION_MAX: usize = 2;

/// How much a request may ask for. What is beyond is `QUERY_TOO_COMPLEX`, and nothing of it is executed.
#[derive(Debug, Clone, Copy)]
pub struct DocumentLimits {
    /// The most tokens of a document (names, numbers, texts, brackets and signs).
    pub tokens: usize,
    /// The most fields of an operation or a fragment, its fragments written out.
    pub fields: usize,
    /// How deep fields may stand in each other. The introspection query of the usual tools needs 13.
    pub depth: usize,
    /// The most fields at the root of an operation.
    pub root_fields: usize,
    /// The most fields that have another name, fragments written out.
    pub aliases: usize,
    /// The most directives, fragments written out.
    pub directives: usize,
    /// The highest cost of an operation: about the number of fields in the largest answer it can have.
    pub cost: u64,
    /// The most elements of a page.
    pub page: usize,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            tokens: 15_000,
            fields: 5_000,
            depth: 20,
            root_fields: 50,
            aliases: 100,
            directives: 100,
            cost: 50_000,
            page: PAGE_MAX,
        }
    }
}

impl DocumentLimits {
    /// Measures a document before it is parsed: how many tokens it has.
    pub(super) fn measure_text(&self, query: &str) -> Result<usize, Rejected> {
        let found = lexemes::count(query, self.tokens);
        let why = if found.tokens > self.tokens {
            format!("A document has {} tokens at most.", self.tokens)
        } else if found.nesting > NESTING_MAX {
            format!("The brackets of a document stand {NESTING_MAX} deep in each other at most.")
        } else {
            return Ok(found.tokens);
        };
        Err(Rejected::invalid(too_complex(why)))
    }

    /// Judges how much stands at the root of an operation.
    pub(super) fn count_roots(&self, found: usize) -> Result<(), async_graphql::ServerError> {
        if found > self.root_fields {
            let why = format!("An operation has {} root fields at most.", self.root_fields);
            return Err(too_complex(why));
        }
        Ok(())
    }

    /// Judges what was measured, and returns the operation's cost.
    pub(super) fn judge(
        &self,
        extent: &Extent,
        document: &ExecutableDocument,
        name: Option<&str>,
    ) -> Result<u64, async_graphql::ServerError> {
        let all = extent.largest();
        let bounds = [
            ("fields, its fragments written out", all.fields, self.fields),
            (
                "fields beside those of the document's other operations",
                extent.in_all(),
                self.fields,
            ),
            ("levels of fields", all.depth, self.depth),
            ("fields of another name", all.aliases, self.aliases),
            ("directives", all.directives, self.directives),
        ];
        for (what, found, most) in bounds {
            if found > most {
                let why = format!("An operation has {most} {what} at most.");
                return Err(too_complex(why));
            }
        }
        if all.introspection > INTROSPECTION_MAX {
            return Err(too_complex(format!(
                "Lists of introspection stand {INTROSPECTION_MAX} deep in each other at most."
            )));
        }
        // What is beyond the bound that everybody has is refused where it is asked for.
        if all.page > self.page && all.page <= PAGE_MAX {
            let why = format!("A page has {} elements at most here.", self.page);
            return Err(bad(why, None));
        }
        let (roots, cost) = extent.of_operation(document, name);
        self.count_roots(roots)?;
        if cost > self.cost {
            let why = format!(
                "The operation costs {cost}, and {} at most is allowed: ask for smaller pages.",
                self.cost
            );
            return Err(too_complex(why));
        }
        Ok(cost)
    }
}
