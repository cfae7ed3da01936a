//! Attachments: what is known of files. Their bytes are elsewhere.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use diesel_derive_newtype::DieselNewType;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use uuid::Uuid;

use super::closed_set::closed_set;
use super::{AttachmentId, Refusal, TenantId, UserId};
use crate::schema::{attachment_downloads, attachments};

/// The most characters (Unicode scalar values) that the name of a file may have.
pub const FILE_NAME_MAX_CHARS: usize = 255;

/// The most characters of a media type: RFC 6838, section 4.2, gives each of its two names 127.
const CONTENT_TYPE_MAX_CHARS: usize = 255;

/// How many bytes a checksum has.
const CHECKSUM_BYTES: usize = 32;

/// What stands as it is in the value of a header's parameter (RFC 8187, section 3.2.1).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

closed_set! {
    /// How far an attachment has come.
    pub enum AttachmentStatus {
        /// It is announced; its bytes have not been checked.
        Pending = 0,
        /// Its bytes are here, whole and as they were announced.
        Ready = 1,
        /// It is being cleared away, and there for nobody any more.
        Removed = 2,
    }
}

/// What a file is called: to be shown, and never to be a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// Takes a name of 1 to 255 characters, without those that separate the parts of a path, and without control
    /// characters.
    ///
    /// # Errors
    ///
    /// `INVALID` and `TOO_LONG`.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        if text.chars().count() > FILE_NAME_MAX_CHARS {
            let why = format!("A file's name has at most {FILE_NAME_MAX_CHARS} characters.");
            return Err(Refusal::too_long(why));
        }
        if text.is_empty() || matches!(text, "." | "..") {
            return Err(Refusal::invalid("A file has a name."));
        }
        // What turns the direction of writing around can make one ending look like another.
        let hidden = |c: char| {
            c.is_control()
                || matches!(c, '/' | '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        if text.contains(hidden) {
            return Err(Refusal::invalid(
                "A file's name has no slashes, control characters or changes of direction in it.",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A media type without parameters, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType(String);

impl ContentType {
    /// Takes a text of the form `type/subtype`.
    ///
    /// # Errors
    ///
    /// `INVALID`.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let text = text.trim().to_ascii_lowercase();
        let is_name = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
            name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
        };
        let names = text.split_once('/');
        let fits = names.is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype));
        if !fits || text.len() > CONTENT_TYPE_MAX_CHARS {
            return Err(Refusal::invalid(
                "A content type is two names with a slash in between and nothing else, such as image/png.",
            ));
        }
        Ok(Self(text))
    }

    /// The media type.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The SHA-256 of a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, DieselNewType)]
pub struct Checksum(Vec<u8>);

impl Checksum {
    /// The checksum that these bytes are.
    #[must_use]
    pub fn of(bytes: [u8; CHECKSUM_BYTES]) -> Self {
        Self(bytes.to_vec())
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// `INVALID`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == CHECKSUM_BYTES * 2);
        let digits = digits.ok_or_else(|| {
            Refusal::invalid(
                "A checksum is the SHA-256 of the file's bytes: 64 hexadecimal digits.",
            )
        })?;
        let byte = |pair: &[u32]| {
            let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
            u8::try_from(value).unwrap_or_default()
        };
        Ok(Self(digits.chunks(2).map(byte).collect()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An attachment's row.
#[derive(Debug, Clone, PartialEq, Eq, Insertable, Queryable, Selectable)]
#[diesel(table_name = attachments, check_for_backend(diesel::pg::Pg))]
pub struct Attachment {
    /// Its id, and the key of its bytes.
    pub id: AttachmentId,
    /// The tenant of the uploader.
    pub tenant_id: TenantId,
    /// Who uploads it, and alone may send it.
    pub uploader_id: UserId,
    /// What the file is called.
    pub name: String,
    /// Its media type, as the uploader said.
    pub content_type: String,
    /// How many bytes it has.
    pub size: i64,
    /// The SHA-256 of its bytes.
    pub checksum: Checksum,
    /// How far it has come.
    pub status: AttachmentStatus,
    /// The width of an image in pixels.
    pub width: Option<i32>,
    /// The height of an image in pixels.
    pub height: Option<i32>,
    /// When it was announced.
    pub created_at: DateTime<Utc>,
    /// When it was first sent.
    pub sent_at: Option<DateTime<Utc>>,
}

/// The most attachments of a message.
pub const ATTACHMENTS_MAX: usize = 10;

/// Attachments to send with a message: each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewAttachments {
    /// The sender's own.
    Own(Vec<AttachmentId>),
    /// Those of a message that the sender sees, and sends again.
    Forwarded(Vec<AttachmentId>),
}

impl NewAttachments {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self::Own(Vec::new())
    }

    /// The sender's own; what is named twice is one.
    ///
    /// # Errors
    ///
    /// `TOO_MANY` beyond 10.
    pub fn own(ids: Vec<AttachmentId>) -> Result<Self, Refusal> {
        let mut distinct = Vec::with_capacity(ids.len().min(ATTACHMENTS_MAX));
        for id in ids {
            if distinct.contains(&id) {
                continue;
            }
            if distinct.len() == ATTACHMENTS_MAX {
                let why = format!("A message has at most {ATTACHMENTS_MAX} attachments.");
                return Err(Refusal::too_many(why));
            }
            distinct.push(id);
        }
        Ok(Self::Own(distinct))
    }

    /// Which.
    #[must_use]
    pub fn ids(&self) -> &[AttachmentId] {
        match self {
            Self::Own(ids) | Self::Forwarded(ids) => ids,
        }
    }
}

/// An entry of the log of downloads.
#[derive(Debug, Clone, PartialEq, Eq, Insertable, Queryable, Selectable)]
#[diesel(table_name = attachment_downloads, check_for_backend(diesel::pg::Pg))]
pub struct AttachmentDownload {
    /// The entry.
    pub id: Uuid,
    /// The tenant of the attachment and of the person.
    pub tenant_id: TenantId,
    /// The attachment.
    pub attachment_id: AttachmentId,
    /// Who was given a URL to download it from.
    pub user_id: UserId,
    /// When they were.
    pub occurred_at: DateTime<Utc>,
}

/// The place of an entry in that log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DownloadPlace {
    /// When it was.
    pub occurred_at: DateTime<Utc>,
    /// The entry.
    pub id: Uuid,
}

impl AttachmentDownload {
    /// Its place.
    #[must_use]
    pub fn place(&self) -> DownloadPlace {
        DownloadPlace {
            occurred_at: self.occurred_at,
            id: self.id,
        }
    }
}

impl Attachment {
    /// What `Content-Disposition` says of it (RFC 6266): that it is to be kept under its name, and not to be shown.
    #[must_use]
    pub fn disposition(&self) -> String {
        disposition(&self.name)
    }
}

fn disposition(name: &str) -> String {
    let simple = |c: char| {
        if c.is_ascii_alphanumeric() || " ._-()".contains(c) {
            c
        } else {
            '_'
        }
    };
    let ascii: String = name.chars().map(simple).collect();
    let encoded = utf8_percent_encode(name, PLAIN);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RefusalCode;

    #[test]
    fn a_name_is_never_a_path() {
        let name = FileName::new;
        for good in [
            "a",
            " plan.pdf ",
            "Überblick (1).pdf",
            "...",
            "报告.docx",
            ".profile",
        ] {
            assert_eq!(name(good).unwrap().as_str(), good.trim());
        }
        for bad in [
            "",
            " ",
            ".",
            "..",
            "a/b",
            "../a",
            "a\\b",
            "a\0",
            "a\nb",
            "a\u{7f}",
            "cod\u{202e}fdp.exe",
        ] {
            assert_eq!(name(bad).unwrap_err().code, RefusalCode::Invalid, "{bad:?}");
        }
        assert!(name(&"ä".repeat(FILE_NAME_MAX_CHARS)).is_ok());
        let long = name(&"ä".repeat(FILE_NAME_MAX_CHARS + 1)).unwrap_err();
        assert_eq!(long.code, RefusalCode::TooLong);
    }

    #[test]
    fn a_content_type_has_no_parameters() {
        let read = |text: &str| ContentType::new(text).map(|read| read.as_str().to_owned());
        assert_eq!(read("Image/PNG").unwrap(), "image/png");
        assert_eq!(
            read("application/vnd.ms-excel").unwrap(),
            "application/vnd.ms-excel"
        );
        for bad in [
            "",
            "image",
            "image/",
            "/png",
            "image/png; q=1",
            "image/*",
            "a/b/c",
            "a b/c",
            "text/html\r\nx: y",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&format!("a/{}", "b".repeat(254))).is_err());
    }
}

#[cfg(test)]
mod fuzz {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{mutated, text, texts, within};

    proptest! {
        #[test]
        fn a_checksum_returns(bytes: [u8; CHECKSUM_BYTES]) {
            let checksum = Checksum::of(bytes);
            prop_assert_eq!(Checksum::parse(&checksum.to_string()).unwrap(), checksum.clone());
            let upper = checksum.to_string().to_uppercase();
            prop_assert_eq!(Checksum::parse(&upper).unwrap(), checksum);
        }

        #[test]
        fn any_text_is_64_digits_or_no_checksum(
            given in prop_oneof![texts(80), mutated("[0-9a-f]{64}").prop_map(text)],
        ) {
            let read = within(16, &given, || Checksum::parse(&given));
            let digits = given.len() == 64 && given.chars().all(|c| c.is_ascii_hexdigit());
            prop_assert_eq!(read.is_ok(), digits);
        }

        #[test]
        fn any_text_is_a_name_that_is_no_path_or_an_error(
            given in prop_oneof![texts(300), mutated(Just("plan (1).pdf")).prop_map(text)],
        ) {
            if let Ok(name) = within(4, &given, || FileName::new(&given)) {
                let bad = |c: char| c.is_control() || c == '/' || c == '\\';
                prop_assert!(!name.as_str().contains(bad) && !matches!(name.as_str(), "" | "." | ".."));
                prop_assert_eq!(FileName::new(name.as_str()), Ok(name.clone()));
            }
        }

        #[test]
        fn any_text_is_a_media_type_that_fits_a_header_or_an_error(
            given in prop_oneof![texts(300), mutated(Just("image/svg+xml")).prop_map(text)],
        ) {
            if let Ok(kind) = within(4, &given, || ContentType::new(&given)) {
                prop_assert!(kind.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(kind.as_str().matches('/').count(), 1);
                prop_assert_eq!(ContentType::new(kind.as_str()), Ok(kind.clone()));
            }
        }

        #[test]
        fn any_name_fits_a_header(given in texts(300)) {
            if let Ok(name) = FileName::new(&given) {
                let disposition = disposition(name.as_str());
                prop_assert!(disposition.bytes().all(|byte| (b' '..0x7f).contains(&byte)));
                prop_assert_eq!(disposition.matches('"').count(), 2);
                prop_assert_eq!(disposition.matches(';').count(), 2);
            }
        }
    }
}
