//! The binary itself: starting, stopping, being killed, and what it says when it cannot start.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::issuer::{Issuer, Signer, claims};
use crate::support::pgbouncer::PgBouncer;
use crate::support::user::request;
use crate::support::{Server, postgres, run};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, with none of our variables set.
fn colloquy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colloquy"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("COLLOQUY_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> Output {
    timeout(PATIENCE, command.output()).await.unwrap().unwrap()
}

/// A command that does not start, and the one sentence it says.
pub(crate) async fn refused(command: Command) -> String {
    let output = output(command).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{text}");
    let said: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(said.len(), 1, "{text}");
    said[0].to_owned()
}

/// A development server on a data folder.
struct Process {
    child: Child,
    address: SocketAddr,
    data: String,
}

impl Process {
    async fn start(data: &Path, more: &[&str]) -> Self {
        let data = data.to_str().unwrap();
        let arguments = [&["--data-dir", data, "--listen", "127.0.0.1:0"], more].concat();
        let mut child = colloquy(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(address) = line.strip_prefix("Colloquy is ready at http://") {
                    return address.parse().unwrap();
                }
            }
            panic!("the server ended");
        };
        let address = timeout(PATIENCE, ready).await.unwrap();
        // What is printed later must find a reader, or the server would meet a broken pipe.
        tokio::task::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let data = data.to_owned();
        Self {
            child,
            address,
            data,
        }
    }

    async fn ask(&self, user: &str, query: &str) -> Value {
        let arguments = ["token", "--data-dir", &self.data, "--user", user];
        let token = output(colloquy(&arguments)).await.stdout;
        let token = String::from_utf8(token).unwrap();
        let line = format!("Bearer {}", token.trim_end());
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &line),
        ];
        let body = json!({ "query": query }).to_string();
        let answer = request(self.address, "POST", "/graphql", &headers, body.as_bytes()).await;
        answer.json()["data"].clone()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("kill")
            .args(["-s", name, &pid])
            .status();
        assert!(status.unwrap().success());
    }

    async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }
}

const OPEN: &str = r#"mutation { openDirectChat(input: {userId: "bob"}) { chat { id } } }"#;

fn send(chat: &Value) -> String {
    format!(
        "mutation {{ sendMessage(input: {{chatId: {chat}, body: \"kept\"}}) {{ message {{ id }} }} }}"
    )
}

const LAST: &str = "{ chats { nodes { lastMessage { body } } } }";

#[test]
fn a_stopped_server_keeps_its_data() {
    run(async {
        let folder = TempDir::new().unwrap();
        let mut server = Process::start(folder.path(), &[]).await;
        let opened = server.ask("alice", OPEN).await;
        server
            .ask("alice", &send(&opened["openDirectChat"]["chat"]["id"]))
            .await;
        server.signal("TERM");
        assert!(server.ended().await.success());
        let server = Process::start(folder.path(), &[]).await;
        assert_eq!(
            server.ask("bob", LAST).await["chats"]["nodes"][0]["lastMessage"]["body"],
            "kept"
        );
    });
}

#[test]
fn a_killed_server_takes_its_postgres_along_and_recovers() {
    run(async {
        let folder = TempDir::new().unwrap();
        let mut server = Process::start(folder.path(), &[]).await;
        let opened = server.ask("alice", OPEN).await;
        server
            .ask("alice", &send(&opened["openDirectChat"]["chat"]["id"]))
            .await;
        server.signal("KILL");
        server.ended().await;
        let server = Process::start(folder.path(), &[]).await;
        assert_eq!(
            server.ask("bob", LAST).await["chats"]["nodes"][0]["lastMessage"]["body"],
            "kept"
        );
    });
}

#[test]
fn two_servers_on_one_folder_say_so() {
    run(async {
        let folder = TempDir::new().unwrap();
        let _first = Process::start(folder.path(), &[]).await;
        let data = folder.path().to_str().unwrap();
        let second = colloquy(&["--data-dir", data, "--listen", "127.0.0.1:0"]);
        let said = refused(second).await;
        assert!(said.contains("already"), "{said}");
    });
}

#[test]
fn the_demo_fills_chats_in_once() {
    run(async {
        let folder = TempDir::new().unwrap();
        let count = |data: Value| data["chats"]["nodes"].as_array().unwrap().len();
        let mut server = Process::start(folder.path(), &["--demo"]).await;
        assert_eq!(count(server.ask("alice", LAST).await), 2);
        server.signal("INT");
        assert!(server.ended().await.success());
        let server = Process::start(folder.path(), &["--demo"]).await;
        assert_eq!(count(server.ask("alice", LAST).await), 2);
    });
}

