//! Reading the audit trail: for administrators of the tenant, whose reading is written down too.

use chrono::DateTime;
use serde_json::json;
use uuid::Uuid;

use super::{Actor, App, Error};
use crate::model::{
    Act, AuditEntry, ListCursor, ListKey, Page, PageArgs, Slice, TrailEntry, TrailFilter,
    TrailPlace, end_of_history, fingerprint, within_history,
};
use crate::store;
use crate::store::trail::TrailRange;

impl App {
    /// A page of the trail of the actor's tenant, newest first. That it is read, and by what filter, is written down
    /// before. Whether they may is the caller's to ask.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for the arguments; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn trail_page(
        &self,
        actor: &Actor,
        filter: &TrailFilter,
        args: &PageArgs,
    ) -> Result<Slice<TrailEntry>, Error> {
        let list = Self::trail_key(actor);
        let page = Page::new(args, |text| match ListCursor::decode(text, &list) {
            Ok(ListCursor::Trail(place)) => Some(place),
            _ => None,
        })?;
        let tenant = &actor.tenant;
        let mut conn = self.connection_for(actor).await?;
        let reading = AuditEntry {
            data: json!({
                "actor": filter.actor, "chat": filter.chat, "user": filter.user, "since": filter.since,
                "before": filter.before, "as_administrator": filter.as_administrator,
                "deeds": filter.deeds, "token": filter.token,
            }),
            ..actor.entry(Act::TrailRead)
        };
        store::audit_entries::append(&mut conn, &[reading]).await?;
        let (newest, oldest) = ends(filter);
        let range = TrailRange {
            newer: page.after.map_or(newest, |after| after.min(newest)),
            older: page.before.map_or(oldest, |before| before.max(oldest)),
            oldest_first: page.from_end,
        };
        let items = store::trail::page(&mut conn, tenant, filter, range, page.read_limit()).await?;
        // The places themselves belong to what is on the other side.
        let (mut before_it, mut behind_it) = (false, false);
        if let Some(after) = page.after {
            let range = TrailRange {
                newer: newest,
                older: next_older(after),
                oldest_first: true,
            };
            let any = store::trail::page(&mut conn, tenant, filter, range, 1).await?;
            before_it = !any.is_empty();
        }
        if let Some(before) = page.before {
            let range = TrailRange {
                newer: next_newer(before),
                older: oldest,
                oldest_first: false,
            };
            let any = store::trail::page(&mut conn, tenant, filter, range, 1).await?;
            behind_it = !any.is_empty();
        }
        Ok(Slice::new(&page, items, before_it, behind_it))
    }

    /// The list that the cursors of the trail belong to.
    #[must_use]
    pub fn trail_key(actor: &Actor) -> ListKey {
        ListKey::Trail(fingerprint(&actor.tenant, &actor.user))
    }
}

/// The places between which everything stands that was done in the time of a filter.
fn ends(filter: &TrailFilter) -> (TrailPlace, TrailPlace) {
    let place = |occurred_at| TrailPlace {
        occurred_at,
        chat_id: Uuid::nil(),
        seq: 0,
    };
    let newest = filter.before.map_or_else(end_of_history, within_history);
    let oldest = filter.since.map_or(DateTime::UNIX_EPOCH, within_history);
    (place(newest), place(oldest))
}

/// The place right behind one, in a list that has the newest first. Numbers begin with 1.
fn next_older(place: TrailPlace) -> TrailPlace {
    TrailPlace {
        seq: place.seq - 1,
        ..place
    }
}

/// The place right in front of one.
fn next_newer(place: TrailPlace) -> TrailPlace {
    TrailPlace {
        seq: place.seq.saturating_add(1),
        ..place
    }
}
