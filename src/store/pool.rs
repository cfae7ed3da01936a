//! Connections to Postgres: one at a time, or from a bounded pool.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::Timeouts;
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use futures_util::future::ready;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use rustls::ClientConfig;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::connection::{Connection, Unprepared};
use super::lending::Pool;
use super::metrics::StoreMetrics;
use super::tls;
use crate::sabotage::{self, Sabotage};

/// The pool's manager.
pub(super) type Manager = AsyncDieselConnectionManager<Connection>;

/// How soon Postgres notices that nobody waits for a statement any more, and ends it; in milliseconds. Not behind a
/// proxy, which notices by itself.
const ABANDONED_AFTER: u32 = 500;

/// What is wrong with a database's address.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It is no connection URL that Postgres knows. The text is not repeated: it may hold a password.
    #[error("the database URL cannot be read")]
    Url(#[source] tokio_postgres::Error),
    /// `sslmode` or `sslrootcert` cannot be done.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// `pool_mode` is none that a proxy has.
    #[error("pool_mode is session or transaction, not {0:?}")]
    PoolMode(String),
    /// The pool cannot be built.
    #[error("the connection pool cannot be built")]
    Pool(#[source] deadpool::managed::BuildError),
}

/// What a connection keeps: all its transactions in one session, or each in any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// A session: Postgres itself, or a proxy that pools sessions.
    Session,
    /// A transaction: a proxy that pools transactions.
    Transaction,
}

/// How long Postgres' side of a TCP connection may not acknowledge anything before the connection is lost.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// A database that can be connected to.
#[derive(Clone)]
pub struct Database {
    config: Config,
    tls: Arc<ClientConfig>,
    mode: PoolMode,
    /// Drives the connections behind a proxy of transactions. diesel-async drives the others by itself.
    tasks: TaskTracker,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration's own Debug leaves the password out, but hosts and names are enough here.
        f.debug_struct("Database")
            .field("dbname", &self.config.get_dbname())
            .finish_non_exhaustive()
    }
}

/// How large the pool is and how long things may take.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// The most connections.
    pub size: usize,
    /// How long an operation waits for a connection before it is refused.
    pub wait: Duration,
    /// How many operations may wait for a connection; the next is refused at once.
    pub queue: usize,
    /// For how long nobody must have been served soon, before the queue counts as standing, and who comes waits for a
    /// tenth of a second at most. When as long nobody has waited for long, it moves again.
    pub standing: Duration,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long one statement may take; Postgres ends it then.
    pub statement: Duration,
}

