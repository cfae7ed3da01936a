//! Sending, amending, reading.

use serde_json::json;

use crate::support::socket::{bodies, kinds};
use crate::support::{Server, run};

#[test]
fn a_sent_message_arrives() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut events = bob
            .follows(&chat, Some(&bob.start_cursor(&chat).await))
            .await;
        assert_eq!(kinds(&events.take(2).await), ["ParticipantAdded"; 2]);
        alice.sends(&chat, "hello").await;
        assert_eq!(bodies(&events.take(1).await), ["hello"]);
        let page = bob
            .chat(&chat, "unreadCount lastMessage { body sender { id } }")
            .await;
        assert_eq!(
            page,
            json!({"unreadCount": 1, "lastMessage": {"body": "hello", "sender": {"id": "alice"}}})
        );
    });
}
