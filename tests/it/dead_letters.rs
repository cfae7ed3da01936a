//! What was given up: administrators see it, and have it tried again.

use std::time::Duration;

use colloquy::app::DeliveryOptions;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::receiver::Receiver;
use crate::support::server::Setup;
use crate::support::{Server, User, postgres, run};

const LIST: &str = "query ($first: Int, $after: String, $last: Int, $before: String) {
    deadLetters(first: $first, after: $after, last: $last, before: $before) {
        nodes { id sink deliveryId chatId recipientId attempts failure status createdAt diedAt }
        edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

async fn list(user: &User, args: Value) -> Value {
    user.ask(LIST, args).await["deadLetters"].clone()
}

fn ids(page: &Value) -> Vec<String> {
    let nodes = page["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect()
}

/// A server whose only sink refuses everything, the administrator, and `count` dead letters.
async fn scene(count: usize) -> (Server, Receiver, User, String) {
    let receiver = Receiver::start().await;
    receiver.answers(|_| 500.into());
    let setup = Setup {
        sinks: Some(vec![receiver.webhook("crm")]),
        deliveries: DeliveryOptions {
            attempts: 1,
            ..DeliveryOptions::default()
        },
        ..Setup::default()
    };
    let server = Server::with(postgres::database().await, setup).await;
    let root = server.user("root").permitted(&["colloquy:admin"]);
    let alice = server.user("alice");
    let mut chat = String::new();
    for n in 0..count {
        chat = alice.group(&format!("{n}"), &[]).await;
    }
    for _ in 0..2000 {
        if ids(&list(&root, json!({})).await).len() == count {
            return (server, receiver, root, chat);
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{}", list(&root, json!({})).await);
}

#[test]
fn an_administrator_sees_what_was_given_up_and_has_it_tried_again() {
    run(async {
        let (server, receiver, root, chat) = scene(1).await;
        let page = list(&root, json!({})).await;
        let node = &page["nodes"][0];
        let expected = ["crm", &receiver.received()[0].id, &chat, "REFUSED_FOR_NOW"];
        let seen =
            ["sink", "deliveryId", "chatId", "failure"].map(|name| node[name].as_str().unwrap());
        assert_eq!(seen, expected);
        assert_eq!(
            (&node["attempts"], &node["status"]),
            (&json!(1), &json!(500))
        );
        assert_eq!(node["recipientId"], Value::Null);
        receiver.answers(|_| 200.into());
        let input = json!({ "ids": [node["id"], "nonsense", "999999"] });
        let replayed = root
            .does("replayDeadLetters", "replayedIds", input.clone())
            .await;
        assert_eq!(replayed["replayedIds"], json!([node["id"]]));
        let taken = receiver.until_taken(1).await;
        assert_eq!(taken[0].id, receiver.received()[0].id);
        assert_eq!(ids(&list(&root, json!({})).await), [""; 0]);
        // A second time there is nothing to do.
        let replayed = root.does("replayDeadLetters", "replayedIds", input).await;
        assert_eq!(replayed["replayedIds"], json!([]));
        drop(server);
    });
}

#[test]
fn what_is_tried_again_in_vain_is_given_up_again() {
    run(async {
        let (_server, receiver, root, _) = scene(1).await;
        let before = ids(&list(&root, json!({})).await);
        root.does("replayDeadLetters", "", json!({ "ids": before }))
            .await;
        for _ in 0..1000 {
            let after = ids(&list(&root, json!({})).await);
            if after.len() == 1 && after != before {
                assert_eq!(receiver.received().len(), 2);
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{before:?}");
    });
}

#[test]
fn pages_walk_the_list_both_ways() {
    run(async {
        let (_server, _receiver, root, _) = scene(5).await;
        let all = ids(&list(&root, json!({})).await);
        let numbers: Vec<i64> = all.iter().map(|id| id.parse().unwrap()).collect();
        assert!(
            numbers.is_sorted_by(|left, right| left > right),
            "{numbers:?}"
        );
        let (mut forwards, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = list(&root, json!({ "first": 2, "after": after })).await;
            assert_eq!(page["pageInfo"]["hasPreviousPage"], !forwards.is_empty());
            forwards.extend(ids(&page));
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(forwards, all);
        let (mut backwards, mut before) = (Vec::new(), Value::Null);
        loop {
            let page = list(&root, json!({ "last": 2, "before": before })).await;
            assert_eq!(page["pageInfo"]["hasNextPage"], !backwards.is_empty());
            backwards.splice(0..0, ids(&page));
            before = page["pageInfo"]["startCursor"].clone();
            if page["pageInfo"]["hasPreviousPage"] == false {
                break;
            }
        }
        assert_eq!(backwards, all);
    });
}

#[test]
fn they_are_for_administrators_of_the_tenant_alone() {
    run(async {
        let (server, receiver, root, _) = scene(1).await;
        let own = ids(&list(&root, json!({})).await);
        let mut claims = server.user("root").claims();
        claims.tenant = Some("elsewhere".to_owned());
        claims.permissions = vec!["colloquy:admin".to_owned()];
        let stranger = server.user("root");
        let stranger = stranger.with_token(stranger.sign(&claims));
        assert_eq!(ids(&list(&stranger, json!({})).await), [""; 0]);
        let input = json!({ "ids": own });
        let replayed = stranger
            .does("replayDeadLetters", "replayedIds", input.clone())
            .await;
        assert_eq!(replayed["replayedIds"], json!([]));
        let alice = server.user("alice");
        assert_eq!(alice.codes(LIST, json!({})).await, ["FORBIDDEN"]);
        let replay =
            "mutation ($ids: [ID!]!) { replayDeadLetters(input: { ids: $ids }) { replayedIds } }";
        assert_eq!(alice.codes(replay, input).await, ["FORBIDDEN"]);
        assert_eq!(ids(&list(&root, json!({})).await), own);
        assert_eq!(receiver.received().len(), 1);
        let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        let (code, field) = root
            .refused("replayDeadLetters", json!({ "ids": many }))
            .await;
        assert_eq!(
            (code.as_str(), field),
            ("TOO_MANY", json!(["input", "ids"]))
        );
    });
}
