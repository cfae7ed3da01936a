//! Relay's `Node`: anything with an id, by the id alone.

use std::collections::HashMap;

use async_graphql::{Context, ID, Interface, Result};

use super::attachment::Attachment;
use super::chat::Chat;
use super::context::ContextExt as _;
use super::error::to_graphql;
use super::message::Message;
use super::participant::Participant;
use super::user::User;
use crate::app::{Error, IDS_MAX};
use crate::model::{AttachmentId, MessageId, NodeId, Operation};

/// Anything with an id.
#[derive(Debug, Clone, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The id, unique among all things."))]
pub(super) enum Node {
    /// A chat.
    Chat(Chat),
    /// A message.
    Message(Message),
    /// A participant.
    Participant(Participant),
    /// An attachment.
    Attachment(Attachment),
    /// A person.
    User(User),
}

/// The things with these ids, each in its place; null for what does not exist or the viewer may not see.
pub(super) async fn nodes(ctx: &Context<'_>, ids: &[ID]) -> Result<Vec<Option<Node>>> {
    if ids.len() > IDS_MAX {
        let why = "`nodes` takes at most 100 ids.".to_owned();
        return Err(to_graphql(Error::BadInput(why)));
    }
    let ids: Vec<Option<NodeId>> = ids.iter().map(|id| id.parse().ok()).collect();
    for id in ids.iter().flatten() {
        ctx.permit(kind(id))?;
    }
    let found = load(ctx, ids.iter().flatten()).await?;
    let in_place = |id: &Option<NodeId>| id.as_ref().and_then(|id| found.get(id).cloned());
    Ok(ids.iter().map(in_place).collect())
}

/// What it takes to be shown what an id names, whether it exists or not.
fn kind(id: &NodeId) -> Operation {
    match id {
        NodeId::Chat(_) => Operation::Chat,
        NodeId::Message(_) => Operation::Message,
        NodeId::Participant(_) => Operation::Participant,
        NodeId::Attachment(_) => Operation::Attachment,
        NodeId::User(_) => Operation::ReadUser,
    }
}

async fn load<'a>(
    ctx: &Context<'_>,
    ids: impl Iterator<Item = &'a NodeId>,
) -> Result<HashMap<NodeId, Node>> {
    let (mut chats, mut messages, mut users) = (Vec::new(), Vec::new(), Vec::new());
    let (mut participants, mut attachments) = (Vec::new(), Vec::new());
    for id in ids {
        match id {
            NodeId::Chat(id) => chats.push(*id),
            NodeId::Message(id) => messages.push(*id),
            NodeId::Participant(id) => participants.push(id.clone()),
            NodeId::Attachment(id) => attachments.push(*id),
            NodeId::User(id) => users.push(id.clone()),
        }
    }
    let loaders = ctx.loaders()?;
    let mut found = HashMap::new();
    if !chats.is_empty() {
        let chats = loaders.chats(&chats).await?.into_iter();
        found.extend(chats.map(|(id, chat)| (NodeId::Chat(id), Node::Chat(chat.into()))));
    }
    if !messages.is_empty() {
        found.extend(load_messages(ctx, &messages).await?);
    }
    if !users.is_empty() {
        let users = loaders.users(&users).await?.into_iter();
        found.extend(users.map(|(id, user)| (NodeId::User(id), Node::User(user.into()))));
    }
    if !participants.is_empty() {
        let participants = ctx.app()?.participants_by_ids(ctx.actor()?, &participants);
        let participants = participants.await.map_err(to_graphql)?.into_iter();
        found.extend(participants.map(|participant| {
            let id = NodeId::Participant(participant.id());
            (id, Node::Participant(participant.into()))
        }));
    }
    if !attachments.is_empty() {
        found.extend(load_attachments(ctx, &attachments).await?);
    }
    Ok(found)
}

async fn load_messages(ctx: &Context<'_>, ids: &[MessageId]) -> Result<Vec<(NodeId, Node)>> {
    let messages = ctx.app()?.messages_by_ids(ctx.actor()?, ids).await;
    let messages = messages.map_err(to_graphql)?.into_iter();
    let node = |message: crate::model::Message| {
        (NodeId::Message(message.id), Node::Message(message.into()))
    };
    Ok(messages.map(node).collect())
}

async fn load_attachments(ctx: &Context<'_>, ids: &[AttachmentId]) -> Result<Vec<(NodeId, Node)>> {
    let attachments = ctx.app()?.attachments_by_ids(ctx.actor()?, ids).await;
    let attachments = attachments.map_err(to_graphql)?.into_iter();
    let node = |attachment: crate::model::Attachment| {
        let id = NodeId::Attachment(attachment.id);
        (id, Node::Attachment(attachment.into()))
    };
    Ok(attachments.map(node).collect())
}
