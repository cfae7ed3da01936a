//! One connection to Postgres: in a session of its own, or behind a proxy that pools transactions.
//!
//! In a session, each hot statement is prepared once. Behind a proxy of transactions (`PgBouncer` with
//! `pool_mode = transaction`) every transaction may run in another session, so nothing may be left in one:
//! there, each statement is parsed, bound and executed in one message group, which no proxy can tear apart.

mod error;
mod row;
mod scope;
mod session;
mod unprepared;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::{CacheSize, Instrumentation};
use diesel::pg::{Pg, PgNotification};
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::{ConnectionResult, QueryResult};
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncPgConnection,
    SimpleAsyncConnection, TransactionManager as _,
};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};

pub use row::{Field, Row};
pub use scope::Scope;
use session::Session;
pub(super) use unprepared::Unprepared;

use super::metrics::{StoreMetrics, Timed};

/// How diesel-async begins and ends a transaction.
const BEGIN: &str = "BEGIN";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// How often a connection is made fit for use again. A statement whose preparation nobody waited for stays prepared in the
/// session, unused; this bounds how many there are.
const RECOVERIES_MAX: u32 = 100;

/// A connection to Postgres.
pub struct Connection {
    link: Link,
    /// Whether a statement was begun whose answer has not come.
    busy: AtomicBool,
    /// Whether a transaction is open once all that was sent is answered.
    in_transaction: bool,
    /// How often it was made fit for use again.
    recoveries: u32,
    /// Where its statements are measured, if they are.
    metrics: Option<Arc<StoreMetrics>>,
}

enum Link {
    /// A session of its own.
    Session(Box<Session>),
    /// A session for each transaction.
    Transaction(Box<Unprepared>),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = match &self.link {
            Link::Session(_) => "Session",
            Link::Transaction(_) => "Transaction",
        };
        f.debug_tuple("Connection").field(&link).finish()
    }
}

impl From<AsyncPgConnection> for Connection {
    fn from(session: AsyncPgConnection) -> Self {
        Self {
            link: Link::Session(Box::new(Session::new(session))),
            busy: AtomicBool::new(false),
            in_transaction: false,
            recoveries: 0,
            metrics: None,
        }
    }
}

impl From<Unprepared> for Connection {
    fn from(link: Unprepared) -> Self {
        Self {
            link: Link::Transaction(Box::new(link)),
            busy: AtomicBool::new(false),
            in_transaction: false,
            recoveries: 0,
            metrics: None,
        }
    }
}

impl Connection {
    /// What others notify of on the channels that this connection listens to. Behind a proxy of
    /// transactions nothing can be listened to, and nothing ever comes.
    pub fn notifications_stream(&mut self) -> BoxStream<'_, QueryResult<PgNotification>> {
        match &mut self.link {
            Link::Session(session) => session.link.notifications_stream().boxed(),
            Link::Transaction(_) => stream::pending().boxed(),
        }
    }

    /// Limits how long each statement may take, where the session could not be told so at its start.
    pub(super) fn limit(&mut self, statement: Duration) {
        if let Link::Transaction(link) = &mut self.link {
            link.limit(statement);
        }
    }

    /// Has the next statements see the rows of one tenant, or everything. It takes no round trip of its own.
    /// Not to be called within a transaction.
    pub(super) fn confine(&mut self, scope: Option<Scope>) {
        match &mut self.link {
            Link::Session(session) => session.confine(scope),
            Link::Transaction(link) => link.confine(scope),
        }
    }

    /// Makes it fit for use again after somebody has left it amid a statement or a transaction: all that was sent is
    /// answered, and no transaction is open.
    ///
    /// # Errors
    ///
    /// What Postgres says, and [`DatabaseErrorKind::ClosedConnection`] where this was done too often. Then it is not to be
    /// used any more.
    pub(super) async fn recover(&mut self) -> QueryResult<()> {
        if self.recoveries == RECOVERIES_MAX || self.is_lost() {
            let text = "the connection is lost, or was left too often".to_owned();
            let kind = DatabaseErrorKind::ClosedConnection;
            return Err(Error::DatabaseError(kind, Box::new(text)));
        }
        self.recoveries += 1;
        // Answered behind everything else. The second is refused in a transaction whose end was not accepted.
        let last = if self.in_transaction {
            ROLLBACK
        } else {
            "SELECT 1"
        };
        self.busy.store(true, Ordering::Relaxed);
        match &mut self.link {
            Link::Session(session) => session.finish(last).await?,
            Link::Transaction(link) => link.batch_execute(last).await?,
        }
        self.busy.store(false, Ordering::Relaxed);
        self.in_transaction = false;
        *self.transaction_state() = AnsiTransactionManager::default();
        Ok(())
    }

    /// Whether it is known that nothing will be answered any more, or not as it should be.
    fn is_lost(&self) -> bool {
        match &self.link {
            Link::Session(session) => session.is_lost(),
            Link::Transaction(link) => link.is_broken(),
        }
    }

    /// Has its statements measured from now on.
    pub(super) fn measure(&mut self, metrics: Arc<StoreMetrics>) {
        self.metrics = Some(metrics);
    }
}

