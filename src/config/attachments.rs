//! The settings of attachments: where their bytes are kept, and what is taken.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use super::peer_time;
use crate::app::{AttachmentRules, Attachments, Clock, FILE_SIZE_MAX};
use crate::blobs::{
    BlobError, Blobs, Bucket, Credentials, External, Key, KeyError, Local, S3, Template,
};
use crate::model::ContentType;

/// Where attachments are kept, and what is taken.
#[derive(Debug, Clone, Args)]
pub struct AttachmentArgs {
    /// Where the bytes of attachments are kept: `file:///folder`; `s3://bucket/prefix?region=…`, for another service than
    /// Amazon's with `&endpoint=https://…`; the URL of a file service of your own with `{id}` in it; or `off` for nowhere.
    /// By default a folder of the data folder in a development run, and nowhere with a `DATABASE_URL`.
    #[arg(long, env = "COLLOQUY_ATTACHMENTS_STORE", value_name = "STORE")]
    pub attachments_store: Option<StoreArg>,
    /// The address of this server as its clients reach it, such as `https://chat.example.com`: what the URLs of
    /// attachments begin with that are kept in a folder. By default, in a development run, the one listened on.
    #[arg(long, env = "COLLOQUY_ATTACHMENTS_URL", value_parser = address, value_name = "URL")]
    pub attachments_url: Option<String>,
    /// What signs the URLs of attachments that are in a folder or with a file service of your own, at least 32 random
    /// bytes, the same on all servers. A development run without one makes its own and keeps it in the data folder.
    #[arg(
        long,
        env = "COLLOQUY_ATTACHMENTS_KEY",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub attachments_key: Option<SecretString>,
    /// The most bytes of a file.
    #[arg(long, env = "COLLOQUY_ATTACHMENTS_MAX_SIZE", default_value_t = 25 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(1..=i64::from(FILE_SIZE_MAX)), value_name = "BYTES")]
    pub attachments_max_size: u32,
    /// The media types that are taken, separated by commas: `*/*` for any, `image/*` for any of a kind, or one.
    #[arg(
        long,
        env = "COLLOQUY_ATTACHMENTS_TYPES",
        default_value = "*/*",
        value_delimiter = ',',
        value_parser = media_type,
        value_name = "TYPE"
    )]
    pub attachments_types: Vec<String>,
    /// The most bytes that one user may have uploaded and announced in all; 0 for any number.
    #[arg(long, env = "COLLOQUY_ATTACHMENTS_QUOTA", default_value_t = 5 * 1024 * 1024 * 1024, value_name = "BYTES")]
    pub attachments_quota: u64,
    /// The most files that one user may have announced and not finished.
    #[arg(long, env = "COLLOQUY_ATTACHMENTS_UNFINISHED_MAX", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub attachments_unfinished_max: u32,
    /// How long a URL to download from is good; at least 1s.
    #[arg(long, env = "COLLOQUY_ATTACHMENTS_URL_TTL", default_value = "5m", value_parser = url_time, value_name = "TIME")]
    pub attachments_url_ttl: Duration,
    /// How long a URL to upload to is good; at least 1s.
    #[arg(long, env = "COLLOQUY_ATTACHMENTS_UPLOAD_TTL", default_value = "1h", value_parser = url_time, value_name = "TIME")]
    pub attachments_upload_ttl: Duration,
    /// After what time a file is forgotten that was uploaded, or announced, and not sent; longer than a URL to upload to
    /// is good.
    #[arg(long, env = "COLLOQUY_ATTACHMENTS_UNSENT", default_value = "24h", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub attachments_unsent: Duration,
}

/// Where bytes are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreArg {
    /// Nowhere.
    Off,
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket of S3.
    Bucket(Bucket),
    /// With a file service.
    Service(Template),
}

