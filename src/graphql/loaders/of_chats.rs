//! Look-ups of what hangs on chats: the first or last of their lists.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Result;
use async_graphql::dataloader::Loader;

use super::{Batch, Loaders, SharedError, shared};
use crate::model::{ChatId, Message, Page, Participant, Slice};

/// A page of a chat's participants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ParticipantsOf(ChatId, Page<()>);

/// A page of a chat's messages between two entries of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MessagesOf(ChatId, (i64, i64), Page<()>);

impl Loaders {
    /// Forgets what was read of chats.
    pub(super) fn forget_of_chats(&self) {
        self.0.clear::<ParticipantsOf>();
        self.0.clear::<MessagesOf>();
    }

    /// The first or last participants of a chat that the viewer sees.
    pub(in crate::graphql) async fn participants(
        &self,
        id: ChatId,
        page: Page<()>,
    ) -> Result<Slice<Participant>> {
        let found = self.0.load_one(ParticipantsOf(id, page)).await;
        Ok(found.map_err(shared)?.unwrap_or_else(Slice::empty))
    }

    /// The first or last messages of a chat, of that part of its log which the viewer sees. `None` where they are to be read by
    /// themselves, since those of others are long.
    pub(in crate::graphql) async fn messages(
        &self,
        id: ChatId,
        visible: (i64, i64),
        page: Page<()>,
    ) -> Result<Option<Slice<Arc<Message>>>> {
        let found = self.0.load_one(MessagesOf(id, visible, page)).await;
        found.map_err(shared)
    }
}

/// The keys of each page.
fn by_page<K: Copy>(keys: &[K], page: impl Fn(&K) -> Page<()>) -> HashMap<Page<()>, Vec<K>> {
    let mut by_page: HashMap<_, Vec<K>> = HashMap::new();
    for key in keys {
        by_page.entry(page(key)).or_default().push(*key);
    }
    by_page
}

impl Loader<ParticipantsOf> for Batch {
    type Value = Slice<Participant>;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[ParticipantsOf],
    ) -> Result<HashMap<ParticipantsOf, Self::Value>, Self::Error> {
        let mut slices = HashMap::with_capacity(keys.len());
        for (page, keys) in by_page(keys, |key| key.1) {
            let chats: Vec<ChatId> = keys.iter().map(|key| key.0).collect();
            let found = self.app.participants_of_chats(&self.actor, &chats, &page);
            slices.extend(keys.into_iter().zip(found.await?));
        }
        Ok(slices)
    }
}

impl Loader<MessagesOf> for Batch {
    type Value = Slice<Arc<Message>>;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[MessagesOf],
    ) -> Result<HashMap<MessagesOf, Self::Value>, Self::Error> {
        let mut slices = HashMap::with_capacity(keys.len());
        for (page, keys) in by_page(keys, |key| key.2) {
            let parts = keys
                .iter()
                .map(|MessagesOf(chat, (from, head), _)| (*chat, *from, *head));
            let parts: Vec<_> = parts.collect();
            let found = self.app.messages_of_chats(&self.actor, &parts, &page);
            slices.extend(keys.into_iter().zip(found.await?));
        }
        Ok(slices)
    }
}
