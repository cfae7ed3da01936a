//! Keeps two of us off one data folder.

use super::error::{Error, io, io_at};
use super::files::open_private;
use super::place::Place;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the Postgres of a Colloquy that was just killed may take to end.
const PREDECESSOR: Duration = Duration::from_secs(15);

/// Arguments: the process id in the status file, and that file. Succeeds once the process is not
/// in the way: a server that lost its watchdog is told to stop, while a zombie or a stranger that
/// was given the same id would make Postgres refuse to start for as long as the file says so.
/// (Old backends would be noticed all the same, by their shared memory.)
const UNBLOCK: &str = r#"
kill -s 0 "$1" 2>/dev/null || exit 0
case $(cat "/proc/$1/stat" 2>/dev/null || ps -o stat= -o comm= -p "$1") in
    Z* | *"(postgres) Z"*) rm -f -- "$2" ;;
    *postgres*) kill -s INT "$1"; exit 1 ;;
    *) rm -f -- "$2" ;;
esac
"#;

/// The two locks on a data folder, held as long as their owner lives.
#[derive(Debug)]
pub(super) struct Locks {
    /// Ours alone: tells a second Colloquy at once.
    _process: File,
    /// Shared with the watchdog, which writes the server's process id there: it stays locked
    /// until Postgres has gone, however we went.
    pub(super) server: File,
}

impl Locks {
    pub(super) async fn take(data_dir: &Path) -> Result<Self, Error> {
        let in_use = || Error::InUse {
            data_dir: data_dir.to_owned(),
        };
        let process = try_lock(&data_dir.join("lock"))?.ok_or_else(in_use)?;
        let deadline = Instant::now() + PREDECESSOR;
        loop {
            if let Some(server) = try_lock(&server_lock(data_dir))? {
                return Ok(Self {
                    _process: process,
                    server,
                });
            }
            if Instant::now() > deadline {
                return Err(Error::StillStopping {
                    data_dir: data_dir.to_owned(),
                });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Waits until no server of an earlier start works on the data. There is one at most if its
/// watchdog was killed as well; else the lock has told.
pub(super) async fn clear_predecessor(place: &Place) -> Result<(), Error> {
    let file = place.cluster.join("postmaster.pid");
    let deadline = Instant::now() + PREDECESSOR;
    while let Ok(text) = fs::read_to_string(&file) {
        let pid = text.lines().next().unwrap_or_default();
        let mut shell = place.shell(UNBLOCK);
        let status = shell.arg(pid).arg(&file).status().await;
        if status.map_err(io("run /bin/sh"))?.success() {
            break;
        }
        if Instant::now() > deadline {
            return Err(Error::StillStopping {
                data_dir: place.data_dir.clone(),
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

pub(super) fn server_lock(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres.lock")
}

fn try_lock(path: &Path) -> Result<Option<File>, Error> {
    let file = open_private(path).map_err(io_at("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(io_at("lock", path)(source)),
    }
}
