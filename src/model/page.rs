//! Pages of a list, by the Relay cursor connections specification, with exact flags.

use super::ListCursor;

/// How many elements a page has where the caller does not say.
pub const PAGE_DEFAULT: usize = 50;

/// The most elements a page may have.
pub const PAGE_MAX: usize = 100;

/// The four arguments of a connection, as the client wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageArgs {
    /// At most so many from the start, or from after `after`.
    pub first: Option<i32>,
    /// Only what stands behind this cursor.
    pub after: Option<String>,
    /// At most so many from the end, or from before `before`.
    pub last: Option<i32>,
    /// Only what stands in front of this cursor.
    pub before: Option<String>,
}

/// What is wrong with a connection's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Both `first` and `last` are given.
    #[error("Give either `first` or `last`, not both.")]
    Both,
    /// `first` or `last` is outside 0 to 100.
    #[error("`first` and `last` take 0 to 100.")]
    OutOfRange,
    /// Lists are asked of so many things that they are too long together.
    #[error("The lists have up to {0} elements together, and may have {1}: ask for shorter ones.")]
    TooLong(usize, usize),
    /// A cursor is none of this list.
    #[error("This is not a cursor of this list.")]
    Cursor,
}

/// A checked request for a page of a list whose elements have keys of type `K`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page<K> {
    /// The most elements to return.
    pub limit: usize,
    /// Whether the page is taken from the window's end (`last`) and not from its start (`first`).
    pub from_end: bool,
    /// Only elements behind this key.
    pub after: Option<K>,
    /// Only elements in front of this key.
    pub before: Option<K>,
}

impl<K> Page<K> {
    /// Checks the arguments; `key` reads a cursor of this list and is `None` for any other text.
    ///
    /// # Errors
    ///
    /// [`PageError`] for both directions at once, a size outside 0 to 100, or a cursor that is none.
    pub fn new(args: &PageArgs, key: impl Fn(&str) -> Option<K>) -> Result<Self, PageError> {
        let (size, from_end) = match (args.first, args.last) {
            (Some(_), Some(_)) => return Err(PageError::Both),
            (first, None) => (first, false),
            (None, last) => (last, true),
        };
        let limit = match size.map(usize::try_from) {
            None => PAGE_DEFAULT,
            Some(Ok(limit)) if limit <= PAGE_MAX => limit,
            Some(_) => return Err(PageError::OutOfRange),
        };
        let read = |cursor: &Option<String>| {
            cursor
                .as_deref()
                .map(|text| key(text).ok_or(PageError::Cursor))
                .transpose()
        };
        Ok(Self {
            limit,
            from_end,
            after: read(&args.after)?,
            before: read(&args.before)?,
        })
    }

    /// How many elements to read: one more than wanted tells whether the window goes on.
    #[must_use]
    pub fn read_limit(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX - 1) + 1
    }
}

/// A page of a list, in the list's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<T> {
    /// The elements.
    pub items: Vec<T>,
    /// Whether the list has elements behind the page.
    pub has_next: bool,
    /// Whether the list has elements in front of the page.
    pub has_previous: bool,
    /// Where it was not looked any further, before the page was full: the page goes on from there.
    pub stop: Option<Stop<ListCursor>>,
}

/// The end of a page at which it was not looked any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop<K> {
    /// Its start, of a page that is taken from the end.
    Start(K),
    /// Its end.
    End(K),
}

impl<T> Slice<T> {
    /// Makes a page from what was read: up to one element more than the limit, in reading order (the
    /// list's own, or the reverse of it for a page from the end), and whether the list has elements up to
    /// and including `after`, and from `before` on.
    #[must_use]
    pub fn new<K>(
        page: &Page<K>,
        mut items: Vec<T>,
        any_up_to_after: bool,
        any_from_before: bool,
    ) -> Self {
        let more = items.len() > page.limit;
        items.truncate(page.limit);
        if page.from_end {
            items.reverse();
            Self {
                items,
                has_next: any_from_before,
                has_previous: more || any_up_to_after,
                stop: None,
            }
        } else {
            Self {
                items,
                has_next: more || any_from_before,
                has_previous: any_up_to_after,
                stop: None,
            }
        }
    }

    /// An empty page of an empty list.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            items: Vec::new(),
            has_next: false,
            has_previous: false,
            stop: None,
        }
    }

    /// The same page of other elements.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Slice<U> {
        Slice {
            items: self.items.into_iter().map(f).collect(),
            has_next: self.has_next,
            has_previous: self.has_previous,
            stop: self.stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(first: Option<i32>, last: Option<i32>) -> Result<(usize, bool), PageError> {
        let args = PageArgs {
            first,
            last,
            ..PageArgs::default()
        };
        Page::<i64>::new(&args, |_| None).map(|page| (page.limit, page.from_end))
    }

    #[test]
    fn sizes_are_checked() {
        assert_eq!(page(None, None), Ok((50, false)));
        assert_eq!(page(Some(100), None), Ok((100, false)));
        assert_eq!(page(None, Some(0)), Ok((0, true)));
        assert_eq!(page(Some(101), None), Err(PageError::OutOfRange));
        assert_eq!(page(None, Some(-1)), Err(PageError::OutOfRange));
        assert_eq!(page(Some(1), Some(1)), Err(PageError::Both));
    }
}
