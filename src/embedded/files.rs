//! Small file operations with explicit modes.

use super::error::{Error, io_at};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How much of the log an error quotes.
const TAIL_BYTES: u64 = 8192;

pub(super) fn tail_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// The mode is set twice: at birth, so that nobody slips in, and after, since the umask may have
/// taken bits away.
pub(super) fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)?;
    set_mode(path, mode)
}

pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

pub(super) fn remove_folder(path: &Path) -> Result<(), Error> {
    fs::remove_dir_all(path)
        .or_else(ignoring(ErrorKind::NotFound))
        .map_err(io_at("remove", path))
}

pub(super) fn ignoring(kind: ErrorKind) -> impl FnOnce(io::Error) -> io::Result<()> {
    move |error| {
        if error.kind() == kind {
            Ok(())
        } else {
            Err(error)
        }
    }
}

/// The real path, even if its end does not exist yet.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let Some(existing) = path.ancestors().find(|part| part.exists()) else {
        return Ok(path);
    };
    let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
    let real = existing.canonicalize()?;
    Ok(if rest == Path::new("") {
        real
    } else {
        real.join(rest)
    })
}
