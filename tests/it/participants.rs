//! Adding, removing, promoting, leaving.

use std::time::Duration;

use colloquy::app::Limits;
use serde_json::{Value, json};

use crate::support::server::Setup;
use crate::support::{Server, User, at_once, postgres, run};

/// A server with a group that alice owns, bob administers, and carol and dan are members of.
async fn group() -> (Server, String, [User; 4]) {
    let server = Server::start().await;
    let people = ["alice", "bob", "carol", "dan"].map(|name| server.user(name));
    let [alice, bob, carol, dan] = &people;
    let chat = alice.group("Tea", &[bob, carol, dan]).await;
    alice.makes(&chat, bob, "ADMIN").await;
    (server, chat, people)
}

fn at(field: &str) -> Value {
    json!(["input", field])
}

#[test]
fn who_is_added_is_in() {
    run(async {
        let (server, chat, [_, bob, ..]) = group().await;
        let before = server.log(&chat).await.len();
        let input = json!({ "chatId": chat, "userIds": ["eve", "fay", "eve"] });
        let fields = "chat { id } participants { user { id } role }";
        let payload = bob.does("addParticipants", fields, input).await;
        let member = |id: &str| json!({ "user": { "id": id }, "role": "MEMBER" });
        assert_eq!(
            payload["participants"],
            json!([member("eve"), member("fay")])
        );
        assert_eq!(payload["chat"]["id"], json!(chat));
        let log = server.log(&chat).await;
        assert_eq!(log[before..], ["ParticipantAdded"; 2]);
        assert_eq!(server.user("eve").lists(json!({})).await, [chat]);
    });
}

#[test]
fn adding_who_is_in_changes_nothing() {
    run(async {
        let (server, chat, [alice, bob, carol, _]) = group().await;
        let message = alice.sends(&chat, "unread").await;
        let (log, people) = (server.log(&chat).await, alice.people(&chat).await);
        let input =
            json!({ "chatId": chat, "userIds": ["carol", "bob", "alice"], "role": "OWNER" });
        let fields = "participants { user { id } role }";
        let payload = alice.does("addParticipants", fields, input).await;
        assert_eq!(payload["participants"].as_array().unwrap().len(), 3);
        bob.adds(&chat, &[&alice, &carol]).await;
        assert_eq!(server.log(&chat).await, log);
        assert_eq!(alice.people(&chat).await, people);
        assert_eq!(carol.unread(&chat).await, 1);
        carol.reads(&chat, &message).await;
    });
}

#[test]
fn adding_some_who_are_in_adds_the_others() {
    run(async {
        let (server, chat, [alice, _, carol, _]) = group().await;
        let before = server.log(&chat).await.len();
        alice.adds(&chat, &[&carol, &server.user("eve")]).await;
        assert_eq!(server.log(&chat).await[before..], ["ParticipantAdded"]);
    });
}

#[test]
fn only_owners_add_above_member() {
    run(async {
        let (server, chat, [alice, bob, carol, _]) = group().await;
        let before = server.log(&chat).await;
        for role in ["ADMIN", "OWNER"] {
            let input = json!({ "chatId": chat, "userIds": [role], "role": role });
            for user in [&bob, &carol] {
                let (code, _) = user.refused("addParticipants", input.clone()).await;
                assert_eq!(code, "FORBIDDEN");
            }
            assert_eq!(server.log(&chat).await, before);
        }
        for role in ["ADMIN", "OWNER"] {
            let input = json!({ "chatId": chat, "userIds": [role], "role": role });
            alice.does("addParticipants", "", input).await;
        }
        let people = alice.people(&chat).await;
        assert_eq!(people[4..], ["ADMIN ADMIN", "OWNER OWNER"]);
    });
}

#[test]
fn an_add_without_a_role_or_with_null_adds_members() {
    run(async {
        let (_server, chat, [alice, ..]) = group().await;
        let input = json!({ "chatId": chat, "userIds": ["eve"], "role": null });
        alice.does("addParticipants", "", input).await;
        assert_eq!(alice.people(&chat).await[4..], ["eve MEMBER"]);
    });
}

