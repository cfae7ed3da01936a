//! What a file is: by what its uploader says, and by its first bytes.

/// Media types that mean the same, each under the name that the first bytes are known by.
const SAME: &[(&str, &str)] = &[
    ("application/ogg", "audio/ogg"),
    (
        "application/x-dosexec",
        "application/vnd.microsoft.portable-executable",
    ),
    ("application/x-elf", "application/x-executable"),
    ("application/x-gzip", "application/gzip"),
    (
        "application/x-msdownload",
        "application/vnd.microsoft.portable-executable",
    ),
    ("application/x-pie-executable", "application/x-executable"),
    ("application/x-rar-compressed", "application/vnd.rar"),
    ("application/x-sharedlib", "application/x-executable"),
    ("application/x-zip-compressed", "application/zip"),
    ("audio/aiff", "audio/x-aiff"),
    ("audio/flac", "audio/x-flac"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/opus", "audio/ogg"),
    ("audio/vnd.wave", "audio/x-wav"),
    ("audio/wav", "audio/x-wav"),
    ("audio/wave", "audio/x-wav"),
    ("font/otf", "application/font-sfnt"),
    ("font/ttf", "application/font-sfnt"),
    ("font/woff", "application/font-woff"),
    ("font/woff2", "application/font-woff"),
    ("image/heic", "image/heif"),
    ("image/jpg", "image/jpeg"),
    ("image/x-icon", "image/vnd.microsoft.icon"),
    ("image/x-ms-bmp", "image/bmp"),
    ("text/rtf", "application/rtf"),
    ("video/avi", "video/x-msvideo"),
    ("video/ogg", "audio/ogg"),
];

/// Media types of which the first bytes tell only what they are made of, each kind under one name.
const CONTAINERS: &[(&str, &[&str])] = &[
    (
        "iso media",
        &[
            "audio/m4a",
            "audio/mp4",
            "audio/x-m4a",
            "video/3gpp",
            "video/mp4",
            "video/quicktime",
            "video/x-m4v",
        ],
    ),
    (
        "matroska",
        &[
            "audio/webm",
            "audio/x-matroska",
            "video/webm",
            "video/x-matroska",
        ],
    ),
    (
        "ole",
        &[
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-outlook",
            "application/vnd.ms-powerpoint",
            "application/x-ole-storage",
        ],
    ),
];

/// Media types that are texts although they are not called so.
const TEXTS: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/sql",
    "application/x-sh",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
];

/// What first bytes are known of programs. They are taken as what they are, and as nothing else.
const PROGRAMS: &[&str] = &[
    "application/java",
    "application/vnd.android.dex",
    "application/vnd.android.dey",
    "application/vnd.microsoft.portable-executable",
    "application/wasm",
    "application/x-executable",
    "application/x-llvm",
    "application/x-mach-binary",
];

/// What says nothing about a file.
const ANYTHING: &str = "application/octet-stream";

fn is_text(kind: &str) -> bool {
    kind.starts_with("text/") && kind != "text/rtf"
        || kind.ends_with("+xml")
        || kind.ends_with("+json")
        || TEXTS.contains(&kind)
}

fn is_zip(kind: &str) -> bool {
    kind.ends_with("/zip")
        || kind.ends_with("+zip")
        || kind.starts_with("application/vnd.openxmlformats-officedocument.")
        || kind.starts_with("application/vnd.oasis.opendocument.")
        || kind.ends_with(".macroenabled.12")
        || matches!(
            kind,
            "application/java-archive" | "application/vnd.android.package-archive"
        )
}

/// What a media type's first bytes look like.
fn look(kind: &str) -> &str {
    let same = SAME.iter().find(|(one, _)| *one == kind);
    let kind = same.map_or(kind, |(_, other)| *other);
    if is_text(kind) {
        return "text";
    }
    if is_zip(kind) {
        return "zip";
    }
    let container = CONTAINERS.iter().find(|(_, kinds)| kinds.contains(&kind));
    container.map_or(kind, |(name, _)| *name)
}

/// Whether it is known how files begin that look like this.
fn is_known(look: &str) -> bool {
    matches!(look, "text" | "zip")
        || CONTAINERS.iter().any(|(name, _)| *name == look)
        || infer::is_mime_supported(look)
}

/// Whether these bytes read as a text, whatever it begins with: `BM`, `MZ` and `ID3` are words, too.
fn is_plain(head: &[u8]) -> bool {
    let text = match str::from_utf8(head) {
        Ok(text) => Some(text),
        // Its last character may be cut off.
        Err(error) if error.error_len().is_none() => {
            let whole = head.get(..error.valid_up_to());
            whole.and_then(|whole| str::from_utf8(whole).ok())
        }
        Err(_) => None,
    };
    let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b');
    text.is_some_and(|text| !text.chars().any(is_odd))
}

