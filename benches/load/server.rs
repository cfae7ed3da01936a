//! The server under load, on a data folder of its own.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::client::Client;

/// The release binary, as `cargo bench` built it.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_colloquy");

/// Signs the tokens of the clients.
pub(crate) const SECRET: &str = "a secret for benchmarks, of thirty-two bytes or more";

/// With this before its name, a setting of the server is given to it: to compare settings.
const SETTING: &str = "BENCH_";

/// What is set so.
pub(crate) fn settings() -> Vec<(String, String)> {
    let set = std::env::vars();
    let set = set.filter_map(|(name, value)| Some((name.strip_prefix(SETTING)?.to_owned(), value)));
    set.collect()
}

/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// A folder that is removed in the end.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(place: &Path) -> Result<Self> {
        let path = place.join(format!("colloquy-bench-{}", std::process::id()));
        colloquy::embedded::create_data_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A Postgres whose server had to be killed needs a moment to end.
        for _ in 0..20 {
            if fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}

/// A running server with its Postgres; dropping it stops both.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
    /// The time from its start until it said that it is ready.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// A server with a Postgres of its own.
    pub(crate) async fn start(folder: &Folder) -> Result<Self> {
        Self::start_in(&folder.0, &[BINARY], None).await
    }

    /// A server that is run by a program (its own, or one like `valgrind` with its arguments), with a Postgres of its own
    /// or on a given database.
    pub(crate) async fn start_in(
        folder: &Path,
        program: &[&str],
        database: Option<String>,
    ) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = folder.join(format!("server-{}.log", address.port()));
        let (program, before) = program.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(before);
        for (name, _) in std::env::vars_os() {
            if name == "DATABASE_URL" || name.to_string_lossy().starts_with("COLLOQUY_") {
                command.env_remove(name);
            }
        }
        command.envs(settings());
        command
            .arg("--data-dir")
            .arg(folder)
            .args(["--listen", &address.to_string()])
            .env("COLLOQUY_JWT_SECRET", SECRET)
            .env("COLLOQUY_RATE_LIMITS", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        if let Some(url) = database {
            command.env("DATABASE_URL", url);
        }
        let began = Instant::now();
        let mut server = Self {
            child: command.spawn()?,
            folder: folder.to_owned(),
            address,
            ready_after: Duration::ZERO,
        };
        while !is_ready(address).await {
            if server.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                bail!("no start: {}", fs::read_to_string(&log)?);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.ready_after = began.elapsed();
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process id of its Postgres.
    pub(crate) fn postgres(&self) -> Result<u32> {
        let text = fs::read_to_string(self.folder.join("postgres/postmaster.pid"))?;
        let first = text.lines().next().context("postmaster.pid is empty")?;
        Ok(first.trim().parse()?)
    }

    /// The database, for `tokio-postgres` as well as for pgbench.
    pub(crate) fn url(&self) -> String {
        let host = self.folder.join("run");
        format!("postgres://colloquy@/colloquy?host={}", host.display())
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let request = b"GET /readyz HTTP/1.1\r\nhost: bench\r\n\r\n";
    match Client::connect(address).await {
        Ok(mut client) => client.ask(request, "\"ok\"").await.is_ok(),
        Err(_) => false,
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.pid().to_string();
        let asked = Command::new("kill").args(["-s", "TERM", &pid]).status();
        let began = Instant::now();
        while asked.is_ok() && began.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Its watchdog then stops the Postgres.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
