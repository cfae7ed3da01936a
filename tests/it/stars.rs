//! Messages that somebody keeps at hand, for themselves alone.

use serde_json::{Value, json};

use crate::support::rows::lines;
use crate::support::{Server, User, run};

/// A page of somebody's list, with the order and the flags.
const PAGE: &str = "query ($first: Int, $after: String, $last: Int, $before: String) {
    viewer { starredMessages(first: $first, after: $after, last: $last, before: $before) {
        nodes { body viewerHasStarred chat { id } }
        edges { cursor starredAt node { id } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";

impl User {
    async fn stars(&self, message: &str) -> Value {
        let input = json!({ "messageId": message });
        let fields = "message { id viewerHasStarred }";
        let payload = self.does("starMessage", fields, input).await;
        payload["message"]["viewerHasStarred"].clone()
    }

    async fn unstars(&self, message: &str) -> Value {
        let input = json!({ "messageId": message });
        let fields = "message { id viewerHasStarred }";
        let payload = self.does("unstarMessage", fields, input).await;
        payload["message"]["viewerHasStarred"].clone()
    }

    async fn star_page(&self, args: Value) -> Value {
        self.ask(PAGE, args).await["viewer"]["starredMessages"].clone()
    }

    /// The texts of the whole list.
    async fn starred(&self) -> Vec<String> {
        texts(&self.star_page(json!({})).await)
    }
}

fn texts(page: &Value) -> Vec<String> {
    let nodes = page["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| node["body"].as_str().unwrap_or("null").to_owned())
        .collect()
}

#[test]
fn a_star_is_its_owners_alone_and_stays_until_it_is_taken_off() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let own = alice.sends(&chat, "own").await;
        let theirs = bob.sends(&chat, "theirs").await;
        let head = alice.event_cursor(&chat).await;
        assert_eq!(alice.stars(&own).await, true);
        assert_eq!(alice.stars(&theirs).await, true);
        assert_eq!(alice.stars(&own).await, true);
        assert_eq!(alice.starred().await, ["theirs", "own"]);
        let none: [&str; 0] = [];
        assert_eq!(bob.starred().await, none);
        let seen = bob
            .chat(&chat, "messages { nodes { viewerHasStarred } }")
            .await;
        let unstarred = json!([{ "viewerHasStarred": false }, { "viewerHasStarred": false }]);
        assert_eq!(seen["messages"]["nodes"], unstarred);
        // Nobody is told of it.
        assert_eq!(alice.event_cursor(&chat).await, head);
        assert_eq!(alice.unstars(&own).await, false);
        assert_eq!(alice.unstars(&own).await, false);
        assert_eq!(alice.starred().await, ["theirs"]);
        // Of others, the list is not theirs to see.
        let query = "{ user(id: \"bob\") { starredMessages { nodes { id } } } }";
        assert_eq!(
            alice.ask(query, json!({})).await["user"]["starredMessages"],
            Value::Null
        );
    });
}

#[test]
fn what_is_no_longer_seen_is_not_listed() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let team = alice.group("Team", &[&bob]).await;
        let (kept, gone) = (
            alice.sends(&team, "kept").await,
            alice.sends(&team, "gone").await,
        );
        bob.stars(&kept).await;
        bob.stars(&gone).await;
        alice.deletes(&gone).await;
        // It keeps its place, without its text.
        assert_eq!(bob.starred().await, ["null", "kept"]);
        let (code, path) = bob
            .refused("starMessage", json!({ "messageId": gone }))
            .await;
        let place = json!(["input", "messageId"]);
        assert_eq!((code.as_str(), path), ("CONFLICT", place));
        assert_eq!(bob.unstars(&gone).await, false);

        let input = json!({ "chatId": team, "userId": "bob" });
        alice.does("removeParticipant", "", input).await;
        let none: [&str; 0] = [];
        assert_eq!(bob.starred().await, none);
        let (code, _) = bob
            .refused("starMessage", json!({ "messageId": kept }))
            .await;
        assert_eq!(code, "NOT_FOUND");
        let (code, _) = bob
            .refused("unstarMessage", json!({ "messageId": kept }))
            .await;
        assert_eq!(code, "NOT_FOUND");
        let input = json!({ "chatId": team, "userIds": ["bob"] });
        alice.does("addParticipants", "", input).await;
        assert_eq!(bob.starred().await, ["kept"]);

        alice.deletes_chat(&team).await;
        assert_eq!(bob.starred().await, none);
        let (code, _) = alice
            .refused("starMessage", json!({ "messageId": kept }))
            .await;
        assert_eq!(code, "CONFLICT");
        alice
            .does("restoreChat", "", json!({ "chatId": team }))
            .await;
        assert_eq!(bob.starred().await, ["kept"]);
    });
}

