//! Look-ups batched within a request: many fields that want the same kind of thing cost one statement. Those of what hangs
//! on chats and messages are in `of_chats.rs` and `of_messages.rs`.

mod of_chats;
mod of_messages;

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Result;
use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use async_graphql::runtime::TokioSpawner;

use super::error::to_graphql;
use super::execute::Turns;
use crate::app::{Actor, App, Error};
use crate::model::{
    AttachmentId, ChatId, ChatNotificationSettings, ChatState, Message, Participant, ParticipantId,
    Presence, UnreadRange, User, UserId,
};

/// A chat that the viewer may see, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ChatById(ChatId);

/// The newest message of a chat at a place of its log or before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MessageUpTo(ChatId, i64);

/// How many unread messages a chat has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Unread(UnreadRange);

/// The URL from which an attachment is downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct UrlOf(AttachmentId);

/// Of what the viewer is notified of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct NotificationsOf(ChatId);

/// A person by their id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct UserById(UserId);

/// A participant of a chat that the viewer may see, by their id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ParticipantById(ParticipantId);

/// The presence of a person who shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PresenceOf(UserId);

/// Reads batches for one viewer.
struct Batch {
    app: Arc<App>,
    actor: Actor,
    people: Reads,
}

/// How new what is shown of people has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// As it is now.
    Now,
    /// As it was a moment ago.
    Lately,
}

/// An error that the fields which wait for one batch share.
type SharedError = Arc<Error>;

/// The loaders of one request.
pub(super) struct Loaders(DataLoader<Batch, HashMapCache>);

impl Loaders {
    pub(super) fn new(app: Arc<App>, actor: Actor, turns: Turns, people: Reads) -> Self {
        Self(DataLoader::with_cache(
            Batch { app, actor, people },
            TokioSpawner::current(),
            turns,
            HashMapCache::default(),
        ))
    }

    /// Forgets what was read: before a write's answer is read, and before each event.
    pub(super) fn forget(&self) {
        self.0.clear::<ChatById>();
        self.0.clear::<MessageUpTo>();
        self.0.clear::<Unread>();
        self.forget_of_chats();
        self.forget_of_messages();
        self.0.clear::<UrlOf>();
        self.0.clear::<NotificationsOf>();
        self.0.clear::<UserById>();
        self.forget_participants();
    }

    /// Forgets participants: their marks and presence move often.
    pub(super) fn forget_participants(&self) {
        self.0.clear::<ParticipantById>();
        self.0.clear::<PresenceOf>();
    }

    /// Remembers chats read otherwise, so that the rest of the request sees them at the same head.
    pub(super) async fn remember(&self, chats: &[Arc<ChatState>]) {
        let chats = chats
            .iter()
            .map(|state| (ChatById(state.chat.id), Arc::clone(state)));
        self.0.feed_many(chats).await;
    }

    /// A chat that the viewer may see.
    pub(super) async fn chat(&self, id: ChatId) -> Result<Option<Arc<ChatState>>> {
        self.0.load_one(ChatById(id)).await.map_err(shared)
    }

    /// Chats that the viewer may see.
    pub(super) async fn chats(&self, ids: &[ChatId]) -> Result<HashMap<ChatId, Arc<ChatState>>> {
        let found = self.0.load_many(ids.iter().copied().map(ChatById)).await;
        let found = found.map_err(shared)?;
        Ok(found.into_iter().map(|(key, chat)| (key.0, chat)).collect())
    }

    /// The newest message of a chat at a place of its log or before it.
    pub(super) async fn message_up_to(&self, id: ChatId, seq: i64) -> Result<Option<Arc<Message>>> {
        self.0.load_one(MessageUpTo(id, seq)).await.map_err(shared)
    }

    /// How many unread messages stand in a range of a chat's log.
    pub(super) async fn unread(&self, range: UnreadRange) -> Result<i64> {
        let count = self.0.load_one(Unread(range)).await.map_err(shared)?;
        Ok(count.unwrap_or(0))
    }

    /// The URL from which the viewer downloads an attachment, if they may.
    pub(super) async fn download_url(&self, id: AttachmentId) -> Result<Option<String>> {
        self.0.load_one(UrlOf(id)).await.map_err(shared)
    }

    /// Of what the viewer is notified of a chat.
    pub(super) async fn notification_settings(
        &self,
        id: ChatId,
    ) -> Result<ChatNotificationSettings> {
        let settings = self.0.load_one(NotificationsOf(id)).await;
        Ok(settings.map_err(shared)?.unwrap_or_default())
    }

    /// A person who was ever seen in the viewer's tenant.
    pub(super) async fn user(&self, id: &UserId) -> Result<Option<Arc<User>>> {
        if let Some(user) = self.0.loader().lately(id) {
            return Ok(Some(user));
        }
        let key = UserById(id.clone());
        self.0.load_one(key).await.map_err(shared)
    }

    /// People who were ever seen in the viewer's tenant.
    pub(super) async fn users(&self, ids: &[UserId]) -> Result<HashMap<UserId, Arc<User>>> {
        let found = self.0.load_many(ids.iter().cloned().map(UserById)).await;
        let found = found.map_err(shared)?;
        Ok(found.into_iter().map(|(key, user)| (key.0, user)).collect())
    }

    /// A participant of a chat that the viewer may see.
    pub(super) async fn participant(&self, id: ParticipantId) -> Result<Option<Participant>> {
        self.0.load_one(ParticipantById(id)).await.map_err(shared)
    }

