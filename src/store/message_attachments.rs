//! Which attachments were sent with which message.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{
    Array, BigInt, Binary, Integer, Nullable, Record, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::chats::Restorers;
use super::messages::VISIBLE_FROM;
use super::statement::hot;
use crate::model::{
    Attachment, AttachmentId, AttachmentStatus, ChatId, ChatKind, Checksum, Role, TenantId, UserId,
};
use crate::schema::{attachments, message_attachments};

/// The place of a message in its chat's log.
type Place = (ChatId, i64);

/// The SQL types of [`COLUMNS`].
type AttachmentSql = (
    SqlUuid,
    Text,
    Text,
    Text,
    Text,
    BigInt,
    Binary,
    SmallInt,
    Nullable<Integer>,
    Nullable<Integer>,
    Timestamptz,
    Nullable<Timestamptz>,
);

/// The columns of [`Attachment`], of a table named `a`.
const COLUMNS: &str = "a.id, a.tenant_id, a.uploader_id, a.name, a.content_type, a.size, a.checksum, a.status, \
     a.width, a.height, a.created_at, a.sent_at";

/// The attachments of a live message `m` of `want.tenant_id`, in their order, as one value in a row of something else.
pub(super) const VALUES: &str = "ARRAY(SELECT ROW(a.id, a.tenant_id, a.uploader_id, a.name, a.content_type, a.size, \
     a.checksum, a.status, a.width, a.height, a.created_at, a.sent_at) FROM message_attachments AS ma \
     JOIN attachments AS a ON a.id = ma.attachment_id AND a.tenant_id = want.tenant_id \
     WHERE ma.chat_id = m.chat_id AND ma.seq = m.seq AND ma.tenant_id = want.tenant_id AND m.deleted_at IS NULL \
     ORDER BY ma.position)";

/// The SQL type of [`VALUES`].
pub(super) type AttachmentsSql = Array<Record<AttachmentSql>>;

/// One of them, as it is loaded.
pub(super) type AttachmentValue = (
    AttachmentId,
    TenantId,
    UserId,
    String,
    String,
    i64,
    Checksum,
    AttachmentStatus,
    Option<i32>,
    Option<i32>,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
);

/// The attachment of a value.
pub(super) fn of_value(value: AttachmentValue) -> Attachment {
    let (id, tenant_id, uploader_id, name, content_type, size, checksum, status, ..) = value;
    let (.., width, height, created_at, sent_at) = value;
    Attachment {
        id,
        tenant_id,
        uploader_id,
        name,
        content_type,
        size,
        checksum,
        status,
        width,
        height,
        created_at,
        sent_at,
    }
}

/// Those of the attachments that are in the tenant, held as they are until the transaction ends: nobody clears them away.
pub async fn hold(
    conn: &mut Connection,
    tenant: &TenantId,
    ids: &[AttachmentId],
) -> QueryResult<Vec<Attachment>> {
    attachments::table
        .filter(attachments::id.eq_any(ids))
        .filter(attachments::tenant_id.eq(tenant))
        .filter(attachments::status.ne(AttachmentStatus::Removed))
        // In one order: no deadlock with another who sends some of the same.
        .order(attachments::id)
        .select(Attachment::as_select())
        .for_no_key_update()
        .load(conn)
        .await
}

/// Notes with which message attachments were sent, in this order, and that they were. To be called in the transaction
/// that sends it.
pub async fn add(
    conn: &mut Connection,
    tenant: &TenantId,
    (chat, seq): Place,
    ids: &[AttachmentId],
    at: DateTime<Utc>,
) -> QueryResult<()> {
    let rows: Vec<_> = (0_i16..)
        .zip(ids)
        .map(|(position, id)| {
            (
                message_attachments::chat_id.eq(chat),
                message_attachments::seq.eq(seq),
                message_attachments::position.eq(position),
                message_attachments::attachment_id.eq(id),
                message_attachments::tenant_id.eq(tenant),
            )
        })
        .collect();
    diesel::insert_into(message_attachments::table)
        .values(rows)
        .execute(conn)
        .await?;
    diesel::update(attachments::table.filter(attachments::id.eq_any(ids)))
        .filter(attachments::tenant_id.eq(tenant))
        .filter(attachments::sent_at.is_null())
        .set(attachments::sent_at.eq(at))
        .execute(conn)
        .await?;
    Ok(())
}

/// The attachments of the messages at these places, whoever may see them: those of one message in their order.
pub async fn of_messages(
    conn: &mut Connection,
    tenant: &TenantId,
    places: &[Place],
) -> QueryResult<Vec<(ChatId, i64, Attachment)>> {
    let (chats, seqs): (Vec<ChatId>, Vec<i64>) = places.iter().copied().unzip();
    OfMessages {
        tenant,
        chats,
        seqs,
    }
    .load(conn)
    .await
}

#[derive(Debug)]
struct OfMessages<'a> {
    tenant: &'a TenantId,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
}