#[test]
fn a_missing_postgres_is_explained() {
    run(async {
        let (folder, nothing) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (data, bin) = (
            folder.path().to_str().unwrap(),
            nothing.path().to_str().unwrap(),
        );
        let arguments = [
            "--data-dir",
            data,
            "--postgres-bin",
            bin,
            "--listen",
            "127.0.0.1:0",
        ];
        let said = refused(colloquy(&arguments)).await;
        assert!(
            said.contains("initdb") || said.contains("Postgres"),
            "{said}"
        );
    });
}

#[test]
fn production_needs_a_secret_and_current_tables() {
    run(async {
        let database = postgres::empty_database().await;
        let url = postgres::url(&database);
        let serve = |arguments: &[&str], secret: &str| {
            let mut command = colloquy(&[&["--listen", "127.0.0.1:0"], arguments].concat());
            command
                .env("DATABASE_URL", &url)
                .env("COLLOQUY_JWT_SECRET", secret);
            command
        };
        let said = refused(serve(&[], "")).await;
        assert!(said.contains("COLLOQUY_JWT_SECRET"), "{said}");
        let said = refused(serve(&[], "a secret of thirty-two bytes, or more")).await;
        assert!(said.contains("colloquy migrate"), "{said}");
        let mut migrate = colloquy(&["migrate"]);
        migrate.env("DATABASE_URL", &url);
        let migrated = output(migrate).await;
        let names = String::from_utf8(migrated.stdout).unwrap();
        assert!(
            migrated.status.success() && names.contains("create_chats"),
            "{names}"
        );
        let mut migrate = colloquy(&["migrate"]);
        migrate.env("DATABASE_URL", &url);
        let again = output(migrate).await;
        assert_eq!(
            String::from_utf8(again.stdout).unwrap(),
            "The database is up to date.\n"
        );
        let mut serving = serve(&[], "a secret of thirty-two bytes, or more")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(serving.stderr.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(line.contains("serving"), "{line}");
    });
}

#[test]
fn bad_configuration_is_one_sentence_without_secrets() {
    run(async {
        let with_url = |url: &str| {
            let mut command = colloquy(&["--listen", "127.0.0.1:0", "--jwt-secret", "hunter2"]);
            command.env("DATABASE_URL", url);
            command
        };
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        for (command, word) in [
            (with_url("mysql://u:hunter2@127.0.0.1/x"), "URL"),
            (
                with_url("postgres://u:hunter2@127.0.0.1/x?sslmode=maybe"),
                "sslmode",
            ),
            (
                with_url("postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable"),
                "out of reach",
            ),
            (colloquy(&["--listen", &address]), "cannot listen"),
            (
                colloquy(&["--log", "=,,=", "--listen", "127.0.0.1:0"]),
                "log filter",
            ),
        ] {
            let said = refused(command).await;
            assert!(said.contains(word), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    });
}

#[test]
fn commands_print_what_they_promise() {
    run(async {
        let schema = output(colloquy(&["schema"])).await;
        assert_eq!(
            String::from_utf8(schema.stdout).unwrap(),
            include_str!("../../schema.graphql")
        );
        let folder = TempDir::new().unwrap();
        let data = folder.path().to_str().unwrap();
        let token = [
            "token",
            "--data-dir",
            data,
            "--user",
            "alice",
            "--expires-in",
            "90s",
        ];
        let token = String::from_utf8(output(colloquy(&token)).await.stdout).unwrap();
        assert_eq!(token.trim_end().split('.').count(), 3);
        assert_eq!(token.lines().count(), 1);
        let refusal = refused(colloquy(&["token", "--data-dir", data, "--user", ""])).await;
        assert!(refusal.contains("user id"), "{refusal}");
    });
}

/// The binary on a database.
pub(crate) fn on(url: &str, arguments: &[&str]) -> Command {
    let mut command = colloquy(arguments);
    command.env("DATABASE_URL", url).env(
        "COLLOQUY_JWT_SECRET",
        "a secret of thirty-two bytes, or more",
    );
    command
}

/// What a command that succeeds prints.
async fn printed(command: Command) -> String {
    let output = output(command).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[test]
fn a_bump_begins_a_new_epoch_and_tells_of_both() {
    run(async {
        let database = postgres::database().await;
        let url = postgres::url(&database);
        let before = Server::on(database.clone()).await;
        let alice = before.user("alice");
        let chat = alice.group("Team", &[]).await;
        let cursor = alice.event_cursor(&chat).await;
        let shown = printed(on(&url, &["epoch", "show"])).await;
        assert_eq!(shown, printed(on(&url, &["epoch", "show"])).await);
        let bumped = printed(on(&url, &["epoch", "bump"])).await;
        let lines: Vec<&str> = bumped.lines().collect();
        let [old, new] = [lines[0], lines[1]].map(|line| line.split_once(' ').unwrap());
        assert_eq!((lines.len(), old.0, new.0), (2, "old", "new"));
        assert_eq!(format!("{}\n", old.1), shown);
        assert_eq!(
            format!("{}\n", new.1),
            printed(on(&url, &["epoch", "show"])).await
        );
        assert_ne!(old.1, new.1);
        // A server that starts now lets no cursor of the old epoch go on.
        let after = Server::on(database).await;
        let mut events = alice.at(&after).follows(&chat, Some(&cursor)).await;
        assert_eq!(events.fails().await, "CURSOR_EXPIRED");
    });
}

#[test]
fn bumps_at_once_follow_each_other() {
    run(async {
        let database = postgres::database().await;
        let url = postgres::url(&database);
        let bumps = (0..4).map(|_| printed(on(&url, &["epoch", "bump"])));
        let bumps = futures_util::future::join_all(bumps).await;
        let word = |text: &String, line: usize| text.lines().nth(line).unwrap()[4..].to_owned();
        let olds: HashSet<_> = bumps.iter().map(|text| word(text, 0)).collect();
        let news: HashSet<_> = bumps.iter().map(|text| word(text, 1)).collect();
        assert_eq!((olds.len(), news.len()), (4, 4));
        // Each but the first old one was somebody's new one.
        assert_eq!(olds.intersection(&news).count(), 3);
    });
}

#[test]
fn an_epoch_that_cannot_be_had_is_one_sentence() {
    run(async {
        let database = postgres::empty_database().await;
        let said = refused(on(&postgres::url(&database), &["epoch", "bump"])).await;
        assert!(said.contains("colloquy migrate"), "{said}");
        let said = refused(on(
            "postgres://127.0.0.1:1/x?sslmode=disable",
            &["epoch", "show"],
        ))
        .await;
        assert!(said.contains("out of reach"), "{said}");
    });
}

#[test]
fn an_address_that_cannot_listen_is_one_sentence() {
    run(async {
        let url = postgres::url(&postgres::database().await);
        let pooled = format!("{url}&pool_mode=transaction");
        let serve = ["--listen", "127.0.0.1:0"];
        let said = refused(on(&pooled, &serve)).await;
        assert!(said.contains("LISTEN_DATABASE_URL"), "{said}");
        let mut command = on(&url, &serve);
        command.env("LISTEN_DATABASE_URL", &pooled);
        assert!(refused(command).await.contains("COLLOQUY_REALTIME=sweep"));
        let mut command = on(&url, &serve);
        command.env("LISTEN_DATABASE_URL", "mysql://u:hunter2@127.0.0.1/x");
        let said = refused(command).await;
        assert!(
            said.contains("LISTEN_DATABASE_URL") && !said.contains("hunter2"),
            "{said}"
        );
        let said = refused(on(&format!("{url}&pool_mode=statement"), &serve)).await;
        assert!(said.contains("pool_mode"), "{said}");
    });
}

#[test]
fn every_command_works_behind_a_pooler_of_transactions() {
    run(async {
        let Some(pooler) = PgBouncer::start(4).await else {
            return;
        };
        let url = pooler.url(&postgres::empty_database().await);
        let migrated = printed(on(&url, &["migrate"])).await;
        assert!(migrated.contains("create_chats"), "{migrated}");
        let bumped = printed(on(&url, &["epoch", "bump"])).await;
        assert_eq!(bumped.lines().count(), 2);
        let mut serving = on(&url, &["--listen", "127.0.0.1:0", "--realtime", "sweep"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(serving.stderr.take().unwrap()).lines();
        let address = loop {
            let line = timeout(PATIENCE, lines.next_line()).await.unwrap();
            let line = line.unwrap().expect("the server serves");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "serving" {
                break line["address"].as_str().unwrap().parse().unwrap();
            }
            println!("{line}");
        };
        let ready = request(address, "GET", "/readyz", &[], b"").await;
        assert_eq!(ready.status, 200);
    });
}

#[test]
fn an_issuer_takes_the_place_of_the_development_secret() {
    run(async {
        let signer = Signer::rsa(0).named("r");
        let issuer = Issuer::showing(&[signer.jwk()]).await;
        let folder = TempDir::new().unwrap();
        let mut server = Process::start(folder.path(), &["--jwks-url", &issuer.url()]).await;
        let line = format!("Bearer {}", signer.sign(&claims("alice")));
        let headers = [
            ("content-type", "application/json"),
            ("authorization", line.as_str()),
        ];
        let body = br#"{"query":"{ viewer { id } }"}"#;
        let answer = request(server.address, "POST", "/graphql", &headers, body).await;
        assert_eq!(answer.json()["data"]["viewer"]["id"], "alice");
        assert!(!folder.path().join("jwt-secret").exists());
        server.signal("TERM");
        assert!(server.ended().await.success());
    });
}

#[test]
fn two_sources_of_keys_are_one_too_many() {
    run(async {
        let two = [
            "--jwks-url",
            "https://id.example.com/keys",
            "--jwt-secret",
            "x",
        ];
        let said = refused(colloquy(&two)).await;
        assert!(said.contains("set only one of"), "{said}");
    });
}
