//! Who gets signals: whoever sees the chat, for as long as they do.

use super::*;

#[test]
fn a_removed_participant_hears_nothing_more() {
    run(async {
        let (here, there) = two(quick()).await;
        let (alice, bob, carol) = (here.user("alice"), there.user("bob"), there.user("carol"));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        let mut bobs = Heard::by(&bob, &chat, TYPING).await;
        let mut near = Heard::by(&bob.at(&here), &chat, TYPING).await;
        let mut carols = Heard::by(&carol, &chat, TYPING).await;
        alice.removes(&chat, &bob).await;
        types(&alice, &chat, true).await;
        // Heard before she stops: of a start and a stop within one tick only the stop is told.
        assert_eq!(carols.who().await, pair("TypingStarted", "alice"));
        alice.sends(&chat, "without bob").await;
        assert_eq!(carols.who().await, pair("TypingStopped", "alice"));
        for heard in [&mut bobs, &mut near] {
            let told = heard.until_the_end().await;
            let typed = told
                .iter()
                .any(|signal| signal["__typename"] == "TypingStarted");
            assert!(!typed, "{told:?}");
        }
    });
}

#[test]
fn a_removal_that_no_hint_told_is_found_by_the_sweep() {
    run(async {
        let server = one(quick()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut heard = Heard::by(&bob, &chat, TYPING).await;
        let mut conn = server.sql().await;
        let id = uuid(&chat);
        let statement = format!(
            "BEGIN; DELETE FROM participants WHERE user_id = 'bob' AND chat_id = '{id}';
             UPDATE chats SET acl_version = acl_version + 1 WHERE id = '{id}'; COMMIT"
        );
        postgres::sql(&mut conn, &statement).await;
        sleep(millis(2500)).await;
        types(&alice, &chat, true).await;
        let told = heard.until_the_end().await;
        assert!(
            told.iter()
                .all(|signal| signal["__typename"] != "TypingStarted"),
            "{told:?}"
        );
    });
}

#[test]
fn a_deletion_ends_the_stream_for_who_cannot_undo_it() {
    run(async {
        let (here, there) = two(quick()).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut bobs = Heard::by(&bob, &chat, TYPING).await;
        let mut alices = Heard::by(&alice, &chat, TYPING).await;
        alice.deletes_chat(&chat).await;
        bobs.until_the_end().await;
        alice.restores_chat(&chat).await;
        // The owner's stream goes on, and bob's new one begins.
        types(&bob, &chat, true).await;
        assert_eq!(alices.who().await, pair("TypingStarted", "bob"));
        let mut bobs = Heard::by(&bob, &chat, TYPING).await;
        types(&alice, &chat, true).await;
        assert_eq!(bobs.who().await, pair("TypingStarted", "alice"));
    });
}

#[test]
fn a_role_does_not_end_the_stream_and_a_newcomer_is_heard() {
    run(async {
        let (here, there) = two(quick()).await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| here.user(name));
        let chat = alice.group("Team", &[&bob]).await;
        let mut heard = Heard::by(&bob.at(&there), &chat, &["TypingStarted"]).await;
        alice.makes(&chat, &bob, "ADMIN").await;
        alice.adds(&chat, &[&carol]).await;
        types(&carol, &chat, true).await;
        assert_eq!(heard.who().await, pair("TypingStarted", "carol"));
    });
}
