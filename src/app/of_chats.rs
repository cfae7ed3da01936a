//! Lists of many chats at once, the first or the last of each: what a list of chats shows of every one of them costs as
//! many statements as what it shows of one.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Actor, App, Error};
use crate::model::{ChatId, Message, Page, Participant, Slice};
use crate::store;
use crate::store::messages::Part;

/// The most elements that one statement reads.
const TOGETHER: usize = 500;

/// The most bytes of texts that are read before the rest is left to be read one by one.
const TEXTS_MOST: usize = 4 * 1024 * 1024;

/// How many lists of such a page one statement reads.
fn lists(page: &Page<()>) -> usize {
    (TOGETHER / (page.limit + 1)).max(1)
}

/// The pages of so many lists, of what was read of them: each element with the number of its list, from 0 on.
fn slices<T>(
    count: usize,
    page: &Page<()>,
    found: impl Iterator<Item = (usize, T)>,
) -> impl Iterator<Item = Slice<T>> {
    let mut lists: Vec<Vec<T>> = Vec::new();
    lists.resize_with(count, Vec::new);
    for (place, element) in found {
        if let Some(list) = lists.get_mut(place) {
            list.push(element);
        }
    }
    let lists = lists.into_iter();
    lists.map(move |elements| Slice::new(page, elements, false, false))
}

impl App {
    /// A page of the participants of each of these chats, which the actor sees, first joined first: as many, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn participants_of_chats(
        &self,
        actor: &Actor,
        chats: &[ChatId],
        page: &Page<()>,
    ) -> Result<Vec<Slice<Participant>>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let mut all = Vec::with_capacity(chats.len());
        for some in chats.chunks(lists(page)) {
            let tenant = &actor.tenant;
            let found = store::participants::of_chats(&mut conn, tenant, some, page).await?;
            let places: HashMap<ChatId, usize> = some.iter().copied().zip(0..).collect();
            let found = found.into_iter();
            let found = found.filter_map(|one| Some((*places.get(&one.chat_id)?, one)));
            all.extend(slices(some.len(), page, found));
        }
        Ok(all)
    }

    /// A page of the messages of each of these chats, of that part of its log which the actor sees, oldest first, in their
    /// order. Where they are long, it is only of the first of them: of as many as there are pages.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn messages_of_chats(
        &self,
        actor: &Actor,
        parts: &[Part],
        page: &Page<()>,
    ) -> Result<Vec<Slice<Arc<Message>>>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let mut all = Vec::with_capacity(parts.len());
        let mut texts = 0_usize;
        for some in parts.chunks(lists(page)) {
            let tenant = &actor.tenant;
            let found = store::messages::of_chats(&mut conn, tenant, some, page).await?;
            let found = found.into_iter().filter_map(|(place, message)| {
                let place = usize::try_from(place).ok()?.checked_sub(1)?;
                texts = texts.saturating_add(message.body.len());
                Some((place, Arc::new(message)))
            });
            all.extend(slices(some.len(), page, found));
            if texts > TEXTS_MOST {
                break;
            }
        }
        Ok(all)
    }
}
