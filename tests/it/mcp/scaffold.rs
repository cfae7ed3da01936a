//! Writing an instance as a tool: for an agent on this machine, with a token or without.

use serde_json::json;
use tempfile::TempDir;

use super::agent::{Agent, Process, Token, Way, command};
use crate::support::{Server, run};

#[test]
fn an_agent_on_this_machine_writes_an_instance_before_there_is_a_server() {
    run(async {
        let folder = TempDir::new().unwrap();
        let place = folder.path().join("chat");
        let nowhere = "http://127.0.0.1:1/graphql";
        let mut agent = Process::start(command(nowhere, &Token::None)).await;
        let listed = agent.request("tools/list", json!({})).await;
        let tools = listed["tools"].as_array().unwrap();
        let names: Vec<&str> = tools
            .iter()
            .map(|tool| tool["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["scaffold_project"]);
        let chats = agent
            .ask("tools/call", json!({ "name": "list_chats" }))
            .await;
        assert_eq!(chats["error"]["code"], -32602);
        let arguments = json!({ "folder": place, "name": "chat", "port": 9000 });
        let written = agent.does("scaffold_project", arguments.clone()).await;
        let files = written["files"].as_array().unwrap();
        assert!(files.len() > 10);
        for file in files {
            assert!(
                place.join(file["path"].as_str().unwrap()).is_file(),
                "{file}"
            );
        }
        let secrets = std::fs::read_to_string(place.join(".env")).unwrap();
        let secrets = secrets.lines().filter_map(|line| line.split_once('='));
        for (_, secret) in secrets.filter(|(_, value)| value.len() > 20) {
            assert!(!written.to_string().contains(secret));
        }
        for (arguments, code, field) in [
            (arguments, "CONFLICT", "folder"),
            (json!({ "folder": "chat" }), "BAD_USER_INPUT", "folder"),
            (json!({}), "BAD_USER_INPUT", "folder"),
            (
                json!({ "folder": place.join("a/b") }),
                "NOT_FOUND",
                "folder",
            ),
            (
                json!({ "folder": place.join("a"), "name": "A b" }),
                "BAD_USER_INPUT",
                "name",
            ),
            (
                json!({ "folder": place.join("a"), "port": 0 }),
                "BAD_USER_INPUT",
                "port",
            ),
            (
                json!({ "folder": place.join("a"), "port": 65535 }),
                "BAD_USER_INPUT",
                "port",
            ),
            (
                json!({ "folder": place.join("a"), "port": 65536 }),
                "BAD_USER_INPUT",
                "port",
            ),
            (
                json!({ "folder": place.join("a"), "force": true }),
                "BAD_USER_INPUT",
                "force",
            ),
        ] {
            let refused = agent.call("scaffold_project", arguments.clone()).await;
            assert_eq!(refused.code(), code, "{arguments}");
            assert_eq!(
                refused.failures()[0]["field"],
                json!([field]),
                "{arguments}"
            );
        }
        assert!(!place.join("a").exists());
    });
}

#[test]
fn no_server_writes_files_for_a_client() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for (way, offered) in [(Way::Process, true), (Way::Http, false)] {
            let mut agent = Agent::of(&alice, way).await;
            let listed = agent.request("tools/list", json!({})).await;
            let mut tools = listed["tools"].as_array().unwrap().iter();
            let found = tools.any(|tool| tool["name"] == "scaffold_project");
            assert_eq!(found, offered, "{way:?}");
        }
        let folder = TempDir::new().unwrap();
        let mut agent = Agent::of(&alice, Way::Http).await;
        let arguments = json!({ "folder": folder.path() });
        let call = json!({ "name": "scaffold_project", "arguments": arguments });
        let refused = agent.ask("tools/call", call).await;
        assert_eq!(refused["error"]["code"], -32602);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    });
}
