//! Lists of many chats at once, the first or the last of each: what a list of chats shows of every one of them costs as
//! many statements as what it shows of one.

use std::collections::HashMap;

use super::{Actor, App, Error};
use crate::model::{ChatId, Message, Page, Participant, Slice};
use crate::store;
use crate::store::messages::Part;

/// The most elements that one statement reads.
const TOGETHER: usize = 2_000;

/// How many lists of such a page one statement reads.
fn lists(page: &Page<()>) -> usize {
    (TOGETHER / (page.limit + 1)).max(1)
}

/// The pages of what was read of each chat, also of those of which nothing was.
fn slices<T>(
    chats: impl Iterator<Item = ChatId>,
    page: &Page<()>,
    found: Vec<T>,
    chat_of: impl Fn(&T) -> ChatId,
) -> HashMap<ChatId, Slice<T>> {
    let mut of_chats: HashMap<ChatId, Vec<T>> = chats.map(|chat| (chat, Vec::new())).collect();
    for element in found {
        of_chats.entry(chat_of(&element)).or_default().push(element);
    }
    let of_chats = of_chats.into_iter();
    of_chats
        .map(|(chat, elements)| (chat, Slice::new(page, elements, false, false)))
        .collect()
}

impl App {
    /// A page of the participants of each of these chats, which the actor sees, first joined first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn participants_of_chats(
        &self,
        actor: &Actor,
        chats: &[ChatId],
        page: &Page<()>,
    ) -> Result<HashMap<ChatId, Slice<Participant>>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let mut all = HashMap::with_capacity(chats.len());
        for some in chats.chunks(lists(page)) {
            let tenant = &actor.tenant;
            let found = store::participants::of_chats(&mut conn, tenant, some, page).await?;
            let chats = some.iter().copied();
            all.extend(slices(chats, page, found, |one| one.chat_id));
        }
        Ok(all)
    }

    /// A page of the messages of each of these chats, of that part of its log which the actor sees, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn messages_of_chats(
        &self,
        actor: &Actor,
        parts: &[Part],
        page: &Page<()>,
    ) -> Result<HashMap<ChatId, Slice<Message>>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let mut all = HashMap::with_capacity(parts.len());
        for some in parts.chunks(lists(page)) {
            let tenant = &actor.tenant;
            let found = store::messages::of_chats(&mut conn, tenant, some, page).await?;
            let chats = some.iter().map(|(chat, ..)| *chat);
            all.extend(slices(chats, page, found, |one| one.chat_id));
        }
        Ok(all)
    }
}
