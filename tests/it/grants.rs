//! Coarse permissions: what a token permits, on a server that asks for it.

use colloquy::app::{Claims, Coarse, Permissions};
use colloquy::model::{Operation, Permission};
use serde_json::{Value, json};

use crate::authorization::{
    Case, MUTATIONS, Outsider, Private, QUERIES, SUBSCRIPTIONS, mutation, stream_error,
};
use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::{Server, User, run};

impl User {
    /// The same user with a token that names these permissions.
    pub(crate) fn permitted(&self, names: &[&str]) -> Self {
        let claims = Claims {
            permissions: names.iter().map(|name| (*name).to_owned()).collect(),
            ..self.claims()
        };
        self.with_token(self.sign(&claims))
    }

    fn holding(&self, permissions: &[Permission]) -> Self {
        let names: Vec<&str> = permissions.iter().filter_map(|one| one.name()).collect();
        self.permitted(&names)
    }
}

/// A server that asks tokens for permissions, beside one that does not, with something to read.
async fn asking() -> (Server, Server, Private) {
    let open = Server::start().await;
    let private = Private::new(&open).await;
    (strict(&open).await, open, private)
}

async fn strict(open: &Server) -> Server {
    let setup = Setup {
        permissions: Permissions {
            coarse: Coarse::Token,
            ..Permissions::default()
        },
        ..Setup::default()
    };
    Server::with(open.database.clone(), setup).await
}

fn operation(field: &str) -> Operation {
    let mut all = Operation::ALL.iter();
    let found = all.find(|operation| operation.field() == field);
    *found.unwrap_or_else(|| panic!("{field} needs a row in model::grant"))
}

/// Every case of every root, as a document.
fn documents(private: &Private) -> Vec<(&'static str, String)> {
    let queries = QUERIES
        .iter()
        .map(|case| (case.field, case.document.to_owned()));
    let mutations = MUTATIONS.iter().map(|case| (case.field, mutation(case)));
    let all = queries.chain(mutations);
    all.map(|(field, document)| (field, private.fill(&document)))
        .collect()
}

/// The codes of top-level errors, each with its path.
async fn errors(user: &User, document: &str) -> Vec<(String, Value)> {
    let answer = user.post(document, json!({})).await.json();
    let errors = answer["errors"].as_array().cloned().unwrap_or_default();
    let one = |error: &Value| {
        let code = error["extensions"]["code"].as_str().unwrap();
        (code.to_owned(), error["path"].clone())
    };
    errors.iter().map(one).collect()
}

#[test]
fn every_root_field_has_a_row() {
    run(async {
        let server = Server::start().await;
        let query = "{ __schema { types { name fields { name } } } }";
        let schema = server.anonymous().ask(query, json!({})).await;
        let types = schema["__schema"]["types"].as_array().unwrap();
        let mut names: Vec<String> = ["Chat", "Message", "Participant", "Attachment"]
            .map(str::to_owned)
            .into();
        for ty in types {
            if ["Query", "Mutation", "Subscription"].contains(&ty["name"].as_str().unwrap()) {
                let fields = ty["fields"].as_array().unwrap().iter();
                names.extend(fields.map(|field| field["name"].as_str().unwrap().to_owned()));
            }
        }
        for name in &names {
            operation(name);
        }
        for operation in Operation::ALL {
            let field = operation.field();
            assert!(names.iter().any(|name| name == field), "{field} is gone");
        }
    });
}

