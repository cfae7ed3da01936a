//! Cohorts: an answer is computed once for all who get the same, and for each viewer where it is their own.

use std::sync::Arc;
use std::time::Duration;

use colloquy::app::{Coarse, Permissions};
use colloquy::graphql::Cohorts;
use colloquy::realtime::{Carrier, RealtimeOptions};
use serde_json::{Value, json};

use crate::support::log::{before_the_last, from_now};
use crate::support::server::Setup;
use crate::support::socket::{Events, Socket, bodies};
use crate::support::{Server, User, postgres, run, until};

/// A server, and what its cohorts count.
async fn counted() -> (Server, Arc<Cohorts>) {
    let setup = Setup::default();
    let cohorts = Arc::clone(setup.schema.data::<Arc<Cohorts>>().unwrap());
    (
        Server::with(postgres::database().await, setup).await,
        cohorts,
    )
}

fn people(server: &Server, count: usize) -> Vec<User> {
    (0..count)
        .map(|n| server.user(&format!("user {n:02}")))
        .collect()
}

async fn group(people: &[User]) -> String {
    let others: Vec<&User> = people[1..].iter().collect();
    people[0].group("Team", &others).await
}

/// A subscription with a selection of its own, from the newest event on, which it has been given.
async fn selecting(user: &User, chat: &str, fields: &str) -> (Socket, Value) {
    let query = format!(
        "subscription ($chat: ID!, $after: String) {{ chatEvents(chatId: $chat, after: $after) {{ {fields} }} }}"
    );
    let after = before_the_last(user, chat).await;
    let mut socket = Socket::open(user).await;
    let variables = json!({ "chat": chat, "after": after });
    socket.subscribe("s", &query, variables).await;
    let first = next(&mut socket).await;
    (socket, first)
}

async fn next(socket: &mut Socket) -> Value {
    let message = socket.hear().await;
    assert_eq!(message["type"], "next", "{message}");
    assert_eq!(message["payload"].get("errors"), None, "{message}");
    message["payload"]["data"]["chatEvents"].clone()
}

#[test]
fn an_event_is_executed_once_for_all_who_follow_the_chat() {
    const FOLLOWERS: usize = 20;
    const SENDS: usize = 30;
    run(async {
        let (server, cohorts) = counted().await;
        let people = people(&server, FOLLOWERS);
        let chat = group(&people).await;
        let mut streams: Vec<Events> = Vec::new();
        for user in &people {
            streams.push(from_now(user, &chat).await);
        }
        assert_eq!(cohorts.count(), 1);
        let (executions, answers) = (cohorts.executions(), cohorts.answers());
        for n in 0..SENDS {
            people[n % FOLLOWERS].sends(&chat, &n.to_string()).await;
            let first = streams[0].next().await;
            for stream in &mut streams[1..] {
                assert_eq!(stream.next().await, first);
            }
        }
        let executions = cohorts.executions() - executions;
        let answers = cohorts.answers() - answers;
        assert_eq!(answers, (FOLLOWERS * SENDS) as u64);
        // An answer is shared for a second; a machine that stands still for longer computes one again.
        let (least, most) = (SENDS as u64, SENDS as u64 + 5);
        assert!(
            (least..=most).contains(&executions),
            "{executions} executions"
        );
    });
}

/// A crowd that resumes from the same place is served by one computation of the past, too.
#[test]
fn who_resumes_together_shares_the_past() {
    const FOLLOWERS: usize = 20;
    run(async {
        let (server, cohorts) = counted().await;
        let people = people(&server, FOLLOWERS);
        let chat = group(&people).await;
        let start = people[0].event_cursor(&chat).await;
        for n in 0..40 {
            people[0].sends(&chat, &n.to_string()).await;
        }
        let executions = cohorts.executions();
        let streams = people.iter().map(|user| user.follows(&chat, Some(&start)));
        let mut streams = futures_util::future::join_all(streams).await;
        let all = streams.iter_mut().map(|stream| stream.take(40));
        let all = futures_util::future::join_all(all).await;
        let expected: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        for told in &all {
            assert_eq!(bodies(told), expected);
        }
        let executions = cohorts.executions() - executions;
        assert!(executions < 40 * 4, "{executions} executions");
    });
}

