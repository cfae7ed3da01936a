//! Receipts: who has read a message and whom it has reached, with times.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::participants::JoinedKey;
use super::statement::hot;
use crate::model::{ChatId, Page, Receipt, ReceiptKind, TenantId, UserId};
use crate::schema::users;

/// The place of a message in its chat's log.
type Place = (ChatId, i64);

/// For each of the messages at these places the same page of its receipts, in no order. Who sent it has none, nor has who
/// joined after it, nor who does not show theirs.
pub async fn page(
    conn: &mut Connection,
    tenant: &TenantId,
    kind: ReceiptKind,
    messages: &[Place],
    page: &Page<JoinedKey>,
) -> QueryResult<Vec<(Place, Receipt)>> {
    let window = Window::new(tenant, messages, page);
    match (kind, page.from_end) {
        (ReceiptKind::Read, false) => ReceiptPage::<false, false>(window).load(conn).await,
        (ReceiptKind::Read, true) => ReceiptPage::<false, true>(window).load(conn).await,
        (ReceiptKind::Delivered, false) => ReceiptPage::<true, false>(window).load(conn).await,
        (ReceiptKind::Delivered, true) => ReceiptPage::<true, true>(window).load(conn).await,
    }
}

/// For each of the messages at these places: whether it has receipts up to the page's `after`, and whether it has some from
/// its `before` on.
pub async fn around(
    conn: &mut Connection,
    tenant: &TenantId,
    kind: ReceiptKind,
    messages: &[Place],
    page: &Page<JoinedKey>,
) -> QueryResult<Vec<(Place, bool, bool)>> {
    let window = Window::new(tenant, messages, page);
    match kind {
        ReceiptKind::Read => Around::<false>(window).load(conn).await,
        ReceiptKind::Delivered => Around::<true>(window).load(conn).await,
    }
}

/// Removes at most `limit` of the rows of marks that moved before a moment; says how many there were. What another server
/// removes at the same time is left to it.
pub async fn forget(
    conn: &mut Connection,
    before: DateTime<Utc>,
    limit: i64,
) -> QueryResult<usize> {
    diesel::sql_query(
        "DELETE FROM receipts WHERE ctid IN (SELECT ctid FROM receipts WHERE marked_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Timestamptz, _>(before)
    .bind::<BigInt, _>(limit)
    .execute(conn)
    .await
}

/// Has a person show what they have read and received, or not; says whether that changed something.
pub async fn set_visible(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    visible: bool,
) -> QueryResult<bool> {
    let changed = diesel::update(users::table.find((tenant, user)))
        .filter(users::receipts_visible.ne(visible))
        .set(users::receipts_visible.eq(visible))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// How many of the messages behind one are looked through for one that its reader sent.
const OWN_LOOKS: &str = "200";

#[derive(Debug)]
struct Window<'a> {
    tenant: &'a TenantId,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
    after: (Option<DateTime<Utc>>, Option<&'a str>),
    before: (Option<DateTime<Utc>>, Option<&'a str>),
    has_after: bool,
    has_before: bool,
    limit: i64,
}

impl<'a> Window<'a> {
    fn new(tenant: &'a TenantId, messages: &[Place], page: &'a Page<JoinedKey>) -> Self {
        let (chats, seqs) = messages.iter().copied().unzip();
        let key = |key: &'a Option<JoinedKey>| {
            let key = key.as_ref();
            key.map(|(at, user)| (*at, user.as_str())).unzip()
        };
        Self {
            tenant,
            chats,
            seqs,
            after: key(&page.after),
            before: key(&page.before),
            has_after: page.after.is_some(),
            has_before: page.before.is_some(),
            limit: page.read_limit(),
        }
    }

    /// The messages, as a table `want`. The tenant is the third parameter.
    fn push_wanted<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(") AS want (chat_id, seq) JOIN messages AS o ON o.chat_id = want.chat_id AND o.seq = want.seq AND o.tenant_id = ");
        out.push_bind_param::<Text, _>(self.tenant)
    }
}

/// Whose receipts a message `o` has, as `p`.
fn push_people(out: &mut AstPass<'_, '_, Pg>, delivered: bool) {
    out.push_sql(
        " FROM participants AS p JOIN users AS u ON u.tenant_id = p.tenant_id AND u.id = p.user_id AND u.receipts_visible \
         WHERE p.chat_id = o.chat_id AND p.tenant_id = $3 AND u.tenant_id = $3 AND p.user_id <> o.sender_id AND p.joined_seq <= o.seq AND ",
    );
    out.push_sql(if delivered {
        "greatest(p.read_seq, p.delivered_seq) >= o.seq"
    } else {
        "p.read_seq >= o.seq"
    });
}

fn push_key<'b>(
    out: &mut AstPass<'_, 'b, Pg>,
    key: &'b (Option<DateTime<Utc>>, Option<&str>),
) -> QueryResult<()> {
    out.push_bind_param::<Nullable<Timestamptz>, _>(&key.0)?;
    out.push_sql(", ");
    out.push_bind_param::<Nullable<Text>, _>(&key.1)?;
    out.push_sql(")");
    Ok(())
}

