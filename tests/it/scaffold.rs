//! An instance as `colloquy init` writes it: what is in it, what is refused, and that it runs.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use colloquy::graphql;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::mcp::agent;
use crate::process::PATIENCE;
use crate::support::{postgres, run};

/// The binary, with these variables and no other of ours.
fn colloquy(arguments: &[&str], environment: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colloquy"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("COLLOQUY_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> Output {
    timeout(PATIENCE, command.output()).await.unwrap().unwrap()
}

async fn init(folder: &Path, more: &[&str]) -> Output {
    let arguments = [&["init", folder.to_str().unwrap()], more].concat();
    output(colloquy(&arguments, &BTreeMap::new())).await
}

/// What a command says that succeeds.
async fn printed(command: Command) -> String {
    let output = output(command).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every file under a folder, by its path in it.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), path.clone());
            }
        }
    }
    found
}

/// The settings of a file of variables.
fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// What compose gives to a server: the settings, and what the compose file makes of the secrets.
fn environment(folder: &Path) -> BTreeMap<String, String> {
    let read = |name| fs::read_to_string(folder.join(name)).unwrap();
    let secrets = variables(&read(".env"));
    let mut all = variables(&read("colloquy.env"));
    let compose = read("compose.yaml");
    let (_, server) = compose.split_once("  environment:\n").unwrap();
    for line in server.lines().take_while(|line| line.starts_with("    ")) {
        let (name, value) = line.trim().split_once(": ").unwrap();
        let mut value = value.to_owned();
        for (secret, is) in &secrets {
            let place = format!("${{{secret}:?it is in .env}}");
            value = value.replace(&place, is);
        }
        assert!(!value.contains('$'), "{line}");
        all.insert(name.to_owned(), value);
    }
    all
}

#[test]
fn it_writes_what_it_says_with_secrets_for_nobody_else() {
    run(async {
        let root = TempDir::new().unwrap();
        let (one, other) = (root.path().join("one"), root.path().join("other"));
        fs::create_dir(&other).unwrap();
        for folder in [&one, &other] {
            let said = init(folder, &["--name", "chat", "--port", "9000"]).await;
            assert!(said.status.success());
            let said = String::from_utf8(said.stdout).unwrap();
            let written = files(folder);
            assert!(written.len() > 10, "{written:?}");
            for (name, path) in &written {
                assert!(
                    said.contains(&format!("  {name} ")),
                    "{name} is not told: {said}"
                );
                let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                let expected = match name.as_str() {
                    ".env" => 0o600,
                    _ if name.ends_with(".sh") => 0o755,
                    _ => 0o644,
                };
                assert_eq!(mode, expected, "{name}");
            }
            let environment = environment(folder);
            let secret = &environment["COLLOQUY_JWT_SECRET"];
            assert!(secret.len() >= 43, "{secret}");
            // The secrets are in one file, and are not told.
            for (_, value) in variables(&fs::read_to_string(&written[".env"]).unwrap()) {
                let elsewhere = written.iter().filter(|(name, _)| *name != ".env");
                let mut texts = elsewhere.map(|(_, path)| fs::read_to_string(path).unwrap());
                let is_secret = !value.contains('/');
                assert!(!is_secret || !texts.any(|text| text.contains(&value)));
                assert!(!is_secret || !said.contains(&value));
            }
            let schema = fs::read_to_string(&written["client/schema.graphql"]).unwrap();
            assert_eq!(schema, graphql::sdl());
        }
        let secret = |folder| environment(folder)["COLLOQUY_JWT_SECRET"].clone();
        assert_ne!(secret(&one), secret(&other));
        let names = |folder: &Path| files(folder).into_keys().collect::<Vec<_>>();
        assert_eq!(names(&one), names(&other));
    });
}

/// A folder, and what is in it by name and number of the file.
fn inventory(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            all.push((path.clone(), metadata.ino()));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    all.sort();
    all
}

