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
use futures_util::FutureExt as _;
use rustls::ClientConfig;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls;
use crate::sabotage::{self, Sabotage};

/// A connection to Postgres.
pub type Connection = AsyncPgConnection;

/// The pool's manager.
type Manager = AsyncDieselConnectionManager<Connection>;

/// A bounded pool of connections.
pub type Pool = deadpool::managed::Pool<Manager>;

/// A connection on loan from the pool.
pub type PooledConnection = deadpool::managed::Object<Manager>;

/// Why the pool lent no connection.
pub type PoolError = deadpool::managed::PoolError<diesel_async::pooled_connection::PoolError>;

/// What is wrong with a database's address.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It is no connection URL that Postgres knows. The text is not repeated: it may hold a password.
    #[error("the database URL cannot be read")]
    Url(#[source] tokio_postgres::Error),
    /// `sslmode` or `sslrootcert` cannot be done.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The pool cannot be built.
    #[error("the connection pool cannot be built")]
    Pool(#[source] deadpool::managed::BuildError),
}

/// A database that can be connected to.
#[derive(Clone)]
pub struct Database {
    config: Config,
    tls: Arc<ClientConfig>,
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
    /// How long connecting may take.
    pub connect: Duration,
    /// How long one statement may take; Postgres ends it then.
    pub statement: Duration,
}

impl Database {
    /// Reads a `postgres://` URL, with the parameters of libpq (PostgreSQL manual, section 34.1.2) that
    /// tokio-postgres knows, and `sslmode` and `sslrootcert` in full.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] for a URL that cannot be read or TLS that cannot be had.
    pub fn new(url: &str) -> Result<Self, DatabaseError> {
        let (url, tls) = tls::split(url)?;
        let mut config: Config = url.parse().map_err(DatabaseError::Url)?;
        config.ssl_mode(tls.mode());
        if config.get_application_name().is_none() {
            config.application_name("colloquy");
        }
        Ok(Self {
            config,
            tls: Arc::new(tls.client_config()?),
        })
    }

    /// The same database by a connection with other run-time parameters, such as `-c name=value`.
    #[must_use]
    pub fn with_options(&self, options: &str) -> Self {
        let mut database = self.clone();
        let options = match self.config.get_options() {
            Some(given) => format!("{given} {options}"),
            None => options.to_owned(),
        };
        database.config.options(options);
        database
    }

    /// The same database by a connection whose `application_name` also says what it is for.
    #[must_use]
    pub fn called(&self, purpose: &str) -> Self {
        let mut database = self.clone();
        let name = self.config.get_application_name().unwrap_or_default();
        database
            .config
            .application_name(format!("{name} {purpose}"));
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
        Connection::try_from_client_and_connection(client, connection).await
    }

    /// Makes a pool; it connects when first asked.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Pool`] where the runtime cannot keep its time limits.
    pub fn pool(&self, options: PoolOptions) -> Result<Pool, DatabaseError> {
        let statement = options.statement.as_millis();
        let database = self
            // The second for a transaction that was begun and forgotten: it may hold a chat's lock.
            .with_options(&format!(
                "-c statement_timeout={statement} -c idle_in_transaction_session_timeout={statement}"
            ))
            .connect_within(options.connect);
        let database = if sabotage::is(Sabotage::AckBeforeCommit) {
            database.with_options("-c synchronous_commit=off")
        } else {
            database
        };
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_| {
            let database = database.clone();
            async move { database.connect().await }.boxed()
        });
        Pool::builder(Manager::new_with_config("", config))
            .max_size(options.size)
            .timeouts(Timeouts {
                wait: Some(options.wait),
                create: Some(options.connect),
                recycle: Some(options.connect),
            })
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(DatabaseError::Pool)
    }
}

/// An error with its causes: tokio-postgres says only "error connecting to server" by itself.
fn describe(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
