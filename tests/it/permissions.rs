//! The permission table, held through the API: each role and each mutation, in a live and in a deleted chat.

use serde_json::{Value, json};

use crate::support::{Server, User, run};

/// The answer of the API by who asks: the owner, an admin and a member of a group, and either of a direct
/// chat; in a live chat, then in a deleted one.
#[derive(Debug)]
struct Row {
    /// What is done, for whom it fails.
    what: &'static str,
    mutation: &'static str,
    /// The input: `CHAT`, `OWN`, `OTHERS`, `GONE`, `GONE_OTHERS`, `SELF`, `MEMBER`, `ADMIN` and `NEW`
    /// stand for ids.
    input: &'static str,
    live: [&'static str; 4],
    deleted: [&'static str; 4],
}

const OK: &str = "OK";
const FORBIDDEN: &str = "FORBIDDEN";
const CONFLICT: &str = "CONFLICT";
const NOT_FOUND: &str = "NOT_FOUND";

/// What a deleted chat answers to all writes but two.
const READ_ONLY: [&str; 4] = [CONFLICT, NOT_FOUND, NOT_FOUND, CONFLICT];
const RESTORERS: [&str; 4] = [OK, NOT_FOUND, NOT_FOUND, OK];

macro_rules! row {
    ($what:literal, $mutation:literal, $input:literal, $live:expr, $deleted:expr) => {
        Row {
            what: $what,
            mutation: $mutation,
            input: $input,
            live: $live,
            deleted: $deleted,
        }
    };
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row!("send", "sendMessage", r#"{"chatId":"CHAT","body":"hi"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("mark read", "markChatRead", r#"{"chatId":"CHAT","messageId":"OTHERS"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("star", "starMessage", r#"{"messageId":"OTHERS"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("unstar", "unstarMessage", r#"{"messageId":"OTHERS"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("set a level", "setChatNotificationLevel", r#"{"chatId":"CHAT","level":"MENTIONS"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("mute", "muteChat", r#"{"chatId":"CHAT"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("unmute", "unmuteChat", r#"{"chatId":"CHAT"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("type", "setTyping", r#"{"chatId":"CHAT","typing":true}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("mark delivered", "markChatDelivered", r#"{"marks":[{"chatId":"CHAT","messageId":"OTHERS"}]}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("forward", "forwardMessages", r#"{"messageIds":["OTHERS"],"chatIds":["CHAT"]}"#, [OK, OK, OK, OK], [CONFLICT, NOT_FOUND, NOT_FOUND, CONFLICT]),
    row!("forward the deleted", "forwardMessages", r#"{"messageIds":["GONE"],"chatIds":["CHAT"]}"#, [CONFLICT; 4], [CONFLICT, NOT_FOUND, NOT_FOUND, CONFLICT]),
    row!("edit own", "editMessage", r#"{"messageId":"OWN","body":"new"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("edit another's", "editMessage", r#"{"messageId":"OTHERS","body":"new"}"#, [FORBIDDEN; 4], READ_ONLY),
    row!("delete own", "deleteMessage", r#"{"messageId":"OWN"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("delete another's", "deleteMessage", r#"{"messageId":"OTHERS"}"#, [OK, OK, FORBIDDEN, FORBIDDEN], READ_ONLY),
    row!("restore own deletion", "restoreMessage", r#"{"messageId":"GONE"}"#, [OK, OK, OK, OK], READ_ONLY),
    row!("restore another's deletion", "restoreMessage", r#"{"messageId":"GONE_OTHERS"}"#, [OK, OK, FORBIDDEN, FORBIDDEN], READ_ONLY),
    row!("rename", "renameChat", r#"{"chatId":"CHAT","title":"New"}"#, [OK, OK, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("add a member", "addParticipants", r#"{"chatId":"CHAT","userIds":["NEW"]}"#, [OK, OK, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("add an admin", "addParticipants", r#"{"chatId":"CHAT","userIds":["NEW"],"role":"ADMIN"}"#, [OK, FORBIDDEN, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("add an owner", "addParticipants", r#"{"chatId":"CHAT","userIds":["NEW"],"role":"OWNER"}"#, [OK, FORBIDDEN, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("remove a member", "removeParticipant", r#"{"chatId":"CHAT","userId":"MEMBER"}"#, [OK, OK, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("remove an admin", "removeParticipant", r#"{"chatId":"CHAT","userId":"ADMIN"}"#, [OK, FORBIDDEN, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("remove an owner", "removeParticipant", r#"{"chatId":"CHAT","userId":"OWNER"}"#, [OK, FORBIDDEN, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("remove oneself", "removeParticipant", r#"{"chatId":"CHAT","userId":"SELF"}"#, [OK, OK, OK, CONFLICT], READ_ONLY),
    row!("leave", "leaveChat", r#"{"chatId":"CHAT"}"#, [OK, OK, OK, CONFLICT], READ_ONLY),
    row!("promote", "changeParticipantRole", r#"{"chatId":"CHAT","userId":"MEMBER","role":"ADMIN"}"#, [OK, FORBIDDEN, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("demote an owner", "changeParticipantRole", r#"{"chatId":"CHAT","userId":"OWNER","role":"MEMBER"}"#, [OK, FORBIDDEN, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("step down", "changeParticipantRole", r#"{"chatId":"CHAT","userId":"SELF","role":"MEMBER"}"#, [OK, FORBIDDEN, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("change history", "changeChatHistory", r#"{"chatId":"CHAT","history":"SINCE_JOINING"}"#, [OK, FORBIDDEN, FORBIDDEN, CONFLICT], READ_ONLY),
    row!("change metadata", "changeChatMetadata", r#"{"chatId":"CHAT","metadata":{"a":1}}"#, [OK, OK, FORBIDDEN, OK], READ_ONLY),
    row!("change reference", "changeChatExternalReference", r#"{"chatId":"CHAT"}"#, [OK, OK, FORBIDDEN, OK], READ_ONLY),
    row!("delete", "deleteChat", r#"{"chatId":"CHAT"}"#, [OK, FORBIDDEN, FORBIDDEN, OK], RESTORERS),
    row!("restore", "restoreChat", r#"{"chatId":"CHAT"}"#, [OK, FORBIDDEN, FORBIDDEN, OK], RESTORERS),
];

/// A chat in which someone of a role acts on others.
struct Scene {
    chat: String,
    actor: User,
    ids: Vec<(&'static str, String)>,
}

impl Scene {
    /// A group with two owners, two admins and two members, or a direct chat; the actor is of a column.
    async fn new(server: &Server, column: usize) -> Self {
        let [owner, actor, admin, member] =
            ["owner", "actor", "admin", "member"].map(|name| server.user(name));
        let chat = match column {
            3 => actor.direct(&member).await,
            _ => owner.group("Tea", &[&actor, &admin, &member]).await,
        };
        if column != 3 {
            owner.makes(&chat, &admin, "ADMIN").await;
            owner
                .makes(&chat, &actor, ["OWNER", "ADMIN", "MEMBER"][column])
                .await;
        }
        let others = member.sends(&chat, "another's").await;
        let gone_others = member.sends(&chat, "another's, gone").await;
        member.deletes(&gone_others).await;
        let own = actor.sends(&chat, "own").await;
        let gone = actor.sends(&chat, "own, gone").await;
        actor.deletes(&gone).await;
        // The longer names first: they are replaced one after the other.
        let ids = vec![
            ("GONE_OTHERS", gone_others),
            ("OTHERS", others),
            ("GONE", gone),
            ("CHAT", chat.clone()),
            ("OWN", own),
            ("SELF", actor.id.clone()),
            ("MEMBER", member.id.clone()),
            ("ADMIN", admin.id.clone()),
            ("OWNER", owner.id.clone()),
            ("NEW", "new".to_owned()),
        ];
        Self { chat, actor, ids }
    }

    /// The input with ids in the place of their names, but for the names of roles.
    fn fill(&self, input: &str) -> Value {
        let mut input: Value = serde_json::from_str(input).unwrap();
        self.fill_value(&mut input);
        input
    }

    fn fill_value(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let fields = fields.iter_mut().filter(|(field, _)| *field != "role");
                fields.for_each(|(_, value)| self.fill_value(value));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill_value(item)),
            Value::String(text) => {
                if let Some((_, id)) = self.ids.iter().find(|(name, _)| text == name) {
                    text.clone_from(id);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    async fn plays(&self, row: &Row) -> String {
        let input = self.fill(row.input);
        let payload = self.actor.mutate(row.mutation, "", input).await;
        let code = payload["userErrors"][0]["code"].as_str();
        code.unwrap_or(OK).to_owned()
    }

    /// Deletes the chat, as one who may.
    async fn delete(&self, server: &Server, column: usize) {
        let deleter = match column {
            3 => self.actor.clone(),
            _ => server.user("owner"),
        };
        deleter.deletes_chat(&self.chat).await;
    }
}

/// Plays a column of the table, each row in a chat of its own.
async fn plays_column(column: usize) {
    let server = Server::start().await;
    for row in TABLE {
        let scene = Scene::new(&server, column).await;
        let before = server.log(&scene.chat).await;
        let answer = scene.plays(row).await;
        assert_eq!(answer, row.live[column], "{} in a live chat", row.what);
        let after = server.log(&scene.chat).await;
        if answer != OK {
            assert_eq!(after, before, "{} changed something", row.what);
        }
        // A chat whose actor has gone would say no more than that.
        let scene = Scene::new(&server, column).await;
        scene.delete(&server, column).await;
        let before = server.log(&scene.chat).await;
        let answer = scene.plays(row).await;
        assert_eq!(
            answer, row.deleted[column],
            "{} in a deleted chat",
            row.what
        );
        if row.mutation != "restoreChat" {
            assert_eq!(server.log(&scene.chat).await, before, "{}", row.what);
        }
        if column == 3 {
            scene.actor.restores_chat(&scene.chat).await;
        }
    }
}

#[test]
fn what_an_owner_may() {
    run(plays_column(0));
}

#[test]
fn what_an_admin_may() {
    run(plays_column(1));
}

#[test]
fn what_a_member_may() {
    run(plays_column(2));
}

#[test]
fn what_either_side_of_a_direct_chat_may() {
    run(plays_column(3));
}

#[test]
fn every_mutation_of_a_chat_is_in_the_table() {
    run(async {
        let server = Server::start().await;
        let query = "{ __schema { mutationType { fields { name } } } }";
        let schema = server.anonymous().ask(query, json!({})).await;
        let fields = schema["__schema"]["mutationType"]["fields"]
            .as_array()
            .unwrap();
        let names = fields.iter().map(|field| field["name"].as_str().unwrap());
        let missing: Vec<&str> = names
            .filter(|name| !TABLE.iter().any(|row| row.mutation == *name))
            .collect();
        assert_eq!(
            missing,
            [
                "openDirectChat",
                "createGroupChat",
                "createUpload",
                "finalizeUpload",
                "setPresenceVisibility",
                "revokeTokens",
                "updateNotificationSettings",
                "replayDeadLetters",
                "setReceiptVisibility"
            ]
        );
    });
}
