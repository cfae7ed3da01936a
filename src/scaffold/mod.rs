//! Writes an instance that can be deployed: settings and secrets, a compose file with Postgres and two servers, and a
//! client, into a folder that is empty or not there yet.
//!
//! Everything is written aside first, and moved when it is whole: a failure leaves nothing behind, and nothing that was
//! there is written over.

mod folder;
mod templates;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;

use self::folder::Folder;
use self::templates::FILES;

/// The random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// The most characters of a name.
const NAME_MAX: usize = 40;

/// The name of an instance: that of its containers and images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// A text that is no name of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to {NAME_MAX} lower-case letters, digits, hyphens and underscores, and begins with a letter or digit"
)]
pub struct NameError;

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = text.starts_with(is_plain)
            && text.len() <= NAME_MAX
            && text.chars().all(|c| is_plain(c) || c == '-' || c == '_');
        fits.then(|| Self(text.to_owned())).ok_or(NameError)
    }
}

impl Default for Name {
    fn default() -> Self {
        Self("colloquy".to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The instance's name.
    pub name: Name,
    /// The port of the first server; the second has the next one.
    pub port: u16,
}

/// The port of the first server, where none is said.
pub const PORT: u16 = 8080;

/// The last port that leaves one for the second server.
pub const PORT_MAX: u16 = u16::MAX - 1;

/// What to do then.
pub const NEXT: [&str; 3] = [
    "Say in .env where the source of Colloquy is (COLLOQUY_SOURCE).",
    "docker compose up --build --detach",
    "./try.sh sends a message to one server, and hears it at the other.",
];

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: Name::default(),
            port: PORT,
        }
    }
}

/// A file that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its path in the folder.
    pub path: &'static str,
    /// What it is.
    pub about: &'static str,
}

/// Why an instance was not written. Nothing of it is there then.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// There is something in the folder.
    #[error(
        "{0} is not empty: nothing is written over, so choose a folder that is empty or not there"
    )]
    NotEmpty(PathBuf),
    /// It is no folder.
    #[error("{0} is there and is no folder (a link to one is none)")]
    NotAFolder(PathBuf),
    /// The folder that it is to be in is not there.
    #[error("{0} is not there: make it first")]
    NoParent(PathBuf),
    /// There is no port for the second server.
    #[error("the port is from 1 to {PORT_MAX}: the second server has the next one")]
    Port,
    /// There is no randomness for secrets.
    #[error("no secrets can be made")]
    Random(#[source] getrandom::Error),
    /// It cannot be written.
    #[error("{0} cannot be written: {1}")]
    Write(PathBuf, #[source] io::Error),
}

/// Writes an instance into a folder, and says what was written.
///
/// # Errors
///
/// [`ScaffoldError`].
pub fn write(folder: &Path, plan: &Plan) -> Result<Vec<Written>, ScaffoldError> {
    if plan.port == 0 || plan.port > PORT_MAX {
        return Err(ScaffoldError::Port);
    }
    let secrets = Secrets::new()?;
    let folder = Folder::prepare(folder)?;
    for file in FILES {
        folder.write(file.path, &file.render(plan, &secrets), file.mode)?;
    }
    folder.finish()?;
    let written = FILES.iter().map(|file| Written {
        path: file.path,
        about: file.about,
    });
    Ok(written.collect())
}

/// The secrets of an instance.
#[derive(Debug)]
struct Secrets {
    jwt: SecretString,
    postgres: SecretString,
}

impl Secrets {
    fn new() -> Result<Self, ScaffoldError> {
        Ok(Self {
            jwt: secret()?,
            postgres: secret()?,
        })
    }
}

/// A secret of characters that stand for themselves in a URL and in a file of settings.
fn secret() -> Result<SecretString, ScaffoldError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(ScaffoldError::Random)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_containers_can_have() {
        for (text, fits) in [
            ("chat", true),
            ("0-a_b", true),
            ("", false),
            ("-chat", false),
            ("Chat", false),
            ("my chat", false),
            ("chat\n", false),
            ("ch\u{e4}t", false),
            (&"x".repeat(40), true),
            (&"x".repeat(41), false),
        ] {
            assert_eq!(text.parse::<Name>().is_ok(), fits, "{text:?}");
        }
    }

    #[test]
    fn every_place_in_a_template_is_filled() {
        let plan = Plan {
            name: "chat".parse().unwrap(),
            port: 9000,
        };
        let secrets = Secrets::new().unwrap();
        for file in FILES {
            let text = file.render(&plan, &secrets);
            assert!(text.ends_with('\n'), "{}", file.path);
            for place in templates::PLACES {
                assert!(!text.contains(place), "{} {place}", file.path);
            }
        }
        let compose = FILES.iter().find(|file| file.path == "compose.yaml");
        let compose = compose.unwrap().render(&plan, &secrets);
        assert!(compose.contains("127.0.0.1:9000:8080") && compose.contains("127.0.0.1:9001:8080"));
        assert!(compose.contains("name: chat\n"));
    }

    #[test]
    fn a_port_leaves_one_for_the_second_server() {
        for port in [0, u16::MAX] {
            let plan = Plan {
                port,
                ..Plan::default()
            };
            let refused = write(Path::new("/nowhere/at/all"), &plan);
            assert!(matches!(refused, Err(ScaffoldError::Port)));
        }
    }
}
