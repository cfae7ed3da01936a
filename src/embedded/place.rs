//! The folders, who owns them, and the user Postgres runs as.

use super::error::{Error, io, io_at};
use super::files::{
    create_folder, ignoring, open_private, remove_folder, resolve, set_mode, tail_bytes,
};
use super::owner::{User, check_owner, effective_uid, server_user};
use super::{Options, first_number};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The longest socket path that macOS takes; Linux takes four bytes more.
const LONGEST_SOCKET: usize = 103;
/// How many of the log's lines an error quotes.
const TAIL_LINES: usize = 4;
/// Prints the first of the given folders that may not be entered.
const FIRST_CLOSED: &str =
    r#"for folder do [ -x "$folder" ] || { printf %s "$folder"; exit; }; done"#;

/// The folder for Colloquy's data where nobody names another: `/var/lib/colloquy` for root, else
/// `$XDG_DATA_HOME/colloquy`, else the system's usual folder in the user's home.
///
/// This is the only place in the module that reads the environment.
#[must_use]
pub fn default_data_dir() -> PathBuf {
    if effective_uid().is_ok_and(|uid| uid == 0) {
        return PathBuf::from("/var/lib/colloquy");
    }
    let xdg = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    if let Some(folder) = xdg.filter(|folder| folder.is_absolute()) {
        return folder.join("colloquy");
    }
    let usual = if cfg!(target_os = "macos") {
        "Library/Application Support/colloquy"
    } else {
        ".local/share/colloquy"
    };
    std::env::home_dir().unwrap_or_default().join(usual)
}

/// Makes the data folder where it is missing, closed to everybody else's eyes; `Postgres::start`
/// does so too, but a caller may want to put a file of its own there earlier.
///
/// As root, others may pass through the folder (not list it), because Postgres runs as another
/// user; an existing folder is changed only while it is empty.
///
/// # Errors
///
/// Says so if a folder cannot be created or is not ours alone.
pub fn create_data_dir(data_dir: &Path) -> Result<(), Error> {
    let uid = effective_uid().map_err(io("find out which user runs Colloquy"))?;
    let mode = if uid == 0 { 0o711 } else { 0o700 };
    let ancestors = data_dir
        .ancestors()
        .filter(|folder| *folder != Path::new(""));
    let missing: Vec<&Path> = ancestors.take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        create_folder(folder, mode)
            .or_else(ignoring(ErrorKind::AlreadyExists))
            .map_err(io_at("create the folder", folder))?;
    }
    check_owner(data_dir, uid)?;
    let empty = fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_none());
    if uid == 0 && empty {
        set_mode(data_dir, mode).map_err(io_at("open the folder", data_dir))?;
    }
    Ok(())
}
/// Where one Postgres lives, and as whom.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) data_dir: PathBuf,
    pub(super) cluster: PathBuf,
    /// Set only if we are root.
    user: Option<User>,
    search_path: OsString,
    pub(super) throw_away: bool,
}

impl Place {
    /// Looks around without changing anything, so that a start which cannot succeed leaves
    /// nothing behind.
    pub(super) async fn survey(options: &Options) -> Result<Self, Error> {
        let data_dir = resolve(&options.data_dir).map_err(io_at("find", &options.data_dir))?;
        let uid = effective_uid().map_err(io("find out which user runs Colloquy"))?;
        if data_dir.exists() {
            check_owner(&data_dir, uid)?;
        }
        // A name of its own: throw-away data can neither be taken for durable data nor erase it.
        let name = if options.throw_away {
            "postgres.throw-away"
        } else {
            "postgres"
        };
        let cluster = data_dir.join(name);
        let passwd = || fs::read_to_string("/etc/passwd").map_err(io("read /etc/passwd"));
        let user = if uid == 0 {
            Some(server_user(&cluster, &passwd()?)?)
        } else {
            None
        };
        let usual = || OsString::from("/usr/bin:/bin");
        let search_path = options.search_path.clone().unwrap_or_else(usual);
        let place = Self {
            data_dir,
            cluster,
            user,
            search_path,
            throw_away: options.throw_away,
        };
        let parent = place.data_dir.parent().unwrap_or(&place.data_dir);
        place.check_reachable(parent).await?;
        Ok(place)
    }

    pub(super) async fn create(&self) -> Result<(), Error> {
        create_data_dir(&self.data_dir)?;
        self.check_reachable(&self.data_dir).await
    }

    /// The server itself would only say "permission denied", and not about which folder.
    async fn check_reachable(&self, folder: &Path) -> Result<(), Error> {
        let Some(user) = &self.user else {
            return Ok(());
        };
        let mut way: Vec<&Path> = folder.ancestors().filter(|part| part.exists()).collect();
        way.reverse();
        let mut shell = self.shell(FIRST_CLOSED);
        let output = shell.args(way).output().await.map_err(io("run /bin/sh"))?;
        if output.stdout.is_empty() {
            return Ok(());
        }
        Err(Error::Unreachable {
            folder: String::from_utf8_lossy(&output.stdout).into_owned().into(),
            user: user.name.clone(),
        })
    }

