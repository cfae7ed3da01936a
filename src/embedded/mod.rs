//! Colloquy's own Postgres, for a machine where nobody has set one up.
//!
//! [`Postgres::start`] finds an installed server, makes a private cluster in the data folder and
//! runs it behind a Unix socket that only we can reach. The server ends with us, however we end:
//! a watchdog holds the other end of a pipe of ours.
//!
//! Files in the data folder: `postgres` (the data), `run` (the socket), `postgres.log` and
//! `postgres.log.old`, `lock` and `postgres.lock`.

mod error;
mod files;
mod find;
mod lock;
mod owner;
mod place;
mod watchdog;

pub use error::Error;
pub use place::{create_data_dir, default_data_dir};

use error::{io, io_at};
use find::Binaries;
use lock::Locks;
use place::Place;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::timeout;
use watchdog::{Ending, Watched};

/// How long a server may take until it accepts connections.
const READY: Duration = Duration::from_mins(1);
/// The same, for one that says it is still starting: recovery after a crash takes its time.
const RECOVERY: Duration = Duration::from_mins(5);
/// A slow disk needs minutes for what takes two seconds elsewhere.
const INITDB: Duration = Duration::from_mins(5);
/// In immediate mode the server itself kills what has not ended after five seconds.
const IMMEDIATE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
const USER: &str = "colloquy";

/// How to run Postgres.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder for Colloquy alone, made where it is missing (see [`create_data_dir`]).
    pub data_dir: PathBuf,
    /// The folder of `initdb` and `postgres`; `None` searches for them.
    pub bin_dir: Option<PathBuf>,
    /// Where to search for programs before the usual places: the value of `PATH`.
    pub search_path: Option<OsString>,
    /// Server settings, as in `postgresql.conf`; they win over this module's defaults, except
    /// where the server listens.
    pub settings: Vec<(String, String)>,
    /// For tests: starts with an empty cluster, gives up durability for speed, and removes the
    /// cluster in the end. Existing durable data is never touched, even in the same folder.
    pub throw_away: bool,
}

/// A running Postgres; dropping it tells the server to stop, without waiting for that.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    setup: Setup,
    locks: Locks,
}

/// What stays the same when the server restarts.
#[derive(Debug)]
struct Setup {
    place: Place,
    binaries: Binaries,
    socket_dir: PathBuf,
    settings: Vec<(String, String)>,
}

#[derive(Debug)]
struct Server {
    watched: Watched,
    pid: u32,
}

impl Postgres {
    /// Starts the server, making its cluster first if there is none, and returns once it accepts
    /// connections. There is a database `postgres` and a superuser `colloquy`, without password.
    ///
    /// Must be called in a Tokio runtime, and the handle used in the same one.
    ///
    /// # Errors
    ///
    /// Every [`Error`] except [`Error::NotStopped`]; nothing keeps running after one.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let place = Place::survey(&options).await?;
        let binaries = find::find(&options, &place).await?;
        place.create().await?;
        let locks = Locks::take(&place.data_dir).await?;
        lock::clear_predecessor(&place).await?;
        place.rotate_log()?;
        if place.throw_away {
            files::remove_folder(&place.cluster)?;
        }
        if !place.cluster.exists() {
            initdb(&place, &binaries, &locks).await?;
        }
        let setup = Setup {
            socket_dir: place.socket_folder()?,
            settings: options.settings,
            place,
            binaries,
        };
        let server = setup.launch(&locks).await?;
        Ok(Self {
            server,
            setup,
            locks,
        })
    }

    /// The address of a database on this server, for `tokio-postgres` as well as for `psql`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host = self.setup.socket_dir.to_string_lossy();
        format!(
            "postgres://{USER}@/{}?host={}",
            percent(database),
            percent(&host)
        )
    }

    /// The folder of the server's socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.setup.socket_dir
    }

    /// The process id of the server's main process; a restart changes it.
    #[must_use]
    pub fn postmaster_pid(&self) -> u32 {
        self.server.pid
    }

    /// Waits until the server ends by itself, and says what it said last. Cancel-safe, and may be
    /// called again: once the server has ended, it returns at once.
    pub async fn exited(&mut self) -> Error {
        match self.server.watched.ended().await {
            Ok(_) => self.setup.died(),
            Err(error) => error,
        }
    }

    /// Makes the server crash and starts it again on the same socket, for tests of what clients
    /// do about it.
    ///
    /// # Errors
    ///
    /// Says why the server did not stop or start; it may be asked again.
    pub async fn restart_immediate(&mut self) -> Result<(), Error> {
        let pid = self.server.pid;
        let mut kill = self.setup.place.shell(r#"kill -s QUIT "$1""#);
        kill.arg(pid.to_string())
            .stderr(std::process::Stdio::null());
        // A server that is gone already is just as good.
        kill.status().await.map_err(io("run /bin/sh"))?;
        let ended = timeout(IMMEDIATE, self.server.watched.ended()).await;
        ended.unwrap_or_else(|_| Err(not_stopped(pid, IMMEDIATE)))?;
        let folder = &self.setup.socket_dir;
        let claimed = self.setup.place.claim(folder);
        claimed.map_err(io_at("create the folder", folder))?;
        self.server = self.setup.launch(&self.locks).await?;
        Ok(())
    }

    /// Ends the server: open transactions roll back, everything committed is written down.
    ///
    /// # Errors
    ///
    /// Says if the server is still there after half a minute of ever ruder requests.
    pub async fn stop(self) -> Result<(), Error> {
        let Self {
            server,
            setup,
            locks,
        } = self;
        if !server.watched.close().await? {
            return Err(not_stopped(server.pid, watchdog::LIMIT));
        }
        if setup.place.throw_away {
            // What the watchdog could not do: the folder around it may be root's.
            files::remove_folder(&setup.place.cluster)?;
        }
        drop(locks);
        Ok(())
    }
}

