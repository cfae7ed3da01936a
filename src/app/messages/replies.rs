//! What answers a message.

use std::collections::HashMap;

use super::lists::{Place, by_page, slices};
use crate::app::{Actor, App, Error, access};
use crate::model::{ChatId, Message, Page, Slice, Thread};
use crate::store::messages::List;
use crate::store::{self, Connection};

/// To how many replies are counted.
const REPLIES_MAX: i64 = 1000;

impl App {
    /// What answers the messages at these places, those in chats that the actor sees: how many live messages, counted to
    /// 1000, and the newest of them.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn threads(
        &self,
        actor: &Actor,
        roots: &[(ChatId, i64)],
    ) -> Result<Vec<((ChatId, i64), Thread)>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let roots = seen(&mut conn, actor, roots).await?;
        Ok(store::messages::threads(&mut conn, &actor.tenant, &roots, REPLIES_MAX).await?)
    }

    /// For each of the messages at these places, those in chats that the actor sees, the page that is wanted of what answers
    /// it, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] where that is more than 2000 messages; [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn replies(
        &self,
        actor: &Actor,
        wanted: &[(Place, Page<i64>)],
    ) -> Result<HashMap<(Place, Page<i64>), Slice<Message>>, Error> {
        let by_page = by_page(wanted)?;
        let tenant = &actor.tenant;
        let mut conn = self.connection_for(actor).await?;
        let mut pages = HashMap::with_capacity(wanted.len());
        for (page, roots) in by_page {
            let roots = seen(&mut conn, actor, &roots).await?;
            let read = store::messages::replies(&mut conn, tenant, &roots, &page).await?;
            let replies = read.into_iter().filter_map(|reply| {
                let root = (reply.chat_id, reply.reply_to_seq?);
                Some((root, reply.seq, reply))
            });
            let replies = replies.collect();
            let found = slices(&mut conn, actor, List::Replies, &roots, &page, replies).await?;
            pages.extend(found.into_iter().map(|(root, slice)| ((root, page), slice)));
        }
        Ok(pages)
    }
}

/// Those of the places that the actor sees.
pub(in crate::app) async fn seen(
    conn: &mut Connection,
    actor: &Actor,
    places: &[(ChatId, i64)],
) -> Result<Vec<(ChatId, i64)>, Error> {
    let mut chats: Vec<ChatId> = places.iter().map(|(chat, _)| *chat).collect();
    chats.sort_unstable();
    chats.dedup();
    let visible = access::visible(conn, actor, &chats).await?;
    let sees = |(chat, seq): &(ChatId, i64)| {
        let mut states = visible.iter();
        states.any(|state| state.chat.id == *chat && state.sees(*seq))
    };
    Ok(places.iter().copied().filter(sees).collect())
}
