//! What ties a chat to the application: metadata, and the thing that it belongs to.

use diesel_async::AsyncConnection as _;

use super::access::{lock_for, reread};
use super::chats::append;
use super::{Actor, App, Error};
use crate::model::{Action, Channel, ChatId, ChatState, Metadata, NewEvent, Refusal};
use crate::store;

/// Says that a chat belongs to the thing of the application already. It may be one that the actor does not see: a
/// thing has one chat, and whoever wants it is to be told that it is taken.
pub(super) fn belongs_already() -> Refusal {
    Refusal::conflict("Another chat has this reference.").at("externalReference")
}

impl App {
    /// The chat that belongs to a thing of the application, if the actor may see it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn chat_of_channel(
        &self,
        actor: &Actor,
        channel: &Channel,
    ) -> Result<Option<ChatId>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let viewer = (!actor.administers()).then_some(&actor.user);
        Ok(store::chats::of_channel(&mut conn, &actor.tenant, viewer, channel).await?)
    }

    /// Changes what the application keeps with a chat: the whole of it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_change_metadata(
        &self,
        actor: &Actor,
        id: ChatId,
        metadata: Option<&Metadata>,
    ) -> Result<ChatState, Error> {
        let mut conn = self.connection_for(actor).await?;
        let state = conn
            .transaction(async |conn| {
                let state = lock_for(conn, actor, id, Action::ChangeMetadata).await?;
                let previous = state.chat.metadata.clone();
                if previous.as_ref() == metadata {
                    return Ok(state);
                }
                store::chats::set_metadata(conn, &actor.tenant, id, metadata).await?;
                let metadata = metadata.cloned();
                let event = NewEvent::ChatMetadataChanged { metadata, previous };
                append(conn, actor, id, self.clock.now(), vec![event], false).await?;
                Ok::<_, Error>(reread(conn, actor, id).await?)
            })
            .await?;
        self.ring(actor, id, Some(state.chat.last_seq), Vec::new());
        Ok(state)
    }

    /// Changes the thing of the application that a chat belongs to.
    ///
    /// # Errors
    ///
    /// `CONFLICT` where another chat belongs to it; [`Error::Refused`] as the permission table says;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_change_channel(
        &self,
        actor: &Actor,
        id: ChatId,
        channel: Option<&Channel>,
    ) -> Result<ChatState, Error> {
        let mut conn = self.connection_for(actor).await?;
        let state = conn
            .transaction(async |conn| {
                let state = lock_for(conn, actor, id, Action::ChangeChannel).await?;
                let previous = state.chat.channel();
                if previous.as_ref() == channel {
                    return Ok(state);
                }
                if !store::chats::set_channel(conn, &actor.tenant, id, channel).await? {
                    return Err(belongs_already().into());
                }
                let channel = channel.cloned();
                let event = NewEvent::ChatChannelChanged { channel, previous };
                append(conn, actor, id, self.clock.now(), vec![event], false).await?;
                Ok::<_, Error>(reread(conn, actor, id).await?)
            })
            .await?;
        self.ring(actor, id, Some(state.chat.last_seq), Vec::new());
        Ok(state)
    }
}
