//! A `PgBouncer` that pools transactions, in front of the run's Postgres.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use colloquy::store::Database;
use tempfile::TempDir;

use super::postgres;

/// A running `PgBouncer`. It ends with this value, and with this process, however that ends.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    port: u16,
    /// The shell that ends it when our end of the pipe closes.
    shell: Child,
    folder: TempDir,
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().ok();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
}

impl PgBouncer {
    /// Starts one with so many sessions for each database; `None`, and a line that says so, where it is not
    /// installed.
    #[expect(clippy::print_stdout, reason = "a skipped test has to say so")]
    pub(crate) async fn start(sessions: usize) -> Option<Self> {
        let Some(program) = program() else {
            println!("SKIPPED: pgbouncer is not installed (apt install pgbouncer)");
            return None;
        };
        let folder = TempDir::new().unwrap();
        // As root, it runs as the user that Postgres runs as.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let host = tokio::task::spawn_blocking(postgres::socket_dir)
            .await
            .unwrap();
        let configuration = folder.path().join("pgbouncer.ini");
        let text = ini(&host, folder.path(), port, sessions);
        fs::write(&configuration, text).unwrap();
        let root = fs::metadata("/proc/self").is_ok_and(|own| {
            use std::os::unix::fs::MetadataExt as _;
            own.uid() == 0
        });
        let user = if root { "-u postgres" } else { "" };
        let script =
            format!("\"$1\" -q {user} \"$2\" & trap '' INT TERM HUP; read -r _; kill $!; wait");
        let shell = Command::new("/bin/sh")
            .args(["-c", &script, "sh"])
            .args([&program, &configuration])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self {
            port,
            shell,
            folder,
        };
        started.until_it_answers().await;
        Some(started)
    }

    async fn until_it_answers(&self) {
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                .await
                .is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let log = fs::read_to_string(self.folder.path().join("pgbouncer.log"));
        panic!("pgbouncer does not start: {log:?}");
    }

    /// The address of a database behind it.
    pub(crate) fn url(&self, database: &Database) -> String {
        let (port, name) = (self.port, database.name().unwrap());
        format!("postgres://colloquy@127.0.0.1:{port}/{name}?sslmode=disable&pool_mode=transaction")
    }

    /// A database as it is behind it.
    pub(crate) fn database(&self, database: &Database) -> Database {
        Database::new(&self.url(database)).unwrap()
    }
}

fn ini(host: &Path, folder: &Path, port: u16, sessions: usize) -> String {
    format!(
        "[databases]\n\
         * = host={host} port=5432 user=colloquy\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = any\n\
         pool_mode = transaction\n\
         default_pool_size = {sessions}\n\
         max_client_conn = 200\n\
         logfile = {folder}/pgbouncer.log\n",
        host = host.display(),
        folder = folder.display(),
    )
}
