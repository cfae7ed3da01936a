//! One private Postgres for the whole test run, and a database for each test, cloned from a migrated template.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use colloquy::embedded::{Options, Postgres};
use colloquy::store::{Connection, Database, databases, migrations};
use diesel_async::SimpleAsyncConnection as _;

const TEMPLATE: &str = "template_colloquy";

/// The addresses of the run's Postgres.
#[derive(Debug)]
struct Shared {
    postgres: Database,
    socket_dir: PathBuf,
}

static SHARED: OnceLock<Shared> = OnceLock::new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// Starts Postgres when the first test asks, on a thread of its own: its runtime must outlive each test's.
/// Nothing stops it: its watchdog does, and removes its data, when this process ends, however it ends.
fn shared() -> &'static Shared {
    SHARED.get_or_init(|| {
        let (ready, started) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let postgres = start("shared").await;
                let url = postgres.url("postgres");
                prepare_template(&url).await;
                ready.send((url, postgres.socket_dir().to_owned())).unwrap();
                std::future::pending::<()>().await;
            });
        });
        let (url, socket_dir) = started.recv().expect("the private Postgres starts");
        Shared {
            postgres: Database::new(&url).unwrap(),
            socket_dir,
        }
    })
}

/// Removes a Postgres' folder when this process ends, however it ends: a shell waits for the end of our pipe,
/// then for Postgres' own watchdog to stop it.
fn remove_in_the_end(folder: &Path) {
    const SCRIPT: &str = r#"trap '' INT TERM HUP; read -r _
        for _ in $(seq 100); do [ -e "$1/postgres.throw-away" ] || break; sleep 0.1; done
        rm -rf -- "$1""#;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", SCRIPT, "sh"]).arg(folder);
    let shell = shell.process_group(0).stdin(Stdio::piped()).spawn();
    // Held open until the process ends.
    std::mem::forget(shell.unwrap());
}

/// A folder for files, which goes with the run's Postgres.
pub(crate) fn files() -> PathBuf {
    let folder = format!("colloquy-test-{}-shared", std::process::id());
    std::env::temp_dir().join(folder).join("attachments")
}

/// A throw-away Postgres, for tests that stop or kill it.
pub(crate) async fn start(name: &str) -> Postgres {
    let folder = format!("colloquy-test-{}-{name}", std::process::id());
    let settings = [
        ("max_connections", "300"),
        ("log_min_messages", "warning"),
        ("track_counts", "on"),
    ];
    let data_dir = std::env::temp_dir().join(folder);
    remove_in_the_end(&data_dir);
    Postgres::start(Options {
        data_dir,
        bin_dir: None,
        search_path: std::env::var_os("PATH"),
        settings: settings
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        throw_away: true,
    })
    .await
    .expect("the private Postgres starts")
}

/// Makes the migrated template in a fresh Postgres.
pub(crate) async fn prepare_template(url: &str) {
    let postgres = Database::new(url).unwrap();
    let mut conn = postgres.connect().await.unwrap();
    databases::ensure(&mut conn, TEMPLATE).await.unwrap();
    // The migration harness blocks in place, which takes a runtime of more than one thread.
    let template = postgres.named(TEMPLATE);
    thread::spawn(move || {
        super::run(async move {
            let [lock, conn] = [template.connect().await, template.connect().await];
            migrations::run(lock.unwrap(), conn.unwrap()).await.unwrap();
            super::row_security::prepare(&mut template.connect().await.unwrap()).await;
        });
    })
    .join()
    .unwrap();
}

/// A new database with the tables, and nothing in them.
pub(crate) async fn database() -> Database {
    let postgres = tokio::task::spawn_blocking(|| &shared().postgres)
        .await
        .unwrap();
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut conn = postgres.connect().await.unwrap();
    let create = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY");
    conn.batch_execute(&create).await.unwrap();
    postgres.named(&name)
}

/// The address of a database of the run's Postgres, for another process.
pub(crate) fn url(database: &Database) -> String {
    let host = socket_dir().to_str().unwrap().replace('/', "%2F");
    let name = database.name().unwrap();
    format!("postgres://colloquy@/{name}?host={host}")
}

/// The folder of the run's socket, for a proxy in front of it.
pub(crate) fn socket_dir() -> PathBuf {
    shared().socket_dir.clone()
}

/// A new empty database, without the tables.
pub(crate) async fn empty_database() -> Database {
    let postgres = tokio::task::spawn_blocking(|| &shared().postgres)
        .await
        .unwrap();
    let name = format!("empty_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut conn = postgres.connect().await.unwrap();
    databases::ensure(&mut conn, &name).await.unwrap();
    postgres.named(&name)
}

/// Runs SQL behind the API's back: for looking, and for faults.
pub(crate) async fn sql(conn: &mut Connection, statement: &str) {
    conn.batch_execute(statement).await.unwrap();
}
