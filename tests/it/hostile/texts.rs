//! Texts of people, which a chat is made of: what can be kept is kept byte for byte, whatever it looks like.

use serde_json::{Value, json};

use crate::support::log::from_now;
use crate::support::{Server, User, run};

/// What comes of a text.
enum Text {
    Kept,
    Refused(&'static str),
}

use Text::{Kept, Refused};

fn bodies() -> Vec<(String, Text)> {
    let text = |text: &str, comes| (text.to_owned(), comes);
    vec![
        text("\u{202e}txt.exe\u{202c}", Kept),
        text("a\u{200b}b\u{200d}c\u{2060}d", Kept),
        text("\u{feff}begins with a mark of byte order", Kept),
        text("\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}", Kept),
        text("\u{1}\u{7f}\u{9b}31m", Kept),
        text("\u{1b}[2J\r\n\t", Kept),
        text("\u{fffe}\u{ffff}\u{10ffff}", Kept),
        text("e\u{301} is not \u{e9}", Kept),
        text("\u{2028}a\u{2029}", Kept),
        text("' OR 1=1; -- \\ \" </script><!--", Kept),
        text("\\u0000 \\ud800 %00", Kept),
        (format!("Z{}", "\u{300}".repeat(9_999)), Kept),
        ("\u{1f600}".repeat(10_000), Kept),
        ("\u{1f600}".repeat(10_001), Refused("TOO_LONG")),
        text("a\0b", Refused("INVALID")),
        text("\0", Refused("INVALID")),
        text("", Refused("INVALID")),
        text(" \u{3000}\u{a0}\n", Refused("INVALID")),
        text("\u{200b}\u{200d}\u{feff}\u{2060}", Refused("INVALID")),
        text("\u{202e}\u{200b}", Refused("INVALID")),
        (" ".repeat(20_000), Refused("TOO_LONG")),
    ]
}

#[test]
fn a_text_is_kept_as_it_is_or_refused() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut events = from_now(&bob, &chat).await;
        for (body, comes) in bodies() {
            let input = json!({ "chatId": chat, "body": body });
            match comes {
                Kept => {
                    alice.sends(&chat, &body).await;
                    // In an event, and in a page.
                    assert_eq!(events.next().await["message"]["body"], json!(body));
                    let last = bob.chat(&chat, "lastMessage { body }").await;
                    assert_eq!(last["lastMessage"]["body"], json!(body));
                }
                Refused(code) => {
                    let refused = alice.refused("sendMessage", input).await;
                    assert_eq!(
                        refused,
                        (code.to_owned(), json!(["input", "body"])),
                        "{body:?}"
                    );
                }
            }
        }
    });
}

/// What a title is after it was given, or the code of its refusal.
async fn renamed(alice: &User, chat: &str, title: &str) -> Result<Value, String> {
    let input = json!({ "chatId": chat, "title": title });
    let payload = alice.mutate("renameChat", "chat { title }", input).await;
    match payload["userErrors"][0]["code"].as_str() {
        None => Ok(payload["chat"]["title"].clone()),
        Some(code) => Err(code.to_owned()),
    }
}

#[test]
fn a_title_is_one_line_that_can_be_seen() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        for (given, kept) in [
            (" \u{a0}Team\u{3000}\n", "Team"),
            ("a\u{202e}b", "a\u{202e}b"),
            ("\u{1f469}\u{200d}\u{1f469}", "\u{1f469}\u{200d}\u{1f469}"),
        ] {
            assert_eq!(
                renamed(&alice, &chat, given).await,
                Ok(json!(kept)),
                "{given:?}"
            );
        }
        for given in [
            "",
            " ",
            "\u{200b}",
            "\u{202e}",
            "\0",
            "a\0b",
            "a\nb",
            "a\rb",
            "a\tb",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{85}b",
            "a\u{1b}b",
            "a\u{7f}b",
        ] {
            let refused = Err("INVALID".to_owned());
            assert_eq!(renamed(&alice, &chat, given).await, refused, "{given:?}");
        }
        let long = "\u{1f600}".repeat(201);
        assert_eq!(
            renamed(&alice, &chat, &long).await,
            Err("TOO_LONG".to_owned())
        );
    });
}
