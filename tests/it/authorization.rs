//! Every field of the roots, asked by nobody and by outsiders. A field without a case fails the test.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::socket::Socket;
use crate::support::{Server, User, run};

/// What an outsider gets of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outsider {
    /// The field is null.
    Null,
    /// Null in each place of the list.
    Nulls,
    /// A connection without nodes.
    NoNodes,
    /// Only what is theirs: nothing in the case names another's.
    Theirs,
    /// A user error, or for a subscription the stream's error, with this code.
    NotFound,
    /// A top-level error: it is for administrators.
    Forbidden,
    /// A stream that says nothing of others' chats.
    Quiet,
}

/// A field of a root, with arguments that ask for what is another's. `CHAT`, `MESSAGE`, `GONE`,
/// `PARTICIPANT` and `DELETED` stand for ids of a chat that the outsider is not in.
pub(crate) struct Case {
    pub(crate) field: &'static str,
    pub(crate) document: &'static str,
    pub(crate) outsider: Outsider,
}

const fn case(field: &'static str, document: &'static str, outsider: Outsider) -> Case {
    Case {
        field,
        document,
        outsider,
    }
}

use Outsider::{Forbidden, NoNodes, NotFound, Null, Nulls, Quiet, Theirs};

#[rustfmt::skip]
pub(crate) const QUERIES: &[Case] = &[
    case("viewer", "{ viewer { id } }", Theirs),
    case("chat", "{ chat(id: \"CHAT\") { id } }", Null),
    case("chat", "{ chat(id: \"DELETED\") { id } }", Null),
    case("chats", "{ chats { nodes { id } } }", NoNodes),
    case("chats", "{ chats(filter: { includeDeleted: true }) { nodes { id } } }", NoNodes),
    case("chatByExternalReference", "{ chatByExternalReference(channelType: \"order\", channelId: \"private\") { id } }", Null),
    case("chatByExternalReference", "{ chatByExternalReference(channelType: \"\", channelId: \"\") { id } }", Null),
    case("node", "{ node(id: \"CHAT\") { id } }", Null),
    case("node", "{ node(id: \"MESSAGE\") { id } }", Null),
    case("node", "{ node(id: \"PARTICIPANT\") { id } }", Null),
    case("node", "{ node(id: \"DELETED\") { id } }", Null),
    case("nodes", "{ nodes(ids: [\"CHAT\", \"MESSAGE\", \"GONE\", \"PARTICIPANT\", \"DELETED\"]) { id } }", Nulls),
    case("user", "{ user(id: \"never seen\") { id } }", Null),
    case("node", "{ node(id: \"ATTACHMENT\") { id } }", Null),
    case("attachmentDownloads", "{ attachmentDownloads { nodes { attachmentId } } }", Forbidden),
    case("attachmentDownloads", "{ attachmentDownloads(attachmentId: \"ATTACHMENT\") { nodes { attachmentId } } }", Forbidden),
    // What needs no look-up still needs a user.
    case("user", "{ user(id: \"\") { id } }", Null),
    case("chat", "{ chat(id: \"nonsense\") { id } }", Null),
    case("auditRecords", "{ auditRecords { nodes { action } } }", Forbidden),
    case("auditRecords", "{ auditRecords(filter: { chatId: \"CHAT\" }) { nodes { action } } }", Forbidden),
    case("auditRecords", "{ auditRecords(filter: { chatId: \"nonsense\" }) { nodes { action } } }", Forbidden),
    case("node", "{ node(id: \"\") { id } }", Null),
    case("nodes", "{ nodes(ids: []) { id } }", Nulls),
    case("deadLetters", "{ deadLetters { nodes { id } } }", Forbidden),
    case("deadLetters", "{ deadLetters(last: 1) { nodes { chatId } } }", Forbidden),
];

