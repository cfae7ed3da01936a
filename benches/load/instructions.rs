//! Instructions, counted by callgrind: the steadiest figure, the same on a busy machine and on a quiet one. It counts what
//! a process runs, not what the kernel does for it, and under it one thread runs at a time.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::Client;
use crate::server::{BINARY, Folder, Server};
use crate::world::Operation;
use crate::{plain, report};

/// Requests before counting: documents and people are known then.
const BEFORE: u32 = 200;

/// Requests that are counted.
const COUNTED: u32 = 500;

/// Counts for each operation with one client, and for the page of a plain resolver. What was counted where is kept for
/// `callgrind_annotate` in `target/bench`.
pub(crate) async fn count(folder: &Folder) -> Result<Value> {
    let out = folder.0.join("callgrind.out");
    let file = format!("--callgrind-out-file={}", out.display());
    let valgrind = [
        "valgrind",
        "-q",
        "--tool=callgrind",
        "--instr-atstart=no",
        &file,
    ];
    let mut lines = Vec::new();
    for operation in [Operation::send(), Operation::page(), Operation::inbox()] {
        let program = [&valgrind[..], &[BINARY]].concat();
        let server = Server::start_in(&folder.0, &program, None).await;
        let server = server.context("is valgrind installed?")?;
        ask(server.pid(), server.address, &operation).await?;
        drop(server);
        lines.push(json!({ "operation": operation.name, "instructions": counted(&out)? }));
        let kept = format!("callgrind {}.out", operation.name);
        std::fs::copy(&out, report::folder()?.join(kept))?;
    }
    let server = plain::Server::start(&valgrind).await?;
    ask(server.pid(), server.address, &Operation::page()).await?;
    // Written now, because the yardstick is stopped without being asked.
    control(server.pid(), &["-d"]).await?;
    drop(server);
    let out = out.with_extension("out.1");
    let plain =
        json!({ "operation": "a page by a plain resolver", "instructions": counted(&out)? });
    lines.push(plain);
    Ok(lines.into())
}

/// Asks with one client, so that callgrind counts the later requests.
async fn ask(pid: u32, address: SocketAddr, operation: &Operation) -> Result<()> {
    let mut client = Client::connect(address).await?;
    let token = operation.token(0)?;
    for number in 0..BEFORE + COUNTED {
        if number == BEFORE {
            control(pid, &["-i", "on"]).await?;
        }
        let request = (operation.request)(&token, 0, number);
        client.ask(&request, operation.wanted).await?;
    }
    control(pid, &["-i", "off"]).await
}

/// The instructions of each request, from what callgrind wrote.
fn counted(out: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(out)?;
    let total = |name| text.lines().find_map(|line| line.strip_prefix(name));
    let total = total("totals: ").or_else(|| total("summary: "));
    let total: f64 = total.context("no totals")?.trim().parse()?;
    Ok(total / f64::from(COUNTED))
}

async fn control(pid: u32, arguments: &[&str]) -> Result<()> {
    let status = Command::new("callgrind_control")
        .args(arguments)
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await?;
    ensure!(status.success(), "callgrind_control {arguments:?}");
    Ok(())
}
