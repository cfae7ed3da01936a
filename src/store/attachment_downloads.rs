//! The log of downloads.

use chrono::DateTime;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::Connection;
use super::statement::hot;
use crate::model::{AttachmentDownload, AttachmentId, DownloadPlace, TenantId};
use crate::schema::attachment_downloads;

/// Adds entries.
pub async fn append(conn: &mut Connection, entries: &[AttachmentDownload]) -> QueryResult<()> {
    diesel::insert_into(attachment_downloads::table)
        .values(entries)
        .execute(conn)
        .await?;
    Ok(())
}

/// A part of the log, between two places that are not in it.
#[derive(Debug, Clone, Copy)]
pub struct Between {
    /// The newer one.
    pub newer: DownloadPlace,
    /// The older one.
    pub older: DownloadPlace,
}

impl Default for Between {
    /// The whole log.
    fn default() -> Self {
        let place = |seconds, id| DownloadPlace {
            occurred_at: DateTime::from_timestamp(seconds, 0).unwrap_or_default(),
            id,
        };
        Self {
            // The end of the year 9999: Postgres goes further, and nobody downloads then.
            newer: place(253_402_300_799, Uuid::max()),
            older: place(0, Uuid::nil()),
        }
    }
}

/// The entries of a tenant, of one attachment or of all: the newest first, or the oldest.
pub async fn page(
    conn: &mut Connection,
    tenant: &TenantId,
    attachment: Option<AttachmentId>,
    between: Between,
    oldest_first: bool,
    limit: i64,
) -> QueryResult<Vec<AttachmentDownload>> {
    let window = Window {
        tenant,
        attachment,
        between,
        limit,
    };
    match (attachment.is_some(), oldest_first) {
        (true, true) => OfOne::<true>(window).load(conn).await,
        (true, false) => OfOne::<false>(window).load(conn).await,
        (false, true) => OfAll::<true>(window).load(conn).await,
        (false, false) => OfAll::<false>(window).load(conn).await,
    }
}

#[derive(Debug)]
struct Window<'a> {
    tenant: &'a TenantId,
    attachment: Option<AttachmentId>,
    between: Between,
    limit: i64,
}

#[derive(Debug)]
struct OfAll<'a, const OLDEST_FIRST: bool>(Window<'a>);

#[derive(Debug)]
struct OfOne<'a, const OLDEST_FIRST: bool>(Window<'a>);

hot!(OfAll<'a, const OLDEST_FIRST: bool> -> (SqlUuid, Text, SqlUuid, Text, Timestamptz));
hot!(OfOne<'a, const OLDEST_FIRST: bool> -> (SqlUuid, Text, SqlUuid, Text, Timestamptz));

impl<const OLDEST_FIRST: bool> QueryFragment<Pg> for OfAll<'_, OLDEST_FIRST> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.select(out, OLDEST_FIRST)
    }
}

impl<const OLDEST_FIRST: bool> QueryFragment<Pg> for OfOne<'_, OLDEST_FIRST> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.select(out, OLDEST_FIRST)
    }
}

impl Window<'_> {
    fn select<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>, oldest_first: bool) -> QueryResult<()> {
        out.push_sql(
            "SELECT d.id, d.tenant_id, d.attachment_id, d.user_id, d.occurred_at \
             FROM attachment_downloads AS d WHERE d.tenant_id = ",
        );
        out.push_bind_param::<Text, _>(self.tenant)?;
        if self.attachment.is_some() {
            out.push_sql(" AND d.attachment_id = ");
            out.push_bind_param::<Nullable<SqlUuid>, _>(&self.attachment)?;
        }
        for (place, operator) in [(&self.between.newer, "<"), (&self.between.older, ">")] {
            out.push_sql(" AND (d.occurred_at, d.id) ");
            out.push_sql(operator);
            out.push_sql(" (");
            out.push_bind_param::<Timestamptz, _>(&place.occurred_at)?;
            out.push_sql(", ");
            out.push_bind_param::<SqlUuid, _>(&place.id)?;
            out.push_sql(")");
        }
        out.push_sql(if oldest_first {
            " ORDER BY d.occurred_at, d.id LIMIT "
        } else {
            " ORDER BY d.occurred_at DESC, d.id DESC LIMIT "
        });
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}
