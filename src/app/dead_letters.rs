//! Dead letters: what was given up, for the tenant's administrators.

use diesel_async::AsyncConnection as _;
use serde_json::json;

use super::{Actor, App, Error, IDS_MAX};
use crate::model::{
    Act, AuditEntry, DeadLetter, ListCursor, ListKey, Page, PageArgs, Refusal, Slice, fingerprint,
};
use crate::store;
use crate::store::dead_letters::Between;

impl App {
    /// The list of dead letters that cursors are of.
    #[must_use]
    pub fn dead_letters_key(actor: &Actor) -> ListKey {
        ListKey::DeadLetters(fingerprint(&actor.tenant, &actor.user))
    }

    /// A page of the dead letters of the actor's tenant, the newest first. That they are read is written down before.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for who does not administer the tenant; [`Error::BadInput`] for the arguments;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn dead_letters_page(
        &self,
        actor: &Actor,
        args: &PageArgs,
    ) -> Result<Slice<DeadLetter>, Error> {
        actor.must_administer()?;
        let list = Self::dead_letters_key(actor);
        let page = Page::new(args, |text| match ListCursor::decode(text, &list) {
            Ok(ListCursor::Message(id)) => Some(id),
            _ => None,
        })?;
        let whole = Between::default();
        let mut conn = self.connection_for(actor).await?;
        let reading = actor.entry(Act::DeadLettersRead);
        store::audit_entries::append(&mut conn, &[reading]).await?;
        let mut read = async |between, oldest_first, limit| {
            let tenant = &actor.tenant;
            store::dead_letters::page(&mut conn, tenant, between, oldest_first, limit).await
        };
        let between = Between {
            below: page.after.unwrap_or(whole.below),
            above: page.before.unwrap_or(whole.above),
        };
        let items = read(between, page.from_end, page.read_limit()).await?;
        let before_it = match page.after {
            None => false,
            Some(id) => {
                let above = id.saturating_sub(1);
                !read(Between { above, ..whole }, false, 1).await?.is_empty()
            }
        };
        let behind_it = match page.before {
            None => false,
            Some(id) => {
                let below = id.saturating_add(1);
                !read(Between { below, ..whole }, false, 1).await?.is_empty()
            }
        };
        Ok(Slice::new(&page, items, before_it, behind_it))
    }

    /// Has dead letters of the actor's tenant be tried again, and returns which: those of the ids that are there, and whose
    /// sink is.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for who does not administer the tenant; `TOO_MANY` for more than 100 ids;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn dead_letters_replay(&self, actor: &Actor, ids: &[i64]) -> Result<Vec<i64>, Error> {
        actor.must_administer()?;
        if ids.len() > IDS_MAX {
            let why = "At most 100 dead letters are tried again at a time.";
            return Err(Refusal::too_many(why).at("ids").into());
        }
        let mut conn = self.connection_for(actor).await?;
        let replay = conn.transaction(async |conn| {
            let replayed = store::dead_letters::replay(conn, &actor.tenant, ids).await?;
            if !replayed.is_empty() {
                let entry = AuditEntry {
                    data: json!({ "ids": replayed }),
                    ..actor.entry(Act::DeadLettersReplayed)
                };
                store::audit_entries::append(conn, &[entry]).await?;
            }
            Ok::<_, Error>(replayed)
        });
        let replayed = replay.await?;
        if !replayed.is_empty() {
            let (tenant, user) = (actor.tenant.as_str(), actor.user.as_str());
            tracing::info!(
                tenant,
                user,
                count = replayed.len(),
                "dead letters are tried again"
            );
            self.deliveries.wake();
        }
        Ok(replayed)
    }
}
