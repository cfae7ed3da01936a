//! People: who exists, and what is known of them.

use serde_json::{Value, json};

use crate::support::{Server, User, run};

const PROFILE: &str = "query ($id: ID!) { user(id: $id) { id displayName avatarUrl } }";

async fn profile(viewer: &User, id: &str) -> Value {
    viewer.ask(PROFILE, json!({ "id": id })).await["user"].clone()
}

/// The user with a token of some age that carries some claims.
fn told(user: &User, iat: i64, name: Option<&str>, picture: Option<&str>) -> User {
    let mut claims = user.claims();
    claims.iat = Some(iat);
    claims.name = name.map(str::to_owned);
    claims.picture = picture.map(str::to_owned);
    user.with_token(user.sign(&claims))
}

async fn comes(user: &User) {
    user.ask("{ viewer { id } }", json!({})).await;
}

#[test]
fn a_user_exists_from_their_first_token() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        assert_eq!(profile(&alice, "bob").await, json!(null));
        assert_eq!(
            bob.ask("{ viewer { id } }", json!({})).await["viewer"]["id"],
            "bob"
        );
        let expected = json!({ "id": "bob", "displayName": null, "avatarUrl": null });
        assert_eq!(profile(&alice, "bob").await, expected);
    });
}

#[test]
fn a_user_exists_from_the_first_time_someone_adds_them() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        alice.direct(&server.user("direct")).await;
        let chat = alice.group("Tea", &[&server.user("created")]).await;
        alice.adds(&chat, &[&server.user("added")]).await;
        for id in ["direct", "created", "added"] {
            let expected = json!({ "id": id, "displayName": null, "avatarUrl": null });
            assert_eq!(profile(&alice, id).await, expected);
        }
    });
}

#[test]
fn a_refused_add_makes_nobody_exist() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.direct(&server.user("bob")).await;
        let input = json!({ "chatId": chat, "userIds": ["ghost"] });
        assert_eq!(alice.refused("addParticipants", input).await.0, "CONFLICT");
        assert_eq!(profile(&alice, "ghost").await, json!(null));
    });
}

#[test]
fn who_was_never_seen_is_null() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let query = "query ($id: ID!) { node(id: $id) { id } }";
        for id in ["nobody", "", "nul\0", &"x".repeat(256)] {
            assert_eq!(profile(&alice, id).await, json!(null), "{id:?}");
            let data = alice.ask(query, json!({ "id": id })).await;
            assert_eq!(data["node"], json!(null), "{id:?}");
        }
    });
}

#[test]
fn name_and_picture_follow_the_newest_token_that_carries_them() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let expect = async |name: Value, picture: Value| {
            let expected = json!({ "id": "alice", "displayName": name, "avatarUrl": picture });
            assert_eq!(profile(&alice, "alice").await, expected);
        };
        comes(&told(&alice, 1000, Some("Al"), None)).await;
        expect(json!("Al"), json!(null)).await;
        comes(&told(&alice, 900, Some("Older"), Some("old.png"))).await;
        expect(json!("Al"), json!("old.png")).await;
        comes(&told(&alice, 1100, None, Some("new.png"))).await;
        expect(json!("Al"), json!("new.png")).await;
        comes(&told(&alice, 1050, Some("Alice"), Some("older.png"))).await;
        expect(json!("Alice"), json!("new.png")).await;
        // A known token again, and one that says nothing, take nothing back.
        comes(&told(&alice, 1000, Some("Al"), None)).await;
        comes(&told(&alice, 2000, None, None)).await;
        expect(json!("Alice"), json!("new.png")).await;
    });
}

#[test]
fn a_claim_that_cannot_be_kept_does_not_spoil_the_token() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let endless = "x".repeat(2_001);
        for name in ["", "nul\0", &endless] {
            comes(&told(&alice, 1000, Some(name), None)).await;
        }
        let expected = json!({ "id": "alice", "displayName": null, "avatarUrl": null });
        assert_eq!(profile(&alice, "alice").await, expected);
    });
}

#[test]
fn one_id_in_two_tenants_is_two_people() {
    run(async {
        let server = Server::start().await;
        let (here, there) = (server.user("alice"), server.user_of("acme", "alice"));
        let mut claims = there.claims();
        claims.tenant = Some("acme".to_owned());
        claims.name = Some("Alice of Acme".to_owned());
        let there = there.with_token(there.sign(&claims));
        comes(&there).await;
        assert_eq!(
            profile(&there, "alice").await["displayName"],
            "Alice of Acme"
        );
        assert_eq!(profile(&here, "alice").await["displayName"], json!(null));

        let bob = server.user_of("acme", "bob");
        let chat = there.direct(&bob).await;
        assert_eq!(here.chat(&chat, "id").await, json!(null));
        assert!(here.lists(json!({})).await.is_empty());
        assert_eq!(profile(&here, "bob").await, json!(null));
        assert_ne!(here.direct(&server.user("bob")).await, chat);
        assert_eq!(there.lists(json!({})).await, [chat]);
    });
}

#[test]
fn a_token_without_a_tenant_is_of_the_default_one() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user_of("default", "bob"));
        let chat = alice.direct(&bob).await;
        assert_eq!(bob.lists(json!({})).await, [chat]);
    });
}