#[derive(Debug)]
struct ReceiptPage<'a, const DELIVERED: bool, const FROM_END: bool>(Window<'a>);

impl<const DELIVERED: bool, const FROM_END: bool> diesel::query_builder::QueryId
    for ReceiptPage<'_, DELIVERED, FROM_END>
{
    type QueryId = ReceiptPage<'static, DELIVERED, FROM_END>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const DELIVERED: bool, const FROM_END: bool> diesel::query_builder::Query
    for ReceiptPage<'_, DELIVERED, FROM_END>
{
    type SqlType = (
        (SqlUuid, BigInt),
        (Text, Timestamptz, Nullable<Timestamptz>),
    );
}

impl<const DELIVERED: bool, const FROM_END: bool> QueryFragment<Pg>
    for ReceiptPage<'_, DELIVERED, FROM_END>
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let window = &self.0;
        let order = if FROM_END {
            " ORDER BY p.joined_at DESC, p.user_id DESC LIMIT "
        } else {
            " ORDER BY p.joined_at, p.user_id LIMIT "
        };
        // A mark passed the message when it moved to it or behind it from in front of it. Other moves say nothing of it: the one
        // that passed it may be forgotten, or was never written down. Who sent something after it had read it then.
        out.push_sql(
            "SELECT want.chat_id, want.seq, r.user_id, r.joined_at, least((SELECT CASE WHEN t.from_seq < o.seq THEN t.marked_at END FROM receipts AS t \
             WHERE t.chat_id = o.chat_id AND t.user_id = r.user_id AND t.tenant_id = o.tenant_id AND t.kind = 0 AND t.seq >= o.seq \
             ORDER BY t.seq LIMIT 1), (SELECT min(own.created_at) FROM (SELECT m.sender_id, m.created_at \
             FROM messages AS m WHERE m.chat_id = o.chat_id AND m.tenant_id = o.tenant_id AND m.seq > o.seq ORDER BY m.seq LIMIT ",
        );
        out.push_sql(OWN_LOOKS);
        out.push_sql(") AS own WHERE own.sender_id = r.user_id)");
        if DELIVERED {
            out.push_sql(
                ", (SELECT CASE WHEN t.from_seq < o.seq THEN t.marked_at END FROM receipts AS t WHERE t.chat_id = o.chat_id AND t.user_id = r.user_id \
                 AND t.tenant_id = o.tenant_id AND t.kind = 1 AND t.seq >= o.seq ORDER BY t.seq LIMIT 1)",
            );
        }
        out.push_sql(")");
        window.push_wanted(&mut out)?;
        out.push_sql(" CROSS JOIN LATERAL (SELECT p.user_id, p.joined_at");
        push_people(&mut out, DELIVERED);
        out.push_sql(" AND coalesce((p.joined_at, p.user_id) > (");
        push_key(&mut out, &window.after)?;
        out.push_sql(", true) AND coalesce((p.joined_at, p.user_id) < (");
        push_key(&mut out, &window.before)?;
        out.push_sql(", true)");
        out.push_sql(order);
        out.push_bind_param::<BigInt, _>(&window.limit)?;
        out.push_sql(") AS r");
        Ok(())
    }
}

#[derive(Debug)]
struct Around<'a, const DELIVERED: bool>(Window<'a>);

hot!(Around<'a, const DELIVERED: bool> -> ((SqlUuid, BigInt), Bool, Bool));

impl<const DELIVERED: bool> QueryFragment<Pg> for Around<'_, DELIVERED> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let window = &self.0;
        out.push_sql("SELECT want.chat_id, want.seq, around.before, around.behind");
        window.push_wanted(&mut out)?;
        // The side for which there is no key is not looked at.
        out.push_sql(" CROSS JOIN LATERAL (SELECT CASE WHEN ");
        out.push_bind_param::<Bool, _>(&window.has_after)?;
        out.push_sql(" THEN EXISTS (SELECT");
        push_people(&mut out, DELIVERED);
        out.push_sql(" AND (p.joined_at, p.user_id) <= (");
        push_key(&mut out, &window.after)?;
        out.push_sql(") ELSE false END AS before, CASE WHEN ");
        out.push_bind_param::<Bool, _>(&window.has_before)?;
        out.push_sql(" THEN EXISTS (SELECT");
        push_people(&mut out, DELIVERED);
        out.push_sql(" AND (p.joined_at, p.user_id) >= (");
        push_key(&mut out, &window.before)?;
        out.push_sql(") ELSE false END AS behind) AS around");
        Ok(())
    }
}
