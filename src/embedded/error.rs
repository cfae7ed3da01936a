//! What can go wrong, said so that a newcomer can act on it.

use std::io;
use std::path::{Path, PathBuf};

/// Why Colloquy's own Postgres could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No installed server was found anywhere.
    #[error(
        "PostgreSQL's server programs (initdb and postgres) were not found; install the package \
         \"postgresql\" on Debian, Ubuntu, Alpine (with apt or apk) or Arch (pacman), \
         \"postgresql-server\" on Fedora or RHEL (dnf), or \"postgresql@17\" on macOS (brew), \
         or set DATABASE_URL to a server of your own"
    )]
    NotInstalled,
    /// The folder the caller named holds no working server.
    #[error("the folder {} holds no initdb and postgres that can be run here", .folder.display())]
    NotInFolder {
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// The data was written by a major version that is not installed.
    #[error(
        "the data in {} was written by PostgreSQL {wanted}, but only version {installed} was found; \
         install PostgreSQL {wanted} (\"postgresql-{wanted}\" on Debian or Ubuntu) \
         or start with another data folder", .cluster.display()
    )]
    OtherVersion {
        /// The folder of the existing data.
        cluster: PathBuf,
        /// The major version that wrote it.
        wanted: u32,
        /// The major versions that are installed, as text.
        installed: String,
    },
    /// A second Colloquy was started on the same folder.
    #[error(
        "another Colloquy is already running on this data folder ({}); \
         stop it first or start with another data folder", .data_dir.display()
    )]
    InUse {
        /// The shared folder.
        data_dir: PathBuf,
    },
    /// The Postgres of an earlier Colloquy did not end in time.
    #[error(
        "the Postgres of an earlier Colloquy is still shutting down in {}; try again in a moment",
        .data_dir.display()
    )]
    StillStopping {
        /// The folder the earlier server works on.
        data_dir: PathBuf,
    },
    /// We run as root and the user Postgres runs as cannot get to the data.
    #[error(
        "Postgres does not run as root, and the user \"{user}\" it runs as instead may not enter {}; \
         choose a data folder elsewhere or open that one with chmod o+x", .folder.display()
    )]
    Unreachable {
        /// The first closed folder on the way.
        folder: PathBuf,
        /// The user's name.
        user: String,
    },
    /// The data folder is somebody else's, or anybody may write to it.
    #[error(
        "the data folder {} must belong to the user who runs Colloquy and be writable by nobody else",
        .data_dir.display()
    )]
    ForeignFolder {
        /// The folder in question.
        data_dir: PathBuf,
    },
    /// We run as root and there is no user to run Postgres as.
    #[error(
        "Postgres does not run as root, and this machine has neither a user \"postgres\" nor \"nobody\" \
         to run it as; run Colloquy as an ordinary user"
    )]
    NoUser,
    /// `initdb` failed.
    #[error("initdb could not make a database folder; its last words (in {}): {tail}", .log.display())]
    Initdb {
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// Postgres ended although nobody asked it to, at its start or later.
    #[error("Postgres ended unexpectedly; its last words (in {}): {tail}", .log.display())]
    Died {
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// Postgres runs but accepts no connections.
    #[error(
        "Postgres accepted no connections within {seconds} seconds; its last words (in {}): {tail}",
        .log.display()
    )]
    NotReady {
        /// How long we waited.
        seconds: u64,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// Postgres did not end, although asked in every way there is.
    #[error("Postgres (process {pid}) did not stop within {seconds} seconds")]
    NotStopped {
        /// The postmaster's process id.
        pid: u32,
        /// How long we waited.
        seconds: u64,
    },
    /// The operating system refused something.
    #[error("could not {attempt} for Colloquy's own Postgres")]
    Io {
        /// What we tried, for instance "create the folder /x".
        attempt: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// Names what was tried, so that "permission denied" says where.
pub(super) fn io(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let attempt = attempt.into();
    move |source| Error::Io { attempt, source }
}

/// The same, for the usual "verb the path".
pub(super) fn io_at(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    io(format!("{verb} {}", path.display()))
}