fn not_stopped(pid: u32, limit: Duration) -> Error {
    Error::NotStopped {
        pid,
        seconds: limit.as_secs(),
    }
}

/// Works in a sibling that gets its name only once it is complete: a start that was cut short
/// leaves nothing that looks like data.
async fn initdb(place: &Place, binaries: &Binaries, locks: &Locks) -> Result<(), Error> {
    let unfinished = place.cluster.with_extension("new");
    place.renew_folder(&unfinished)?;
    let mut program: Vec<OsString> = vec![binaries.initdb.clone().into(), "-D".into()];
    program.push(unfinished.clone().into());
    program.extend(["--locale=C", "--encoding=UTF8"].map(OsString::from));
    // Everything sorts by bytes. That upper and lower case go together beyond ASCII takes a locale that knows them,
    // which every Linux has under this name.
    if cfg!(target_os = "linux") {
        program.push("--lc-ctype=C.UTF-8".into());
    }
    program.extend(["--auth-local=trust", "--auth-host=reject"].map(OsString::from));
    program.push(format!("--username={USER}").into());
    if place.throw_away {
        program.push("--no-sync".into());
    }
    let ending = Ending {
        first_signal: "INT",
        remove: Path::new(""),
        remove_if_asked: &unfinished,
    };
    let mut watched = Watched::spawn(place, locks, ending, &program)?;
    let ended = timeout(INITDB, watched.ended()).await;
    if !ended.is_ok_and(|status| status.is_ok_and(|status| status.success())) {
        return Err(Error::Initdb {
            log: place.log(),
            tail: place.log_tail(),
        });
    }
    let renamed = fs::rename(&unfinished, &place.cluster);
    let synced = renamed.and_then(|()| File::open(&place.data_dir)?.sync_all());
    synced.map_err(io_at("give its name to", &place.cluster))?;
    // The server's last words shall not be mixed with advice for people who run initdb by hand.
    place.rotate_log()
}

impl Setup {
    async fn launch(&self, locks: &Locks) -> Result<Server, Error> {
        let nothing = Path::new("");
        let (first_signal, remove_if_asked) = if self.place.throw_away {
            ("QUIT", self.place.cluster.as_path())
        } else {
            ("INT", nothing)
        };
        let ending = Ending {
            first_signal,
            remove: &self.socket_dir,
            remove_if_asked,
        };
        let began = SystemTime::now();
        let watched = Watched::spawn(&self.place, locks, ending, &self.program())?;
        self.ready(watched, began).await
    }

