//! A proxy in front of Postgres that counts what goes by: statements parsed, executed, and round trips.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use colloquy::store::Database;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};

/// What the frontend sent (PostgreSQL manual, section 55.7).
#[derive(Debug, Default)]
pub(crate) struct Counts {
    parse: AtomicUsize,
    execute: AtomicUsize,
    /// Simple queries: BEGIN, COMMIT, LISTEN and the like.
    query: AtomicUsize,
    /// The ends of what the frontend sends before it waits for an answer.
    sync: AtomicUsize,
    /// What was parsed or sent as a simple query, in order.
    texts: Mutex<Vec<Text>>,
    /// Each prepared statement, by connection and name.
    prepared: Mutex<HashMap<(usize, Vec<u8>), Text>>,
    /// The SQL of what was executed, simple queries included, in order.
    runs: Mutex<Vec<String>>,
    /// The connections that see the rows of one tenant at the moment.
    confined: Mutex<HashSet<usize>>,
    /// What was executed on such connections, each statement once.
    of_tenants: Mutex<HashSet<Text>>,
    connections: AtomicUsize,
}

/// The SQL of a statement, on which connection it came, and the OIDs of its parameters' types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Text {
    pub(crate) connection: usize,
    pub(crate) sql: String,
    pub(crate) parameters: Vec<u32>,
}

/// How many of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) parsed: usize,
    pub(crate) statements: usize,
    pub(crate) round_trips: usize,
}

impl Counts {
    /// What went by since the last call.
    pub(crate) fn take(&self) -> Counted {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::SeqCst);
        let (query, sync) = (take(&self.query), take(&self.sync));
        Counted {
            parsed: take(&self.parse),
            statements: take(&self.execute) + query,
            round_trips: sync + query,
        }
    }

    /// What was parsed, or sent as a simple query, since the last call.
    pub(crate) fn texts(&self) -> Vec<Text> {
        std::mem::take(&mut *self.texts.lock().unwrap())
    }

    /// The SQL of what was executed since the last call, simple queries included, in order.
    pub(crate) fn ran(&self) -> Vec<String> {
        std::mem::take(&mut *self.runs.lock().unwrap())
    }

    /// How often a statement that contains `part` was executed since the last call.
    pub(crate) fn runs(&self, part: &str) -> usize {
        let runs = self.ran();
        runs.iter().filter(|sql| sql.contains(part)).count()
    }

    /// The prepared statements that were executed for one tenant, each once.
    pub(crate) fn of_tenants(&self) -> HashSet<Text> {
        self.of_tenants.lock().unwrap().clone()
    }

    /// Takes note of what prepared statement a Bind names behind its portal.
    fn note_run(&self, connection: usize, body: &[u8]) {
        let name = body.split(|byte| *byte == 0).nth(1).unwrap().to_vec();
        let prepared = self.prepared.lock().unwrap();
        let Some(text) = prepared.get(&(connection, name)) else {
            return;
        };
        self.runs.lock().unwrap().push(text.sql.clone());
        if self.confined.lock().unwrap().contains(&connection) {
            let text = Text {
                connection: 0,
                ..text.clone()
            };
            self.of_tenants.lock().unwrap().insert(text);
        }
    }

    fn note(&self, connection: usize, kind: Option<u8>, body: &[u8]) {
        let starts = |with: &str| kind == Some(b'Q') && body.starts_with(with.as_bytes());
        if starts("SET ROLE") || starts("RESET ROLE") || starts("SET colloquy.tenant") {
            // A change of what a session sees goes along with a statement.
            let mut confined = self.confined.lock().unwrap();
            if starts("RESET ROLE") {
                confined.remove(&connection);
            } else {
                confined.insert(connection);
            }
            return;
        }
        let counter = match kind {
            Some(b'P') => &self.parse,
            Some(b'E') => &self.execute,
            Some(b'Q') => &self.query,
            Some(b'S') => &self.sync,
            Some(b'B') => return self.note_run(connection, body),
            _ => return,
        };
        counter.fetch_add(1, Ordering::SeqCst);
        // A Parse is the statement's name, its text, how many types follow, and those.
        let mut parts = body.splitn(3, |byte| *byte == 0);
        let (text, types) = match kind {
            Some(b'P') => (parts.nth(1), parts.next().and_then(|rest| rest.get(2..))),
            Some(b'Q') => (parts.next(), None),
            _ => return,
        };
        let oid = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let text = Text {
            connection,
            sql: String::from_utf8(text.unwrap().to_vec()).unwrap(),
            parameters: types.unwrap_or_default().chunks(4).map(oid).collect(),
        };
        if kind == Some(b'P') {
            let name = body.split(|byte| *byte == 0).next().unwrap().to_vec();
            let mut prepared = self.prepared.lock().unwrap();
            prepared.insert((connection, name), text.clone());
        } else {
            self.runs.lock().unwrap().push(text.sql.clone());
        }
        self.texts.lock().unwrap().push(text);
    }
}

/// Puts a counting proxy in front of a database; returns the database as it is behind the proxy.
pub(crate) async fn counted(database: &Database, socket_dir: PathBuf) -> (Database, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shared = Arc::clone(&counts);
    tokio::task::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            client.set_nodelay(true).unwrap();
            let server = UnixStream::connect(socket_dir.join(".s.PGSQL.5432"))
                .await
                .unwrap();
            let counts = Arc::clone(&shared);
            tokio::task::spawn(async move {
                let (client_read, mut client_write) = client.into_split();
                let (mut server_read, server_write) = server.into_split();
                let down = tokio::io::copy(&mut server_read, &mut client_write);
                // Either end's hanging up ends both ways.
                tokio::select! {
                    _ = down => {}
                    _ = count(client_read, server_write, &counts) => {}
                }
            });
        }
    });
    let name = database.name().unwrap();
    let url = format!("postgres://colloquy@127.0.0.1:{port}/{name}?sslmode=disable");
    (Database::new(&url).unwrap(), counts)
}

async fn count(
    mut client: impl tokio::io::AsyncRead + Unpin,
    mut server: impl tokio::io::AsyncWrite + Unpin,
    counts: &Counts,
) -> io::Result<()> {
    let connection = counts.connections.fetch_add(1, Ordering::SeqCst);
    let mut first = true;
    loop {
        // The start-up message has no type.
        let kind = if first {
            None
        } else {
            Some(client.read_u8().await?)
        };
        first = false;
        let length = client.read_u32().await?;
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        client.read_exact(&mut body).await?;
        counts.note(connection, kind, &body);
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend(length.to_be_bytes());
        message.extend(body);
        server.write_all(&message).await?;
    }
}
