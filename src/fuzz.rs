//! What the fuzz tests of our parsers share: hostile inputs, made from valid ones as well, and a bound on memory.
//!
//! The tests are properties over bytes. How many inputs each tries is `PROPTEST_CASES`: CONTRIBUTING.md says how to
//! run them for hours.

mod inputs;

pub(crate) use inputs::{bytes, mutated, padded, text, texts};

/// What a parser may allocate whatever the input, in bytes: a sentence, an empty map.
const FLOOR: usize = 4 * 1024;

/// Reads something, and panics where that takes more memory at a time than a multiple of the input's bytes.
pub(crate) fn within<T>(multiple: usize, input: impl AsRef<[u8]>, read: impl FnOnce() -> T) -> T {
    let (length, mut value) = (input.as_ref().len(), None);
    let used = allocation_counter::measure(|| value = Some(read())).bytes_max;
    let most = FLOOR + multiple * length;
    assert!(
        usize::try_from(used).unwrap() <= most,
        "{used} bytes are allocated for an input of {length}, and {most} may be"
    );
    value.unwrap()
}

#[test]
#[should_panic(expected = "bytes are allocated for an input of 100")]
fn what_allocates_too_much_is_found_out() {
    within(2, [0; 100], || vec![0_u8; FLOOR + 201]);
}
