//! How the server of one agent starts and ends, and what it keeps to itself.

use serde_json::json;
use tempfile::TempDir;

use super::agent::{Process, Token, command};
use crate::support::{Server, User, run};

/// The agent of a user.
async fn of(user: &User) -> Process {
    let url = format!("http://{}/graphql", user.address);
    let token = Token::Variable(user.token.as_deref().unwrap());
    Process::start(command(&url, &token)).await
}

#[test]
fn it_ends_with_its_agent_and_says_nothing_else() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let mut agent = of(&alice).await;
        let me = agent.does("who_am_i", json!({})).await;
        assert_eq!(me["id"], "alice");
        let (status, said) = agent.leave().await;
        assert!(status.success());
        assert_eq!(said, "");
        // An agent that says nothing at all.
        let url = format!("http://{}/graphql", alice.address);
        let token = Token::Variable("x");
        let mute = Process::spawn(&mut command(&url, &token));
        let (status, said) = mute.leave().await;
        assert!(status.success());
        assert_eq!(said, "");
    });
}

#[cfg(unix)]
#[test]
fn it_stops_when_it_is_told_to_while_its_input_is_open() {
    run(async {
        let server = Server::start().await;
        let agent = of(&server.user("alice")).await;
        let (status, said) = agent.stop().await;
        assert!(status.success(), "{said}");
    });
}

#[test]
fn the_token_comes_from_a_file_that_may_change_and_is_never_told() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, format!("{}\n", alice.token.as_ref().unwrap())).unwrap();
        let url = format!("http://{}/graphql", alice.address);
        let mut command = command(&url, &Token::File(&path));
        command.env("COLLOQUY_LOG", "trace,rmcp=trace");
        let mut agent = Process::start(command).await;
        assert_eq!(agent.does("who_am_i", json!({})).await["id"], "alice");
        std::fs::write(&path, bob.token.as_ref().unwrap()).unwrap();
        assert_eq!(agent.does("who_am_i", json!({})).await["id"], "bob");
        std::fs::remove_file(&path).unwrap();
        let gone = agent.call("who_am_i", json!({})).await;
        assert_eq!(gone.code(), "UNAUTHENTICATED");
        let (_, said) = agent.leave().await;
        assert!(said.contains("TRACE"), "the log was asked for all");
        for token in [alice.token, bob.token].into_iter().flatten() {
            assert!(!said.contains(&token));
        }
    });
}

#[test]
fn it_does_not_start_towards_a_place_where_the_token_could_be_read() {
    run(async {
        let url = "http://127.0.0.1:1/graphql";
        for url in [
            "http://chat.example.org/graphql",
            "https://a:b@localhost/",
            "x",
        ] {
            let token = Token::Variable("a secret");
            let (status, said) = Process::spawn(&mut command(url, &token)).leave().await;
            assert!(!status.success());
            assert!(said.contains("https://"), "{said}");
            assert!(!said.contains("a secret"), "{said}");
        }
        let nowhere = std::path::Path::new("/nowhere/token");
        let (status, said) = Process::spawn(&mut command(url, &Token::File(nowhere)))
            .leave()
            .await;
        assert!(!status.success());
        assert!(said.contains("/nowhere/token"), "{said}");
    });
}

#[test]
fn a_server_out_of_reach_is_a_failure_that_passes() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let token = Token::Variable(alice.token.as_deref().unwrap());
        // Nobody listens there.
        let mut agent = Process::start(command("http://127.0.0.1:1/graphql", &token)).await;
        let failed = agent.call("list_chats", json!({})).await;
        assert_eq!(failed.code(), "SERVICE_UNAVAILABLE");
        let arguments = json!({ "chatId": "chat_x", "after": "x", "timeoutSeconds": 1 });
        let failed = agent.call("wait_for_messages", arguments).await;
        assert_eq!(failed.code(), "SERVICE_UNAVAILABLE");
        // What answers there is another program.
        let url = format!("http://{}/healthz", alice.address);
        let mut agent = Process::start(command(&url, &token)).await;
        let failed = agent.call("list_chats", json!({})).await;
        assert_eq!(failed.code(), "SERVICE_UNAVAILABLE");
    });
}