#[rustfmt::skip]
pub(crate) const MUTATIONS: &[Case] = &[
    case("openDirectChat", "{ userId: \"eve\" }", Theirs),
    case("createGroupChat", "{ title: \"Mine\" }", Theirs),
    case("renameChat", "{ chatId: \"CHAT\", title: \"New\" }", NotFound),
    case("changeChatHistory", "{ chatId: \"CHAT\", history: SINCE_JOINING }", NotFound),
    case("changeChatMetadata", "{ chatId: \"CHAT\", metadata: { a: 1 } }", NotFound),
    case("changeChatMetadata", "{ chatId: \"DELETED\" }", NotFound),
    case("changeChatExternalReference", "{ chatId: \"CHAT\" }", NotFound),
    case("changeChatExternalReference", "{ chatId: \"CHAT\", externalReference: { channelType: \"order\", channelId: \"mine\" } }", NotFound),
    case("deleteChat", "{ chatId: \"CHAT\" }", NotFound),
    case("deleteChat", "{ chatId: \"DELETED\" }", NotFound),
    case("restoreChat", "{ chatId: \"CHAT\" }", NotFound),
    case("restoreChat", "{ chatId: \"DELETED\" }", NotFound),
    case("addParticipants", "{ chatId: \"CHAT\", userIds: [\"eve\"] }", NotFound),
    case("addParticipants", "{ chatId: \"CHAT\", userIds: [\"eve\"], role: OWNER }", NotFound),
    case("removeParticipant", "{ chatId: \"CHAT\", userId: \"bob\" }", NotFound),
    case("removeParticipant", "{ chatId: \"CHAT\", userId: \"eve\" }", NotFound),
    case("changeParticipantRole", "{ chatId: \"CHAT\", userId: \"bob\", role: ADMIN }", NotFound),
    case("leaveChat", "{ chatId: \"CHAT\" }", NotFound),
    case("sendMessage", "{ chatId: \"CHAT\", body: \"hi\" }", NotFound),
    case("sendMessage", "{ chatId: \"CHAT\", body: \"hi\", idempotencyKey: \"key\" }", NotFound),
    case("sendMessage", "{ chatId: \"CHAT\", body: \"hi\", replyToId: \"MESSAGE\" }", NotFound),
    case("forwardMessages", "{ messageIds: [\"MESSAGE\"], chatIds: [\"CHAT\"] }", NotFound),
    case("forwardMessages", "{ messageIds: [\"GONE\"], chatIds: [\"DELETED\"] }", NotFound),
    case("sendMessage", "{ chatId: \"CHAT\", attachmentIds: [\"ATTACHMENT\"] }", NotFound),
    case("editMessage", "{ messageId: \"MESSAGE\", body: \"new\" }", NotFound),
    case("deleteMessage", "{ messageId: \"MESSAGE\" }", NotFound),
    case("restoreMessage", "{ messageId: \"GONE\" }", NotFound),
    case("starMessage", "{ messageId: \"MESSAGE\" }", NotFound),
    case("starMessage", "{ messageId: \"GONE\" }", NotFound),
    case("unstarMessage", "{ messageId: \"MESSAGE\" }", NotFound),
    case("createUpload", "{ name: \"a\", contentType: \"text/plain\", size: 1, checksum: \"0000000000000000000000000000000000000000000000000000000000000000\" }", Theirs),
    case("finalizeUpload", "{ attachmentId: \"ATTACHMENT\" }", NotFound),
    case("finalizeUpload", "{ attachmentId: \"nonsense\" }", NotFound),
    case("markChatRead", "{ chatId: \"CHAT\", messageId: \"MESSAGE\" }", NotFound),
    case("setTyping", "{ chatId: \"CHAT\", typing: true }", NotFound),
    case("setTyping", "{ chatId: \"CHAT\", typing: false }", NotFound),
    case("setTyping", "{ chatId: \"DELETED\", typing: true }", NotFound),
    case("markChatDelivered", "{ marks: [{ chatId: \"CHAT\", messageId: \"MESSAGE\" }] }", NotFound),
    case("markChatDelivered", "{ marks: [{ chatId: \"nonsense\", messageId: \"MESSAGE\" }] }", NotFound),
    case("markChatDelivered", "{ marks: [] }", Theirs),
    case("updateNotificationSettings", "{}", Theirs),
    case("updateNotificationSettings", "{ level: MENTIONS }", Theirs),
    case("setChatNotificationLevel", "{ chatId: \"CHAT\", level: NONE }", NotFound),
    case("setChatNotificationLevel", "{ chatId: \"DELETED\" }", NotFound),
    case("muteChat", "{ chatId: \"CHAT\" }", NotFound),
    case("muteChat", "{ chatId: \"DELETED\", until: \"2999-01-01T00:00:00Z\" }", NotFound),
    case("unmuteChat", "{ chatId: \"CHAT\" }", NotFound),
    case("unmuteChat", "{ chatId: \"nonsense\" }", NotFound),
    case("replayDeadLetters", "{ ids: [\"1\"] }", Forbidden),
    case("revokeTokens", "{ userId: \"alice\" }", Forbidden),
    case("revokeTokens", "{ userId: \"alice\", tokenId: \"t\" }", Forbidden),
    case("setPresenceVisibility", "{ visible: false }", Theirs),
    case("setReceiptVisibility", "{ visible: true }", Theirs),
];