    /// The presence of someone in a chat that the viewer sees, if they show it.
    pub(super) async fn presence(&self, id: &UserId) -> Result<Option<Presence>> {
        let key = PresenceOf(id.clone());
        self.0.load_one(key).await.map_err(shared)
    }
}

/// A batch fails for all who wait for it, with one cause; each gets an error of its own.
fn shared(error: SharedError) -> async_graphql::Error {
    let own = if matches!(error.as_ref(), Error::Unavailable(_)) {
        Error::Unavailable(error.into())
    } else if let Error::BadInput(why) = error.as_ref() {
        Error::BadInput(why.clone())
    } else {
        Error::Internal(error.into())
    };
    to_graphql(own)
}

impl Batch {
    /// A person who was just read, where that is new enough.
    fn lately(&self, id: &UserId) -> Option<Arc<User>> {
        match self.people {
            Reads::Lately => self.app.realtime.people().lately(&self.actor.tenant, id),
            Reads::Now => None,
        }
    }
}

impl Loader<ChatById> for Batch {
    type Value = Arc<ChatState>;
    type Error = SharedError;

    async fn load(&self, keys: &[ChatById]) -> Result<HashMap<ChatById, Self::Value>, Self::Error> {
        let ids: Vec<ChatId> = keys.iter().map(|key| key.0).collect();
        let states = self.app.chats_by_ids(&self.actor, &ids).await?;
        let found = states
            .into_iter()
            .map(|state| (ChatById(state.chat.id), Arc::new(state)));
        Ok(found.collect())
    }
}

impl Loader<MessageUpTo> for Batch {
    type Value = Arc<Message>;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[MessageUpTo],
    ) -> Result<HashMap<MessageUpTo, Self::Value>, Self::Error> {
        let places: Vec<(ChatId, i64)> = keys.iter().map(|key| (key.0, key.1)).collect();
        let found = self.app.messages_up_to(&self.actor, &places).await?;
        let found = found
            .into_iter()
            .map(|(chat, seq, message)| (MessageUpTo(chat, seq), Arc::new(message)));
        Ok(found.collect())
    }
}

impl Loader<Unread> for Batch {
    type Value = i64;
    type Error = SharedError;

    async fn load(&self, keys: &[Unread]) -> Result<HashMap<Unread, Self::Value>, Self::Error> {
        let ranges: Vec<UnreadRange> = keys.iter().map(|key| key.0).collect();
        let counts = self.app.messages_unread(&self.actor, &ranges).await?;
        Ok(counts
            .into_iter()
            .map(|(range, count)| (Unread(range), count))
            .collect())
    }
}

impl Loader<NotificationsOf> for Batch {
    type Value = ChatNotificationSettings;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[NotificationsOf],
    ) -> Result<HashMap<NotificationsOf, Self::Value>, Self::Error> {
        let chats: Vec<ChatId> = keys.iter().map(|key| key.0).collect();
        let found = self.app.notification_settings_of_chats(&self.actor, &chats);
        let found = found.await?.into_iter();
        Ok(found
            .map(|(chat, settings)| (NotificationsOf(chat), settings))
            .collect())
    }
}

impl Loader<UrlOf> for Batch {
    type Value = String;
    type Error = SharedError;

    async fn load(&self, keys: &[UrlOf]) -> Result<HashMap<UrlOf, Self::Value>, Self::Error> {
        let ids: Vec<AttachmentId> = keys.iter().map(|key| key.0).collect();
        let urls = self.app.attachment_urls(&self.actor, &ids).await?;
        let urls = urls.into_iter();
        Ok(urls.map(|(id, url)| (UrlOf(id), url)).collect())
    }
}

impl Loader<UserById> for Batch {
    type Value = Arc<User>;
    type Error = SharedError;

    async fn load(&self, keys: &[UserById]) -> Result<HashMap<UserById, Self::Value>, Self::Error> {
        let ids: Vec<UserId> = keys.iter().map(|key| key.0.clone()).collect();
        let users = match self.people {
            Reads::Lately => self.app.users_lately(&self.actor, &ids).await?,
            Reads::Now => {
                let users = self.app.users_by_ids(&self.actor, &ids).await?.into_iter();
                users.map(Arc::new).collect()
            }
        };
        let found = users
            .into_iter()
            .map(|user| (UserById(user.id.clone()), user));
        Ok(found.collect())
    }
}

impl Loader<ParticipantById> for Batch {
    type Value = Participant;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[ParticipantById],
    ) -> Result<HashMap<ParticipantById, Self::Value>, Self::Error> {
        let ids: Vec<ParticipantId> = keys.iter().map(|key| key.0.clone()).collect();
        let found = self.app.participants_by_ids(&self.actor, &ids).await?;
        let found = found.into_iter();
        Ok(found.map(|p| (ParticipantById(p.id()), p)).collect())
    }
}

impl Loader<PresenceOf> for Batch {
    type Value = Presence;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[PresenceOf],
    ) -> Result<HashMap<PresenceOf, Self::Value>, Self::Error> {
        let ids: Vec<UserId> = keys.iter().map(|key| key.0.clone()).collect();
        let found = self.app.presences(&self.actor, &ids).await?;
        let found = found.into_iter();
        Ok(found
            .map(|(id, presence)| (PresenceOf(id), presence))
            .collect())
    }
}