impl FromStr for StoreArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        match text.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            Some(("s3", bucket)) => bucket_of(bucket).map(Self::Bucket),
            Some(("https" | "http", _)) => {
                let template = Template::new(text).map_err(|error| error.to_string())?;
                Ok(Self::Service(template))
            }
            _ => Err(
                "it is file:///folder, s3://bucket/prefix?region=…, https://…/{id}, or off"
                    .to_owned(),
            ),
        }
    }
}

/// Reads `bucket/prefix?region=…&endpoint=…`.
fn bucket_of(text: &str) -> Result<Bucket, String> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    if !(3..=63).contains(&name.len()) || !name.chars().all(plain) {
        return Err(
            "a bucket's name has 3 to 63 small letters, digits, dots and dashes".to_owned(),
        );
    }
    let prefix = prefix.trim_end_matches('/');
    let is_part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !part.is_empty() && part.chars().all(plain) && !part.chars().all(|c| c == '.')
    };
    if !prefix.is_empty() && !prefix.split('/').all(is_part) {
        return Err("a prefix has letters, digits, dots, dashes and _, with slashes".to_owned());
    }
    let (mut region, mut endpoint) = (None, None);
    for setting in query.split('&').filter(|setting| !setting.is_empty()) {
        match setting.split_once('=') {
            Some(("region", name)) if is_part(name) => region = Some(name.to_owned()),
            Some(("endpoint", url)) => endpoint = Some(address(url)?),
            _ => {
                return Err(format!(
                    "{setting} is neither region=… nor endpoint=https://…"
                ));
            }
        }
    }
    Ok(Bucket {
        name: name.to_owned(),
        prefix: if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        },
        region: region.ok_or("a bucket is in a region: ?region=eu-central-1")?,
        endpoint,
    })
}

/// The longest that a URL may be good: what signs those of others goes no further.
const URL_TIME_MAX: Duration = Duration::from_hours(7 * 24);

fn url_time(text: &str) -> Result<Duration, String> {
    let time = peer_time(text)?;
    if time > URL_TIME_MAX {
        return Err("it is at most 7d".to_owned());
    }
    Ok(time)
}

fn media_type(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    let (kind, subtype) = text.split_once('/').unwrap_or_default();
    let example = match (kind, subtype) {
        ("*", "*") => "any/thing".to_owned(),
        (kind, "*") => format!("{kind}/thing"),
        _ => text.clone(),
    };
    match ContentType::new(&example) {
        Ok(_) => Ok(text),
        Err(_) => Err("it is */*, or a media type such as image/* or image/png".to_owned()),
    }
}

/// An address without a path's end.
fn address(text: &str) -> Result<String, String> {
    let uri: Result<hyper::Uri, _> = text.parse();
    let fits = uri.is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
            && !text.contains('@')
    });
    if fits {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("it is the address of the server, such as https://chat.example.com".to_owned())
    }
}

/// What a development run has for what is not set.
#[derive(Debug)]
pub struct AttachmentDefaults {
    /// The folder.
    pub folder: PathBuf,
    /// What signs.
    pub key: SecretString,
    /// The address listened on.
    pub address: String,
}