#[rustfmt::skip]
pub(crate) const SUBSCRIPTIONS: &[Case] = &[
    case("chatEvents", "subscription { chatEvents(chatId: \"CHAT\") { cursor } }", NotFound),
    case("chatEvents", "subscription { chatEvents(chatId: \"DELETED\") { cursor } }", NotFound),
    case("chatEvents", "subscription { chatEvents(chatId: \"CHAT\", after: \"CURSOR\") { cursor } }", NotFound),
    case("chatEvents", "subscription { chatEvents(chatId: \"nonsense\") { cursor } }", NotFound),
    case("chatSignals", "subscription { chatSignals(chatId: \"CHAT\") { __typename } }", NotFound),
    case("chatSignals", "subscription { chatSignals(chatId: \"DELETED\") { __typename } }", NotFound),
    case("chatSignals", "subscription { chatSignals(chatId: \"nonsense\") { __typename } }", NotFound),
    case("chatUpdates", "subscription { chatUpdates { kind chatId } }", Quiet),
];

/// A private chat of alice and bob with some history, and one that alice deleted.
pub(crate) struct Private {
    pub(crate) alice: User,
    names: Vec<(&'static str, String)>,
    chats: [String; 2],
}

impl Private {
    pub(crate) async fn new(server: &Server) -> Self {
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Private", &[&bob]).await;
        let attachment = alice.uploads("a.txt", "text/plain", b"secret").await;
        let input = json!({
            "chatId": chat, "body": "secret", "idempotencyKey": "key", "attachmentIds": [attachment],
        });
        let payload = alice.does("sendMessage", "message { id }", input).await;
        let message = payload["message"]["id"].as_str().unwrap().to_owned();
        let gone = alice.sends(&chat, "gone").await;
        alice.deletes(&gone).await;
        let reference = json!({ "channelType": "order", "channelId": "private" });
        let input = json!({ "chatId": chat, "externalReference": reference });
        alice.does("changeChatExternalReference", "", input).await;
        let me = alice.chat(&chat, "viewerParticipant { id }").await;
        let participant = me["viewerParticipant"]["id"].as_str().unwrap().to_owned();
        let deleted = alice.group("Deleted", &[]).await;
        alice.deletes_chat(&deleted).await;
        let names = vec![
            ("CURSOR", alice.start_cursor(&chat).await),
            ("PARTICIPANT", participant),
            ("CHAT", chat.clone()),
            ("MESSAGE", message),
            ("GONE", gone),
            ("ATTACHMENT", attachment),
            ("DELETED", deleted.clone()),
        ];
        let chats = [chat, deleted];
        Self {
            alice,
            names,
            chats,
        }
    }

    pub(crate) fn fill(&self, document: &str) -> String {
        let fill = |text: String, (name, id): &(&str, String)| {
            text.replace(&format!("\"{name}\""), &format!("\"{id}\""))
        };
        self.names.iter().fold(document.to_owned(), fill)
    }

