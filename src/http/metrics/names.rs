//! The names of operations as labels. Clients choose them, so they are bounded in number, length and letters.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

/// How many names have a label of their own.
const NAMES_MAX: usize = 100;

/// The longest name that has one, in bytes.
const LENGTH_MAX: usize = 64;

/// The names that have a label of their own: the first that came with an operation of a user which was executed.
#[derive(Debug)]
pub(super) struct Names {
    known: RwLock<HashSet<Arc<str>>>,
    /// The label of all the others.
    other: Arc<str>,
    /// The label of what has no name.
    nameless: Arc<str>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            known: RwLock::default(),
            other: "other".into(),
            nameless: "-".into(),
        }
    }
}

impl Names {
    /// A name as it may become a label.
    pub(super) fn take(&self, name: Option<&str>) -> Arc<str> {
        let Some(name) = name else {
            return Arc::clone(&self.nameless);
        };
        if !is_short_name(name) {
            return Arc::clone(&self.other);
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name).map_or_else(|| name.into(), Arc::clone)
    }

    /// The label of a name that was taken. `may_add` says whether it may get one of its own, if there is room.
    pub(super) fn label(&self, name: &Arc<str>, may_add: bool) -> Arc<str> {
        if *name == self.nameless {
            return Arc::clone(name);
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return Arc::clone(name);
        }
        if !may_add || known.len() >= NAMES_MAX {
            return Arc::clone(&self.other);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX && !known.contains(name) {
            return Arc::clone(&self.other);
        }
        known.insert(Arc::clone(name));
        Arc::clone(name)
    }
}

/// Whether a text is a name (GraphQL specification, section 2.1.9), and not too long a one.
fn is_short_name(text: &str) -> bool {
    let mut letters = text.bytes();
    let begins = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    let goes_on = letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
    begins && goes_on && text.len() <= LENGTH_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_names_have_a_label() {
        let names = Names::default();
        let label = |name: &str, may_add| names.label(&names.take(Some(name)), may_add).to_string();
        assert_eq!(label("Forged", false), "other");
        for n in 0..NAMES_MAX {
            assert_eq!(label(&format!("N{n}"), true), format!("N{n}"));
        }
        assert_eq!(label("OneMore", true), "other");
        assert_eq!(label("N7", false), "N7");
        assert_eq!(&*names.label(&names.take(None), true), "-");
    }

    #[test]
    fn what_is_no_name_or_too_long_is_another() {
        let names = Names::default();
        let long = "n".repeat(LENGTH_MAX + 1);
        for bad in ["", "1st", "a b", "a\"b", "a\nb", "a}b", "naïve", &long] {
            assert_eq!(
                &*names.label(&names.take(Some(bad)), true),
                "other",
                "{bad:?}"
            );
        }
        let longest = "n".repeat(LENGTH_MAX);
        assert_eq!(*names.label(&names.take(Some(&longest)), true), *longest);
    }
}