/// Why attachments cannot be kept as it is wanted.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentArgsError {
    /// Nobody has set what signs.
    #[error(
        "a store of attachments needs what signs their URLs: set COLLOQUY_ATTACHMENTS_KEY (--attachments-key) too"
    )]
    NoKey,
    /// Nobody has set what URLs begin with.
    #[error(
        "attachments in a folder are served by this server: set COLLOQUY_ATTACHMENTS_URL (--attachments-url) to its \
         address as clients reach it"
    )]
    NoAddress,
    /// The key is no good.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What may still be uploaded would be cleared away.
    #[error(
        "COLLOQUY_ATTACHMENTS_UNSENT (--attachments-unsent) is longer than COLLOQUY_ATTACHMENTS_UPLOAD_TTL \
         (--attachments-upload-ttl)"
    )]
    Unsent,
    /// Nothing can be asked over TLS.
    #[error(transparent)]
    Store(#[from] BlobError),
    /// The folder is no good.
    #[error("the folder of attachments {0} cannot be used")]
    Folder(String, #[source] std::io::Error),
}

impl AttachmentArgs {
    /// The rules.
    #[must_use]
    pub fn rules(&self) -> AttachmentRules {
        AttachmentRules {
            size_max: self.attachments_max_size,
            types: self.attachments_types.clone(),
            quota: (self.attachments_quota > 0).then_some(self.attachments_quota),
            unfinished_max: self.attachments_unfinished_max,
            download_within: self.attachments_url_ttl,
            upload_within: self.attachments_upload_ttl,
            unsent_for: self.attachments_unsent,
        }
    }

    /// Where attachments are kept, with the rules for them. Makes the folder.
    ///
    /// # Errors
    ///
    /// Where settings are missing or do not go together, or the folder cannot be made.
    pub fn attachments(
        &self,
        defaults: Option<AttachmentDefaults>,
    ) -> Result<Option<Attachments>, AttachmentArgsError> {
        let (folder, key, url) = match defaults {
            Some(defaults) => (
                Some(defaults.folder),
                Some(defaults.key),
                Some(defaults.address),
            ),
            None => (None, None, None),
        };
        let store = self.attachments_store.clone();
        let Some(store) = store.or(folder.map(StoreArg::Folder)) else {
            return Ok(None);
        };
        if self.attachments_unsent <= self.attachments_upload_ttl {
            return Err(AttachmentArgsError::Unsent);
        }
        let given = self.attachments_key.clone();
        let given = given.filter(|key| !key.expose_secret().is_empty());
        let key = || -> Result<Key, AttachmentArgsError> {
            let secret = given.or(key).ok_or(AttachmentArgsError::NoKey)?;
            Ok(Key::new(secret)?)
        };
        let blobs = match store {
            StoreArg::Off => return Ok(None),
            StoreArg::Folder(folder) => {
                let address = self.attachments_url.clone().or(url);
                let address = address.ok_or(AttachmentArgsError::NoAddress)?;
                let named = folder.display().to_string();
                let local = Local::open(folder, &address, key()?);
                Blobs::Local(local.map_err(|error| AttachmentArgsError::Folder(named, error))?)
            }
            StoreArg::Bucket(bucket) => Blobs::S3(S3::new(&bucket, Credentials::Found)?),
            StoreArg::Service(template) => {
                let now = || Clock.now();
                Blobs::External(External::new(template, key()?, now)?)
            }
        };
        Ok(Some(Attachments::new(blobs, self.rules())))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Cli;

    const KEY: &str = "a key of thirty-two bytes, or more";

    fn args(arguments: &[&str]) -> Result<AttachmentArgs, clap::Error> {
        let cli = Cli::try_parse_from([&["colloquy"], arguments].concat())?;
        Ok(cli.serve.attachments)
    }

    fn kept(arguments: &[&str], defaults: Option<AttachmentDefaults>) -> Result<bool, String> {
        let kept = args(arguments).unwrap().attachments(defaults);
        kept.map(|kept| kept.is_some())
            .map_err(|error| error.to_string())
    }

    fn defaults(folder: &tempfile::TempDir) -> AttachmentDefaults {
        AttachmentDefaults {
            folder: folder.path().join("attachments"),
            key: KEY.into(),
            address: "http://127.0.0.1:8080".to_owned(),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let (set, usual) = (args(&[]).unwrap().rules(), AttachmentRules::default());
        assert_eq!(format!("{set:?}"), format!("{usual:?}"));
    }

    #[test]
    fn nothing_is_kept_unless_it_is_said_where_or_this_is_a_development_run() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kept(&[], None), Ok(false));
        assert_eq!(kept(&[], Some(defaults(&folder))), Ok(true));
        let off = ["--attachments-store", "off"];
        assert_eq!(kept(&off, Some(defaults(&folder))), Ok(false));
    }

    #[test]
    fn what_is_missing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("file://{}", folder.path().display());
        let store = ["--attachments-store", &store];
        let key = ["--attachments-key", KEY];
        let url = ["--attachments-url", "https://chat.example.com/"];
        let error = kept(&[store, url].concat(), None).unwrap_err();
        assert!(error.contains("COLLOQUY_ATTACHMENTS_KEY"), "{error}");
        let error = kept(&[store, key].concat(), None).unwrap_err();
        assert!(error.contains("COLLOQUY_ATTACHMENTS_URL"), "{error}");
        let short = ["--attachments-key", "short"];
        assert!(kept(&[store, short, url].concat(), None).is_err());
        let soon = ["--attachments-unsent", "1h"];
        assert!(kept(&[store, key, url, soon].concat(), None).is_err());
        assert_eq!(kept(&[store, key, url].concat(), None), Ok(true));
        let shown = format!("{:?}", args(&key).unwrap());
        assert!(!shown.contains(KEY));
    }

    #[test]
    fn settings_are_read_strictly() {
        for bad in [
            ["--attachments-store", "/var/files"],
            ["--attachments-store", "file://files"],
            ["--attachments-store", ""],
            ["--attachments-store", "s3://bucket"],
            ["--attachments-store", "s3://b?region=eu-central-1"],
            [
                "--attachments-store",
                "s3://bucket/../a?region=eu-central-1",
            ],
            [
                "--attachments-store",
                "s3://bucket?region=eu-central-1&endpoint=minio",
            ],
            [
                "--attachments-store",
                "s3://bucket?region=eu-central-1&other=1",
            ],
            ["--attachments-store", "https://files.example.com/"],
            ["--attachments-url", "chat.example.com"],
            ["--attachments-url", "https://user@chat.example.com"],
            ["--attachments-url", "https://chat.example.com/?a=b"],
            ["--attachments-types", "image"],
            ["--attachments-types", "*/png"],
            ["--attachments-types", "image/*,,"],
            ["--attachments-max-size", "0"],
            ["--attachments-max-size", "2147483648"],
            ["--attachments-url-ttl", "8d"],
            ["--attachments-url-ttl", "0s"],
            ["--attachments-unfinished-max", "0"],
        ] {
            args(&bad).expect_err(&bad.join(" "));
        }
        let store = "s3://my.bucket/a/b/?region=eu-central-1&endpoint=https://minio:9000/";
        let bucket = args(&["--attachments-store", store])
            .unwrap()
            .attachments_store;
        let Some(StoreArg::Bucket(bucket)) = bucket else {
            panic!("{store}");
        };
        assert_eq!(
            (bucket.name.as_str(), bucket.prefix.as_str()),
            ("my.bucket", "a/b/")
        );
        assert_eq!(bucket.endpoint.as_deref(), Some("https://minio:9000"));
        let types = args(&["--attachments-types", "image/*, Application/PDF"]).unwrap();
        assert_eq!(types.attachments_types, ["image/*", "application/pdf"]);
    }
}

#[cfg(test)]
mod fuzz {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{mutated, text, texts, within};

    proptest! {
        #[test]
        fn any_text_is_a_store_or_an_error(
            given in prop_oneof![
                texts(100),
                mutated(Just("s3://bucket/a/b?region=eu-central-1&endpoint=https://h:9/")).prop_map(text),
                mutated(Just("https://files.example.com/raw/{id}?team=7")).prop_map(text),
            ],
        ) {
            if let Ok(StoreArg::Bucket(bucket)) = within(16, &given, || given.parse::<StoreArg>()) {
                prop_assert!(!bucket.name.contains('/') && !bucket.region.contains('/'));
                let is_path = bucket.prefix.is_empty() || bucket.prefix.ends_with('/');
                prop_assert!(is_path && !bucket.prefix.split('/').any(|part| part == ".."));
            }
        }
    }
}
