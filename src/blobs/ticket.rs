//! Tickets: texts in URLs by which whoever has them may do one thing with one file for a while.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::model::{AttachmentId, TenantId, UserId};

/// The fewest bytes of a key that HMAC with SHA-256 is safe with (RFC 2104, section 3).
const KEY_MIN_BYTES: usize = 32;

/// What a ticket's text begins with before it is signed, so that the key signs nothing else by it.
const DOMAIN: &[u8] = b"colloquy attachment ticket 1\n";

/// What signs the URLs of files.
#[derive(Clone)]
pub struct Key(SecretString);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A text that is too short to be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key that signs URLs of attachments has at least {KEY_MIN_BYTES} random bytes: openssl rand -hex 32"
)]
pub struct KeyError;

impl Key {
    /// A key.
    ///
    /// # Errors
    ///
    /// Below 32 bytes.
    pub fn new(secret: SecretString) -> Result<Self, KeyError> {
        if secret.expose_secret().len() < KEY_MIN_BYTES {
            return Err(KeyError);
        }
        Ok(Self(secret))
    }

    /// What signs a text.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()).ok()?;
        for part in parts {
            mac.update(part);
        }
        Some(mac)
    }
}

/// What a ticket lets its bearer do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Right {
    /// Send so many bytes of this type.
    #[serde(rename = "put")]
    Upload {
        /// How many bytes.
        size: i64,
        /// The media type.
        content_type: String,
    },
    /// Get them.
    #[serde(rename = "get")]
    Download,
}

/// What its bearer may do, with what, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// What.
    pub right: Right,
    id: Uuid,
    /// The tenant.
    tenant: TenantId,
    /// For whom it was made.
    user: UserId,
    /// From when on it is refused, in seconds since 1970.
    expires: i64,
}

/// Why a ticket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It is none of ours, or somebody changed something about it.
    #[error("the URL is not one that this server signed")]
    Forged,
    /// Its time is over.
    #[error("the URL has expired: ask for another one")]
    Expired,
}

impl Ticket {
    /// A ticket for a file, until a moment.
    #[must_use]
    pub fn new(
        right: Right,
        id: AttachmentId,
        (tenant, user): (&TenantId, &UserId),
        expires_at: DateTime<Utc>,
    ) -> Self {
        Self {
            right,
            id: id.0,
            tenant: tenant.clone(),
            user: user.clone(),
            expires: expires_at.timestamp(),
        }
    }

    /// The file.
    #[must_use]
    pub fn id(&self) -> AttachmentId {
        AttachmentId(self.id)
    }

    /// The tenant, and for whom it was made.
    #[must_use]
    pub fn bearer(&self) -> (&TenantId, &UserId) {
        (&self.tenant, &self.user)
    }