impl SimpleAsyncConnection for Connection {
    /// The beginnings and ends of transactions come here; nothing else does on a connection of the pool.
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let begun = Instant::now();
        self.busy.store(true, Ordering::Relaxed);
        match query {
            BEGIN => self.in_transaction = true,
            COMMIT | ROLLBACK => self.in_transaction = false,
            _ => {}
        }
        let done = match &mut self.link {
            Link::Session(session) => session.batch_execute(query).await,
            Link::Transaction(link) => link.batch_execute(query).await,
        };
        self.busy.store(false, Ordering::Relaxed);
        if let Some(metrics) = &self.metrics {
            metrics.of_transaction(begun.elapsed(), &done);
        }
        done
    }
}

/// An answer that has come whole, as diesel takes it.
fn whole(rows: Vec<Row>) -> BoxStream<'static, QueryResult<Row>> {
    stream::iter(rows.into_iter().map(Ok)).boxed()
}

impl AsyncConnectionCore for Connection {
    type LoadFuture<'conn, 'query> =
        Timed<'conn, BoxFuture<'conn, QueryResult<Self::Stream<'conn, 'query>>>>;
    type ExecuteFuture<'conn, 'query> = Timed<'conn, BoxFuture<'conn, QueryResult<usize>>>;
    type Stream<'conn, 'query> = BoxStream<'static, QueryResult<Row>>;
    type Row<'conn, 'query> = Row;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let rows: BoxFuture<'conn, QueryResult<Self::Stream<'conn, 'query>>> = match &mut self.link
        {
            Link::Session(session) => {
                let rows = session.load(source);
                async move { Ok(whole(rows.await?)) }.boxed()
            }
            Link::Transaction(link) => {
                let statement = unprepared::Statement::new(&source.as_query());
                let within = self.in_transaction;
                async move { Ok(whole(link.load(statement?, within).await?)) }.boxed()
            }
        };
        Timed::new(rows, &self.busy, self.metrics.as_deref())
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let count: BoxFuture<'conn, QueryResult<usize>> = match &mut self.link {
            Link::Session(session) => session.execute(source),
            Link::Transaction(link) => {
                let statement = unprepared::Statement::new(&source);
                let within = self.in_transaction;
                async move { link.execute(statement?, within).await }.boxed()
            }
        };
        Timed::new(count, &self.busy, self.metrics.as_deref())
    }
}

impl AsyncConnection for Connection {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(database_url: &str) -> ConnectionResult<Self> {
        let database = super::Database::new(database_url)
            .map_err(|error| diesel::ConnectionError::InvalidConnectionUrl(error.to_string()))?;
        database.connect().await
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        match &mut self.link {
            Link::Session(session) => session.link.transaction_state(),
            Link::Transaction(link) => link.transaction_state(),
        }
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        match &mut self.link {
            Link::Session(session) => session.link.instrumentation(),
            Link::Transaction(link) => link.instrumentation(),
        }
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        match &mut self.link {
            Link::Session(session) => session.link.set_instrumentation(instrumentation),
            Link::Transaction(link) => link.set_instrumentation(Box::new(instrumentation)),
        }
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        if let Link::Session(session) = &mut self.link {
            session.link.set_prepared_statement_cache_size(size);
        }
    }
}

impl PoolableConnection for Connection {
    fn is_broken(&mut self) -> bool {
        let broken = match &mut self.link {
            Link::Session(session) => session.is_broken(),
            Link::Transaction(link) => {
                let gone = link.is_broken();
                gone || AnsiTransactionManager::is_broken_transaction_manager(self)
            }
        };
        broken || self.busy.load(Ordering::Relaxed)
    }
}
