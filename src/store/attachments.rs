//! Attachments: what is known of files.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, SmallInt, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::Connection;
use super::statement::hot;
use crate::model::{Attachment, AttachmentId, AttachmentStatus, TenantId, UserId};
use crate::schema::{attachments, users};

/// Has others who announce files of the same uploader wait until the transaction ends. To be called in a transaction.
pub async fn lock_uploader(
    conn: &mut Connection,
    tenant: &TenantId,
    uploader: &UserId,
) -> QueryResult<()> {
    users::table
        .filter(users::tenant_id.eq(tenant))
        .filter(users::id.eq(uploader))
        .select(users::id)
        .for_no_key_update()
        .load::<UserId>(conn)
        .await?;
    Ok(())
}

/// What somebody keeps: the bytes of all that they announced, and how many of those are not finished.
pub async fn kept(
    conn: &mut Connection,
    tenant: &TenantId,
    uploader: &UserId,
) -> QueryResult<(i64, i64)> {
    let pending = AttachmentStatus::Pending;
    Kept {
        tenant,
        uploader,
        pending,
    }
    .get_result(conn)
    .await
}

#[derive(Debug)]
struct Kept<'a> {
    tenant: &'a TenantId,
    uploader: &'a UserId,
    pending: AttachmentStatus,
}

hot!(Kept<'a> -> (BigInt, BigInt));

impl QueryFragment<Pg> for Kept<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT coalesce(sum(a.size), 0)::bigint, count(*) FILTER (WHERE a.status = ");
        out.push_bind_param::<SmallInt, _>(&self.pending)?;
        out.push_sql(") FROM attachments AS a WHERE a.tenant_id = ");
        out.push_bind_param::<Text, _>(self.tenant)?;
        out.push_sql(" AND a.uploader_id = ");
        out.push_bind_param::<Text, _>(self.uploader)
    }
}

/// Announces an attachment.
pub async fn add(conn: &mut Connection, attachment: &Attachment) -> QueryResult<()> {
    diesel::insert_into(attachments::table)
        .values(attachment)
        .execute(conn)
        .await?;
    Ok(())
}

/// An attachment of an uploader's own, unless it is being cleared away.
pub async fn own(
    conn: &mut Connection,
    tenant: &TenantId,
    uploader: &UserId,
    id: AttachmentId,
) -> QueryResult<Option<Attachment>> {
    attachments::table
        .filter(attachments::id.eq(id))
        .filter(attachments::tenant_id.eq(tenant))
        .filter(attachments::uploader_id.eq(uploader))
        .filter(attachments::status.ne(AttachmentStatus::Removed))
        .select(Attachment::as_select())
        .first(conn)
        .await
        .optional()
}

/// An attachment of the tenant, whoever may see it, unless it is being cleared away.
pub async fn by_id(
    conn: &mut Connection,
    tenant: &TenantId,
    id: AttachmentId,
) -> QueryResult<Option<Attachment>> {
    attachments::table
        .filter(attachments::id.eq(id))
        .filter(attachments::tenant_id.eq(tenant))
        .filter(attachments::status.ne(AttachmentStatus::Removed))
        .select(Attachment::as_select())
        .first(conn)
        .await
        .optional()
}

/// Notes that the bytes of an announced attachment are here, and the size of the image that they are. Nothing where it
/// is not announced any more.
pub async fn finish(
    conn: &mut Connection,
    tenant: &TenantId,
    id: AttachmentId,
    dimensions: Option<(i32, i32)>,
) -> QueryResult<Option<Attachment>> {
    let (width, height) = dimensions.unzip();
    diesel::update(attachments::table.find(id))
        .filter(attachments::tenant_id.eq(tenant))
        .filter(attachments::status.eq(AttachmentStatus::Pending))
        .set((
            attachments::status.eq(AttachmentStatus::Ready),
            attachments::width.eq(width),
            attachments::height.eq(height),
        ))
        .returning(Attachment::as_select())
        .get_result(conn)
        .await
        .optional()
}

/// Marks the oldest of what was announced before a moment and not sent as being cleared away, and says how many those
/// were. What somebody else has in hand is left out. It spans tenants.
pub async fn give_up(
    conn: &mut Connection,
    before: DateTime<Utc>,
    limit: i64,
) -> QueryResult<usize> {
    let removed = AttachmentStatus::Removed;
    GiveUp {
        removed,
        before,
        limit,
    }
    .execute(conn)
    .await
}

#[derive(Debug)]
struct GiveUp {
    removed: AttachmentStatus,
    before: DateTime<Utc>,
    limit: i64,
}

impl diesel::query_builder::QueryId for GiveUp {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for GiveUp {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("UPDATE attachments SET status = ");
        out.push_bind_param::<SmallInt, _>(&self.removed)?;
        out.push_sql(
            " WHERE sent_at IS NULL AND id IN (SELECT a.id FROM attachments AS a WHERE a.sent_at IS NULL \
             AND a.status <> $1 AND a.created_at < ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.before)?;
        out.push_sql(" ORDER BY a.created_at LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(" FOR UPDATE SKIP LOCKED)");
        Ok(())
    }
}

/// The oldest of what was announced before a moment, after another one, and is being cleared away. It spans tenants.
pub async fn given_up(
    conn: &mut Connection,
    before: DateTime<Utc>,
    after: Option<&Attachment>,
    limit: i64,
) -> QueryResult<Vec<Attachment>> {
    let after = after.map(|after| (after.created_at, after.id));
    let (then, id) = after.unwrap_or((DateTime::UNIX_EPOCH, AttachmentId(Uuid::nil())));
    let later = attachments::created_at.gt(then);
    let at_once = attachments::created_at.eq(then).and(attachments::id.gt(id));
    attachments::table
        // The first of both is what an index knows.
        .filter(attachments::created_at.ge(then))
        .filter(later.or(at_once))
        .filter(attachments::sent_at.is_null())
        .filter(attachments::created_at.lt(before))
        .filter(attachments::status.eq(AttachmentStatus::Removed))
        .order((attachments::created_at, attachments::id))
        .limit(limit)
        .select(Attachment::as_select())
        .load(conn)
        .await
}

/// Forgets what was cleared away. It spans tenants.
pub async fn forget(conn: &mut Connection, ids: &[AttachmentId]) -> QueryResult<()> {
    diesel::delete(attachments::table.filter(attachments::id.eq_any(ids)))
        .filter(attachments::status.eq(AttachmentStatus::Removed))
        .execute(conn)
        .await?;
    Ok(())
}

/// The attachments among `ids` in the tenant, whoever may see them.
pub async fn by_ids(
    conn: &mut Connection,
    tenant: &TenantId,
    ids: &[AttachmentId],
) -> QueryResult<Vec<Attachment>> {
    attachments::table
        .filter(attachments::id.eq_any(ids))
        .filter(attachments::tenant_id.eq(tenant))
        .select(Attachment::as_select())
        .load(conn)
        .await
}
