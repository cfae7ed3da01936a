//! The binary itself on a database of a test: what no other test can change, and what a user runs.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use colloquy::store::Database;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::postgres;
use super::server::SECRET;
use super::socket::PATIENCE;

/// A running server in a process of its own. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Binary {
    /// Serves a database, without limits of rates.
    pub(crate) async fn serve(database: &Database, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_colloquy"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COLLOQUY_") {
                command.env_remove(name);
            }
        }
        command
            .args(["--listen", "127.0.0.1:0", "--rate-limits", "off"])
            .args(arguments)
            .env("DATABASE_URL", postgres::url(database))
            .env("COLLOQUY_JWT_SECRET", SECRET)
            .env("COLLOQUY_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let said: Value = serde_json::from_str(&line).unwrap_or_default();
                if said["message"] == "serving" {
                    return said["address"].as_str().unwrap().parse().unwrap();
                }
                log.lock().unwrap().push(line);
            }
            panic!("the server does not start: {:?}", log.lock().unwrap());
        };
        let address = timeout(PATIENCE, ready).await.unwrap();
        let heard = Arc::clone(&log);
        tokio::task::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().unwrap().push(line);
            }
        });
        Self {
            address,
            child,
            log,
        }
    }

    /// A line of what the kernel says of the process, in bytes.
    #[cfg(target_os = "linux")]
    fn kernel_says(&self, line: &str) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let value = status.lines().find_map(|said| said.strip_prefix(line));
        let words = value.unwrap_or_default().split_whitespace();
        let kibibytes: Vec<&str> = words.collect();
        kibibytes[1].parse::<u64>().unwrap() * 1024
    }

    /// By how many bytes its memory grows at the most while something is done.
    #[cfg(target_os = "linux")]
    pub(crate) async fn growth<T>(&self, done: impl Future<Output = T>) -> (T, u64) {
        let pid = self.child.id().expect("it runs");
        // Forgets the peak (proc_pid_clear_refs(5)).
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        let before = self.kernel_says("VmRSS");
        let value = done.await;
        (value, self.kernel_says("VmHWM").saturating_sub(before))
    }

    /// Elsewhere nobody says how much memory a process has.
    #[cfg(not(target_os = "linux"))]
    pub(crate) async fn growth<T>(&self, done: impl Future<Output = T>) -> (T, u64) {
        (done.await, 0)
    }

    /// What it has logged so far, a line each.
    pub(crate) fn said(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Asserts that it runs, and that nothing in it has panicked or failed.
    pub(crate) fn is_sound(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert_eq!(ended, None, "it has ended: {:?}", self.log.lock().unwrap());
        // The text of a panic stands on a line of its own.
        let faults = ["panicked", "\"level\":\"ERROR\""];
        for line in self.log.lock().unwrap().iter() {
            let is_fault = faults.iter().any(|fault| line.contains(fault));
            assert!(!is_fault, "its log says {line}");
        }
    }
}
