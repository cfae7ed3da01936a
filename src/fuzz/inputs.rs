//! Hostile inputs. The fuzz tests over real sockets, which are another crate, take them from here as well.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Bytes without any order, or such as texts are made of.
pub(crate) fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let likely = |byte: u8| {
        if byte < 0xf0 {
            b' ' + byte % 95
        } else {
            byte << 4
        }
    };
    (vec(any::<u8>(), 0..most), any::<bool>()).prop_map(move |(bytes, printed)| {
        let bytes = bytes.into_iter();
        if printed {
            bytes.map(likely).collect()
        } else {
            bytes.collect()
        }
    })
}

/// Texts of all kinds of characters.
pub(crate) fn texts(most: usize) -> impl Strategy<Value = String> {
    let scripts = vec(any::<char>(), 0..most).prop_map(String::from_iter);
    prop_oneof![bytes(most).prop_map(text), scripts]
}

/// The text that bytes are, or are nearly.
pub(crate) fn text(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}

/// What is taken for nothing by those who read leniently: white space, characters of no width, what ends a text.
const NOTHING: [&str; 14] = [
    " ", "\t", "\n", "\r", "\r\n", "\u{b}", "\u{c}", "\0", "\u{85}", "\u{a0}", "\u{200b}",
    "\u{2028}", "\u{3000}", "\u{feff}",
];

/// Valid texts with something before them or behind them that is easily passed over.
pub(crate) fn padded(valid: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let nothing = prop::sample::select(&NOTHING[..]);
    (valid, nothing, 0..3).prop_map(|(text, nothing, place)| match place {
        0 => format!("{nothing}{text}"),
        1 => format!("{text}{nothing}"),
        _ => format!("{nothing}{text}{nothing}"),
    })
}

/// Bytes without any order, and those with a meaning somewhere.
fn byte() -> impl Strategy<Value = u8> {
    let meant =
        prop::sample::select(&b" \t\r\n\0\"'\\{}[]()<>,:;./~%+-=_$@#!&|019aAzZ\x7f\xff"[..]);
    prop_oneof![any::<u8>(), meant]
}

/// Valid inputs, each changed in one place or in a few: bits are flipped, bytes set and put between, parts cut out,
/// doubled, written in the other case, and grafted from another valid input, and something is put around them.
pub(crate) fn mutated<T: AsRef<[u8]> + std::fmt::Debug>(
    valid: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<u8>> {
    let two = vec(valid, 2);
    (two, vec(change(), 1..5)).prop_map(|(two, changes)| {
        let (mut bytes, other) = (two[0].as_ref().to_vec(), two[1].as_ref());
        for change in changes {
            change.apply(&mut bytes, other);
        }
        bytes
    })
}

#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, u8),
    Cut(Index, Index),
    End(Index),
    Double(Index, Index),
    Graft(Index, Index, Index),
    Turn(Index),
    Pad(bool, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), byte()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        (at(), at()).prop_map(|(from, to)| Change::Cut(from, to)),
        at().prop_map(Change::End),
        (at(), at()).prop_map(|(from, to)| Change::Double(from, to)),
        (at(), at(), at()).prop_map(|(at, from, to)| Change::Graft(at, from, to)),
        at().prop_map(Change::Turn),
        (any::<bool>(), prop::sample::select(&NOTHING[..]))
            .prop_map(|(before, nothing)| Change::Pad(before, nothing)),
    ]
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>, other: &[u8]) {
        match self {
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), byte),
            Self::Pad(true, nothing) => drop(bytes.splice(..0, nothing.bytes())),
            Self::Pad(false, nothing) => bytes.extend(nothing.bytes()),
            Self::Graft(at, from, to) => {
                let at = at.index(bytes.len() + 1);
                let part = part(from, to, other.len());
                bytes.splice(at..at, other[part].iter().copied());
            }
            _ if bytes.is_empty() => {}
            Self::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
            Self::Set(at, byte) => *at.get_mut(bytes) = byte,
            Self::Turn(at) => {
                let byte = at.get_mut(bytes);
                let is_letter = byte.is_ascii_alphabetic();
                *byte ^= u8::from(is_letter) << 5;
            }
            Self::Cut(from, to) => drop(bytes.drain(part(from, to, bytes.len()))),
            Self::End(at) => bytes.truncate(at.index(bytes.len())),
            Self::Double(from, to) => {
                let part = part(from, to, bytes.len());
                let (end, copy) = (part.end, bytes[part].to_vec());
                bytes.splice(end..end, copy);
            }
        }
    }
}

fn part(from: Index, to: Index, length: usize) -> std::ops::Range<usize> {
    let (from, to) = (from.index(length + 1), to.index(length + 1));
    from.min(to)..from.max(to)
}

proptest! {
    #[test]
    fn a_mutation_is_near_what_it_was(bytes in mutated(Just("a valid input"))) {
        // Four doublings or grafts at the most.
        prop_assert!(bytes.len() <= 13 * 16);
    }
}