#[test]
fn what_is_the_viewers_own_is_computed_for_each() {
    run(async {
        let (server, cohorts) = counted().await;
        let people = people(&server, 3);
        let chat = group(&people).await;
        let fields = "cursor chat { unreadCount viewerParticipant { user { id } } }";
        let mut streams = Vec::new();
        for user in &people {
            streams.push(selecting(user, &chat, fields).await.0);
        }
        let executions = cohorts.executions();
        people[0].sends(&chat, "hello").await;
        for (n, (socket, user)) in streams.iter_mut().zip(&people).enumerate() {
            let event = next(socket).await;
            let own = json!({ "unreadCount": u8::from(n > 0), "viewerParticipant": { "user": { "id": user.id } } });
            assert_eq!(event["chat"], own);
        }
        assert_eq!(cohorts.executions() - executions, 3);
    });
}

/// Whoever is removed before an event is told may be the one who executes it, and cannot look up any more what
/// it answers. The others get the answer all the same.
#[test]
fn who_was_removed_does_not_answer_for_the_others() {
    const QUERY: &str = "subscription ($chat: ID!) { chatEvents(chatId: $chat) {
        ... on MessageSent { message { body replyTo { body } } } ... on ParticipantRemoved { user { id } } } }";
    run(async {
        let writer = Server::start().await;
        // It hears of nothing at once, so it reads the answer and the removal together.
        let setup = Setup {
            realtime: RealtimeOptions {
                carrier: Carrier::Sweep,
                sweep: Duration::from_millis(700),
                ..RealtimeOptions::default()
            },
            ..Setup::default()
        };
        let reader = Server::with(writer.database.clone(), setup).await;
        let (alice, victor) = (writer.user("alice"), writer.user("victor"));
        for round in 0..3 {
            let chat = alice.group("Team", &[&victor]).await;
            let first = alice.sends(&chat, "first").await;
            // Most of those who may come first are Victor's.
            let mut sockets = Vec::new();
            for user in [&victor, &victor, &victor, &victor, &alice] {
                let mut socket = Socket::open(&user.at(&reader)).await;
                socket.subscribe("s", QUERY, json!({ "chat": chat })).await;
                sockets.push(socket);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let input = json!({ "chatId": chat, "body": "second", "replyToId": first });
            alice.does("sendMessage", "", input).await;
            let input = json!({ "chatId": chat, "userId": "victor" });
            alice.does("removeParticipant", "", input).await;
            let event = next(sockets.last_mut().unwrap()).await;
            let expected =
                json!({ "message": { "body": "second", "replyTo": { "body": "first" } } });
            assert_eq!(event, expected, "round {round}");
        }
    });
}

/// Another document, and other variables that are more than a place, are other cohorts.
#[test]
fn what_differs_is_not_shared() {
    run(async {
        let (server, cohorts) = counted().await;
        let people = people(&server, 2);
        let chat = group(&people).await;
        let (_first, _) = selecting(&people[0], &chat, "cursor").await;
        let (mut second, _) = selecting(&people[1], &chat, "place: cursor").await;
        assert_eq!(cohorts.count(), 2);
        people[0].sends(&chat, "hello").await;
        assert!(next(&mut second).await["place"].is_string());
        let query = "subscription ($chat: ID!, $body: Boolean!) { chatEvents(chatId: $chat) {
            ... on MessageSent { message { id body @include(if: $body) } } } }";
        let mut sockets = Vec::new();
        for body in [true, false] {
            let mut socket = Socket::open(&people[0]).await;
            let variables = json!({ "chat": chat, "body": body });
            socket.subscribe("s", query, variables).await;
            sockets.push((socket, body));
        }
        until("four cohorts", || cohorts.count() == 4).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        people[0].sends(&chat, "again").await;
        for (socket, body) in &mut sockets {
            let event = next(socket).await;
            let expected = body.then(|| json!("again"));
            assert_eq!(event["message"].get("body").cloned(), expected);
        }
    });
}

