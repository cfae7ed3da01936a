//! Finds installed server programs.

use super::error::Error;
use super::place::Place;
use super::{Options, first_number};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where packages put versioned folders: parent, the name before the version, and what follows.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// A version manager's shim may hang without its environment; a real server answers at once.
const ANSWER: Duration = Duration::from_secs(10);

/// A folder with a server that runs here.
#[derive(Debug)]
pub(super) struct Binaries {
    pub(super) initdb: PathBuf,
    pub(super) postgres: PathBuf,
    major: u32,
}

/// The best installed server, or, where data exists, the one that can read it.
pub(super) async fn find(options: &Options, place: &Place) -> Result<Binaries, Error> {
    let wanted = place.data_version()?;
    let mut others: Vec<String> = Vec::new();
    for folder in folders(options) {
        let Some(found) = inspect(&folder, place).await else {
            continue;
        };
        if wanted.is_none_or(|major| major == found.major) {
            return Ok(found);
        }
        others.push(found.major.to_string());
    }
    others.dedup();
    Err(match (wanted, &options.bin_dir) {
        (Some(wanted), _) if !others.is_empty() => Error::OtherVersion {
            cluster: place.cluster.clone(),
            wanted,
            installed: others.join(", "),
        },
        (_, Some(folder)) => Error::NotInFolder {
            folder: folder.clone(),
        },
        (_, None) => Error::NotInstalled,
    })
}

fn folders(options: &Options) -> Vec<PathBuf> {
    if let Some(folder) = &options.bin_dir {
        // Our children run in "/", where a relative path would mean something else.
        return vec![std::path::absolute(folder).unwrap_or_else(|_| folder.clone())];
    }
    let on_path = options.search_path.iter().flat_map(std::env::split_paths);
    let mut all: Vec<PathBuf> = on_path.filter(|folder| folder.is_absolute()).collect();
    all.extend(versioned(&VERSIONED));
    all
}

/// Existing versioned folders, the highest version first.
fn versioned(patterns: &[(&str, &str, &str)]) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = Vec::new();
    for (parent, prefix, rest) in patterns {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        found.extend(entries.filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            Some((numbers(version), entry.path().join(rest)))
        }));
    }
    found.sort_by(|one, other| other.0.cmp(&one.0));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// "9.6" sorts below "15" only as numbers.
fn numbers(version: &str) -> Vec<u32> {
    let parts = version.split(|letter: char| !letter.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// Runs `postgres --version` as the user it would serve as, so that programs which that user
/// cannot reach count as missing.
async fn inspect(folder: &Path, place: &Place) -> Option<Binaries> {
    let (initdb, postgres) = (folder.join("initdb"), folder.join("postgres"));
    if !initdb.is_file() || !postgres.is_file() {
        return None;
    }
    let mut command = place.command(&postgres);
    let answer = command.arg("--version").kill_on_drop(true).output();
    let output = tokio::time::timeout(ANSWER, answer).await.ok()?.ok()?;
    let major = first_number(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries {
        initdb,
        postgres,
        major,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9.6", "10", "17", "9.5", "latest"] {
            std::fs::create_dir_all(root.path().join(name).join("bin")).unwrap();
        }
        let found = versioned(&[(root.path().to_str().unwrap(), "", "bin")]);
        let names: Vec<_> = found
            .iter()
            .map(|folder| folder.parent().unwrap().file_name().unwrap())
            .collect();
        assert_eq!(names, ["17", "10", "9.6", "9.5", "latest"]);
    }

    #[test]
    fn homebrew_names_carry_their_version() {
        assert_eq!(numbers("@16"), [16]);
        assert!(numbers("").is_empty());
    }
}
