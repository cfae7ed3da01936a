//! The realtime benchmark: `cargo bench --bench realtime`.
//!
//! It starts the release binary on a private Postgres with the durability it ships with, and has thousands of
//! WebSockets follow chats while messages are sent. It fails where a subscriber does not get each message of
//! its chat once and in order. Beside each figure stands a yardstick of the same run, where there is one.
//! `docs/performance.md` explains the lines.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value that lacks a member gives null, which the report shows"
)]

#[path = "../load/client.rs"]
mod client;
#[path = "../load/pgbench.rs"]
mod pgbench;
#[path = "../load/process.rs"]
mod process;
#[path = "../load/report.rs"]
#[expect(dead_code, reason = "its tables are the load benchmark's")]
mod report;
#[path = "../load/server.rs"]
mod server;
#[path = "../load/statements.rs"]
#[expect(dead_code, reason = "statements a request are the load benchmark's")]
mod statements;
#[path = "../load/world.rs"]
#[expect(dead_code, reason = "pages are the load benchmark's")]
mod world;

mod audience;
mod figures;
mod limits;
mod live;
mod notify;
mod people;
mod sender;
mod socket;
mod storm;
mod tally;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use figures::Figures;
use live::Scene;
use people::{LARGE, MANY};
use sender::Pace;
use server::{Folder, Server};
use world::Database;

/// How to measure.
#[derive(Debug, Clone, Parser)]
struct Args {
    /// How often all of it is run, each time on a new database; the medians are reported.
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// The parts to run.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "fan-out,crowd,storm,notify"
    )]
    parts: Vec<String>,
    /// Where the temporary data folder goes: a disk of the kind that is of interest.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    place: std::path::PathBuf,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One thread: a client that takes little of the machine.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    limits::open_files(12_000)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Whatever ends first, the guards in `measure` stop what they started and remove the folder.
    tokio::select! {
        measured = measure(&args) => measured,
        _ = terminate.recv() => anyhow::bail!("terminated"),
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
    }
}

async fn measure(args: &Args) -> Result<()> {
    let before = report::load_average()?;
    let mut runs = Vec::new();
    let mut machine = Value::Null;
    for _ in 0..args.runs {
        let folder = Folder::new(&args.place)?;
        let (figures, found) = run(&folder, args).await?;
        runs.push(figures);
        machine = found;
    }
    let json = json!({
        "machine": machine,
        "load_average": [before, report::load_average()?],
        "runs": runs.iter().map(Figures::json).collect::<Vec<_>>(),
    });
    let load = &json["load_average"];
    let tables = format!(
        "{}\n{machine}\nload average before, after: {load}\n",
        Figures::table(&runs)
    );
    report::keep("realtime.json", &json, &tables)
}

/// All parts, each on a server that has just started.
async fn run(folder: &Folder, args: &Args) -> Result<(Figures, Value)> {
    let server = Server::start(folder).await?;
    let database = Database::connect(&server).await?;
    database.seed(120_000).await.context("seeding")?;
    people::seed(&database).await.context("seeding people")?;
    let machine = report::machine(&database, folder).await?;
    let epoch = database
        .client
        .query_one("SELECT value::text FROM epoch", &[]);
    let epoch: String = epoch.await?.get(0);
    let epoch: Uuid = epoch.parse()?;
    drop((database, server));
    let mut figures = Figures::default();
    for part in &args.parts {
        let server = Server::start(folder).await?;
        let database = Database::connect(&server).await?;
        database.run("CHECKPOINT").await?;
        let played = match part.as_str() {
            "fan-out" => live::play(&server, epoch, &fan_out(), &mut figures).await,
            "crowd" => live::play(&server, epoch, &crowd(), &mut figures).await,
            "storm" => storm::play(&server, &database, epoch, &mut figures).await,
            "notify" => notify::in_transaction(&server, &database, 3, &mut figures).await,
            _ => anyhow::bail!("there is no such part"),
        };
        played.with_context(|| part.clone())?;
    }
    Ok((figures, machine))
}

fn fan_out() -> Scene<'static> {
    Scene {
        name: "1 000 in 100 chats",
        chats: MANY,
        steps: &[1000],
        pace: Pace {
            per_second: 200,
            to_each: 30,
        },
    }
}

fn crowd() -> Scene<'static> {
    Scene {
        name: "5 000 in one chat",
        chats: LARGE,
        steps: &[1000, 5000],
        pace: Pace {
            per_second: 10,
            to_each: 100,
        },
    }
}
