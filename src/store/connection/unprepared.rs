//! Statements without preparation, for a proxy that pools transactions.
//!
//! Parse, Bind, Describe, Execute and Sync go in one group, with the statement that has no name. A proxy
//! hands a session on only after the answer to a Sync, outside of a transaction. So nothing of ours is left
//! behind in a session that others get, and nothing is looked for in one that never had it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use diesel::QueryResult;
use diesel::connection::Instrumentation;
use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{QueryBuilder as _, QueryFragment};
use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::AnsiTransactionManager;
use futures_util::future::join3;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_util::task::AbortOnDropHandle;

use super::error::to_diesel;
use super::row::Row;
use super::scope::Scope;
use super::{BEGIN, COMMIT};

/// A connection whose statements are not prepared.
pub(in crate::store) struct Unprepared {
    client: Client,
    /// What is behind the client. It goes with it, whatever it waits for, so that the proxy notices.
    _driver: AbortOnDropHandle<()>,
    state: AnsiTransactionManager,
    instrumentation: Box<dyn Instrumentation>,
    /// How long a statement may take.
    limit: Option<Duration>,
    /// What statements see; each transaction is told.
    scope: Option<Scope>,
    /// A statement took too long, or a transaction did not begin whole: what its session does now is not known.
    lost: bool,
}

impl Unprepared {
    pub(in crate::store) fn new(client: Client, driver: AbortOnDropHandle<()>) -> Self {
        Self {
            client,
            _driver: driver,
            state: AnsiTransactionManager::default(),
            instrumentation: Box::new(None::<Box<dyn Instrumentation>>),
            limit: None,
            scope: None,
            lost: false,
        }
    }

    pub(super) fn limit(&mut self, statement: Duration) {
        self.limit = Some(statement);
    }

    pub(super) fn confine(&mut self, scope: Option<Scope>) {
        self.scope = scope;
    }

    pub(super) fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.state
    }

    pub(super) fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut *self.instrumentation
    }

    pub(super) fn set_instrumentation(&mut self, instrumentation: Box<dyn Instrumentation>) {
        self.instrumentation = instrumentation;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.lost || self.client.is_closed()
    }

    pub(super) async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.refuse_lost()?;
        // A transaction may be begun and forgotten while it holds a chat's lock. A session is told the limit
        // when it starts; here the transaction is told, in the same round trip, as it is told what to see.
        let begin = (query == BEGIN).then(|| self.beginning()).flatten();
        let sent = begin.as_deref().unwrap_or(query);
        let done = within(self.limit, self.client.batch_execute(sent)).await;
        // A beginning that fails in its middle leaves a transaction open.
        self.lost |= begin.is_some() && !matches!(done, Some(Ok(())));
        self.settle(done)
    }

    /// Executes a statement, within the transaction that is open or in one of its own.
    pub(super) async fn load(
        &mut self,
        statement: Statement,
        in_transaction: bool,
    ) -> QueryResult<Vec<Row>> {
        self.refuse_lost()?;
        let Statement { sql, binds } = statement;
        let binds: Vec<_> = binds.iter().map(Bind::typed).collect();
        let query = self.client.query_typed(&sql, &binds);
        let rows = self.place(in_transaction).run(query).await;
        Ok(Row::of_answer(self.settle(rows)?))
    }

    /// The same where the number of rows is of interest.
    pub(super) async fn execute(
        &mut self,
        statement: Statement,
        in_transaction: bool,
    ) -> QueryResult<usize> {
        self.refuse_lost()?;
        let Statement { sql, binds } = statement;
        let binds: Vec<_> = binds.iter().map(Bind::typed).collect();
        let command = self.client.execute_typed(&sql, &binds);
        let count = self.place(in_transaction).run(command).await;
        let count = self.settle(count)?;
        usize::try_from(count).map_err(|error| Error::DeserializationError(error.into()))
    }

    /// A transaction that did not begin whole does not see what it is to see.
    fn refuse_lost(&self) -> QueryResult<()> {
        if self.lost {
            let text = "the connection is given up".to_owned();
            let kind = DatabaseErrorKind::ClosedConnection;
            return Err(Error::DatabaseError(kind, Box::new(text)));
        }
        Ok(())
    }

    fn place(&self, in_transaction: bool) -> Place<'_> {
        match self.beginning() {
            Some(beginning) if !in_transaction => Place::Alone(&self.client, self.limit, beginning),
            _ => Place::Within(self.limit),
        }
    }

    /// What begins a transaction that has to be told something.
    fn beginning(&self) -> Option<String> {
        let limit = self.limit.map(|limit| {
            let millis = limit.as_millis();
            format!(
                "SET LOCAL statement_timeout = {millis}; \
                 SET LOCAL idle_in_transaction_session_timeout = {millis}"
            )
        });
        let scope = self.scope.as_ref().map(Scope::within_transaction);
        let told: Vec<String> = limit.into_iter().chain(scope).collect();
        (!told.is_empty()).then(|| format!("{BEGIN}; {}", told.join("; ")))
    }

    /// Gives this connection up where a statement took too long. It is not cancelled: a proxy may let a
    /// cancellation hit what the session does next for somebody else, and `PgBouncer` 1.18 dies of it.
    fn settle<T>(&mut self, outcome: Option<Outcome<T>>) -> QueryResult<T> {
        let Some(outcome) = outcome else {
            self.lost = true;
            // Postgres' own words for it, by which `app::Error` knows that the database had no time.
            let text = "canceling statement due to statement timeout".to_owned();
            let kind = DatabaseErrorKind::Unknown;
            return Err(Error::DatabaseError(kind, Box::new(text)));
        };
        outcome.map_err(|error| to_diesel(&error))
    }
}