#[test]
fn an_add_names_at_most_a_hundred_possible_ids() {
    run(async {
        let (server, chat, [alice, ..]) = group().await;
        let before = server.log(&chat).await.len();
        let mut ids: Vec<String> = (0..100).map(|number| format!("user {number}")).collect();
        let input = json!({ "chatId": chat, "userIds": ids });
        alice.does("addParticipants", "", input).await;
        assert_eq!(server.log(&chat).await.len(), before + 100);
        ids.push("one more".to_owned());
        let input = json!({ "chatId": chat, "userIds": ids });
        let refused = alice.refused("addParticipants", input).await;
        assert_eq!(refused, ("TOO_MANY".to_owned(), at("userIds")));
        for id in ["", "nul\0", &"x".repeat(256), &chat] {
            let input = json!({ "chatId": chat, "userIds": ["eve", id] });
            let refused = alice.refused("addParticipants", input).await;
            assert_eq!(refused, ("INVALID".to_owned(), at("userIds")), "{id:?}");
        }
        assert_eq!(server.log(&chat).await.len(), before + 100);
    });
}

/// A server whose groups hold three.
async fn small() -> Server {
    let limits = Limits {
        participants_max: 3,
        ..Setup::default().limits
    };
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

#[test]
fn a_group_holds_so_many_and_no_more() {
    run(async {
        let server = small().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Small", &[&bob]).await;
        let add = |ids: Value| json!({ "chatId": chat, "userIds": ids });
        let two = alice.refused("addParticipants", add(json!(["carol", "dan"])));
        assert_eq!(two.await, ("TOO_MANY".to_owned(), at("userIds")));
        assert_eq!(server.log(&chat).await, ["ParticipantAdded"; 2]);
        // Who is in already takes no place.
        let input = add(json!(["alice", "bob", "carol"]));
        alice.does("addParticipants", "", input).await;
        let (code, _) = alice.refused("addParticipants", add(json!(["dan"]))).await;
        assert_eq!(code, "TOO_MANY");
        alice.removes(&chat, &bob).await;
        alice.adds(&chat, &[&server.user("dan")]).await;
    });
}

#[test]
fn a_group_begins_with_no_more_than_it_holds() {
    run(async {
        let server = small().await;
        let alice = server.user("alice");
        let create = |ids: Value| json!({ "title": "Small", "participantIds": ids });
        let input = create(json!(["alice", "bob", "carol", "bob"]));
        alice.does("createGroupChat", "", input).await;
        let input = create(json!(["bob", "carol", "dan"]));
        let refused = alice.refused("createGroupChat", input).await;
        assert_eq!(refused, ("TOO_MANY".to_owned(), at("participantIds")));
    });
}

#[test]
fn adds_at_the_same_instant_do_not_overfill_a_group() {
    run(async {
        let server = small().await;
        let alice = server.user("alice");
        let chat = alice.group("Small", &[]).await;
        let adds = (0..20).map(|number| {
            let (alice, chat) = (alice.clone(), chat.clone());
            async move {
                let input = json!({ "chatId": chat, "userIds": [format!("user {number}")] });
                let payload = alice.mutate("addParticipants", "", input).await;
                payload["userErrors"] == json!([])
            }
        });
        let added = at_once(adds).await;
        assert_eq!(added.iter().filter(|added| **added).count(), 2);
        assert_eq!(alice.people(&chat).await.len(), 3);
    });
}

#[test]
fn adds_of_one_person_at_the_same_instant_are_one_event() {
    run(async {
        let (server, chat, [alice, bob, ..]) = group().await;
        let before = server.log(&chat).await.len();
        let eve = server.user("eve");
        let adds = (0..20).map(|turn| {
            let user = [&alice, &bob][turn % 2].clone();
            let (chat, eve) = (chat.clone(), eve.clone());
            async move { user.adds(&chat, &[&eve]).await }
        });
        at_once(adds).await;
        assert_eq!(server.log(&chat).await[before..], ["ParticipantAdded"]);
    });
}

#[test]
fn who_is_added_starts_read_and_sees_all_history() {
    run(async {
        let (server, chat, [alice, ..]) = group().await;
        let old = alice.sends(&chat, "before").await;
        let eve = server.user("eve");
        alice.adds(&chat, &[&eve]).await;
        assert_eq!(eve.unread(&chat).await, 0);
        let fields = "messages { nodes { id } } viewerParticipant { lastReadMessage { id } }";
        let expected = json!({
            "messages": { "nodes": [{ "id": old }] },
            "viewerParticipant": { "lastReadMessage": { "id": old } },
        });
        assert_eq!(eve.chat(&chat, fields).await, expected);
        alice.sends(&chat, "after").await;
        assert_eq!(eve.unread(&chat).await, 1);
    });
}

#[test]
fn who_is_added_again_starts_read_and_sees_what_was_missed() {
    run(async {
        let (server, chat, [alice, bob, carol, _]) = group().await;
        alice.makes(&chat, &carol, "ADMIN").await;
        let joined = "viewerParticipant { id role joinedAt }";
        let first = carol.chat(&chat, joined).await;
        alice.removes(&chat, &carol).await;
        assert_eq!(carol.chat(&chat, "id").await, json!(null));
        alice.sends(&chat, "missed").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        bob.adds(&chat, &[&carol]).await;
        assert_eq!(carol.unread(&chat).await, 0);
        let missed = carol.chat(&chat, "lastMessage { body }").await;
        assert_eq!(missed["lastMessage"]["body"], "missed");
        let again = carol.chat(&chat, joined).await;
        let (first, again) = (&first["viewerParticipant"], &again["viewerParticipant"]);
        assert_eq!(again["id"], first["id"]);
        assert_eq!(again["role"], "MEMBER");
        assert!(again["joinedAt"].as_str() > first["joinedAt"].as_str());
        let log = server.log(&chat).await;
        assert_eq!(log.last().unwrap(), "ParticipantAdded");
    });
}

#[test]
fn participants_stand_in_the_order_in_which_they_joined() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("m");
        let chat = alice
            .group("Tea", &[&server.user("z"), &server.user("b")])
            .await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        alice
            .adds(&chat, &[&server.user("y"), &server.user("a")])
            .await;
        let expected = ["b MEMBER", "m OWNER", "z MEMBER", "a MEMBER", "y MEMBER"];
        assert_eq!(alice.people(&chat).await, expected);
    });
}

