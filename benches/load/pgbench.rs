//! The yardstick: pgbench with the same statements, prepared, on the same database.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::server::Server;
use crate::world::definitions;

/// Transactions a second.
pub(crate) async fn run(server: &Server, clients: u32, seconds: u32, script: &str) -> Result<f64> {
    let file = server.folder.join("script.sql");
    std::fs::write(&file, script)?;
    let threads = std::thread::available_parallelism()?.get();
    let threads = clients.min(u32::try_from(threads)?);
    let mut command = Command::new(program(server)?);
    for definition in definitions() {
        command.arg("-D").arg(definition);
    }
    let output = command
        .args(["-n", "-M", "prepared", "-c", &clients.to_string()])
        .args(["-j", &threads.to_string(), "-T", &seconds.to_string()])
        .arg("-f")
        .arg(file)
        .arg(server.url())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench: {errors}");
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.and_then(|rest| rest.split_whitespace().next());
    Ok(tps.with_context(|| format!("no tps: {text}"))?.parse()?)
}

/// The pgbench beside the Postgres that runs.
fn program(server: &Server) -> Result<PathBuf> {
    let postgres = std::fs::read_link(format!("/proc/{}/exe", server.postgres()?))?;
    let pgbench = postgres.with_file_name("pgbench");
    ensure!(pgbench.is_file(), "no pgbench at {}", pgbench.display());
    Ok(pgbench)
}
