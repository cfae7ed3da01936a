//! Stars: messages that somebody keeps at hand, for themselves alone.

use super::access::read_for;
use super::messages::no_such_message;
use super::{Actor, App, Error};
use crate::model::{
    Action, ChatId, ListCursor, ListKey, Message, MessageId, Page, PageArgs, Refusal, Slice,
    StarPlace, StarredMessage, fingerprint,
};
use crate::store::stars::Between;
use crate::store::{self, Connection};

impl App {
    /// Stars a message for the actor. One that is starred already keeps its time.
    ///
    /// # Errors
    ///
    /// `CONFLICT` for a deleted message; [`Error::Refused`] as the permission table says;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn message_star(&self, actor: &Actor, id: MessageId) -> Result<Message, Error> {
        let mut conn = self.connection_for(actor).await?;
        let message = to_star(&mut conn, actor, id).await?;
        if message.deleted_at.is_some() {
            return Err(Refusal::conflict("The message is deleted.")
                .at("messageId")
                .into());
        }
        let place = StarPlace {
            starred_at: self.clock.now(),
            chat_id: message.chat_id,
            seq: message.seq,
        };
        store::stars::add(&mut conn, &actor.tenant, &actor.user, place).await?;
        Ok(message)
    }

    /// Takes the actor's star off a message, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn message_unstar(&self, actor: &Actor, id: MessageId) -> Result<Message, Error> {
        let mut conn = self.connection_for(actor).await?;
        let message = to_star(&mut conn, actor, id).await?;
        let place = (message.chat_id, message.seq);
        store::stars::remove(&mut conn, &actor.tenant, &actor.user, place).await?;
        Ok(message)
    }

    /// Those of the places in chats that the actor has starred.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn stars_among(
        &self,
        actor: &Actor,
        places: &[(ChatId, i64)],
    ) -> Result<Vec<(ChatId, i64)>, Error> {
        let mut conn = self.connection_for(actor).await?;
        Ok(store::stars::among(&mut conn, &actor.tenant, &actor.user, places).await?)
    }

    /// A page of what the actor has starred of the live chats that they are in, the newest star first.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for the arguments; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn stars_page(
        &self,
        actor: &Actor,
        args: &PageArgs,
    ) -> Result<Slice<StarredMessage>, Error> {
        let Actor { tenant, user, .. } = actor;
        let list = Self::stars_key(actor);
        let page = Page::new(args, |text| match ListCursor::decode(text, &list) {
            Ok(ListCursor::Star(place)) => Some(place),
            _ => None,
        })?;
        let whole = Between::default();
        let between = Between {
            newer: page.after.unwrap_or(whole.newer),
            older: page.before.unwrap_or(whole.older),
        };
        let mut conn = self.connection_for(actor).await?;
        let mut read = async |between, oldest_first, limit| {
            store::stars::page(&mut conn, tenant, user, between, oldest_first, limit).await
        };
        let items = read(between, page.from_end, page.read_limit()).await?;
        let before_it = match page.after {
            None => false,
            Some(place) => {
                let older = StarPlace {
                    seq: place.seq - 1,
                    ..place
                };
                !read(Between { older, ..whole }, false, 1).await?.is_empty()
            }
        };
        let behind_it = match page.before {
            None => false,
            Some(place) => {
                let newer = StarPlace {
                    seq: place.seq.saturating_add(1),
                    ..place
                };
                !read(Between { newer, ..whole }, false, 1).await?.is_empty()
            }
        };
        Ok(Slice::new(&page, items, before_it, behind_it))
    }

    /// The list that the cursors of the actor's stars belong to.
    #[must_use]
    pub fn stars_key(actor: &Actor) -> ListKey {
        ListKey::Stars(fingerprint(&actor.tenant, &actor.user))
    }
}

/// A message that the actor sees, in a chat where they may star.
async fn to_star(conn: &mut Connection, actor: &Actor, id: MessageId) -> Result<Message, Error> {
    let missing = || no_such_message("messageId");
    let Actor { tenant, user, .. } = actor;
    let viewer = (!actor.administers()).then_some(user);
    let chat = store::messages::chat_of(conn, tenant, viewer, id).await?;
    let chat = chat.ok_or_else(missing)?;
    let state = read_for(conn, actor, chat, Action::Star).await;
    let state = state.map_err(|error| error.not_found_as(missing()))?;
    let found = store::messages::by_ids(conn, tenant, &[id]).await?;
    let mut seen = found.into_iter().filter(|message| state.sees(message.seq));
    Ok(seen.next().ok_or_else(missing)?)
}