#[test]
fn what_stands_before_ones_history_cannot_be_starred() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let input = json!({ "title": "Team", "history": "SINCE_JOINING" });
        let payload = alice.does("createGroupChat", "chat { id }", input).await;
        let team = payload["chat"]["id"].as_str().unwrap();
        let before = alice.sends(team, "before").await;
        let input = json!({ "chatId": team, "userIds": ["bob"] });
        alice.does("addParticipants", "", input).await;
        let (code, _) = bob
            .refused("starMessage", json!({ "messageId": before }))
            .await;
        assert_eq!(code, "NOT_FOUND");
        let since = alice.sends(team, "since").await;
        assert_eq!(bob.stars(&since).await, true);
        // What was starred while all was shown is not listed when it no longer is.
        alice
            .does(
                "changeChatHistory",
                "",
                json!({ "chatId": team, "history": "WHOLE" }),
            )
            .await;
        bob.stars(&before).await;
        assert_eq!(bob.starred().await, ["before", "since"]);
        alice
            .does(
                "changeChatHistory",
                "",
                json!({ "chatId": team, "history": "SINCE_JOINING" }),
            )
            .await;
        assert_eq!(bob.starred().await, ["since"]);
    });
}

#[test]
fn pages_walk_the_list_both_ways_with_exact_flags() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let (one, other) = (alice.direct(&bob).await, alice.group("Team", &[]).await);
        let mut expected = Vec::new();
        for n in 0..7 {
            let chat = if n % 2 == 0 { &one } else { &other };
            let message = alice.sends(chat, &format!("m{n}")).await;
            alice.stars(&message).await;
            expected.insert(0, format!("m{n}"));
        }
        // All at one time: the order is still one.
        let mut sql = server.sql().await;
        lines(
            &mut sql,
            "UPDATE stars SET starred_at = '2026-01-01' RETURNING 'x' AS line",
        )
        .await;
        let all = alice.starred().await;
        let mut sorted = all.clone();
        sorted.sort();
        expected.sort();
        assert_eq!(sorted, expected);
        let (mut forwards, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = alice.star_page(json!({ "first": 3, "after": after })).await;
            assert_eq!(page["pageInfo"]["hasPreviousPage"], !forwards.is_empty());
            forwards.extend(texts(&page));
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(forwards, all);
        let (mut backwards, mut before) = (Vec::new(), Value::Null);
        loop {
            let page = alice
                .star_page(json!({ "last": 3, "before": before }))
                .await;
            assert_eq!(page["pageInfo"]["hasNextPage"], !backwards.is_empty());
            backwards.splice(0..0, texts(&page));
            before = page["pageInfo"]["startCursor"].clone();
            if page["pageInfo"]["hasPreviousPage"] == false {
                break;
            }
        }
        assert_eq!(backwards, all);
        // A cursor of another's list, or of another list, is none.
        let foreign = alice
            .chat(&one, "messages { pageInfo { endCursor } }")
            .await;
        let foreign = foreign["messages"]["pageInfo"]["endCursor"].clone();
        for (user, after) in [(&alice, foreign), (&bob, after)] {
            let codes = user.codes(PAGE, json!({ "after": after })).await;
            assert_eq!(codes, ["BAD_USER_INPUT"]);
        }
    });
}
