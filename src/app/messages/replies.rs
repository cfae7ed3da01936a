//! What answers a message.

use std::collections::HashMap;

use crate::app::{Actor, App, Error, access};
use crate::model::{
    ChatId, ListCursor, ListKey, Message, Page, PageArgs, PageError, Slice, Thread,
};
use crate::store;
use crate::store::Connection;

/// To how many replies are counted.
const REPLIES_MAX: i64 = 1000;

/// The replies of a page as they were read, with whether there are some up to its `after`, and from its `before` on.
type Read = Vec<(Message, bool, bool)>;

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

    /// Reads the arguments of a page of what answers a message.
    ///
    /// # Errors
    ///
    /// [`PageError`].
    pub fn reply_page(
        (chat, root): (ChatId, i64),
        args: &PageArgs,
    ) -> Result<Page<i64>, PageError> {
        let list = ListKey::Replies(chat, root);
        Page::new(args, |text| match ListCursor::decode(text, &list) {
            Ok(ListCursor::Message(seq)) => Some(seq),
            _ => None,
        })
    }

    /// For each of the messages at these places, those in chats that the actor sees, the same page of what answers it,
    /// oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn replies(
        &self,
        actor: &Actor,
        roots: &[(ChatId, i64)],
        page: &Page<i64>,
    ) -> Result<HashMap<(ChatId, i64), Slice<Message>>, Error> {
        let tenant = &actor.tenant;
        let mut conn = self.connection_for(actor).await?;
        let roots = seen(&mut conn, actor, roots).await?;
        let mut read: HashMap<(ChatId, i64), Read> = HashMap::new();
        for row in store::messages::replies(&mut conn, tenant, &roots, page).await? {
            if let Some(root) = row.0.reply_to_seq {
                read.entry((row.0.chat_id, root)).or_default().push(row);
            }
        }
        let mut pages = HashMap::with_capacity(roots.len());
        for root in roots {
            let mut rows = read.remove(&root).unwrap_or_default();
            rows.sort_unstable_by_key(|(reply, ..)| reply.seq);
            if page.from_end {
                rows.reverse();
            }
            let (before_it, behind_it) = match (rows.first(), page.after, page.before) {
                (Some((_, before_it, behind_it)), ..) => (*before_it, *behind_it),
                (None, None, None) => (false, false),
                (None, after, before) => {
                    // An empty window has no row to carry the flags.
                    let (to, from) = (after.unwrap_or(0), before.unwrap_or(i64::MAX));
                    let any = store::messages::any_reply_between;
                    (
                        any(&mut conn, tenant, root, 0, to).await?,
                        any(&mut conn, tenant, root, from, i64::MAX).await?,
                    )
                }
            };
            let items = rows.into_iter().map(|(reply, ..)| reply).collect();
            pages.insert(root, Slice::new(page, items, before_it, behind_it));
        }
        Ok(pages)
    }
}

/// Those of the places that the actor sees.
async fn seen(
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
