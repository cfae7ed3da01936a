//! Where in a token's claims something stands: JSON Pointer (RFC 6901).

use std::str::FromStr;

use serde_json::Value;

/// The place of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(String);

/// A text that is no place of a claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a claim is its name, or a JSON pointer such as /realm_access/roles in which ~ is written ~0"
)]
pub struct PointerError;

impl FromStr for Pointer {
    type Err = PointerError;

    /// A text that begins with `/` is a JSON pointer; another one is the name of a claim as it stands.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(PointerError);
        }
        if !text.starts_with('/') {
            let escaped = text.replace('~', "~0").replace('/', "~1");
            return Ok(Self(format!("/{escaped}")));
        }
        let mut escapes = text.split('~').skip(1);
        if escapes.all(|rest| rest.starts_with(['0', '1'])) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PointerError)
        }
    }
}

impl Pointer {
    /// The claim of this name.
    pub(super) fn to(name: &str) -> Self {
        Self(format!("/{name}"))
    }

    /// What stands there; nothing where there is nothing or a null.
    pub(super) fn of<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        claims.pointer(&self.0).filter(|value| !value.is_null())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_found_by_pointer_or_by_name() {
        let claims = json!({
            "sub": "a", "realm_access": { "roles": ["r"] }, "https://example.com/tenant": "t",
            "a~b": 1, "none": null,
        });
        let cases = [
            ("/sub", json!("a")),
            ("sub", json!("a")),
            ("/realm_access/roles", json!(["r"])),
            ("/realm_access/roles/0", json!("r")),
            ("/https:~1~1example.com~1tenant", json!("t")),
            ("https://example.com/tenant", json!("t")),
            ("a~b", json!(1)),
            ("/a~0b", json!(1)),
        ];
        for (text, expected) in cases {
            let pointer: Pointer = text.parse().unwrap();
            assert_eq!(pointer.of(&claims), Some(&expected), "{text}");
        }
        for text in ["/none", "/absent", "/sub/deeper", "/realm_access/roles/1"] {
            let pointer: Pointer = text.parse().unwrap();
            assert_eq!(pointer.of(&claims), None, "{text}");
        }
        for text in ["", "/a~b", "/a~", "/~2"] {
            assert_eq!(text.parse::<Pointer>(), Err(PointerError), "{text}");
        }
    }
}
