//! `colloquy import`: the wiring.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use colloquy::app::Import;
use colloquy::config::ImportCommand;
use colloquy::model::ImportReport;
use colloquy::store::{Database, row_security};

use super::{connect, open, prepare, print};

/// What an import ends with where not everything of the source could be taken over.
const IN_PART: u8 = 3;

/// How often an import says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Moves in from another service. It ends with success where everything could be taken over.
pub(super) async fn run(command: ImportCommand) -> anyhow::Result<ExitCode> {
    let ImportCommand::Sourceloop(args) = command;
    let plan = args.plan()?;
    // Who cannot have the report is to hear of it before the hours that it takes.
    let mut file = match &args.report {
        Some(path) => {
            let mut options = OpenOptions::new();
            let file = options.create(true).write(true).truncate(false).open(path);
            Some(file.with_context(|| format!("{} cannot be written", path.display()))?)
        }
        None => None,
    };
    let source = Database::new(args.source()).context("the source")?;
    let mut source = connect(&source).await.context("the source")?;
    let (postgres, database) = open(&args.database).await?;
    let imported = async {
        prepare(&database, postgres.is_some()).await?;
        let mut target = connect(&database).await?;
        row_security::prepare(&mut target, None).await?;
        let mut said_at = Instant::now();
        let heard = |report: &ImportReport| {
            if said_at.elapsed() > PROGRESS_EVERY {
                said_at = Instant::now();
                let read = report.messages_read;
                writeln!(std::io::stderr(), "{read} messages").ok();
            }
        };
        let report = Import::run((&mut source, &mut target), &plan, heard).await;
        anyhow::Ok(report?)
    };
    let imported = imported.await;
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    let report = imported?;
    let text = serde_json::to_string_pretty(&report.json())? + "\n";
    match &mut file {
        Some(file) => {
            // What it had was another run's. A terminal or a pipe has nothing.
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
            file.write_all(text.as_bytes())?;
        }
        None => print(&text)?,
    }
    Ok(if report.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(IN_PART)
    })
}
