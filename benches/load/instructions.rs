//! Instructions, counted by callgrind: the steadiest figure, the same on a busy machine and on a quiet one. It counts what
//! the server's process runs, not what the kernel does for it, and under it one thread runs at a time.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::Client;
use crate::report::real;
use crate::server::{BINARY, Folder, Server};
use crate::world::Operation;

/// Requests before counting: documents and people are known then.
const BEFORE: u32 = 200;

/// Requests that are counted.
const COUNTED: u32 = 500;

/// Counts for each operation, with one client.
pub(crate) async fn count(folder: &Folder) -> Result<Value> {
    let out = folder.0.join("callgrind.out");
    let file = format!("--callgrind-out-file={}", out.display());
    let valgrind = [
        "valgrind",
        "-q",
        "--tool=callgrind",
        "--instr-atstart=no",
        &file,
        BINARY,
    ];
    let mut lines = Vec::new();
    for operation in [Operation::send(), Operation::page(), Operation::inbox()] {
        let server = Server::start_in(&folder.0, &valgrind, None)
            .await
            .context("is valgrind installed?")?;
        let mut client = Client::connect(server.address).await?;
        let token = operation.token(0)?;
        let mut ask = async |numbers: std::ops::Range<u32>| -> Result<()> {
            for number in numbers {
                let request = (operation.request)(&token, 0, number);
                client.ask(&request, operation.wanted).await?;
            }
            Ok(())
        };
        ask(0..BEFORE).await?;
        control(server.pid(), &["-i", "on"]).await?;
        ask(BEFORE..BEFORE + COUNTED).await?;
        control(server.pid(), &["-i", "off"]).await?;
        // What is counted is written when the program ends.
        drop(server);
        let text = std::fs::read_to_string(&out)?;
        let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let totals: f64 = totals.context("no totals")?.trim().parse()?;
        lines.push(json!({
            "operation": operation.name,
            "instructions": totals / real(usize::try_from(COUNTED)?),
        }));
    }
    Ok(lines.into())
}

async fn control(pid: u32, arguments: &[&str]) -> Result<()> {
    let status = Command::new("callgrind_control")
        .args(arguments)
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await?;
    ensure!(status.success(), "callgrind_control {arguments:?}");
    Ok(())
}
