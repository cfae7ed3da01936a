//! A session of our own: diesel-async's connection, and what it sees.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::pooled_connection::PoolableConnection as _;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::future::{BoxFuture, join};
use futures_util::{FutureExt as _, TryStreamExt as _};

use super::row::Row;
use super::scope::{self, Scope};

/// A session. What it sees is set in front of the next statement, in the same round trip, and only where it
/// differs from what was set last.
pub(super) struct Session {
    pub(super) link: AsyncPgConnection,
    view: View,
}

/// What a session is to see, and what it sees.
#[derive(Debug)]
struct View {
    wanted: Option<Scope>,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// What was set last, or everything.
    Known(Option<Scope>),
    /// Nobody waited for the answer to the last change. It is made again.
    Unknown,
    /// A change failed. The session is not used any more.
    Lost,
}

impl Session {
    pub(super) fn new(link: AsyncPgConnection) -> Self {
        Self {
            link,
            view: View {
                wanted: None,
                held: Held::Known(None),
            },
        }
    }

    /// What the next statements are to see. Not to be called within a transaction, whose end might undo it.
    pub(super) fn confine(&mut self, scope: Option<Scope>) {
        self.view.wanted = scope;
    }

    pub(super) fn is_broken(&mut self) -> bool {
        self.is_lost() || self.link.is_broken()
    }

    /// Whether it is not known what it sees.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.view.held, Held::Lost)
    }

    pub(super) async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let mut link = &self.link;
        let batch = async { link.batch_execute(query).await };
        self.view.in_front_of(&self.link, batch).await
    }

    /// Executes something that says nothing about rows, whatever the session sees: what it is to see cannot be set in a
    /// transaction, and would be forgotten at its end.
    pub(super) async fn finish(&self, query: &str) -> QueryResult<()> {
        let mut link = &self.link;
        link.batch_execute(query).await
    }

    pub(super) fn load<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> BoxFuture<'conn, QueryResult<Vec<Row>>>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let (mut link, view) = (&self.link, &mut self.view);
        let rows = AsyncConnectionCore::load(&mut link, source);
        // To the last message of the answer, which is the commit of a statement that is its own
        // transaction: whoever takes only the first row would else be told of what may yet fail.
        let rows = async move { rows.await?.map_ok(Row::prepared).try_collect().await };
        view.in_front_of(link, rows).boxed()
    }

    pub(super) fn execute<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> BoxFuture<'conn, QueryResult<usize>>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let (mut link, view) = (&self.link, &mut self.view);
        let count = AsyncConnectionCore::execute_returning_count(&mut link, source);
        view.in_front_of(link, count).boxed()
    }
}

impl View {
    /// Runs a statement once the session sees what it is to see.
    ///
    /// Both go out one behind the other without waiting. So a statement whose change is refused is executed
    /// under what was set before; its answer is thrown away, and the session with it.
    async fn in_front_of<T>(
        &mut self,
        mut link: &AsyncPgConnection,
        statement: impl Future<Output = QueryResult<T>>,
    ) -> QueryResult<T> {
        let held = match &self.held {
            Held::Known(held) if *held == self.wanted => return statement.await,
            Held::Known(held) => Some(held),
            Held::Unknown => None,
            Held::Lost => return Err(lost()),
        };
        let change = scope::change(held, self.wanted.as_ref());
        // Until it is answered: whoever drops this future leaves the next one to make the change again.
        self.held = Held::Unknown;
        // Polled in this order, so sent in this order.
        let (changed, done) = join(link.batch_execute(&change), statement).await;
        if changed.is_err() {
            self.held = Held::Lost;
        } else {
            self.held = Held::Known(self.wanted.clone());
        }
        changed.and(done)
    }
}

fn lost() -> Error {
    let text = "the connection's role could not be set".to_owned();
    Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(text))
}
