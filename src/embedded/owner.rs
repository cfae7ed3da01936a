//! Who runs Colloquy, and as whom it runs Postgres.

use super::error::{Error, io_at};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Root follows no path that somebody else could bend.
pub(super) fn check_owner(data_dir: &Path, uid: u32) -> Result<(), Error> {
    let metadata = fs::metadata(data_dir).map_err(io_at("look at the folder", data_dir))?;
    if metadata.is_dir() && metadata.uid() == uid && metadata.mode() & 0o002 == 0 {
        return Ok(());
    }
    Err(Error::ForeignFolder {
        data_dir: data_dir.to_owned(),
    })
}

/// A fresh pipe belongs to its maker, on Linux and macOS alike, and needs neither unsafe code
/// nor a writable folder.
pub(super) fn effective_uid() -> io::Result<u32> {
    let (reader, _writer) = io::pipe()?;
    Ok(File::from(OwnedFd::from(reader)).metadata()?.uid())
}

/// An entry of the user list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

fn users(passwd: &str) -> Vec<User> {
    let parse = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { name, uid, gid })
    };
    passwd.lines().filter_map(parse).collect()
}

/// The user root hands Postgres to. Existing data keeps its owner, even if a better user has
/// appeared since.
pub(super) fn server_user(cluster: &Path, passwd: &str) -> Result<User, Error> {
    let users = users(passwd);
    let owner = fs::symlink_metadata(cluster).ok();
    let chosen = if let Some(owner) = owner {
        let (uid, gid) = (owner.uid(), owner.gid());
        let known = users.into_iter().find(|user| user.uid == uid);
        let name = known.map_or_else(|| uid.to_string(), |user| user.name);
        Some(User { name, uid, gid })
    } else {
        let named = |name: &str| users.iter().find(|user| user.name == name).cloned();
        ["postgres", "_postgres", "nobody"]
            .into_iter()
            .find_map(named)
    };
    chosen.filter(|user| user.uid != 0).ok_or(Error::NoUser)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nnobody:x:65534:65533::/:/bin/false\n\
         nobody2:*:-2:-2::/:/bin/false\npostgres:x:101:104:,,,:/var:/bin/sh\n";

    #[test]
    fn postgres_is_preferred_to_nobody() {
        let new = Path::new("/does/not/exist");
        let postgres = server_user(new, PASSWD).unwrap();
        assert_eq!((postgres.uid, postgres.gid), (101, 104));
        let (without, _) = PASSWD.split_once("postgres").unwrap();
        assert_eq!(server_user(new, without).unwrap().name, "nobody");
        assert!(matches!(server_user(new, ""), Err(Error::NoUser)));
    }

    #[test]
    fn existing_data_keeps_its_owner_but_never_roots() {
        let folder = tempfile::tempdir().unwrap();
        let user = server_user(folder.path(), PASSWD);
        match effective_uid().unwrap() {
            0 => assert!(matches!(user, Err(Error::NoUser))),
            uid => assert_eq!(user.unwrap().uid, uid),
        }
    }

    #[test]
    fn a_folder_anybody_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let uid = effective_uid().unwrap();
        assert!(check_owner(folder.path(), uid).is_ok());
        assert!(check_owner(folder.path(), uid + 1).is_err());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(check_owner(folder.path(), uid).is_err());
    }
}