hot!(OfMessages<'a> -> (SqlUuid, BigInt, AttachmentSql));

impl QueryFragment<Pg> for OfMessages<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ma.chat_id, ma.seq, ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(
            ") AS want (chat_id, seq) JOIN message_attachments AS ma ON ma.chat_id = want.chat_id \
             AND ma.seq = want.seq AND ma.tenant_id = ",
        );
        out.push_bind_param::<Text, _>(self.tenant)?; // $3
        out.push_sql(
            " JOIN attachments AS a ON a.id = ma.attachment_id AND a.tenant_id = $3 \
             ORDER BY ma.chat_id, ma.seq, ma.position",
        );
        Ok(())
    }
}

/// Those of the attachments that `viewer` may see: their own that were not sent yet, and those of live messages that they
/// see, of chats that they are in. A deleted chat is there for its `restorers`.
pub async fn visible(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    ids: &[AttachmentId],
    restorers: Restorers<'_>,
) -> QueryResult<Vec<Attachment>> {
    let (kinds, roles) = restorers.iter().copied().unzip();
    Visible {
        tenant,
        viewer,
        ids,
        removed: AttachmentStatus::Removed,
        kinds,
        roles,
    }
    .load(conn)
    .await
}

#[derive(Debug)]
struct Visible<'a> {
    tenant: &'a TenantId,
    viewer: &'a UserId,
    ids: &'a [AttachmentId],
    removed: AttachmentStatus,
    kinds: Vec<ChatKind>,
    roles: Vec<Role>,
}

hot!(Visible<'a> -> AttachmentSql);

impl QueryFragment<Pg> for Visible<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM attachments AS a WHERE a.tenant_id = ");
        out.push_bind_param::<Text, _>(self.tenant)?; // $1
        out.push_sql(" AND a.id = ANY(");
        out.push_bind_param::<Array<SqlUuid>, _>(self.ids)?;
        out.push_sql(") AND a.status <> ");
        out.push_bind_param::<SmallInt, _>(&self.removed)?;
        out.push_sql(" AND ((a.sent_at IS NULL AND a.uploader_id = ");
        out.push_bind_param::<Text, _>(self.viewer)?; // $4
        out.push_sql(
            ") OR EXISTS (SELECT FROM message_attachments AS ma \
             JOIN participants AS p ON p.chat_id = ma.chat_id AND p.tenant_id = $1 AND p.user_id = $4 \
             JOIN chats AS c ON c.id = ma.chat_id AND c.tenant_id = $1 \
             JOIN messages AS m ON m.chat_id = ma.chat_id AND m.seq = ma.seq AND m.tenant_id = $1 \
             WHERE ma.attachment_id = a.id AND ma.tenant_id = $1 AND m.deleted_at IS NULL AND m.seq >= ",
        );
        out.push_sql(VISIBLE_FROM);
        out.push_sql(" AND (c.deleted_at IS NULL OR (c.kind, p.role) IN (SELECT * FROM unnest(");
        out.push_bind_param::<Array<SmallInt>, _>(&self.kinds)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SmallInt>, _>(&self.roles)?;
        out.push_sql(")))))");
        Ok(())
    }
}

/// For each of the attachments that were sent with a live message, the chat of one, whoever is in it: for `viewer`, an
/// administrator of the tenant. What a chat that they are in hides from them stays hidden.
pub async fn chats_of(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    ids: &[AttachmentId],
) -> QueryResult<Vec<(AttachmentId, ChatId)>> {
    let statement = ChatsOf {
        tenant,
        viewer,
        ids,
    };
    statement.load(conn).await
}

#[derive(Debug)]
struct ChatsOf<'a> {
    tenant: &'a TenantId,
    viewer: &'a UserId,
    ids: &'a [AttachmentId],
}

hot!(ChatsOf<'a> -> (SqlUuid, SqlUuid));

impl QueryFragment<Pg> for ChatsOf<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT DISTINCT ON (ma.attachment_id) ma.attachment_id, ma.chat_id FROM message_attachments AS ma \
             JOIN messages AS m ON m.chat_id = ma.chat_id AND m.seq = ma.seq AND m.tenant_id = ma.tenant_id \
             JOIN chats AS c ON c.id = ma.chat_id AND c.tenant_id = ma.tenant_id \
             LEFT JOIN participants AS p ON p.chat_id = ma.chat_id AND p.tenant_id = ma.tenant_id AND p.user_id = ",
        );
        out.push_bind_param::<Text, _>(self.viewer)?;
        out.push_sql(" WHERE ma.tenant_id = ");
        out.push_bind_param::<Text, _>(self.tenant)?; // $2
        out.push_sql(
            " AND m.tenant_id = $2 AND c.tenant_id = $2 AND m.deleted_at IS NULL \
             AND (p.user_id IS NULL OR m.seq >= ",
        );
        out.push_sql(VISIBLE_FROM);
        out.push_sql(") AND ma.attachment_id = ANY(");
        out.push_bind_param::<Array<SqlUuid>, _>(self.ids)?;
        out.push_sql(") ORDER BY ma.attachment_id, ma.chat_id, ma.seq");
        Ok(())
    }
}
