//! What the victims have, and its like that exists nowhere.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use colloquy::model::{
    AttachmentId, ChatFilter, ChatId, EventCursor, ListCursor, ListKey, MessageId, ParticipantId,
    ReceiptKind, StarPlace, UserId,
};
use colloquy::store::Connection;
use serde_json::json;
use uuid::Uuid;

use crate::support::log::uuid;
use crate::support::{Server, User, postgres};

/// What an id or a cursor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Chat,
    Direct,
    Deleted,
    Message,
    Gone,
    Participant,
    User,
    MessageCursor,
    ParticipantCursor,
    ChatCursor,
    StarCursor,
    ReplyCursor,
    RevisionCursor,
    ReadCursor,
    DeliveredCursor,
    EventCursor,
    ChannelType,
    ChannelId,
    Attachment,
}

/// One id or cursor of each kind.
#[derive(Debug, Clone)]
pub(super) struct Ids(pub(super) Vec<(Kind, String)>);

impl Ids {
    pub(super) fn of(&self, kind: Kind) -> &str {
        let found = self.0.iter().find(|(of, _)| *of == kind);
        &found.unwrap().1
    }

    /// A document with one of them handed in.
    pub(super) fn fill(&self, document: &str, kind: Kind) -> String {
        document
            .replace("\"@\"", &format!("\"{}\"", self.of(kind)))
            .replace("@TYPE", self.of(Kind::ChannelType))
            .replace("@ITEM", self.of(Kind::ChannelId))
            .replace("@CHAT", self.of(Kind::Chat))
            .replace("@MESSAGE", self.of(Kind::Message))
            .replace("@USER", self.of(Kind::User))
            .replace("@EVENT", self.of(Kind::EventCursor))
    }