    fn program(&self) -> Vec<OsString> {
        let mut program: Vec<OsString> = vec![self.binaries.postgres.clone().into(), "-D".into()];
        program.push(self.place.cluster.clone().into());
        let mut set = |name: &str, value: &str| {
            program.extend(["-c".into(), format!("{name}={value}").into()]);
        };
        if self.place.throw_away {
            set("fsync", "off");
            set("full_page_writes", "off");
        }
        for (name, value) in &self.settings {
            set(name, value);
        }
        // The last one wins.
        set("listen_addresses", "");
        set("port", "5432");
        let folder = self.socket_dir.to_string_lossy();
        set("unix_socket_directories", &format!("\"{folder}\""));
        set("unix_socket_permissions", "0700");
        program
    }

    /// Looks at the status the way `pg_ctl` does, because a failed attempt to connect could not
    /// tell "starting" from "broken".
    async fn ready(&self, mut watched: Watched, began: SystemTime) -> Result<Server, Error> {
        let clock = Instant::now();
        loop {
            if let Ok(ended) = timeout(POLL, watched.ended()).await {
                return Err(ended.map_or_else(|error| error, |_| self.died()));
            }
            let status = self.status(began).unwrap_or_default();
            if status.ready {
                return Ok(Server {
                    watched,
                    pid: status.pid,
                });
            }
            let limit = if status.starting { RECOVERY } else { READY };
            if clock.elapsed() > limit {
                return Err(Error::NotReady {
                    seconds: limit.as_secs(),
                    log: self.place.log(),
                    tail: self.place.log_tail(),
                });
            }
        }
    }

    /// Nothing as long as the status file is not that of the process the watchdog started: a
    /// crashed server leaves its own behind, perhaps with a process id that is in use again.
    fn status(&self, began: SystemTime) -> Option<Status> {
        let lock = fs::read_to_string(lock::server_lock(&self.place.data_dir)).ok()?;
        let file = fs::read_to_string(self.place.cluster.join("postmaster.pid")).ok()?;
        let status = Status::parse(&file)?;
        let pid: u32 = lock.trim().parse().ok()?;
        let since_epoch = began.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let ours = status.pid == pid && status.started + 2 >= since_epoch.as_secs();
        ours.then_some(status)
    }

    fn died(&self) -> Error {
        Error::Died {
            log: self.place.log(),
            tail: self.place.log_tail(),
        }
    }
}

/// What the server says about itself in `postmaster.pid`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    pid: u32,
    started: u64,
    starting: bool,
    ready: bool,
}

impl Status {
    fn parse(file: &str) -> Option<Self> {
        let mut lines = file.lines().map(str::trim);
        let pid = lines.next()?.parse().ok()?;
        let started = lines.nth(1)?.parse().ok()?;
        let word = lines.nth(4).unwrap_or_default();
        Some(Self {
            pid,
            started,
            starting: word == "starting",
            ready: word == "ready",
        })
    }
}

/// The major version in `postgres (PostgreSQL) 15.17 (Debian ...)` or `15`.
fn first_number(text: &str) -> Option<u32> {
    let mut parts = text.split(|letter: char| !letter.is_ascii_digit());
    parts.find_map(|part| part.parse().ok())
}

/// Percent-encodes everything but the characters that mean themselves anywhere in a URL.
fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_both_sources() {
        let debian = "postgres (PostgreSQL) 15.17 (Debian 15.17-0+deb12u1)";
        assert_eq!(first_number(debian), Some(15));
        assert_eq!(first_number("15\n"), Some(15));
        assert_eq!(first_number("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(first_number("not found"), None);
    }

    #[test]
    fn a_url_holds_any_path_and_name() {
        assert_eq!(percent("/a b/ü&?%"), "%2Fa%20b%2F%C3%BC%26%3F%25");
    }

    #[test]
    fn the_status_file_is_read_as_pg_ctl_does() {
        let file = "77\n/data\n1700000000\n5432\n/run\n\n  1234  5\nready   \n";
        let status = Status::parse(file).unwrap();
        assert_eq!((status.pid, status.started), (77, 1_700_000_000));
        assert!(status.ready && !status.starting);
        let half_written = Status::parse("77\n/data\n1700000000\n").unwrap();
        assert!(!half_written.ready && !half_written.starting);
        assert_eq!(Status::parse(""), None);
    }
}
