//! How the engine reads the database: with a connection of the pool, and not for ever.

use diesel::result::Error;
use tokio::time::timeout;

use super::Hub;
use crate::model::TenantId;
use crate::store::{Connection, PoolError, PooledConnection};

/// Why the database was not read.
#[derive(Debug, thiserror::Error)]
pub(in crate::realtime) enum ReadError {
    #[error("no connection is free: {0}")]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Query(#[from] Error),
    #[error("the database does not answer in time")]
    Late,
}

impl Hub {
    /// Reads with a connection of the pool, for as long as patience lasts. A connection that did not answer is
    /// left, and not lent to anybody before it has.
    pub(in crate::realtime) async fn with_connection<T>(
        &self,
        read: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        self.read_with(self.pool.get().await?, read).await
    }

    /// The same for a read that is about one tenant.
    pub(in crate::realtime) async fn with_connection_for<T>(
        &self,
        tenant: &TenantId,
        read: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        self.read_with(self.pool.get_for(tenant).await?, read).await
    }

    async fn read_with<T>(
        &self,
        mut conn: PooledConnection,
        read: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        match timeout(self.options.patience, read(&mut conn)).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(ReadError::Late),
        }
    }
}
