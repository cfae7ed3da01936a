//! A folder that is filled at once or not at all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::ScaffoldError;

/// Where files are written until all are.
const ASIDE: &str = ".colloquy-init-";

/// A folder to fill.
#[derive(Debug)]
pub(super) struct Folder {
    /// What is to be filled.
    target: PathBuf,
    /// Whether it was there, and empty.
    existed: bool,
    /// Where the files are meanwhile: in it, or beside it where it is not there yet.
    aside: PathBuf,
}

impl Folder {
    /// Looks whether a folder can be filled, and makes a place aside. Dropped before it is finished, it leaves nothing.
    pub(super) fn prepare(target: &Path) -> Result<Self, ScaffoldError> {
        let target = std::path::absolute(target)
            .map_err(|error| ScaffoldError::Write(target.to_owned(), error))?;
        let existed = exists(&target)?;
        let place = if existed {
            target.as_path()
        } else {
            // Where there is none above it, it is the root, which exists.
            target.parent().unwrap_or(&target)
        };
        let aside = place.join(format!("{ASIDE}{}", random()?));
        let made = DirBuilder::new().mode(0o700).create(&aside);
        made.map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                ScaffoldError::NoParent(place.to_owned())
            } else {
                ScaffoldError::Write(target.clone(), error)
            }
        })?;
        Ok(Self {
            target,
            existed,
            aside,
        })
    }

    /// Writes a file, with the folders that it is in.
    pub(super) fn write(&self, path: &str, text: &str, mode: u32) -> Result<(), ScaffoldError> {
        let failed = |error| ScaffoldError::Write(self.target.join(path), error);
        let file = self.aside.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(file).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// Moves everything to where it belongs.
    pub(super) fn finish(self) -> Result<(), ScaffoldError> {
        if self.existed {
            return self.fill();
        }
        let failed = |error: io::Error| {
            let target = self.target.clone();
            // Somebody has made it meanwhile.
            if [ErrorKind::DirectoryNotEmpty, ErrorKind::AlreadyExists].contains(&error.kind()) {
                ScaffoldError::NotEmpty(target)
            } else if error.kind() == ErrorKind::NotADirectory {
                ScaffoldError::NotAFolder(target)
            } else {
                ScaffoldError::Write(target, error)
            }
        };
        set_mode(&self.aside, 0o755).map_err(failed)?;
        // A folder takes the place of an empty one, and of nothing else.
        fs::rename(&self.aside, &self.target).map_err(failed)
    }

    /// Moves everything into the folder that was there, which somebody may be in.
    fn fill(&self) -> Result<(), ScaffoldError> {
        let mut moved = Vec::new();
        let filled = self.move_all(&mut moved);
        if filled.is_err() {
            for path in &moved {
                // It goes back, to be removed with the rest.
                if let Some(name) = path.file_name() {
                    fs::rename(path, self.aside.join(name)).ok();
                }
            }
        }
        filled
    }

    fn move_all(&self, moved: &mut Vec<PathBuf>) -> Result<(), ScaffoldError> {
        let failed = |error| ScaffoldError::Write(self.target.clone(), error);
        for entry in fs::read_dir(&self.aside).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let to = self.target.join(entry.file_name());
            move_to(&entry.path(), &to).map_err(|error| {
                if error.kind() == ErrorKind::AlreadyExists {
                    ScaffoldError::NotEmpty(self.target.clone())
                } else {
                    failed(error)
                }
            })?;
            moved.push(to);
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.aside).ok();
    }
}

/// Whether a folder is there, and empty. What is there otherwise is refused.
fn exists(target: &Path) -> Result<bool, ScaffoldError> {
    let failed = |error| ScaffoldError::Write(target.to_owned(), error);
    match target.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(ScaffoldError::NoParent(
            target.parent().unwrap_or(target).to_owned(),
        )),
        Err(error) => Err(failed(error)),
        Ok(metadata) if !metadata.is_dir() => Err(ScaffoldError::NotAFolder(target.to_owned())),
        Ok(_) => {
            let mut entries = fs::read_dir(target).map_err(failed)?;
            match entries.next() {
                None => Ok(true),
                Some(_) => Err(ScaffoldError::NotEmpty(target.to_owned())),
            }
        }
    }
}

/// Moves a file or a folder to where nothing is.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    // A link takes nothing's place, whoever comes in between. A folder cannot be linked to, and takes at most the place of
    // an empty one.
    if !from.is_dir() {
        match fs::hard_link(from, to) {
            Ok(()) => return fs::remove_file(from),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            // Not every file system has links.
            Err(_) => {}
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A name that nobody else takes.
fn random() -> Result<String, ScaffoldError> {
    let mut bytes = [0; 9];
    getrandom::fill(&mut bytes).map_err(ScaffoldError::Random)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let root = TempDir::new().unwrap();
        for existed in [false, true] {
            let target = root.path().join(existed.to_string());
            if existed {
                fs::create_dir(&target).unwrap();
            }
            let folder = Folder::prepare(&target).unwrap();
            folder.write("a/b", "x", 0o600).unwrap();
            drop(folder);
            assert_eq!(target.exists(), existed);
        }
        assert_eq!(names(root.path()), ["true"]);
        assert_eq!(names(&root.path().join("true")), [""; 0]);
    }

    #[test]
    fn what_somebody_puts_there_meanwhile_stays_and_nothing_else_comes() {
        let root = TempDir::new().unwrap();
        for existed in [false, true] {
            let target = root.path().join(existed.to_string());
            if existed {
                fs::create_dir(&target).unwrap();
            }
            let folder = Folder::prepare(&target).unwrap();
            for name in ["a", "b", "c"] {
                folder.write(name, "ours", 0o644).unwrap();
            }
            fs::create_dir_all(&target).unwrap();
            fs::write(target.join("b"), "theirs").unwrap();
            let refused = folder.finish();
            assert!(
                matches!(refused, Err(ScaffoldError::NotEmpty(_))),
                "{refused:?}"
            );
            assert_eq!(names(&target), ["b"]);
            assert_eq!(fs::read_to_string(target.join("b")).unwrap(), "theirs");
        }
        assert_eq!(names(root.path()), ["false", "true"]);
    }
}
