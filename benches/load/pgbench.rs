//! The yardstick: pgbench with the same statements, prepared, on the same database.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::server::Server;
use crate::world::definitions;

/// Transactions a second, and the mean time of one in milliseconds.
pub(crate) type Measured = (f64, f64);

/// One run.
pub(crate) async fn run(
    server: &Server,
    clients: u32,
    seconds: u32,
    script: &str,
) -> Result<Measured> {
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
    let figure = |name: &str| -> Result<f64> {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        let number = found.and_then(|rest| rest.split_whitespace().next());
        Ok(number
            .with_context(|| format!("no {name}: {text}"))?
            .parse()?)
    };
    Ok((figure("tps = ")?, figure("latency average = ")?))
}

/// The pgbench beside the Postgres that runs.
fn program(server: &Server) -> Result<PathBuf> {
    let postgres = std::fs::read_link(format!("/proc/{}/exe", server.postgres()?))?;
    let pgbench = postgres.with_file_name("pgbench");
    ensure!(pgbench.is_file(), "no pgbench at {}", pgbench.display());
    Ok(pgbench)
}