#[test]
fn it_writes_over_nothing_and_leaves_nothing_where_it_fails() {
    run(async {
        let root = TempDir::new().unwrap();
        let path = |name: &str| root.path().join(name);
        for name in ["full", "hidden", "nested/folder", "linked"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("full/file"), "mine").unwrap();
        fs::write(path("hidden/.hidden"), "mine").unwrap();
        fs::write(path("file"), "mine").unwrap();
        symlink(path("linked"), path("link")).unwrap();
        symlink(path("nothing"), path("dangling")).unwrap();
        let before = inventory(root.path());
        for (folder, why) in [
            ("full", "is not empty"),
            ("hidden", "is not empty"),
            ("nested", "is not empty"),
            ("file", "no folder"),
            ("link", "no folder"),
            ("dangling", "no folder"),
            ("file/below", "is not there"),
            ("nothing/below", "is not there"),
        ] {
            let refused = init(&path(folder), &[]).await;
            assert!(!refused.status.success(), "{folder}");
            assert_eq!(refused.stdout, b"");
            let said = String::from_utf8(refused.stderr).unwrap();
            assert!(said.contains(why), "{folder}: {said}");
        }
        for wrong in [["--name", "My Chat"], ["--port", "65535"], ["--port", "0"]] {
            assert!(!init(&path("new"), &wrong).await.status.success());
        }
        // The kernel has no room for a name that long.
        let long = path(&"x".repeat(300));
        assert!(!init(&long, &[]).await.status.success());
        assert_eq!(inventory(root.path()), before);
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "mine");
    });
}

#[test]
fn every_setting_is_one_that_there_is() {
    run(async {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("chat");
        assert!(init(&folder, &[]).await.status.success());
        let help = printed(colloquy(&["serve", "--help"], &BTreeMap::new())).await;
        let known = |name: &str| {
            help.contains(&format!("[env: {name}=")) || help.contains(&format!("[env: {name}]"))
        };
        let settings = environment(&folder);
        assert!(settings.len() > 4);
        for name in settings.keys() {
            assert!(known(name), "{name}");
        }
        // Those that are only suggested, in the settings and in the README.
        for file in ["colloquy.env", "README.md"] {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
            for name in words.filter(|word| word.starts_with("COLLOQUY_")) {
                assert!(known(name) || name == "COLLOQUY_SOURCE", "{file}: {name}");
            }
        }
        assert!(!known("COLLOQUY_SOURCE"));
    });
}

/// A server of the instance, and its address.
async fn serve(environment: &BTreeMap<String, String>) -> (Child, SocketAddr) {
    // Inside of its container each has a port of its own.
    let arguments = ["serve", "--listen", "127.0.0.1:0"];
    let mut command = colloquy(&arguments, environment);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let said: Value = serde_json::from_str(&line).expect("the log is JSON");
            assert_ne!(said["level"], "WARN", "{line}");
            if said["message"] == "serving" {
                return said["address"].as_str().unwrap().parse().unwrap();
            }
        }
        panic!("the server ended");
    };
    let address = timeout(PATIENCE, ready).await.unwrap();
    tokio::task::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

#[test]
fn what_it_writes_runs_two_servers_that_hear_each_other() {
    run(async {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("chat");
        assert!(init(&folder, &[]).await.status.success());
        let mut environment = environment(&folder);
        // Only the address of the database is that of the tests.
        let url = &environment["DATABASE_URL"];
        assert!(url.starts_with("postgres://colloquy:"), "{url}");
        assert!(
            url.ends_with("@postgres:5432/colloquy?sslmode=disable"),
            "{url}"
        );
        let database = postgres::empty_database().await;
        environment.insert("DATABASE_URL".to_owned(), postgres::url(&database));
        let refused = output(colloquy(
            &["serve", "--listen", "127.0.0.1:0"],
            &environment,
        ))
        .await;
        assert!(!refused.status.success(), "the tables are not there yet");
        let migrated = printed(colloquy(&["migrate"], &environment)).await;
        assert!(migrated.contains("create_chats"), "{migrated}");
        let (one, other) = (serve(&environment).await, serve(&environment).await);
        let mut agents = Vec::new();
        for (user, server) in [("alice", &one), ("bob", &other)] {
            let token = printed(colloquy(&["token", "--user", user], &environment)).await;
            let url = format!("http://{}/graphql", server.1);
            let token = agent::Token::Variable(token.trim());
            agents.push(agent::Process::start(agent::command(&url, &token)).await);
        }
        let [alice, bob] = agents.as_mut_slice() else {
            panic!("there are two");
        };
        bob.does("who_am_i", json!({})).await;
        let opened = alice
            .does("open_direct_chat", json!({ "userId": "bob" }))
            .await;
        let chat = opened["chat"]["id"].clone();
        let read = bob.does("read_messages", json!({ "chatId": chat })).await;
        let waiting = json!({ "chatId": chat, "after": read["eventCursor"], "timeoutSeconds": 20 });
        let (heard, _) = tokio::join!(
            bob.does("wait_for_messages", waiting),
            alice.does("send_message", json!({ "chatId": chat, "body": "hello" })),
        );
        assert_eq!(heard["events"][0]["message"]["body"], "hello");
        drop((one, other));
    });
}
