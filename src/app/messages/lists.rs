//! Pages of lists that hang on messages.

use std::collections::HashMap;
use std::hash::Hash;

use crate::app::{Actor, Error};
use crate::model::{ChatId, Page, PageError, Slice};
use crate::store::messages::List;
use crate::store::{self, Connection};

/// The place of a message in its chat's log.
pub(in crate::app) type Place = (ChatId, i64);

/// The most elements that are read for one answer. Each may have a text of 40 kB, whether or not it is shown.
const ELEMENTS_MAX: usize = 2000;

/// The lists of which the same page is wanted, which one statement reads.
pub(in crate::app) fn by_page<K: Copy, P: Clone + Eq + Hash>(
    wanted: &[(K, Page<P>)],
) -> Result<HashMap<Page<P>, Vec<K>>, Error> {
    let elements = wanted.iter().map(|(_, page)| page.limit).sum();
    if elements > ELEMENTS_MAX {
        return Err(PageError::TooLong(elements, ELEMENTS_MAX).into());
    }
    let mut by_page: HashMap<_, Vec<K>> = HashMap::new();
    for (list, page) in wanted {
        by_page.entry(page.clone()).or_default().push(*list);
    }
    Ok(by_page)
}

/// Makes pages of what was read of the lists of all of these messages: the elements in any order, each with whose it is and
/// its own place. Lists without an element in the page have an empty one.
pub(super) async fn slices<T>(
    conn: &mut Connection,
    actor: &Actor,
    list: List,
    roots: &[Place],
    page: &Page<i64>,
    elements: Vec<(Place, i64, T)>,
) -> Result<HashMap<Place, Slice<T>>, Error> {
    let around = if page.after.is_none() && page.before.is_none() {
        Vec::new()
    } else {
        store::messages::around(conn, &actor.tenant, list, roots, page).await?
    };
    let around = around.into_iter();
    let around: HashMap<Place, _> = around
        .map(|(root, before, behind)| (root, (before, behind)))
        .collect();
    let mut of_roots: HashMap<Place, Vec<(i64, T)>> = HashMap::new();
    for (root, seq, element) in elements {
        of_roots.entry(root).or_default().push((seq, element));
    }
    let slice = |root: &Place| {
        let mut elements = of_roots.remove(root).unwrap_or_default();
        elements.sort_unstable_by_key(|(seq, _)| *seq);
        if page.from_end {
            elements.reverse();
        }
        let (before, behind) = around.get(root).copied().unwrap_or_default();
        let elements = elements.into_iter().map(|(_, element)| element);
        (*root, Slice::new(page, elements.collect(), before, behind))
    };
    Ok(roots.iter().map(slice).collect())
}
