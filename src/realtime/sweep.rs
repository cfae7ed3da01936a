//! The sweep: compares what subscribers know with the database, every second or two, and so bounds the harm
//! of any lost hint.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::{sleep, timeout};

use super::feed::FeedState;
use super::hub::{Hub, ReadError};
use crate::model::{TenantId, UserId};
use crate::sabotage::{self, Sabotage};
use crate::store;
use crate::store::participants::Membership;

/// How many heads are compared in one statement.
const SLICE: usize = 10_000;

/// Sweeps until the engine stops.
pub(super) async fn run(hub: Arc<Hub>) {
    let sweep = async {
        loop {
            let pause = hub
                .options
                .sweep
                .mul_f64(2.0 / 3.0 + fastrand::f64() * 2.0 / 3.0);
            tokio::select! {
                () = hub.sweep_wanted.notified() => {}
                () = sleep(pause) => {}
            }
            match timeout(hub.options.patience, once(&hub)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the sweep failed"),
                Err(_) => tracing::warn!("the sweep did not end in time"),
            }
        }
    };
    tokio::select! {
        () = sweep => {}
        () = hub.shutdown.cancelled() => {}
    }
}

async fn once(hub: &Hub) -> Result<(), ReadError> {
    if sabotage::is(Sabotage::NoSweep) {
        return Ok(());
    }
    let chats = hub.chats();
    if !chats.is_empty() {
        let mut conn = hub.pool.get().await?;
        hub.observe_epoch(store::events::current_epoch(&mut conn).await?);
    }
    for slice in chats.chunks(SLICE) {
        let mut conn = hub.pool.get().await?;
        for (chat, head) in store::chats::heads(&mut conn, slice).await? {
            if hub.grew(chat, head) {
                hub.repaired();
                tracing::debug!(%chat, head, "the sweep found what no hint had told");
            }
        }
    }
    let feeds = hub.feeds();
    if !feeds.is_empty() {
        compare(hub, &feeds).await?;
    }
    Ok(())
}

/// Compares the memberships of everybody who follows their chats.
async fn compare(hub: &Hub, feeds: &[Arc<FeedState>]) -> Result<(), ReadError> {
    let mut by_tenant: HashMap<&TenantId, Vec<UserId>> = HashMap::new();
    for feed in feeds {
        by_tenant
            .entry(&feed.tenant)
            .or_default()
            .push(feed.user.clone());
    }
    let mut memberships: HashMap<(TenantId, UserId), Vec<Membership>> = HashMap::new();
    let mut conn = hub.pool.get().await?;
    for (tenant, users) in by_tenant {
        for found in store::participants::memberships(&mut conn, tenant, &users).await? {
            let key = (found.tenant_id.clone(), found.user_id.clone());
            memberships.entry(key).or_default().push(found);
        }
    }
    drop(conn);
    for feed in feeds {
        let key = (feed.tenant.clone(), feed.user.clone());
        let own: Vec<&Membership> = memberships.get(&key).into_iter().flatten().collect();
        for _ in 0..feed.compare(&own) {
            hub.repaired();
        }
    }
    Ok(())
}
