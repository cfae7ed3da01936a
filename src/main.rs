//! Arguments, configuration, wiring. What it wires is in the library.

#[path = "main/agent.rs"]
mod agent;
#[path = "main/import.rs"]
mod import;
#[path = "main/serve.rs"]
mod serve;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use colloquy::app::{Claims, Clock, Tokens};
use colloquy::config::{Cli, Command, DatabaseArgs, EpochCommand, InitArgs, SecretArgs, TokenArgs};
use colloquy::embedded::{Options, Postgres};
use colloquy::model::{TenantId, UserId};
use colloquy::store::{self, Connection, Database, migrations};
use colloquy::{development, graphql, scaffold};
use secrecy::SecretString;
use tokio::time::timeout;

/// Half of what a request cost with glibc's was memory asked for and given back, in many small pieces
/// (docs/performance.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long the first connection to the database may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // One sentence with its causes, not a backtrace: it is for whoever starts the server.
            writeln!(std::io::stderr(), "colloquy: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = || tokio::runtime::Runtime::new().context("the runtime does not start");
    match cli.command {
        None => runtime()?.block_on(serve::run(cli.serve))?,
        Some(Command::Serve(args)) => runtime()?.block_on(serve::run(*args))?,
        Some(Command::Migrate(args)) => runtime()?.block_on(migrate(args))?,
        Some(Command::Epoch(command)) => runtime()?.block_on(epoch(command))?,
        Some(Command::Import(command)) => return runtime()?.block_on(import::run(*command)),
        Some(Command::Schema) => print(&graphql::sdl())?,
        Some(Command::Token(args)) => print(&(token(args)? + "\n"))?,
        Some(Command::Init(args)) => init(&args)?,
        Some(Command::Mcp(args)) => {
            let runtime = runtime()?;
            let served = runtime.block_on(agent::run(&args));
            // Where standard input is no pipe, a thread waits for a line that may never come.
            runtime.shutdown_background();
            served?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// The database, and the private Postgres it is in where no other is given.
async fn open(args: &DatabaseArgs) -> anyhow::Result<(Option<Postgres>, Database)> {
    if let Some(url) = args.url() {
        return Ok((None, Database::new(url)?));
    }
    let postgres = Postgres::start(Options {
        data_dir: args.data_dir(),
        bin_dir: args.postgres_bin.clone(),
        search_path: std::env::var_os("PATH"),
        settings: Vec::new(),
        throw_away: false,
    })
    .await?;
    let database = development::database(&postgres).await?;
    Ok((Some(postgres), database))
}

async fn connect(database: &Database) -> anyhow::Result<Connection> {
    timeout(CONNECT_WITHIN, database.connect())
        .await
        .context("the database does not answer")?
        .context("the database is out of reach")
}

/// Brings the tables up to date, or makes sure that they are.
async fn prepare(database: &Database, migrate: bool) -> anyhow::Result<()> {
    let connect = || connect(database);
    let failed = |error: migrations::MigrationError| anyhow::anyhow!(error);
    if migrate {
        let ran = migrations::run(connect().await?, connect().await?).await;
        for name in ran.map_err(failed)? {
            tracing::info!(name, "migrated");
        }
        return Ok(());
    }
    let pending = migrations::pending(connect().await?)
        .await
        .map_err(failed)?;
    if pending.is_empty() {
        return Ok(());
    }
    bail!(
        "the database lacks {} migration(s): run `colloquy migrate`, or serve with --migrate",
        pending.len()
    )
}

/// Writes an instance, and says what it wrote.
fn init(args: &InitArgs) -> anyhow::Result<()> {
    let written = scaffold::write(&args.folder, &args.plan())?;
    let width = written.iter().map(|file| file.path.len()).max();
    let width = width.unwrap_or_default();
    let files = written
        .iter()
        .map(|file| format!("  {:width$}  {}\n", file.path, file.about));
    let steps = scaffold::NEXT.map(|step| format!("  {step}\n"));
    let (files, steps) = (files.collect::<String>(), steps.concat());
    let folder = args.folder.display();
    print(&format!(
        "Wrote into {folder}:\n\n{files}\nThen:\n\n{steps}"
    ))
}

async fn migrate(args: DatabaseArgs) -> anyhow::Result<()> {
    let (postgres, database) = open(&args).await?;
    let migrated = async {
        let (lock, conn) = (connect(&database).await?, connect(&database).await?);
        let ran = migrations::run(lock, conn).await;
        ran.map_err(|error| anyhow::anyhow!(error))
    };
    let migrated = migrated.await;
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    let names = migrated?;
    if names.is_empty() {
        return print("The database is up to date.\n");
    }
    print(&(names.join("\n") + "\n"))
}

async fn epoch(command: EpochCommand) -> anyhow::Result<()> {
    let (EpochCommand::Show(args) | EpochCommand::Bump(args)) = &command;
    let (postgres, database) = open(args).await?;
    let said = async {
        let mut conn = connect(&database).await?;
        let conn = &mut conn;
        let said = match &command {
            EpochCommand::Show(_) => store::events::current_epoch(conn)
                .await
                .map(|epoch| format!("{epoch}\n")),
            EpochCommand::Bump(_) => store::events::bump_epoch(conn, Clock.now())
                .await
                .map(|(old, new)| format!("old {old}\nnew {new}\n")),
        };
        said.context("the database has no epoch to read: has `colloquy migrate` run on it?")
    };
    let said = said.await;
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    print(&said?)
}

fn token(args: TokenArgs) -> anyhow::Result<String> {
    let secret = secret(&args.secret, &args.database)?;
    let user = UserId::new(args.user)?;
    let tenant = args.tenant.map(TenantId::new).transpose()?;
    let claims = Claims {
        tenant: tenant.map(|tenant| tenant.as_str().to_owned()),
        name: args.name,
        picture: args.picture,
        permissions: args.permissions,
        ..Claims::new(&user, Clock.now(), args.expires_in)
    };
    Ok(Tokens::new(&secret, Duration::ZERO).make(&claims)?)
}

/// The given secret; in development, the one of the data folder.
fn secret(args: &SecretArgs, database: &DatabaseArgs) -> anyhow::Result<SecretString> {
    if let Some(secret) = args.secret() {
        return Ok(secret.clone());
    }
    if database.url().is_some() {
        bail!(
            "with a DATABASE_URL, set COLLOQUY_JWT_SECRET to the secret that tokens are signed with"
        );
    }
    Ok(development::secret(&database.data_dir())?)
}
