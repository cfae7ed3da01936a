//! Look-ups of what hangs on messages: each by the place of its message.

use std::collections::HashMap;

use async_graphql::Result;
use async_graphql::dataloader::Loader;

use super::{Batch, Loaders, SharedError, shared};
use crate::app::ReceiptPage;
use crate::model::{
    Attachment, ChatId, Message, MessageId, Page, Receipt, ReceiptKind, Revision, Slice, Thread,
};

/// What answers a message, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ThreadOf(ChatId, i64);

/// A page of what answers a message, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RepliesTo(ChatId, i64, Page<i64>);

/// A page of the earlier texts of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RevisionsOf(MessageId, Page<i64>);

/// A page of the receipts of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ReceiptsOf(ReceiptKind, ReceiptPage);

/// Whether the viewer has starred a message, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct StarOn(ChatId, i64);

/// The attachments of a message, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct AttachedTo(ChatId, i64);

impl Loaders {
    /// Forgets what was read of messages.
    pub(super) fn forget_of_messages(&self) {
        self.0.clear::<ThreadOf>();
        self.0.clear::<RepliesTo>();
        self.0.clear::<RevisionsOf>();
        self.0.clear::<ReceiptsOf>();
        self.0.clear::<StarOn>();
        self.0.clear::<AttachedTo>();
    }

    /// What answers the message at a place of a chat's log, unless the viewer has lost the chat.
    pub(in crate::graphql) async fn thread(&self, id: ChatId, seq: i64) -> Result<Option<Thread>> {
        self.0.load_one(ThreadOf(id, seq)).await.map_err(shared)
    }

    /// A page of what answers the message at a place of a chat's log, unless the viewer has lost the chat.
    pub(in crate::graphql) async fn replies(
        &self,
        id: ChatId,
        seq: i64,
        page: Page<i64>,
    ) -> Result<Option<Slice<Message>>> {
        let key = RepliesTo(id, seq, page);
        self.0.load_one(key).await.map_err(shared)
    }

    /// A page of the earlier texts of a message, where the viewer may see them.
    pub(in crate::graphql) async fn revisions(
        &self,
        id: MessageId,
        page: Page<i64>,
    ) -> Result<Option<Slice<Revision>>> {
        let key = RevisionsOf(id, page);
        self.0.load_one(key).await.map_err(shared)
    }

    /// A page of the receipts of a message, unless the viewer does not see them.
    pub(in crate::graphql) async fn receipts(
        &self,
        kind: ReceiptKind,
        page: ReceiptPage,
    ) -> Result<Option<Slice<Receipt>>> {
        let key = ReceiptsOf(kind, page);
        self.0.load_one(key).await.map_err(shared)
    }

    /// Whether the viewer has starred the message at a place of a chat's log.
    pub(in crate::graphql) async fn has_starred(&self, id: ChatId, seq: i64) -> Result<bool> {
        let star = self.0.load_one(StarOn(id, seq)).await.map_err(shared)?;
        Ok(star.is_some())
    }

    /// The attachments of the message at a place of a chat's log, unless the viewer has lost the chat.
    pub(in crate::graphql) async fn attachments(
        &self,
        id: ChatId,
        seq: i64,
    ) -> Result<Vec<Attachment>> {
        let attached = self.0.load_one(AttachedTo(id, seq)).await;
        Ok(attached.map_err(shared)?.unwrap_or_default())
    }
}

impl Loader<ThreadOf> for Batch {
    type Value = Thread;
    type Error = SharedError;

    async fn load(&self, keys: &[ThreadOf]) -> Result<HashMap<ThreadOf, Thread>, Self::Error> {
        let roots: Vec<(ChatId, i64)> = keys.iter().map(|key| (key.0, key.1)).collect();
        let found = self.app.threads(&self.actor, &roots).await?.into_iter();
        Ok(found
            .map(|((chat, seq), thread)| (ThreadOf(chat, seq), thread))
            .collect())
    }
}

impl Loader<RepliesTo> for Batch {
    type Value = Slice<Message>;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[RepliesTo],
    ) -> Result<HashMap<RepliesTo, Self::Value>, Self::Error> {
        let wanted: Vec<_> = keys.iter().map(|key| ((key.0, key.1), key.2)).collect();
        let found = self.app.replies(&self.actor, &wanted).await?.into_iter();
        Ok(found
            .map(|(((chat, root), page), slice)| (RepliesTo(chat, root, page), slice))
            .collect())
    }
}

impl Loader<RevisionsOf> for Batch {
    type Value = Slice<Revision>;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[RevisionsOf],
    ) -> Result<HashMap<RevisionsOf, Self::Value>, Self::Error> {
        let wanted: Vec<_> = keys.iter().map(|key| (key.0, key.1)).collect();
        let found = self.app.revisions(&self.actor, &wanted).await?.into_iter();
        Ok(found
            .map(|((id, page), slice)| (RevisionsOf(id, page), slice))
            .collect())
    }
}

impl Loader<ReceiptsOf> for Batch {
    type Value = Slice<Receipt>;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[ReceiptsOf],
    ) -> Result<HashMap<ReceiptsOf, Self::Value>, Self::Error> {
        let mut slices = HashMap::with_capacity(keys.len());
        for kind in [ReceiptKind::Read, ReceiptKind::Delivered] {
            let wanted = keys.iter().filter(|key| key.0 == kind);
            let wanted: Vec<ReceiptPage> = wanted.map(|key| key.1.clone()).collect();
            if !wanted.is_empty() {
                let found = self.app.receipts(&self.actor, kind, &wanted).await?;
                let found = found.into_iter();
                slices.extend(found.map(|(page, slice)| (ReceiptsOf(kind, page), slice)));
            }
        }
        Ok(slices)
    }
}

impl Loader<StarOn> for Batch {
    type Value = ();
    type Error = SharedError;

    async fn load(&self, keys: &[StarOn]) -> Result<HashMap<StarOn, Self::Value>, Self::Error> {
        let places: Vec<(ChatId, i64)> = keys.iter().map(|key| (key.0, key.1)).collect();
        let found = self.app.stars_among(&self.actor, &places).await?;
        let found = found.into_iter();
        Ok(found.map(|(chat, seq)| (StarOn(chat, seq), ())).collect())
    }
}

impl Loader<AttachedTo> for Batch {
    type Value = Vec<Attachment>;
    type Error = SharedError;

    async fn load(
        &self,
        keys: &[AttachedTo],
    ) -> Result<HashMap<AttachedTo, Self::Value>, Self::Error> {
        let places: Vec<(ChatId, i64)> = keys.iter().map(|key| (key.0, key.1)).collect();
        let found = self.app.message_attachments(&self.actor, &places).await?;
        let found = found.into_iter();
        Ok(found
            .map(|((chat, seq), attachments)| (AttachedTo(chat, seq), attachments))
            .collect())
    }
}
