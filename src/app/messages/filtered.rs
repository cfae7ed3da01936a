//! Pages of those messages of a chat that a filter keeps.

use crate::app::{Actor, App, Error};
use crate::model::{
    ChatId, ListCursor, ListKey, Message, MessageFilter, Page, PageArgs, SearchText, Slice, Stop,
    UserId,
};
use crate::store::messages::{Kept, Range, filtered, first_since, looked_to};
use crate::store::{self, Connection};

/// The most messages that a page looks at.
const LOOKS_MAX: i64 = 10_000;

/// A chat as its messages are listed for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedChat {
    /// The chat.
    pub id: ChatId,
    /// The first entry of its log that they see.
    pub from: i64,
    /// The last.
    pub head: i64,
    /// Their read mark; none for who is not in it.
    pub read_seq: Option<i64>,
}

impl App {
    /// A page of those messages of a chat that a filter keeps, oldest first. It looks at 10 000 messages at most. Where it
    /// finds fewer than it may have among them, and there are more, `Slice::stop` says where it goes on.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for the arguments; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn messages_filtered(
        &self,
        actor: &Actor,
        chat: ListedChat,
        filter: &MessageFilter,
        args: &PageArgs,
    ) -> Result<Slice<Message>, Error> {
        let list = ListKey::Messages(chat.id);
        let page = Page::new(args, |text| list.entry_at(text))?;
        let mut conn = self.connection_for(actor).await?;
        let Some((kept, first, end)) = self.read_filter(&mut conn, actor, chat, filter).await?
        else {
            return Ok(Slice::empty());
        };
        let range = Range {
            first: page
                .after
                .map_or(first, |after| first.max(after.saturating_add(1))),
            last: page.before.map_or(end, |before| end.min(before - 1)),
            from_end: page.from_end,
            looks: LOOKS_MAX,
        };
        let items = filtered(&mut conn, &kept, range, page.read_limit()).await?;
        let is_full = items.len() > page.limit;
        let (mut before_it, mut behind_it) = (false, false);
        if let Some(after) = page.after {
            let range = Range {
                first,
                last: end.min(after),
                from_end: true,
                looks: LOOKS_MAX,
            };
            before_it = is_any_kept(&mut conn, &kept, range).await?;
        }
        if let Some(before) = page.before {
            let range = Range {
                first: first.max(before),
                last: end,
                from_end: false,
                looks: LOOKS_MAX,
            };
            behind_it = is_any_kept(&mut conn, &kept, range).await?;
        }
        let mut slice = Slice::new(&page, items, before_it, behind_it);
        if !is_full && let Some(seq) = looked_to(&mut conn, &kept, range).await? {
            let place = ListCursor::Message(seq);
            if page.from_end {
                slice.has_previous = true;
                slice.stop = Some(Stop::Start(place));
            } else {
                slice.has_next = true;
                slice.stop = Some(Stop::End(place));
            }
        }
        Ok(slice)
    }

    /// What a filter asks of the database, and the part of the log that it leaves; nothing where it keeps nothing.
    async fn read_filter<'a>(
        &self,
        conn: &mut Connection,
        actor: &'a Actor,
        chat: ListedChat,
        filter: &'a MessageFilter,
    ) -> Result<Option<(Kept<'a>, i64, i64)>, Error> {
        let tenant = &actor.tenant;
        let (mut first, mut last) = (chat.from, chat.head);
        let reply_to = match filter.reply_to {
            None => None,
            Some(id) => {
                let seq = store::messages::seq_of(conn, tenant, chat.id, id).await?;
                let Some(seq) = seq.filter(|seq| *seq >= chat.from) else {
                    return Ok(None);
                };
                Some(seq)
            }
        };
        if let Some(at) = filter.since {
            first = first_since(conn, tenant, chat.id, (first, last), at).await?;
        }
        if let Some(at) = filter.before {
            last = first_since(conn, tenant, chat.id, (first, last), at).await? - 1;
        }
        // Nothing is unread for who is not in the chat.
        let read_seq = chat.read_seq.unwrap_or(i64::MAX - 1);
        if filter.unread == Some(true) {
            first = first.max(read_seq + 1);
        }
        let senders = filter.senders.as_ref();
        let kept = Kept {
            tenant,
            chat: chat.id,
            viewer: &actor.user,
            read_seq,
            senders: senders.map(|all| all.iter().map(UserId::as_str).collect()),
            starred: filter.starred,
            unread: filter.unread,
            has_attachments: filter.has_attachments,
            reply_to,
            text: filter.text.as_ref().map(SearchText::as_str),
        };
        Ok(Some((kept, first, last)))
    }
}

/// Whether a filter keeps a message of a range; true also where it was not looked through to its end.
async fn is_any_kept(conn: &mut Connection, kept: &Kept<'_>, range: Range) -> Result<bool, Error> {
    Ok(!filtered(conn, kept, range, 1).await?.is_empty()
        || looked_to(conn, kept, range).await?.is_some())
}
