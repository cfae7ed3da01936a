//! The earlier texts of a message.

use std::collections::{HashMap, HashSet};

use super::lists::{by_page, slices};
use crate::app::access::{by_role, permit, visible};
use crate::app::audit_entries::record_reading;
use crate::app::{Actor, App, Error};
use crate::model::{Action, ChatId, ChatState, MessageId, Page, Revision, Slice};
use crate::store;
use crate::store::messages::List;

impl App {
    /// For each of these messages whose earlier texts the actor may see, the page that is wanted of them, oldest first.
    /// Nobody sees those of a deleted message.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] where that is more than 2000 texts; [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn revisions(
        &self,
        actor: &Actor,
        wanted: &[(MessageId, Page<i64>)],
    ) -> Result<HashMap<(MessageId, Page<i64>), Slice<Revision>>, Error> {
        let mut pages = HashMap::with_capacity(wanted.len());
        for (page, ids) in by_page(wanted)? {
            let found = self.revisions_page(actor, &ids, &page).await?;
            pages.extend(found.into_iter().map(|(id, slice)| ((id, page), slice)));
        }
        Ok(pages)
    }

    /// The same page of all of them.
    async fn revisions_page(
        &self,
        actor: &Actor,
        ids: &[MessageId],
        page: &Page<i64>,
    ) -> Result<HashMap<MessageId, Slice<Revision>>, Error> {
        let tenant = &actor.tenant;
        let mut conn = self.connection_for(actor).await?;
        let messages = store::messages::by_ids(&mut conn, tenant, ids).await?;
        let chats: HashSet<ChatId> = messages.iter().map(|message| message.chat_id).collect();
        let chats: Vec<ChatId> = chats.into_iter().collect();
        let states = visible(&mut conn, actor, &chats).await?;
        let states = states.iter().map(|state| (state.chat.id, state));
        let states: HashMap<ChatId, &ChatState> = states.collect();
        let mut seen = HashMap::new();
        let mut as_administrator = Vec::new();
        for message in messages
            .iter()
            .filter(|message| message.deleted_at.is_none())
        {
            let state = states.get(&message.chat_id);
            let Some(state) = state.filter(|state| state.sees(message.seq)) else {
                continue;
            };
            let action = if message.sender_id == actor.user {
                Action::ReadOwnRevisions
            } else {
                Action::ReadOthersRevisions
            };
            if permit(actor, action, state).is_err() {
                continue;
            }
            if !by_role(action, state) {
                as_administrator.push(message.chat_id);
            }
            seen.insert((message.chat_id, message.seq), message.id);
        }
        record_reading(&mut conn, actor, &as_administrator).await?;
        let roots: Vec<(ChatId, i64)> = seen.keys().copied().collect();
        let read = store::messages::revisions(&mut conn, tenant, &roots, page).await?;
        let revisions = read.into_iter();
        let revisions = revisions
            .map(|revision| {
                (
                    (revision.chat_id, revision.message_seq),
                    revision.seq,
                    revision,
                )
            })
            .collect();
        let slices = slices(&mut conn, actor, List::Revisions, &roots, page, revisions).await?;
        let of_id = |(root, slice)| Some((*seen.get(&root)?, slice));
        Ok(slices.into_iter().filter_map(of_id).collect())
    }
}