    /// All there is of the chats, to see that nothing changed.
    pub(crate) async fn state(&self, server: &Server) -> (Vec<String>, [Value; 2]) {
        let [chat, deleted] = &self.chats;
        let mut log = server.log(chat).await;
        log.extend(server.log(deleted).await);
        let fields = "title deletedAt metadata externalReference { channelId } messages { nodes { body editedAt deletedAt } } \
             participants { nodes { user { id } role joinedAt lastReadMessage { id } lastDeliveredMessage { id } } }";
        let seen = [
            self.alice.chat(chat, fields).await,
            self.alice.chat(deleted, fields).await,
        ];
        (log, seen)
    }
}

/// People who are not in the chat: of its tenant, and a namesake of its owner in another tenant, and one
/// who was in it.
async fn outsiders(server: &Server, private: &Private) -> [User; 3] {
    let former = server.user("former");
    private.alice.adds(&private.chats[0], &[&former]).await;
    private.alice.removes(&private.chats[0], &former).await;
    [
        server.user("mallory"),
        server.user_of("elsewhere", "alice"),
        former,
    ]
}

pub(crate) fn mutation(case: &Case) -> String {
    let (field, input) = (case.field, case.document);
    format!("mutation {{ {field}(input: {input}) {{ userErrors {{ code }} }} }}")
}

#[test]
fn every_root_field_has_a_case() {
    run(async {
        let server = Server::start().await;
        for (root, cases) in [
            ("Query", QUERIES),
            ("Mutation", MUTATIONS),
            ("Subscription", SUBSCRIPTIONS),
        ] {
            let query = "query ($name: String!) { __type(name: $name) { fields { name } } }";
            let schema = server.anonymous().ask(query, json!({ "name": root })).await;
            let fields = schema["__type"]["fields"].as_array().unwrap();
            let names: Vec<&str> = fields.iter().map(|f| f["name"].as_str().unwrap()).collect();
            for name in &names {
                let covered = cases.iter().any(|case| case.field == *name);
                assert!(covered, "{root}.{name} needs a case here");
            }
            for case in cases {
                assert!(names.contains(&case.field), "{root}.{} is gone", case.field);
            }
        }
    });
}

#[test]
fn without_a_token_nothing_but_the_empty_viewer_is_answered() {
    run(async {
        let server = Server::start().await;
        let private = Private::new(&server).await;
        let before = private.state(&server).await;
        let nobody = server.anonymous();
        for case in QUERIES {
            let query = private.fill(case.document);
            if case.field == "viewer" {
                let data = nobody.ask(&query, json!({})).await;
                assert_eq!(data, json!({ "viewer": null }));
            } else {
                let codes = nobody.codes(&query, json!({})).await;
                assert_eq!(codes, ["UNAUTHENTICATED"], "{query}");
            }
        }
        for case in MUTATIONS {
            let query = private.fill(&mutation(case));
            let answer = nobody.post(&query, json!({})).await.json();
            let code = &answer["errors"][0]["extensions"]["code"];
            assert_eq!(code, "UNAUTHENTICATED", "{query}");
            assert_eq!(answer["data"][case.field], json!(null), "{query}");
        }
        let mut socket = Socket::open(&nobody).await;
        socket.subscribe("q", "{ viewer { id } }", json!({})).await;
        assert_eq!(
            socket.hear().await["payload"]["data"],
            json!({ "viewer": null })
        );
        assert_eq!(socket.hear().await["type"], "complete");
        for case in SUBSCRIPTIONS {
            let query = private.fill(case.document);
            socket.subscribe("s", &query, json!({})).await;
            let code = stream_error(&mut socket).await;
            assert_eq!(code, "UNAUTHENTICATED", "{query}");
        }
        assert_eq!(private.state(&server).await, before);
    });
}

/// The code of the error that ends a stream before it began.
pub(crate) async fn stream_error(socket: &mut Socket) -> String {
    let message = socket.hear().await;
    assert_eq!(message["type"], "error", "{message}");
    let code = &message["payload"][0]["extensions"]["code"];
    code.as_str().unwrap().to_owned()
}

#[test]
fn what_an_outsider_asks_for_is_not_there() {
    run(async {
        let server = Server::start().await;
        let private = Private::new(&server).await;
        for user in outsiders(&server, &private).await {
            for case in QUERIES {
                let query = private.fill(case.document);
                if case.outsider == Forbidden {
                    let codes = user.codes(&query, json!({})).await;
                    assert_eq!(codes, ["FORBIDDEN"], "{query}");
                    continue;
                }
                let data = user.ask(&query, json!({})).await[case.field].clone();
                match case.outsider {
                    Null => assert_eq!(data, json!(null), "{query}"),
                    Nulls => assert!(data.as_array().unwrap().iter().all(Value::is_null)),
                    NoNodes => assert_eq!(data["nodes"], json!([]), "{query}"),
                    Theirs | NotFound | Forbidden | Quiet => assert_eq!(data["id"], json!(user.id)),
                }
            }
        }
    });
}

#[test]
fn what_an_outsider_does_is_done_to_nothing() {
    run(async {
        let server = Server::start().await;
        let private = Private::new(&server).await;
        let outsiders = outsiders(&server, &private).await;
        let before = private.state(&server).await;
        for user in outsiders {
            for case in MUTATIONS {
                let query = private.fill(&mutation(case));
                if case.outsider == Forbidden {
                    assert_eq!(
                        user.codes(&query, json!({})).await,
                        ["FORBIDDEN"],
                        "{query}"
                    );
                    continue;
                }
                let data = user.ask(&query, json!({})).await[case.field].clone();
                let expected = match case.outsider {
                    NotFound => json!([{ "code": "NOT_FOUND" }]),
                    Null | Nulls | NoNodes | Theirs | Forbidden | Quiet => json!([]),
                };
                assert_eq!(data["userErrors"], expected, "{query} by {}", user.id);
            }
        }
        assert_eq!(private.state(&server).await, before);
    });
}

#[test]
fn an_outsider_hears_nothing() {
    run(async {
        let server = Server::start().await;
        let private = Private::new(&server).await;
        for user in outsiders(&server, &private).await {
            let mut socket = Socket::open(&user).await;
            for case in SUBSCRIPTIONS {
                let query = private.fill(case.document);
                socket.subscribe("s", &query, json!({})).await;
                if case.outsider == Quiet {
                    private.alice.sends(&private.chats[0], "psst").await;
                    private.alice.restores_chat(&private.chats[1]).await;
                    private.alice.deletes_chat(&private.chats[1]).await;
                    assert!(socket.is_quiet(Duration::from_millis(500)).await);
                } else {
                    assert_eq!(stream_error(&mut socket).await, "NOT_FOUND", "{query}");
                }
            }
        }
    });
}

#[test]
fn a_chat_can_be_reached_through_no_field_of_another() {
    run(async {
        let server = Server::start().await;
        let private = Private::new(&server).await;
        let [chat, _] = &private.chats;
        // Mallory shares a group with alice, who is in the private chat.
        let mallory = server.user("mallory");
        let shared = mallory.group("Shared", &[&private.alice]).await;
        let message = private.fill("\"MESSAGE\"").replace('"', "");
        let input = json!({ "chatId": shared, "body": "hi", "replyToId": message });
        assert_eq!(mallory.refused("sendMessage", input).await.0, "NOT_FOUND");
        let input = json!({ "chatId": shared, "messageId": message });
        assert_eq!(mallory.refused("markChatRead", input).await.0, "NOT_FOUND");
        let list = mallory.lists(json!({ "includeDeleted": true })).await;
        assert!(!list.contains(chat));
    });
}

#[test]
fn another_tenants_participant_id_is_of_nobody() {
    run(async {
        let server = Server::start().await;
        let private = Private::new(&server).await;
        // A namesake of each participant, in another tenant, in a chat of their own.
        let namesake = server.user_of("elsewhere", "alice");
        let theirs = namesake.group("Theirs", &[]).await;
        let participant = private.fill("\"PARTICIPANT\"").replace('"', "");
        let query = "query ($id: ID!) { node(id: $id) { id } }";
        let data = namesake.ask(query, json!({ "id": participant })).await;
        assert_eq!(data["node"], json!(null));
        assert_eq!(private.alice.chat(&theirs, "id").await, json!(null));
    });
}
