//! Documents that clients have sent with their hash, the latest used.
//!
//! A plain map with an order, behind a lock. A look-up holds the lock for less than a microsecond, and what is run
//! for it takes many; a cache of many locks would bound either the number or the bytes, and neither exactly. Each
//! server keeps its own, and what one does not know its client sends again.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use sha2::{Digest as _, Sha256};

/// How many bytes the documents may have on average.
const BYTES_EACH: usize = 8 * 1024;

/// How large a document may be that is kept: one that is larger would drive many others out.
const TEXT_MAX: usize = 64 * 1024;

/// The SHA-256 of a text, in hexadecimal digits in lower case.
pub(super) fn hash_of(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string does not fail.
        write!(digits, "{byte:02x}").ok();
        digits
    })
}

/// A hash that is that of the text it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Checked(String);

impl Checked {
    pub(super) fn new(hash: &str, text: &str) -> Option<Self> {
        let own = hash_of(text);
        (own == hash).then_some(Self(own))
    }
}

/// The documents.
pub(super) struct Persisted {
    kept: Mutex<Kept>,
    documents_max: usize,
    bytes_max: usize,
}

struct Kept {
    by_hash: LruCache<String, Arc<str>>,
    bytes: usize,
}

impl std::fmt::Debug for Persisted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Persisted").finish_non_exhaustive()
    }
}

impl Persisted {
    /// Keeps so many documents.
    pub(super) fn new(documents_max: usize) -> Self {
        let kept = Kept {
            // With a bound of its own it would take the memory for all of them now.
            by_hash: LruCache::unbounded(),
            bytes: 0,
        };
        Self {
            kept: Mutex::new(kept),
            documents_max,
            bytes_max: documents_max.saturating_mul(BYTES_EACH),
        }
    }

    pub(super) fn find(&self, hash: &str) -> Option<Arc<str>> {
        self.kept().by_hash.get(hash).cloned()
    }

    /// Keeps a text, and lets go of those that were used the longest time ago.
    pub(super) fn keep(&self, hash: Checked, text: &str) {
        if text.len() > TEXT_MAX.min(self.bytes_max) || self.find(&hash.0).is_some() {
            return;
        }
        let text: Arc<str> = text.into();
        let mut kept = self.kept();
        kept.bytes = kept.bytes.saturating_add(text.len());
        // Another request may have brought it in the meantime.
        if let Some(same) = kept.by_hash.put(hash.0, text) {
            kept.bytes = kept.bytes.saturating_sub(same.len());
        }
        while kept.by_hash.len() > self.documents_max || kept.bytes > self.bytes_max {
            let Some((_, oldest)) = kept.by_hash.pop_lru() else {
                return;
            };
            kept.bytes = kept.bytes.saturating_sub(oldest.len());
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn keep(persisted: &Persisted, text: &str) -> String {
        let hash = hash_of(text);
        persisted.keep(Checked::new(&hash, text).unwrap(), text);
        hash
    }

    fn knows(persisted: &Persisted, hash: &str) -> bool {
        persisted.kept().by_hash.contains(hash)
    }

    #[test]
    fn a_hash_is_that_of_the_standard() {
        // FIPS 180-4, example of one block.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_of("abc"), abc);
        assert!(Checked::new(abc, "abc").is_some());
        for wrong in [
            "",
            "abc",
            &abc.to_uppercase(),
            abc.trim_start_matches('b'),
            &format!("{abc} "),
        ] {
            assert_eq!(Checked::new(wrong, "abc"), None, "{wrong}");
        }
    }

    #[test]
    fn the_latest_used_are_kept() {
        let persisted = Persisted::new(2);
        let first = keep(&persisted, "{first}");
        let second = keep(&persisted, "{second}");
        assert_eq!(persisted.find(&first).as_deref(), Some("{first}"));
        let third = keep(&persisted, "{third}");
        let known = [&first, &second, &third].map(|hash| knows(&persisted, hash));
        assert_eq!(known, [true, false, true]);
        // To send one again is to use it.
        keep(&persisted, "{first}");
        let fourth = keep(&persisted, "{fourth}");
        let known = [&first, &third, &fourth].map(|hash| knows(&persisted, hash));
        assert_eq!(known, [true, false, true]);
    }

    #[test]
    fn large_documents_do_not_drive_all_others_out() {
        let persisted = Persisted::new(100);
        let small = keep(&persisted, "{small}");
        let larger = keep(&persisted, &"#".repeat(TEXT_MAX + 1));
        assert!(!knows(&persisted, &larger));
        assert!(knows(&persisted, &small));
        let large = keep(&persisted, &"#".repeat(TEXT_MAX));
        assert!(knows(&persisted, &large));
    }

    proptest! {
        #[test]
        fn both_bounds_hold_whatever_is_kept(texts in vec((0..3_000_usize, 0..8_u8), 0..40), most in 1..5_usize) {
            let persisted = Persisted::new(most);
            for (length, letter) in texts {
                // Many are equal, and a few of them are larger than all may be together.
                let text = char::from(b'a' + letter).to_string().repeat(length / 100 * 1000);
                let hash = keep(&persisted, &text);
                let fits = text.len() <= most * BYTES_EACH && text.len() <= TEXT_MAX;
                prop_assert_eq!(knows(&persisted, &hash), fits);
                let kept = persisted.kept();
                let bytes = kept.by_hash.iter().map(|(_, text)| text.len()).sum::<usize>();
                prop_assert_eq!(kept.bytes, bytes);
                prop_assert!(bytes <= most * BYTES_EACH && kept.by_hash.len() <= most);
            }
        }
    }
}
