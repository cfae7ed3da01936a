//! Server processes, each between two proxies.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use colloquy::sabotage::Sabotage;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::client;
use crate::database::Database;
use crate::proxy::{Proxy, Upstream};

/// Signs all tokens.
pub(crate) const SECRET: &str = "a secret of thirty-two bytes, or more";

/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What differs between scenarios.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) ring: usize,
    pub(crate) sweep: Duration,
    pub(crate) sabotage: Option<Sabotage>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ring: 256,
            sweep: Duration::from_millis(1500),
            sabotage: None,
        }
    }
}

/// A `colloquy serve`, a proxy in front of it, and a proxy between it and Postgres.
#[derive(Debug)]
pub(crate) struct Server {
    /// The name of its connections in `pg_stat_activity`.
    pub(crate) name: String,
    pub(crate) front: Arc<Proxy>,
    pub(crate) back: Arc<Proxy>,
    child: Child,
    /// The server itself, without the proxy.
    direct: SocketAddr,
    log: PathBuf,
    database: String,
    settings: Settings,
}

impl Server {
    /// Starts a server on a database, and waits until it is ready.
    pub(crate) async fn start(
        name: String,
        database: &Database,
        settings: Settings,
        logs: &Path,
    ) -> Self {
        let postgres = Upstream::Postgres(database.socket_dir.clone());
        let back = Arc::new(Proxy::start(postgres).await);
        let log = logs.join(format!("{name}.log"));
        let child = spawn(&name, &back, &database.name, &settings, &log);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut server = Self {
            name,
            front: Arc::new(Proxy::start(Upstream::Tcp(nowhere)).await),
            back,
            child,
            direct: nowhere,
            log,
            database: database.name.clone(),
            settings,
        };
        server.until_ready(Instant::now()).await;
        server
    }

    /// Where clients find it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.front.address
    }

    /// Ends the process at once, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks the process to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.signal("TERM");
        self.child.wait().await.unwrap();
        began.elapsed()
    }

    /// Starts the process anew, on a port of its own choice; it may take its time while Postgres is away.
    pub(crate) async fn restart(&mut self) {
        let began = Instant::now();
        self.child = spawn(
            &self.name,
            &self.back,
            &self.database,
            &self.settings,
            &self.log,
        );
        self.until_ready(began).await;
    }

    pub(crate) fn signal(&self, name: &str) {
        let Some(pid) = self.child.id() else { return };
        let status = std::process::Command::new("kill")
            .args(["-s", name, &pid.to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Whether it answers and hears the other servers.
    pub(crate) async fn is_ready(&self) -> bool {
        client::status(self.direct, "/readyz").await == Some(200)
    }

    /// What it said last, for who reads of a failure.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    async fn until_ready(&mut self, began: Instant) {
        loop {
            assert!(
                began.elapsed() < PATIENCE,
                "no start:\n{}",
                self.last_words()
            );
            if self.child.try_wait().unwrap().is_some() {
                // It does not start while Postgres is away or the network is ill: whoever runs it tries again.
                self.child = spawn(
                    &self.name,
                    &self.back,
                    &self.database,
                    &self.settings,
                    &self.log,
                );
            }
            if let Some(address) = self.says_where() {
                self.direct = address;
                self.front.lead_to(Upstream::Tcp(address));
                if self.is_ready().await {
                    return;
                }
            }
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// The address in its log, which begins anew with each start.
    fn says_where(&self) -> Option<SocketAddr> {
        let log = fs::read_to_string(&self.log).ok()?;
        let line = log.lines().find(|line| line.contains("\"serving\""))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["address"].as_str()?.parse().ok()
    }
}

fn spawn(name: &str, back: &Proxy, database: &str, settings: &Settings, log: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colloquy"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("COLLOQUY_") || text == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    let port = back.address.port();
    // Short waits, so that an outage is noticed within a test's time.
    let url = format!(
        "postgres://colloquy@127.0.0.1:{port}/{database}?sslmode=disable&application_name={name}"
    );
    let seconds = |time: Duration| format!("{}ms", time.as_millis());
    if let Some(sabotage) = settings.sabotage {
        command.env("COLLOQUY_SABOTAGE", sabotage.name());
    }
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .args([
            "--pool-size",
            "8",
            "--pool-wait",
            "2s",
            "--connect-timeout",
            "2s",
        ])
        .args(["--statement-timeout", "3s"])
        .args(["--realtime-ring", &settings.ring.to_string()])
        .args(["--realtime-sweep", &seconds(settings.sweep)])
        .env("DATABASE_URL", url)
        .env("COLLOQUY_JWT_SECRET", SECRET)
        .env("COLLOQUY_RATE_LIMITS", "off")
        .env("COLLOQUY_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
