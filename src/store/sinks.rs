//! Which sinks there are. What they are spoken to with is in the operator's file alone.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Connection;
use crate::model::{Feeds, RegisteredSink, SinkId, SinkKind, TenantId};
use crate::schema::sinks;

/// Makes the sinks those of `all`, and says how many others there were. To be called in a transaction: a send that sees
/// none of them in between would put nothing into the outbox.
pub async fn replace(conn: &mut Connection, all: &[RegisteredSink]) -> QueryResult<usize> {
    let mut rows = Vec::with_capacity(all.len());
    for sink in all {
        rows.push((
            sinks::tenant_id.eq(&sink.id.tenant),
            sinks::name.eq(&sink.id.name),
            sinks::kind.eq(sink.kind),
            sinks::events.eq(sink.feeds.events),
            sinks::notifications.eq(sink.feeds.notifications),
        ));
    }
    let there = self::all(conn).await?;
    let gone = there
        .into_iter()
        .filter(|one| all.iter().all(|sink| sink.id != one.id));
    let mut removed = 0;
    for sink in gone {
        removed += diesel::delete(sinks::table.find((&sink.id.tenant, &sink.id.name)))
            .execute(conn)
            .await?;
    }
    for row in rows {
        diesel::insert_into(sinks::table)
            .values(row)
            .on_conflict((sinks::tenant_id, sinks::name))
            .do_update()
            .set((
                sinks::kind.eq(diesel::upsert::excluded(sinks::kind)),
                sinks::events.eq(diesel::upsert::excluded(sinks::events)),
                sinks::notifications.eq(diesel::upsert::excluded(sinks::notifications)),
            ))
            .execute(conn)
            .await?;
    }
    Ok(removed)
}

/// All sinks of all tenants.
pub async fn all(conn: &mut Connection) -> QueryResult<Vec<RegisteredSink>> {
    let rows: Vec<(TenantId, String, SinkKind, bool, bool)> = sinks::table
        .order((sinks::tenant_id, sinks::name))
        .load(conn)
        .await?;
    let sinks = rows.into_iter();
    Ok(sinks
        .map(
            |(tenant, name, kind, events, notifications)| RegisteredSink {
                id: SinkId { tenant, name },
                kind,
                feeds: Feeds {
                    events,
                    notifications,
                },
            },
        )
        .collect())
}