#[test]
fn who_is_permitted_nothing_gets_nothing_and_learns_nothing() {
    run(async {
        let (server, open, private) = asking().await;
        let before = private.state(&open).await;
        for user in [private.alice.at(&server), server.user("mallory")] {
            for names in [&[][..], &["1", "2", "viewmessage", "Administer", "*"]] {
                let user = user.permitted(names);
                for (field, document) in documents(&private) {
                    let found = errors(&user, &document).await;
                    if field == "viewer" {
                        assert_eq!(found, [], "{document}");
                    } else {
                        let expected = ("FORBIDDEN".to_owned(), json!([field]));
                        assert_eq!(found, [expected], "{document}");
                    }
                }
                let mut socket = Socket::open(&user).await;
                for case in SUBSCRIPTIONS {
                    let query = private.fill(case.document);
                    // What is no id of anything is refused for the same reason as what is one.
                    socket.subscribe("s", &query, json!({})).await;
                    assert_eq!(stream_error(&mut socket).await, "FORBIDDEN", "{query}");
                }
            }
        }
        assert_eq!(private.state(&open).await, before);
        let asks = async |id: &str| {
            let query = "query ($id: ID!) { chat(id: $id) { id } }";
            let alice = private.alice.at(&server).permitted(&["CreateMessage"]);
            alice.post(query, json!({ "id": id })).await.json()
        };
        let chat = private.fill("\"CHAT\"").replace('"', "");
        assert_eq!(asks(&chat).await, asks("nonsense").await);
        let text = asks(&chat).await["errors"][0]["message"].to_string();
        assert!(text.contains("ViewMessage"), "{text}");
    });
}

#[test]
fn an_operation_takes_all_of_its_permissions_and_no_others() {
    run(async {
        let (server, _open, private) = asking().await;
        let stranger = server.user("mallory");
        let subscriptions = SUBSCRIPTIONS.iter().map(|case: &Case| (case, true));
        let all = QUERIES.iter().chain(MUTATIONS).map(|case| (case, false));
        for (case, streams) in all.chain(subscriptions) {
            let needs = operation(case.field).needs();
            let document = if MUTATIONS.iter().any(|other| other.field == case.field) {
                mutation(case)
            } else {
                case.document.to_owned()
            };
            let document = private.fill(&document);
            // Of what a node is, it takes more: that has a test of its own.
            let node = case.field.starts_with("node") || case.outsider == Outsider::Quiet;
            if !node && !needs.contains(&Permission::Administer) {
                let user = stranger.holding(needs);
                assert!(!is_forbidden(&user, &document, streams).await, "{document}");
            }
            for lacks in needs {
                let rest = Permission::NAMED.iter().filter(|one| *one != lacks);
                let user = stranger.holding(&rest.copied().collect::<Vec<_>>());
                assert!(
                    is_forbidden(&user, &document, streams).await,
                    "{document} {lacks:?}"
                );
            }
        }
    });
}

async fn is_forbidden(user: &User, document: &str, streams: bool) -> bool {
    if streams {
        let mut socket = Socket::open(user).await;
        socket.subscribe("s", document, json!({})).await;
        return stream_error(&mut socket).await == "FORBIDDEN";
    }
    let found = errors(user, document).await;
    found.iter().any(|(code, _)| code == "FORBIDDEN")
}

#[test]
fn a_payload_shows_only_what_may_be_read() {
    run(async {
        let open = Server::start().await;
        let server = strict(&open).await;
        let (alice, bob) = (open.user("alice"), open.user("bob"));
        let chat = alice.direct(&bob).await;
        let writer = alice.at(&server).permitted(&["CreateMessage"]);
        let query = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) \
                     { message { id body } userErrors { code } } }";
        let input = json!({ "input": { "chatId": chat, "body": "unread" } });
        let answer = writer.post(query, input).await.json();
        let expected = json!({ "message": null, "userErrors": [] });
        assert_eq!(answer["data"]["sendMessage"], expected);
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
        assert_eq!(
            answer["errors"][0]["path"],
            json!(["sendMessage", "message"])
        );
        let sent = bob.chat(&chat, "lastMessage { body }").await;
        assert_eq!(sent["lastMessage"]["body"], "unread");
        let adder = alice.at(&server).permitted(&["CreateMessageRecipient"]);
        let query = "mutation { createGroupChat(input: { title: \"T\" }) { chat { id } userErrors { code } } }";
        let found = errors(&adder, query).await;
        let expected = ("FORBIDDEN".to_owned(), json!(["createGroupChat", "chat"]));
        assert_eq!(found, [expected]);
        let query = "mutation ($chat: ID!) { markChatRead(input: { chatId: $chat, messageId: \"\" }) { userErrors { code } } }";
        let marker = alice.at(&server).permitted(&["UpdateMessageRecipient"]);
        let codes = marker.ask(query, json!({ "chat": chat })).await;
        assert_eq!(
            codes["markChatRead"]["userErrors"],
            json!([{ "code": "NOT_FOUND" }])
        );
    });
}

