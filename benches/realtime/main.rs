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
mod broadcast;
mod churn;
mod figures;
mod growth;
mod limits;
mod live;
mod notify;
mod people;
mod sender;
mod socket;
mod storm;
mod tally;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use figures::Figures;
use live::{Scene, Stage};
use people::{APART, Chats, HUGE, LARGE, MANY, PAIRS, VIEWERS};
use sender::Pace;
use server::{Folder, Server};
use socket::{FOR_ALL, FOR_EACH};
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
        default_value = "fan-out,latency,crowd,multitude,viewers,broadcast,storm,notify,growth,churn"
    )]
    parts: Vec<String>,
    /// For how many seconds people come and go.
    #[arg(long, default_value_t = 60)]
    churn: u64,
    /// Where the temporary data folder goes: a disk of the kind that is of interest.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    place: std::path::PathBuf,
    /// Serve the transport's yardstick here, and do nothing else.
    #[arg(long, hide = true)]
    serve_broadcast: Option<SocketAddr>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    limits::open_files(19_500)?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    if let Some(address) = args.serve_broadcast {
        // As many threads as the server that it is compared with has.
        runtime = tokio::runtime::Builder::new_multi_thread();
        return runtime
            .enable_all()
            .build()?
            .block_on(broadcast::serve(address));
    }
    // One thread: a client that takes little of the machine.
    runtime.enable_all().build()?.block_on(play(args))
}

async fn play(args: Args) -> Result<()> {
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
        let churned = Duration::from_secs(args.churn);
        let played = play_part(part, &server, &database, epoch, churned, &mut figures).await;
        played.with_context(|| part.clone())?;
    }
    Ok((figures, machine))
}

/// One part, on a server that has just started.
async fn play_part(
    part: &str,
    server: &Server,
    database: &Database,
    epoch: Uuid,
    churned: Duration,
    figures: &mut Figures,
) -> Result<()> {
    let stage = Stage::of(server);
    match part {
        "fan-out" => live::play(stage, epoch, &fan_out(), figures).await,
        "crowd" => live::play(stage, epoch, &crowd(LARGE, &[1000, 5000]), figures).await,
        "viewers" => live::play(stage, epoch, &viewers(), figures).await,
        "latency" => {
            live::play(stage, epoch, &pairs("one server", PAIRS), figures).await?;
            let url = Some(server.url());
            let second = Server::start_in(&server.folder, &[server::BINARY], url).await?;
            let stage = Stage {
                follows: &second,
                ..stage
            };
            live::play(stage, epoch, &pairs("two servers", APART), figures).await
        }
        "growth" => growth::play(server, database, figures).await,
        "churn" => churn::play(server, epoch, churned, figures).await,
        "multitude" => {
            let steps = &[5000, 15_000];
            live::play(stage, epoch, &crowd(HUGE, steps), figures).await
        }
        "broadcast" => broadcast::play(5000, 10, 100, figures).await,
        "storm" => storm::play(server, database, epoch, figures).await,
        "notify" => notify::in_transaction(server, database, 3, figures).await,
        _ => anyhow::bail!("there is no such part"),
    }
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
        query: FOR_ALL,
    }
}

/// A hundred chats of two, and as many sends as one process makes without being what is measured.
fn pairs(name: &'static str, chats: Chats) -> Scene<'static> {
    Scene {
        name,
        chats,
        steps: &[200],
        pace: Pace {
            per_second: 1000,
            to_each: 100,
        },
        query: FOR_ALL,
    }
}

/// People who are each told something else.
fn viewers() -> Scene<'static> {
    Scene {
        name: "1 000 with fields of their own",
        chats: VIEWERS,
        steps: &[1000],
        pace: Pace {
            per_second: 1,
            to_each: 10,
        },
        query: FOR_EACH,
    }
}

/// One chat with so many people.
fn crowd(chats: Chats, steps: &'static [usize]) -> Scene<'static> {
    Scene {
        name: if chats.people == LARGE.people {
            "5 000 in one chat"
        } else {
            "15 000 in one chat"
        },
        chats,
        steps,
        pace: Pace {
            per_second: if chats.people == LARGE.people { 10 } else { 2 },
            to_each: if chats.people == LARGE.people {
                100
            } else {
                20
            },
        },
        query: FOR_ALL,
    }
}