    /// The ticket as a text of a URL.
    #[must_use]
    pub fn sign(&self, key: &Key) -> String {
        let what = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default());
        let mac = key.mac(&[DOMAIN, what.as_bytes()]);
        let mac = mac.map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        format!("{what}.{}", mac.unwrap_or_default())
    }

    /// Reads a ticket that this key has signed. Nothing of it is looked at before its signature is found good, in a time
    /// that says nothing of what would have been.
    ///
    /// # Errors
    ///
    /// [`TicketError`].
    pub fn read(text: &str, key: &Key, now: DateTime<Utc>) -> Result<Self, TicketError> {
        let forged = TicketError::Forged;
        let (what, signature) = text.split_once('.').ok_or(forged)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).or(Err(forged))?;
        let mac = key.mac(&[DOMAIN, what.as_bytes()]).ok_or(forged)?;
        mac.verify_slice(&signature).or(Err(forged))?;
        let what = URL_SAFE_NO_PAD.decode(what).or(Err(forged))?;
        let ticket: Self = serde_json::from_slice(&what).or(Err(forged))?;
        if ticket.expires <= now.timestamp() {
            return Err(TicketError::Expired);
        }
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn key(text: &str) -> Key {
        Key::new(text.repeat(4).into()).unwrap()
    }

    pub(super) fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn ticket(right: Right) -> Ticket {
        let (tenant, user) = (TenantId::default(), UserId::new("alice").unwrap());
        let id = AttachmentId(Uuid::from_u128(7));
        Ticket::new(right, id, (&tenant, &user), at(100))
    }

    pub(super) fn upload() -> Ticket {
        ticket(Right::Upload {
            size: 9,
            content_type: "image/png".to_owned(),
        })
    }

    #[test]
    fn a_ticket_is_good_until_its_time_is_over() {
        let key = key("12345678");
        for ticket in [ticket(Right::Download), upload()] {
            let text = ticket.sign(&key);
            assert_eq!(Ticket::read(&text, &key, at(99)), Ok(ticket));
            let late = Ticket::read(&text, &key, at(100));
            assert_eq!(late, Err(TicketError::Expired));
        }
    }

    #[test]
    fn another_key_is_no_key() {
        let text = upload().sign(&key("12345678"));
        let read = Ticket::read(&text, &key("12345679"), at(0));
        assert_eq!(read, Err(TicketError::Forged));
        assert!(Key::new("x".repeat(31).into()).is_err());
        assert!(!format!("{:?}", key("12345678")).contains("1234"));
    }

    #[test]
    fn everything_about_a_ticket_is_signed() {
        let key = key("12345678");
        let text = upload().sign(&key);
        let (what, signature) = text.split_once('.').unwrap();
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(what).unwrap()).unwrap();
        for (from, to) in [
            ("put", "get"),
            ("alice", "mallo"),
            ("\"size\":9", "\"size\":8"),
            ("image/png", "text/html"),
            ("100", "900"),
            ("0007", "0008"),
            ("default", "another"),
        ] {
            let other = plain.replace(from, to);
            assert_ne!(other, plain, "{from} is in {plain}");
            let forged = format!("{}.{signature}", URL_SAFE_NO_PAD.encode(other));
            let read = Ticket::read(&forged, &key, at(0));
            assert_eq!(read, Err(TicketError::Forged), "{from}");
        }
    }
}

#[cfg(test)]
mod fuzz {
    use proptest::prelude::*;

    use super::tests::{at, key, upload};
    use super::*;
    use crate::fuzz::{mutated, padded, text, texts, within};

    /// Reads a text at a time at which tickets are good.
    fn read(given: &str) -> Result<Ticket, TicketError> {
        within(8, given, || Ticket::read(given, &key("12345678"), at(0)))
    }

    /// A text that is signed, whatever it is.
    fn signed(what: &[u8]) -> String {
        let what = URL_SAFE_NO_PAD.encode(what);
        let mac = key("12345678").mac(&[DOMAIN, what.as_bytes()]).unwrap();
        let mac = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!("{what}.{mac}")
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_ticket(
            given in prop_oneof![texts(200), "[A-Za-z0-9_-]{0,80}[.][A-Za-z0-9_-]{43}".boxed()],
        ) {
            prop_assert_eq!(read(&given), Err(TicketError::Forged));
        }

        #[test]
        fn a_ticket_with_anything_changed_is_none(
            given in prop_oneof![
                mutated(Just(upload().sign(&key("12345678")))).prop_map(text),
                padded(Just(upload().sign(&key("12345678")))),
            ],
        ) {
            let whole = upload().sign(&key("12345678"));
            prop_assert_eq!(read(&given).is_ok(), given == whole);
        }

        #[test]
        fn what_is_signed_and_is_no_ticket_is_none(
            what in mutated(Just(String::from_utf8(serde_json::to_vec(&upload()).unwrap()).unwrap())),
        ) {
            if let Ok(ticket) = read(&signed(&what)) {
                prop_assert_eq!(Ticket::read(&ticket.sign(&key("12345678")), &key("12345678"), at(0)), Ok(ticket));
            }
        }
    }
}
