//! Audit entries: adding them. The database refuses everything else.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Connection;
use crate::model::AuditEntry;
use crate::schema::audit_entries;

/// Adds entries.
pub async fn append(conn: &mut Connection, entries: &[AuditEntry]) -> QueryResult<()> {
    diesel::insert_into(audit_entries::table)
        .values(entries)
        .execute(conn)
        .await?;
    Ok(())
}