/// Whether what begins with these bytes may be what its uploader says.
pub(super) fn agrees(said: &str, head: &[u8]) -> bool {
    if said == ANYTHING {
        return true;
    }
    let said = look(said);
    let found = infer::get(head).map(|found| found.mime_type());
    match (said, found) {
        (_, Some(found)) if said == look(found) => true,
        ("text", Some(_)) => is_plain(head),
        // Much is made of something else, as a drawing of a ZIP file and a negative of a TIFF.
        (said, Some(found)) => !is_known(said) && !PROGRAMS.contains(&found),
        ("text", None) => {
            let wide = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
            wide || !head.contains(&0)
        }
        // These always begin in a way that is known; sounds and films do not.
        ("zip" | "application/pdf", None) => false,
        (said, None) => !(said.starts_with("image/") && infer::is_mime_supported(said)),
    }
}

/// The width and height of an image that begins with these bytes, if they say so.
pub(super) fn dimensions(said: &str, head: &[u8]) -> Option<(i32, i32)> {
    if !matches!(
        look(said),
        "image/gif" | "image/jpeg" | "image/png" | "image/webp"
    ) {
        return None;
    }
    let size = imagesize::blob_size(head).ok()?;
    let number = |length: usize| i32::try_from(length).ok();
    Some((number(size.width)?, number(size.height)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x06\0\0\0";
    const GIF: &[u8] = b"GIF89a\x10\0\x20\0\0\0\0";
    const PDF: &[u8] = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n";
    const TIFF: &[u8] = b"II*\0\x08\0\0\0";
    const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0\0\0\0\0";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0";
    const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn a_file_is_what_it_looks_like() {
        for (said, head) in [
            ("image/png", PNG),
            ("image/gif", GIF),
            ("application/pdf", PDF),
            ("application/zip", ZIP),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                ZIP,
            ),
            ("application/epub+zip", ZIP),
            ("text/plain", b"Hello"),
            ("text/plain", b"<html>"),
            ("text/plain", b"\xff\xfeH\0i\0"),
            ("image/svg+xml", b"<?xml version=\"1.0\"?><svg/>"),
            ("image/svg+xml", b"<svg/>"),
            ("application/json", b"{}"),
            ("text/plain", b"BMW or Audi?"),
            ("text/plain", b"MZ is a magic number. \xc3\xa4\xc3"),
            ("text/plain", b"%!"),
            ("text/csv", b"ID3;Name\r\n1;2\r\n"),
            (
                "text/plain",
                b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
            ),
            ("application/vnd.sketch", ZIP),
            ("application/vnd.visio", OLE),
            ("image/x-adobe-dng", TIFF),
            ("application/x-msdownload", b"MZ\x90\0"),
            ("audio/mpeg", b"\xff\xfa\x90\0"),
            ("audio/wav", b"RIFF\0\0\0\0WAVEfmt "),
            ("video/mp4", b"\0\0\0\x20ftypM4A \0\0\0\0"),
            ("application/x-own", b"\x01\x02\x03"),
            (ANYTHING, ELF),
        ] {
            assert!(agrees(said, head), "{said}");
        }
    }

    #[test]
    fn a_file_is_nothing_else_than_it_looks_like() {
        for (said, head) in [
            ("image/png", GIF),
            ("image/png", b"Hello"),
            ("image/jpeg", b"<html><script>"),
            ("image/svg+xml", PNG),
            ("application/pdf", b"Hello"),
            ("application/pdf", ZIP),
            ("application/zip", b"Hello"),
            ("text/plain", ELF),
            ("text/plain", b"H\0llo"),
            ("text/csv", PDF),
            ("audio/mpeg", PNG),
            ("application/x-own", ELF),
            ("application/x-own", b"MZ\x90\0"),
            ("text/plain", b"MZ\x90\0"),
            ("text/plain", b"BM\x01\x02"),
            ("text/plain", b"BM \xff is no text"),
            ("image/png", TIFF),
        ] {
            assert!(!agrees(said, head), "{said}");
        }
    }

    #[test]
    fn an_images_size_is_read_from_its_head() {
        assert_eq!(dimensions("image/png", PNG), Some((640, 480)));
        assert_eq!(dimensions("image/gif", GIF), Some((16, 32)));
        assert_eq!(dimensions("image/png", &PNG[..20]), None);
        assert_eq!(dimensions("text/plain", PNG), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_something_or_not(
            said in prop::sample::select(vec!["image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "audio/mpeg"]),
            start in prop::sample::select(vec![PNG, GIF, PDF, ZIP, ELF, b"\xff\xd8\xff\xe0", b"RIFF\x40\0\0\0WEBPVP8 ", b"RIFF\x40\0\0\0WEBPVP8X", b""]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let head = [start, &rest].concat();
            agrees(said, &head);
            dimensions(said, &head);
        }
    }
}
