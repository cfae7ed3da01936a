//! How long a document is in tokens, and how deep its brackets stand in each other (GraphQL, section 2.1). It is
//! counted before it is parsed, because a parser needs stack for each bracket.

/// What a document is made of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lexemes {
    pub(super) tokens: usize,
    pub(super) nesting: usize,
}

/// Counts the tokens of a document, up to one more than `most`.
pub(super) fn count(text: &str, most: usize) -> Lexemes {
    let mut found = Lexemes::default();
    let mut depth = 0_usize;
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = match first {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | 0xEF | 0xBB | 0xBF => {
                rest = behind;
                continue;
            }
            b'#' => {
                rest = skip(behind, |byte| byte != b'\n' && byte != b'\r');
                continue;
            }
            b'"' => string(rest),
            b'.' => behind.strip_prefix(b"..").unwrap_or(behind),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                skip(behind, |byte| byte == b'_' || byte.is_ascii_alphanumeric())
            }
            b'-' | b'0'..=b'9' => skip(behind, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-')
            }),
            b'{' | b'[' | b'(' => {
                depth += 1;
                found.nesting = found.nesting.max(depth);
                behind
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                behind
            }
            _ => behind,
        };
        found.tokens += 1;
        if found.tokens > most {
            break;
        }
    }
    found
}

fn skip(bytes: &[u8], within: impl Fn(u8) -> bool) -> &[u8] {
    let end = bytes.iter().position(|byte| !within(*byte));
    bytes.get(end.unwrap_or(bytes.len())..).unwrap_or_default()
}

/// What stands behind a string.
fn string(bytes: &[u8]) -> &[u8] {
    match bytes.strip_prefix(br#"""""#) {
        Some(text) => block(text, br#"\""""#, br#"""""#),
        None => line(bytes.get(1..).unwrap_or_default()),
    }
}

/// What stands behind a block string, of which the quotes that begin it are read.
fn block<'a>(mut rest: &'a [u8], escaped: &[u8], end: &[u8]) -> &'a [u8] {
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(end) {
            return behind;
        }
        let step = rest.strip_prefix(escaped);
        rest = step.unwrap_or_else(|| rest.get(1..).unwrap_or_default());
    }
    rest
}

/// What stands behind a string of one line. The line's end ends it as well, which the parser will say.
fn line(mut rest: &[u8]) -> &[u8] {
    while let [first, behind @ ..] = rest {
        rest = match first {
            b'"' | b'\n' | b'\r' => return behind,
            b'\\' => behind.get(1..).unwrap_or_default(),
            _ => behind,
        };
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_as_the_grammar_has_them() {
        let cases = [
            ("", 0, 0),
            ("{ a, b }", 4, 1),
            ("\u{feff}query($x:Int=-1.5e+3){...F @skip(if:$x)}", 21, 2),
            ("{ a(x: \"{ \\\" }\", y: [[1]]) } # { { {", 15, 4),
            ("{ a(x: \"\"\" { \\\"\"\" { \"\"\") }", 8, 2),
            ("\"", 1, 0),
            ("\"\"\"", 1, 0),
        ];
        for (text, tokens, nesting) in cases {
            let found = count(text, 100);
            assert_eq!(found, Lexemes { tokens, nesting }, "{text}");
        }
        assert_eq!(count(&"a ".repeat(50), 10).tokens, 11);
    }
}