#[test]
fn who_is_removed_is_out() {
    run(async {
        let (server, chat, [alice, bob, carol, dan]) = group().await;
        let before = server.log(&chat).await.len();
        bob.removes(&chat, &carol).await;
        assert_eq!(carol.chat(&chat, "id").await, json!(null));
        assert!(carol.lists(json!({})).await.is_empty());
        let input = json!({ "chatId": chat, "body": "hi" });
        assert_eq!(carol.refused("sendMessage", input).await.0, "NOT_FOUND");
        let people = ["alice OWNER", "bob ADMIN", "dan MEMBER"];
        assert_eq!(dan.people(&chat).await, people);
        assert_eq!(alice.people(&chat).await, people);
        assert_eq!(server.log(&chat).await[before..], ["ParticipantRemoved"]);
    });
}

#[test]
fn removing_who_is_out_is_no_event() {
    run(async {
        let (server, chat, [alice, bob, carol, _]) = group().await;
        alice.removes(&chat, &carol).await;
        let log = server.log(&chat).await;
        alice.removes(&chat, &carol).await;
        bob.removes(&chat, &server.user("never in")).await;
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn an_admin_removes_members_only() {
    run(async {
        let (server, chat, [alice, bob, carol, dan]) = group().await;
        alice.makes(&chat, &carol, "ADMIN").await;
        let log = server.log(&chat).await;
        for above in [&alice, &carol] {
            let input = json!({ "chatId": chat, "userId": above.id });
            assert_eq!(bob.refused("removeParticipant", input).await.0, "FORBIDDEN");
        }
        for user in ["bob", "carol", "alice", "nobody"] {
            let input = json!({ "chatId": chat, "userId": user });
            assert_eq!(dan.refused("removeParticipant", input).await.0, "FORBIDDEN");
        }
        assert_eq!(server.log(&chat).await, log);
        bob.removes(&chat, &dan).await;
        alice.removes(&chat, &carol).await;
    });
}

#[test]
fn removing_oneself_is_leaving() {
    run(async {
        let (server, chat, [alice, bob, carol, dan]) = group().await;
        for user in [&bob, &carol] {
            let input = json!({ "chatId": chat, "userId": user.id });
            let payload = user.does("removeParticipant", "chat { id }", input).await;
            assert_eq!(payload["chat"], json!(null));
            assert_eq!(user.chat(&chat, "id").await, json!(null));
        }
        dan.leaves(&chat).await;
        let input = json!({ "chatId": chat, "userId": "alice" });
        alice.adds(&chat, &[&dan]).await;
        assert_eq!(
            alice.refused("removeParticipant", input).await.0,
            "CONFLICT"
        );
        let log = server.log(&chat).await;
        assert_eq!(log[5..8], ["ParticipantRemoved"; 3]);
    });
}

#[test]
fn the_last_owner_stays_while_others_remain() {
    run(async {
        let (server, chat, [alice, bob, carol, dan]) = group().await;
        let log = server.log(&chat).await;
        let leave = json!({ "chatId": chat });
        assert_eq!(alice.refused("leaveChat", leave).await.0, "CONFLICT");
        for role in ["ADMIN", "MEMBER"] {
            let input = json!({ "chatId": chat, "userId": "alice", "role": role });
            let refused = alice.refused("changeParticipantRole", input).await;
            assert_eq!(refused, ("CONFLICT".to_owned(), at("role")));
        }
        assert_eq!(server.log(&chat).await, log);
        alice.makes(&chat, &carol, "OWNER").await;
        alice.leaves(&chat).await;
        for user in [&bob, &dan] {
            carol.removes(&chat, user).await;
        }
        carol.leaves(&chat).await;
        assert_eq!(server.log(&chat).await.len(), log.len() + 5);
    });
}

#[test]
fn roles_are_changed_by_owners() {
    run(async {
        let (server, chat, [alice, bob, carol, dan]) = group().await;
        let log = server.log(&chat).await;
        for (user, target) in [
            (&bob, "carol"),
            (&bob, "bob"),
            (&dan, "dan"),
            (&dan, "alice"),
        ] {
            let input = json!({ "chatId": chat, "userId": target, "role": "OWNER" });
            let (code, _) = user.refused("changeParticipantRole", input).await;
            assert_eq!(code, "FORBIDDEN", "{} on {target}", user.id);
        }
        assert_eq!(server.log(&chat).await, log);
        let input = json!({ "chatId": chat, "userId": "carol", "role": "OWNER" });
        let fields = "participant { user { id } role }";
        let payload = alice.does("changeParticipantRole", fields, input).await;
        let expected = json!({ "user": { "id": "carol" }, "role": "OWNER" });
        assert_eq!(payload["participant"], expected);
        carol.makes(&chat, &alice, "MEMBER").await;
        let people = ["alice MEMBER", "bob ADMIN", "carol OWNER", "dan MEMBER"];
        assert_eq!(dan.people(&chat).await, people);
        let added = &server.log(&chat).await[log.len()..];
        assert_eq!(added, ["ParticipantRoleChanged"; 2]);
    });
}

#[test]
fn the_same_role_again_is_no_event() {
    run(async {
        let (server, chat, [alice, bob, ..]) = group().await;
        let log = server.log(&chat).await;
        alice.makes(&chat, &bob, "ADMIN").await;
        alice.makes(&chat, &alice, "OWNER").await;
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn the_role_of_who_is_out_is_not_found() {
    run(async {
        let (_server, chat, [alice, ..]) = group().await;
        let change = |id: &str| json!({ "chatId": chat, "userId": id, "role": "ADMIN" });
        let nobody = alice.refused("changeParticipantRole", change("nobody"));
        assert_eq!(nobody.await, ("NOT_FOUND".to_owned(), at("userId")));
        let empty = alice.refused("changeParticipantRole", change(""));
        assert_eq!(empty.await, ("INVALID".to_owned(), at("userId")));
        let input = json!({ "chatId": chat, "userId": "nul\0" });
        let nul = alice.refused("removeParticipant", input);
        assert_eq!(nul.await, ("INVALID".to_owned(), at("userId")));
    });
}

#[test]
fn owners_who_demote_each_other_at_once_leave_one() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        for round in 0..15 {
            let chat = alice.group(&format!("Round {round}"), &[&bob]).await;
            alice.makes(&chat, &bob, "OWNER").await;
            let demotions = [(&alice, &bob), (&bob, &alice)].map(|(user, other)| {
                let (user, other, chat) = (user.clone(), other.id.clone(), chat.clone());
                async move {
                    let input = json!({ "chatId": chat, "userId": other, "role": "MEMBER" });
                    user.mutate("changeParticipantRole", "", input).await
                }
            });
            at_once(demotions).await;
            let people = alice.people(&chat).await;
            let owners = people.iter().filter(|line| line.ends_with("OWNER"));
            assert_eq!(owners.count(), 1, "{people:?}");
        }
    });
}

#[test]
fn owners_who_leave_at_once_leave_one_behind() {
    run(async {
        let server = Server::start().await;
        let (alice, bob, carol) = (
            server.user("alice"),
            server.user("bob"),
            server.user("carol"),
        );
        for round in 0..15 {
            let chat = alice
                .group(&format!("Round {round}"), &[&bob, &carol])
                .await;
            alice.makes(&chat, &bob, "OWNER").await;
            let leaves = [&alice, &bob].map(|user| {
                let (user, input) = (user.clone(), json!({ "chatId": chat }));
                async move { user.mutate("leaveChat", "", input).await }
            });
            at_once(leaves).await;
            let people = carol.people(&chat).await;
            assert_eq!(people.len(), 2, "{people:?}");
            assert!(
                people.iter().any(|line| line.ends_with("OWNER")),
                "{people:?}"
            );
        }
    });
}
