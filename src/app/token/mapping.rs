//! Which claim says what: an issuer names them as it likes.

use serde_json::Value;

use super::Pointer;

/// Where the things stand that are read from a token.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The user's id.
    pub subject: Pointer,
    /// The tenant.
    pub tenant: Pointer,
    /// The user's name.
    pub name: Name,
    /// The address of the user's picture.
    pub picture: Pointer,
    /// What the token permits: an array of texts, or one text with spaces between (RFC 6749, section 3.3).
    pub permissions: Pointer,
    /// For whom the token is (RFC 7519, section 4.1.3).
    pub audience: Pointer,
    /// When the user's password expires, and the token with it.
    pub password_expiry: Option<Pointer>,
}

/// Where the user's name stands.
#[derive(Debug, Clone)]
pub enum Name {
    /// In one claim.
    Whole(Pointer),
    /// In two claims, and in a third where neither is there.
    Parts {
        /// The first and the last name.
        parts: [Pointer; 2],
        /// What they are called else.
        otherwise: Pointer,
    },
}

impl Default for Mapping {
    /// The names that JWT and `OpenID` Connect give them.
    fn default() -> Self {
        Self {
            subject: Pointer::to("sub"),
            tenant: Pointer::to("tenant"),
            name: Name::Whole(Pointer::to("name")),
            picture: Pointer::to("picture"),
            permissions: Pointer::to("permissions"),
            audience: Pointer::to("aud"),
            password_expiry: None,
        }
    }
}

impl Mapping {
    /// The tokens of `SourceLoop`'s authentication service. A person is who they are in one tenant: its
    /// services write `userTenantId` as the author of a row, not `id`, which spans tenants.
    #[must_use]
    pub fn sourceloop() -> Self {
        Self {
            subject: Pointer::to("userTenantId"),
            tenant: Pointer::to("tenantId"),
            name: Name::Parts {
                parts: ["firstName", "lastName"].map(Pointer::to),
                otherwise: Pointer::to("username"),
            },
            picture: Pointer::to("photoUrl"),
            password_expiry: Some(Pointer::to("passwordExpiryTime")),
            ..Self::default()
        }
    }
}

impl Name {
    /// The name, where there is one.
    pub(super) fn of(&self, claims: &Value) -> Option<String> {
        let text = |pointer: &Pointer| Some(pointer.of(claims)?.as_str()?.trim().to_owned());
        match self {
            Self::Whole(pointer) => pointer.of(claims)?.as_str().map(str::to_owned),
            Self::Parts { parts, otherwise } => {
                let parts = parts.iter().filter_map(text);
                let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
                if parts.is_empty() {
                    text(otherwise)
                } else {
                    Some(parts.join(" "))
                }
            }
        }
    }
}