impl Database {
    /// Reads a `postgres://` URL, with the parameters of libpq (PostgreSQL manual, section 34.1.2) that
    /// tokio-postgres knows, `sslmode` and `sslrootcert` in full, and `pool_mode` of our own: `session` (the
    /// default), or `transaction` where the address is that of a proxy that pools transactions.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] for a URL that cannot be read or TLS that cannot be had.
    pub fn new(url: &str) -> Result<Self, DatabaseError> {
        let (url, mode) = take_pool_mode(url)?;
        let (url, tls) = tls::split(&url)?;
        let mut config: Config = url.parse().map_err(DatabaseError::Url)?;
        config.ssl_mode(tls.mode());
        if config.get_application_name().is_none() {
            config.application_name("colloquy");
        }
        // A database that vanishes without a word (its machine is gone, a firewall forgot the connection) would
        // else be waited for as long as TCP sees fit, which is a quarter of an hour or more.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE_MAX);
        }
        if config.get_keepalives_idle() > SILENCE_MAX {
            config.keepalives_idle(SILENCE_MAX / 2);
            config.keepalives_interval(SILENCE_MAX / 6);
            config.keepalives_retries(3);
        }
        Ok(Self {
            config,
            tls: Arc::new(tls.client_config()?),
            mode,
            tasks: TaskTracker::new(),
        })
    }

    /// What a connection to this address keeps.
    #[must_use]
    pub fn mode(&self) -> PoolMode {
        self.mode
    }

    /// The same database by connections whose name says what they are for, such as `colloquy listener`.
    #[must_use]
    pub fn serving_as(&self, purpose: &str) -> Self {
        let mut database = self.clone();
        let name = self.config.get_application_name().unwrap_or("colloquy");
        database
            .config
            .application_name(format!("{name} {purpose}"));
        database
    }

    /// The same database by a connection with other run-time parameters, such as `-c name=value`. A proxy of
    /// transactions takes none: its sessions are not ours.
    #[must_use]
    pub fn with_options(&self, options: &str) -> Self {
        let mut database = self.clone();
        if self.mode == PoolMode::Transaction {
            return database;
        }
        let options = match self.config.get_options() {
            Some(given) => format!("{given} {options}"),
            None => options.to_owned(),
        };
        database.config.options(options);
        database
    }

    /// The same address, another database's name on it.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        let mut database = self.clone();
        database.config.dbname(name);
        database
    }

    /// The database's name, where the address says it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.config.get_dbname()
    }

    /// The most time connecting may take, for each address of a host.
    #[must_use]
    fn connect_within(&self, time: Duration) -> Self {
        let mut database = self.clone();
        database.config.connect_timeout(time);
        database
    }

    /// Opens one connection.
    ///
    /// # Errors
    ///
    /// Whatever keeps Postgres from being reached or from letting us in.
    pub async fn connect(&self) -> ConnectionResult<Connection> {
        let tls = MakeRustlsConnect::new(ClientConfig::clone(&self.tls));
        let (client, connection) = self
            .config
            .connect(tls)
            .await
            .map_err(|error| ConnectionError::BadConnection(describe(&error)))?;
        if self.mode == PoolMode::Session {
            let session = AsyncPgConnection::try_from_client_and_connection(client, connection);
            return Ok(session.await?.into());
        }
        // What is wrong with it, the statement that waits for it is told; notices are for nobody, as in a session of
        // diesel-async's.
        let mut connection = connection;
        let messages = stream::poll_fn(move |cx| connection.poll_message(cx));
        let good = messages.take_while(|message| ready(message.is_ok()));
        let driver = self.tasks.spawn(good.for_each(|_| ready(())));
        let driver = AbortOnDropHandle::new(driver);
        Ok(Unprepared::new(client, driver).into())
    }

    /// Makes a pool; it connects when first asked.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Pool`] where the runtime cannot keep its time limits.
    pub fn pool(&self, options: PoolOptions) -> Result<Pool, DatabaseError> {
        let statement = options.statement.as_millis();
        let database = self
            // All statements find their rows by keys, whatever the parameters: planning them anew for each would cost
            // more than executing them.
            // The second for a transaction that was begun and forgotten: it may hold a chat's lock.
            .with_options(&format!(
                "-c statement_timeout={statement} -c idle_in_transaction_session_timeout={statement} \
                 -c client_connection_check_interval={ABANDONED_AFTER} -c plan_cache_mode=force_generic_plan"
            ))
            .connect_within(options.connect);
        let database = if sabotage::is(Sabotage::AckBeforeCommit) {
            database.with_options("-c synchronous_commit=off")
        } else {
            database
        };
        let metrics = Arc::<StoreMetrics>::default();
        let measured = Arc::clone(&metrics);
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_| {
            let (database, measured) = (database.clone(), Arc::clone(&measured));
            async move {
                let mut connection = database.connect().await?;
                connection.limit(options.statement);
                connection.measure(measured);
                Ok(connection)
            }
            .boxed()
        });
        let connections = deadpool::managed::Pool::builder(Manager::new_with_config("", config))
            .max_size(options.size)
            .timeouts(Timeouts {
                wait: Some(options.wait),
                create: Some(options.connect),
                recycle: Some(options.connect),
            })
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(DatabaseError::Pool)?;
        Ok(Pool::new(connections, options, metrics))
    }
}

/// Takes our own parameter out of a database URL.
fn take_pool_mode(url: &str) -> Result<(String, PoolMode), DatabaseError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut mode = PoolMode::Session;
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.strip_prefix("pool_mode=") {
            None => rest.push(pair),
            Some("session") => mode = PoolMode::Session,
            Some("transaction") => mode = PoolMode::Transaction,
            Some(other) => return Err(DatabaseError::PoolMode(other.to_owned())),
        }
    }
    if rest.is_empty() {
        return Ok((base.to_owned(), mode));
    }
    Ok((format!("{base}?{}", rest.join("&")), mode))
}

/// An error with its causes: tokio-postgres says only "error connecting to server" by itself.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