    /// The major version that wrote the data to go on with, if there is any.
    pub(super) fn data_version(&self) -> Result<Option<u32>, Error> {
        let file = self.cluster.join("PG_VERSION");
        if self.throw_away || !self.cluster.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&file).map_err(io_at("read", &file))?;
        Ok(first_number(&text))
    }

    /// A program run as the server's user, in surroundings that hold nothing but what we put
    /// there: a `PGDATA` or `PGPORT` of the caller's would do harm.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", &self.search_path);
        command.env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        command.stdin(std::process::Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    pub(super) fn shell(&self, script: &str) -> Command {
        let mut command = self.command("/bin/sh");
        command.args(["-c", script, "colloquy-postgres"]);
        command
    }

    /// A fresh folder only the server's user may enter.
    fn private_folder(&self, path: &Path) -> io::Result<()> {
        create_folder(path, 0o700)?;
        self.user
            .as_ref()
            .map_or(Ok(()), |user| lchown(path, Some(user.uid), Some(user.gid)))
    }

    /// The folder for the socket: next to the data, or, since a socket's path must be short,
    /// under `/tmp`.
    pub(super) fn socket_folder(&self) -> Result<PathBuf, Error> {
        let near = self.data_dir.join("run");
        if fits(&near) {
            self.renew_folder(&near)?;
            return Ok(near);
        }
        let mut hasher = DefaultHasher::new();
        self.data_dir.hash(&mut hasher);
        let name = format!("/tmp/colloquy-{:016x}", hasher.finish());
        let mut last = ErrorKind::AlreadyExists.into();
        for attempt in 0..16 {
            let folder = PathBuf::from(format!("{name}-{attempt}"));
            match self.claim(&folder) {
                Ok(()) => return Ok(folder),
                Err(error) => last = error,
            }
        }
        Err(io(format!("create a folder {name}-*"))(last))
    }

    /// The same in a folder where anybody may have taken that name: only what is ours goes away.
    pub(super) fn claim(&self, folder: &Path) -> io::Result<()> {
        let owner = fs::symlink_metadata(folder)
            .map(|metadata| metadata.uid())
            .ok();
        let ours = self
            .user
            .as_ref()
            .map_or_else(effective_uid, |user| Ok(user.uid))?;
        if owner == Some(ours) {
            fs::remove_dir_all(folder)?;
        }
        self.private_folder(folder)
    }

    /// An empty folder in the place of whatever a crashed server left there; its lock file could
    /// name a process id that somebody else has by now.
    pub(super) fn renew_folder(&self, folder: &Path) -> Result<(), Error> {
        remove_folder(folder)?;
        self.private_folder(folder)
            .map_err(io_at("create the folder", folder))
    }

    pub(super) fn log(&self) -> PathBuf {
        self.data_dir.join("postgres.log")
    }

    /// Keeps one earlier log, so that the two together stay bounded by what two runs say.
    pub(super) fn rotate_log(&self) -> Result<(), Error> {
        let log = self.log();
        fs::rename(&log, log.with_extension("log.old"))
            .or_else(ignoring(ErrorKind::NotFound))
            .map_err(io_at("rename", &log))
    }

    pub(super) fn open_log(&self) -> Result<File, Error> {
        open_private(&self.log()).map_err(io_at("open", &self.log()))
    }

    /// The log's last lines, in one line.
    pub(super) fn log_tail(&self) -> String {
        let text = tail_bytes(&self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().map(str::trim);
        let spoken = lines.rev().filter(|line| !line.is_empty());
        let mut lines: Vec<&str> = spoken.take(TAIL_LINES).collect();
        lines.reverse();
        lines.join(" | ")
    }
}

/// Clients separate hosts by commas, the server quotes with `"`, and a URL is text.
fn fits(folder: &Path) -> bool {
    let socket = folder.join(".s.PGSQL.5432");
    let plain = |text: &str| text.len() <= LONGEST_SOCKET && !text.contains([',', '"']);
    socket.to_str().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_short_plain_paths_hold_a_socket() {
        assert!(fits(Path::new("/var/lib/colloquy/run")));
        assert!(fits(Path::new("/Users/a b/run")));
        assert!(!fits(Path::new("/a,b/run")));
        assert!(!fits(&PathBuf::from(format!("/{}", "x".repeat(100)))));
    }

    #[test]
    fn the_data_folder_is_made_with_its_parents() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        create_data_dir(&folder).unwrap();
        create_data_dir(&folder).unwrap();
        let root_only = effective_uid().unwrap() == 0;
        let mode = if root_only { 0o711 } else { 0o700 };
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            mode
        );
    }

    #[test]
    fn a_path_is_resolved_as_far_as_it_exists() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        assert_eq!(
            resolve(&real.join("link/new/er")).unwrap(),
            real.join("new/er")
        );
        assert_eq!(resolve(&real.join("link")).unwrap(), real);
    }
}