/// Where a statement runs.
enum Place<'a> {
    /// In a transaction of its own, with its beginning, which says the limit and what to see.
    Alone(&'a Client, Option<Duration>, String),
    /// In the transaction that is open, or without a limit.
    Within(Option<Duration>),
}

impl Place<'_> {
    async fn run<T>(self, statement: impl Future<Output = Outcome<T>>) -> Option<Outcome<T>> {
        match self {
            Self::Alone(client, limit, beginning) => {
                within(limit, alone(client, &beginning, statement)).await
            }
            Self::Within(limit) => within(limit, statement).await,
        }
    }
}

/// Runs one statement in a transaction that Postgres itself keeps to what its beginning says. The beginning, the statement
/// and its end go out one behind the other without waiting, so that it takes one round trip.
async fn alone<T>(
    client: &Client,
    beginning: &str,
    statement: impl Future<Output = Outcome<T>>,
) -> Outcome<T> {
    let (first, last) = (
        client.batch_execute(beginning),
        client.batch_execute(COMMIT),
    );
    // Polled in this order, so sent in this order.
    let (begun, done, ended) = join3(first, statement, last).await;
    begun?;
    let done = done?;
    ended.map(|()| done)
}

type Outcome<T> = Result<T, tokio_postgres::Error>;

/// What comes of a statement; `None` where it takes too long. Postgres' own limit ends it a moment earlier and
/// says so itself, unless it cannot be reached.
async fn within<T>(
    limit: Option<Duration>,
    statement: impl Future<Output = Outcome<T>>,
) -> Option<Outcome<T>> {
    const GRACE: Duration = Duration::from_millis(250);
    match limit {
        None => Some(statement.await),
        Some(limit) => timeout(limit + GRACE, statement).await.ok(),
    }
}

/// A statement's text and parameters.
pub(super) struct Statement {
    sql: String,
    binds: Vec<Bind>,
}

impl Statement {
    /// Writes a query out.
    ///
    /// # Errors
    ///
    /// What diesel says, and a serialisation error for a parameter of a type that is not Postgres' own.
    pub(super) fn new(query: &dyn QueryFragment<Pg>) -> QueryResult<Self> {
        let mut sql = PgQueryBuilder::default();
        query.to_sql(&mut sql, &Pg)?;
        let mut collected = RawBytesBindCollector::<Pg>::new();
        query.collect_binds(&mut collected, &mut NoLookup, &Pg)?;
        let binds = collected.metadata.iter().zip(collected.binds);
        let binds: QueryResult<Vec<Bind>> = binds.map(|(of, bytes)| Bind::new(of, bytes)).collect();
        Ok(Self {
            sql: sql.finish(),
            binds: binds?,
        })
    }
}

/// Looks no type up: the database's own types have fixed numbers, and Colloquy's tables have no others.
struct NoLookup;

impl PgMetadataLookup for NoLookup {
    fn lookup_type(&mut self, _: &str, _: Option<&str>) -> PgTypeMetadata {
        PgTypeMetadata::new(0, 0)
    }
}

/// A parameter as it goes over the wire.
struct Bind {
    of: Type,
    bytes: Option<Vec<u8>>,
}

impl Bind {
    fn new(of: &PgTypeMetadata, bytes: Option<Vec<u8>>) -> QueryResult<Self> {
        let failed = |why: Box<dyn StdError + Send + Sync>| Error::SerializationError(why);
        let oid = of.oid().map_err(|error| failed(error.into()))?;
        let of = Type::from_oid(oid)
            .ok_or_else(|| failed("a parameter's type is none of Postgres' own".into()))?;
        Ok(Self { of, bytes })
    }

    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        (self, self.of.clone())
    }
}

impl fmt::Debug for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a message's text.
        f.debug_tuple("Bind").field(&self.of).finish()
    }
}

impl ToSql for Bind {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        Ok(match &self.bytes {
            None => IsNull::Yes,
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}