/// Files come with the event: it is executed once for all who may read them, and by itself for who may not.
#[test]
fn the_files_of_a_message_are_shared_by_those_whose_token_permits_to_read_them() {
    const FIELDS: &str =
        "... on MessageSent { message { body attachments { name size uploader { id } } } }";
    run(async {
        let setup = Setup {
            permissions: Permissions {
                coarse: Coarse::Token,
                ..Permissions::default()
            },
            ..Setup::default()
        };
        let cohorts = Arc::clone(setup.schema.data::<Arc<Cohorts>>().unwrap());
        let server = Server::with(postgres::database().await, setup).await;
        let all = [
            "CreateMessage",
            "ViewMessage",
            "CreateMessageRecipient",
            "ViewMessageRecipient",
            "CreateAttachmentFile",
            "ViewAttachmentFile",
        ];
        let people = people(&server, 4).into_iter();
        let people: Vec<User> = people.map(|user| user.permitted(&all)).collect();
        let chat = group(&people).await;
        let file = people[0].uploads("a.txt", "text/plain", b"x").await;
        // The last one may read messages and chats, and no files.
        let last = people[3].permitted(&["ViewMessage", "ViewMessageRecipient"]);
        let mut sockets = Vec::new();
        for user in [&last, &people[0], &people[1], &people[2]] {
            sockets.push(selecting(user, &chat, FIELDS).await.0);
        }
        let executions = cohorts.executions();
        people[0].sends_files(&chat, "hello", &[&file]).await;
        let seen = json!([{ "name": "a.txt", "size": 1, "uploader": { "id": "user 00" } }]);
        for (place, socket) in sockets.iter_mut().enumerate() {
            let expected = if place == 0 { json!([]) } else { seen.clone() };
            assert_eq!(next(socket).await["message"]["attachments"], expected);
        }
        assert_eq!(cohorts.executions() - executions, 2);
    });
}

/// Nothing of a cohort is left when the last of it has gone, and no answer is kept while nothing happens.
#[test]
fn a_cohort_ends_with_its_last_subscription() {
    run(async {
        let (server, cohorts) = counted().await;
        let people = people(&server, 2);
        let chat = group(&people).await;
        let streams = [
            from_now(&people[0], &chat).await,
            from_now(&people[1], &chat).await,
        ];
        assert_eq!(cohorts.count(), 1);
        drop(streams);
        until("no cohort", || cohorts.count() == 0).await;
        assert_eq!(cohorts.kept(), (0, 0));
    });
}

/// Variables that the document does not declare are nobody's, and a subscription keeps little.
#[test]
fn a_subscription_keeps_only_what_it_reads() {
    run(async {
        let (server, cohorts) = counted().await;
        let people = people(&server, 2);
        let chat = group(&people).await;
        let query = "subscription ($chat: ID!) { chatEvents(chatId: $chat) { cursor } }";
        let mut sockets = Vec::new();
        for junk in [json!(null), json!(vec![0; 1000])] {
            let mut socket = Socket::open(&people[0]).await;
            let variables = json!({ "chat": chat, "junk": junk });
            socket.subscribe("s", query, variables).await;
            sockets.push(socket);
        }
        until("a cohort", || cohorts.count() > 0).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(cohorts.count(), 1);
        let mut socket = Socket::open(&people[0]).await;
        let long = format!("{query} # {}", "x".repeat(40_000));
        socket.subscribe("s", &long, json!({ "chat": chat })).await;
        let message = socket.hear().await;
        assert_eq!(message["type"], "error", "{message}");
        let error = &message["payload"][0];
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{message}");
    });
}

/// GraphQL, section 5.2.3.1, and its conditional root fields, which the framework lets pass.
#[test]
fn a_subscription_has_one_root_field() {
    run(async {
        let (server, _) = counted().await;
        let people = people(&server, 2);
        let chat = group(&people).await;
        for fields in [
            "chatEvents(chatId: $chat) { cursor } chatUpdates { kind }",
            "a: chatEvents(chatId: $chat) { cursor } b: chatEvents(chatId: $chat) { cursor }",
            "chatEvents(chatId: $chat) @include(if: true) { cursor }",
            "chatEvents(chatId: $chat) @skip(if: false) { cursor }",
            "...Both } fragment Both on Subscription { chatEvents(chatId: $chat) { cursor } chatUpdates { kind }",
            "chatUpdates { kind } ... on Subscription { chatSignals(chatId: $chat) { chat { id } } }",
        ] {
            let mut socket = Socket::open(&people[0]).await;
            let query = format!("subscription ($chat: ID!) {{ {fields} }}");
            socket.subscribe("s", &query, json!({ "chat": chat })).await;
            let message = socket.hear().await;
            assert_eq!(message["type"], "error", "{fields}: {message}");
            let error = &message["payload"][0];
            assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{message}");
            let text = error["message"].as_str().unwrap();
            assert!(text.contains("exactly one root field"), "{text}");
        }
        // It is one, but the engine does not find it.
        let query =
            "subscription { ...Updates } fragment Updates on Subscription { chatUpdates { kind } }";
        let mut socket = Socket::open(&people[0]).await;
        socket.subscribe("s", query, json!({})).await;
        let message = socket.hear().await;
        let text = message["payload"][0]["message"].as_str().unwrap();
        assert!(text.contains("not in a fragment"), "{message}");
    });
}