    /// A text with the names of the kinds in their place.
    pub(super) fn veil(&self, text: &str) -> String {
        let veil = |text: String, (kind, id): &(Kind, String)| {
            text.replace(id.as_str(), &format!("<{kind:?}>"))
        };
        self.0.iter().fold(text.to_owned(), veil)
    }
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// The name of somebody who is new: always as long.
fn name(letter: char) -> String {
    format!("{letter}{:05}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A group of alice and carol with some history, their direct chat, and a group that alice deleted.
pub(super) struct World {
    pub(super) alice: User,
    ids: Ids,
}

impl World {
    pub(super) async fn new(server: &Server) -> Self {
        let (alice, carol) = (server.user("alice"), server.user("carol"));
        let chat = alice.group("s3cret", &[&carol]).await;
        let attachment = alice.uploads("s3cret.txt", "text/plain", b"s3cret").await;
        let input = json!({
            "chatId": chat, "body": "s3cret", "idempotencyKey": "key", "attachmentIds": [attachment],
        });
        let sent = alice.does("sendMessage", "message { id }", input).await;
        let message = sent["message"]["id"].as_str().unwrap().to_owned();
        let gone = alice.sends(&chat, "s3cret that is gone").await;
        alice.deletes(&gone).await;
        alice.sends(&chat, "s3cret and last").await;
        let deleted = alice.group("s3cret and deleted", &[&carol]).await;
        alice.deletes_chat(&deleted).await;
        let direct = alice.direct(&carol).await;
        carol.sends(&direct, "s3cret for alice").await;
        let (channel_type, channel_id) = (name('v'), name('v'));
        let reference = json!({ "channelType": channel_type, "channelId": channel_id });
        let input = json!({ "chatId": chat, "externalReference": reference });
        alice.does("changeChatExternalReference", "", input).await;
        let fields = "eventStartCursor messages(first: 1) { edges { cursor } } \
             participants { edges { cursor node { id } } }";
        let seen = alice.chat(&chat, fields).await;
        let reply = json!({ "chatId": chat, "body": "s3cret reply", "replyToId": message });
        alice.does("sendMessage", "", reply).await;
        let replies = "query ($id: ID!) { node(id: $id) { ... on Message { replies { edges { cursor } } } } }";
        let replies = alice.ask(replies, json!({ "id": message })).await["node"]["replies"].clone();
        let read = json!({ "chatId": chat, "messageId": message });
        carol.does("markChatRead", "", read).await;
        let receipts = "query ($id: ID!) { node(id: $id) { ... on Message { readBy { edges { cursor } } deliveredTo { edges { cursor } } } } }";
        let receipts = alice.ask(receipts, json!({ "id": message })).await["node"].clone();
        let edit = json!({ "messageId": message, "body": "s3cret, edited" });
        alice.does("editMessage", "", edit).await;
        let revisions = "query ($id: ID!) { node(id: $id) { ... on Message { revisions { edges { cursor } } } } }";
        let revisions =
            alice.ask(revisions, json!({ "id": message })).await["node"]["revisions"].clone();
        let star = json!({ "messageId": message });
        alice.does("starMessage", "", star).await;
        let starred = "{ viewer { starredMessages { edges { cursor } } } }";
        let starred = alice.ask(starred, json!({})).await["viewer"]["starredMessages"].clone();
        let inbox = "{ chats(first: 1) { edges { cursor } } }";
        let inbox = alice.ask(inbox, json!({})).await;
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let person = &seen["participants"]["edges"][0];
        let ids = vec![
            (Kind::EventCursor, text(&seen["eventStartCursor"])),
            (
                Kind::MessageCursor,
                text(&seen["messages"]["edges"][0]["cursor"]),
            ),
            (Kind::ParticipantCursor, text(&person["cursor"])),
            (
                Kind::ChatCursor,
                text(&inbox["chats"]["edges"][0]["cursor"]),
            ),
            (Kind::ReplyCursor, text(&replies["edges"][0]["cursor"])),
            (Kind::RevisionCursor, text(&revisions["edges"][0]["cursor"])),
            (
                Kind::ReadCursor,
                text(&receipts["readBy"]["edges"][0]["cursor"]),
            ),
            (
                Kind::DeliveredCursor,
                text(&receipts["deliveredTo"]["edges"][0]["cursor"]),
            ),
            (Kind::StarCursor, text(&starred["edges"][0]["cursor"])),
            (Kind::ChannelType, channel_type),
            (Kind::ChannelId, channel_id),
            (Kind::Participant, text(&person["node"]["id"])),
            (Kind::Chat, chat),
            (Kind::Direct, direct),
            (Kind::Deleted, deleted),
            (Kind::Message, message),
            (Kind::Gone, gone),
            (Kind::Attachment, attachment),
        ];
        let ids = Ids(ids);
        Self { alice, ids }
    }

    /// The victims' ids, with a participant whom nobody has named yet, and who has said something.
    pub(super) async fn ids(&self, conn: &mut Connection) -> Ids {
        let (user, chat) = (name('v'), uuid(self.ids.of(Kind::Chat)));
        let join = format!(
            "INSERT INTO users (tenant_id, id, display_name, created_at) VALUES ('default', '{user}', 's3cret', now()); \
             INSERT INTO participants (chat_id, user_id, tenant_id, role, joined_at, joined_seq, read_seq) \
             VALUES ('{chat}', '{user}', 'default', 0, now(), 1, 0); \
             WITH chat AS (UPDATE chats SET last_seq = last_seq + 1 WHERE id = '{chat}' RETURNING last_seq) \
             INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at) \
             SELECT '{chat}', last_seq, gen_random_uuid(), 'default', '{user}', 's3cret', now() FROM chat"
        );
        postgres::sql(conn, &join).await;
        let mut ids = self.ids.clone();
        ids.0.push((Kind::User, user));
        ids
    }
}

/// Ids and cursors of the same form that exist nowhere.
pub(super) fn nowhere() -> Ids {
    let chat = || ChatId(Uuid::now_v7());
    let message = || MessageId(Uuid::now_v7()).to_string();
    let (user, at) = (name('n'), DateTime::<Utc>::UNIX_EPOCH);
    // As long as the victims' names are.
    let alice = UserId::new("nemos").unwrap();
    let (of, place) = (chat(), Uuid::now_v7());
    let participant = ParticipantId {
        chat_id: of,
        user_id: alice.clone(),
    };
    let event = EventCursor {
        epoch: place,
        chat_id: of,
        seq: 0,
    };
    let inbox = ListKey::Chats(7, ChatFilter::default());
    let star = StarPlace {
        starred_at: at,
        chat_id: of,
        seq: 3,
    };
    Ids(vec![
        (Kind::EventCursor, event.encode()),
        (
            Kind::MessageCursor,
            ListCursor::Message(3).encode(&ListKey::Messages(of)),
        ),
        (
            Kind::ReadCursor,
            ListCursor::Participant(at, alice.clone()).encode(&ListKey::Receipts(
                ReceiptKind::Read,
                of,
                3,
            )),
        ),
        (
            Kind::DeliveredCursor,
            ListCursor::Participant(at, alice.clone()).encode(&ListKey::Receipts(
                ReceiptKind::Delivered,
                of,
                3,
            )),
        ),
        (
            Kind::ParticipantCursor,
            ListCursor::Participant(at, alice).encode(&ListKey::Participants(of)),
        ),
        (
            Kind::ChatCursor,
            ListCursor::Chat(at, chat()).encode(&inbox),
        ),
        (
            Kind::ReplyCursor,
            ListCursor::Message(6).encode(&ListKey::Replies(of, 3)),
        ),
        (
            Kind::RevisionCursor,
            ListCursor::Message(8).encode(&ListKey::Revisions(of, 3)),
        ),
        (
            Kind::StarCursor,
            ListCursor::Star(star).encode(&ListKey::Stars(7)),
        ),
        (Kind::ChannelType, name('n')),
        (Kind::ChannelId, name('n')),
        (Kind::Participant, participant.to_string()),
        (Kind::Chat, of.to_string()),
        (Kind::Direct, chat().to_string()),
        (Kind::Deleted, chat().to_string()),
        (Kind::Message, message()),
        (Kind::Gone, message()),
        (Kind::Attachment, AttachmentId(Uuid::now_v7()).to_string()),
        (Kind::User, user),
    ])
}
