//! The load benchmark: `cargo bench --bench load`, with `-- --seconds 5 --runs 3 --parts operations,overload` as the defaults.
//!
//! It starts the release binary on a private Postgres with the durability it ships with, loads it over HTTP,
//! and runs `pgbench` with the statements of the same operations on the same database, in turns. What counts
//! are the ratios and the processor time: both survive a busy machine. `docs/performance.md` explains the lines.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value that lacks a member gives null, which the report shows"
)]

mod client;
mod instructions;
#[path = "../realtime/limits.rs"]
mod limits;
mod measure;
mod overload;
mod partitions;
mod pgbench;
mod plain;
mod process;
mod report;
mod server;
mod statements;
mod world;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use measure::{Bench, compare};
use server::{Folder, Server};
use world::{Database, Operation};

/// How to measure.
#[derive(Debug, Clone, Parser)]
struct Args {
    /// How long each run takes.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// How often each thing is run, in turns; the medians are reported.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// What to run.
    #[arg(long, value_delimiter = ',', default_value = "operations,overload")]
    parts: Vec<Part>,
    /// Where the temporary data folder goes: a disk of the kind that is of interest.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    place: std::path::PathBuf,
    /// How many messages the database holds in all, one chat having 100 000.
    #[arg(long, default_value_t = 120_000)]
    messages: u32,
    /// Only the operations whose names hold this.
    #[arg(long, default_value = "")]
    only: String,
    /// Serve the framework's yardstick here, and do nothing else.
    #[arg(long, hide = true)]
    serve_plain: Option<SocketAddr>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Sends and pages beside pgbench.
    Operations,
    /// More than the server can do.
    Overload,
    /// Instructions of an operation, where valgrind is installed.
    Instructions,
    /// The table of messages cut into partitions, beside it whole.
    Partitions,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    if let Some(address) = args.serve_plain {
        // As many threads as the server that it is compared with has.
        runtime = tokio::runtime::Builder::new_multi_thread();
        return runtime
            .enable_all()
            .build()?
            .block_on(plain::serve(address));
    }
    // One thread: a client that takes little of the machine.
    runtime.enable_all().build()?.block_on(run(args))
}

async fn run(args: Args) -> Result<()> {
    limits::open_files(4_000)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Whatever ends first, the guards in `measure` stop what they started and remove the folder.
    tokio::select! {
        measured = measure(&args) => report::write(&measured?),
        _ = terminate.recv() => anyhow::bail!("terminated"),
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
    }
}

async fn measure(args: &Args) -> Result<Value> {
    let folder = Folder::new(&args.place)?;
    let load_before = report::load_average()?;
    let server = Server::start(&folder).await?;
    let database = Database::connect(&server).await?;
    database.seed(args.messages).await.context("seeding")?;
    let machine = report::machine(&database, &folder).await?;
    drop((database, server));
    let mut report = json!({
        "machine": machine,
        "seconds": args.seconds,
        "runs": args.runs,
        "messages": args.messages,
    });
    for part in &args.parts {
        measure_part(*part, &folder, args, &mut report).await?;
    }
    report["load_average"] = json!([load_before, report::load_average()?]);
    Ok(report)
}

/// One part, on a server that has just started.
async fn measure_part(part: Part, folder: &Folder, args: &Args, report: &mut Value) -> Result<()> {
    match part {
        Part::Operations => {
            report["idle"] = idle(folder, args.runs).await?;
            operations(&bench(folder, args).await?, &args.only, report).await?;
        }
        Part::Overload => {
            let bench = bench(folder, args).await?;
            report["overload"] = overload::overload(&bench, &Operation::send()).await?;
        }
        Part::Instructions => report["instructions"] = instructions::count(folder).await?,
        Part::Partitions => {
            report["partitions"] = partitions::compare(&bench(folder, args).await?).await?;
        }
    }
    Ok(())
}

/// A server that has just started.
async fn bench(folder: &Folder, args: &Args) -> Result<Bench> {
    let server = Server::start(folder).await?;
    Ok(Bench {
        database: Database::connect(&server).await?,
        server,
        seconds: args.seconds,
        runs: args.runs,
    })
}

async fn operations(bench: &Bench, only: &str, report: &mut Value) -> Result<()> {
    if only.is_empty() {
        let send = statements::of(&bench.server, &bench.database, &Operation::send()).await?;
        report["notify"] = notify(bench, &send.script).await?;
        report["plain"] = plain(bench, &Operation::page(), 8).await?;
    }
    let mut lines = Vec::new();
    for (operation, clients) in [
        (Operation::send(), vec![1, 8, 32, 256]),
        (Operation::hot(), vec![64]),
        (Operation::page(), vec![1, 8]),
        (Operation::deep_page(), vec![8]),
        (Operation::inbox(), vec![1, 8]),
    ] {
        for clients in clients
            .into_iter()
            .filter(|_| operation.name.contains(only))
        {
            lines.push(line(bench, &operation, clients).await?);
        }
    }
    report["lines"] = lines.into();
    Ok(())
}

/// An operation at so many clients.
async fn line(bench: &Bench, operation: &Operation, clients: u32) -> Result<Value> {
    let statements = statements::of(&bench.server, &bench.database, operation).await?;
    let mut line = compare(bench, operation, &statements.script, clients).await?;
    line["statements"] = statements.per_request.into();
    Ok(line)
}

/// The framework's own cost of a page, and the server's, in turns.
async fn plain(bench: &Bench, page: &Operation, clients: u32) -> Result<Value> {
    let server = plain::Server::start(&[]).await?;
    let cpu = || {
        let [server, client] = [server.pid(), std::process::id()].map(process::cpu);
        Ok([server?, Duration::ZERO, client?])
    };
    let (mut loads, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        loads.push(measure::load(server.address, cpu, page, clients, bench.seconds).await?);
        ours.push(bench.load(page, clients).await?);
    }
    let mut line = measure::medians(&loads);
    line["clients"] = clients.into();
    line["page_us"] = measure::medians(&ours)["server_us"].clone();
    Ok(line)
}

/// What a notification in the writer's own transaction would cost: pgbench only, 32 clients.
async fn notify(bench: &Bench, send: &str) -> Result<Value> {
    let with = ", pg_notify('bench', chat_id::text || ':' || seq);";
    let notifying = send.trim_end().trim_end_matches(';').to_owned() + with;
    let scripts = [send.to_owned(), notifying];
    let runs = bench.in_turns(32, &scripts).await?;
    Ok(json!({ "clients": 32, "plain": runs[0], "notifying": runs[1] }))
}

/// Start-up with existing data, and what the server takes while nobody asks anything.
async fn idle(folder: &Folder, runs: u32) -> Result<Value> {
    let (mut ready_ms, mut resident_kib) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let server = Server::start(folder).await?;
        ready_ms.push(server.ready_after.as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_secs(2)).await;
        resident_kib.push(process::resident_kib(server.pid())?);
    }
    let binary = std::fs::metadata(server::BINARY)?.len();
    Ok(json!({
        "ready_ms": report::median(&ready_ms),
        "resident_kib": report::median(&resident_kib),
        "binary_bytes": binary,
    }))
}