#[test]
fn who_may_not_read_participants_reads_the_rest() {
    run(async {
        let open = Server::start().await;
        let server = strict(&open).await;
        let (alice, bob) = (open.user("alice"), open.user("bob"));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "hello").await;
        let me = alice.chat(&chat, "viewerParticipant { id }").await;
        let participant = me["viewerParticipant"]["id"].as_str().unwrap();
        let reader = alice.at(&server).permitted(&["ViewMessage"]);
        let seen = reader.chat(&chat, "messages { nodes { body sender { displayName } } } lastMessage { chat { id } } unreadCount").await;
        assert_eq!(seen["messages"]["nodes"][0]["body"], "hello");
        for (fields, path) in [
            ("viewerParticipant { role }", "viewerParticipant"),
            ("participants { nodes { id } }", "participants"),
        ] {
            let query = format!("{{ chat(id: \"{chat}\") {{ id {fields} }} }}");
            let expected = ("FORBIDDEN".to_owned(), json!(["chat", path]));
            assert_eq!(errors(&reader, &query).await, [expected]);
        }
        let forbidden = |field: &str| vec![("FORBIDDEN".to_owned(), json!([field]))];
        for id in [participant, "bob", "never seen"] {
            let query = format!("{{ node(id: \"{id}\") {{ id }} }}");
            assert_eq!(errors(&reader, &query).await, forbidden("node"));
            let query = format!("{{ nodes(ids: [\"{chat}\", \"{id}\"]) {{ id }} }}");
            assert_eq!(errors(&reader, &query).await, forbidden("nodes"));
        }
        let query = format!("{{ nodes(ids: [\"{chat}\"]) {{ id }} }}");
        assert_eq!(errors(&reader, &query).await, []);
        let both = alice
            .at(&server)
            .permitted(&["ViewMessage", "ViewMessageRecipient"]);
        let query = format!("{{ nodes(ids: [\"{chat}\", \"{participant}\", \"bob\"]) {{ id }} }}");
        assert_eq!(errors(&both, &query).await, []);
    });
}

#[test]
fn permissions_open_no_chat_that_membership_does_not() {
    run(async {
        let (server, _open, private) = asking().await;
        let all: Vec<&str> = Permission::NAMED
            .iter()
            .filter_map(|one| one.name())
            .collect();
        let mallory = server.user("mallory").permitted(&all);
        let query = private.fill("{ chat(id: \"CHAT\") { id } node(id: \"MESSAGE\") { id } }");
        let seen = mallory.ask(&query, json!({})).await;
        assert_eq!(seen, json!({ "chat": null, "node": null }));
        let alice = private.alice.at(&server).permitted(&all);
        assert_ne!(alice.ask(&query, json!({})).await["chat"], json!(null));
    });
}

#[test]
fn a_stream_shows_only_what_may_be_read() {
    run(async {
        let open = Server::start().await;
        let server = strict(&open).await;
        let (alice, bob) = (open.user("alice"), open.user("bob"));
        let chat = alice.group("Tea", &[&bob]).await;
        let reader = bob.at(&server).permitted(&["ViewMessage"]);
        let mut socket = Socket::open(&reader).await;
        let query = "subscription ($chat: ID!) { chatEvents(chatId: $chat) { cursor chat { id viewerParticipant { id } } } }";
        socket.subscribe("s", query, json!({ "chat": chat })).await;
        // A stream begins a moment after it was asked for.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        alice.sends(&chat, "hello").await;
        let said = socket.hear().await;
        let payload = &said["payload"];
        assert_eq!(
            payload["errors"][0]["extensions"]["code"], "FORBIDDEN",
            "{said}"
        );
        assert_eq!(payload["data"]["chatEvents"]["chat"]["id"], json!(chat));
        assert_eq!(
            payload["data"]["chatEvents"]["chat"]["viewerParticipant"],
            json!(null)
        );
    });
}
