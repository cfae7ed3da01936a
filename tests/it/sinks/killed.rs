//! Servers are killed while they deliver: everything still arrives, under one id each, and in order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::binary::Binary;
use crate::support::receiver::{Receiver, Reply, write_sinks};
use crate::support::{Server, User, postgres, run, until};

/// How many chats are written to.
const CHATS: usize = 4;

/// How often a server is killed.
const KILLS: usize = 4;

/// How many messages are sent to each chat between two kills.
const BETWEEN: usize = 8;

#[test]
fn what_a_killed_server_was_delivering_arrives_by_another() {
    run(async {
        let receiver = Receiver::start().await;
        // Slow enough that a kill finds deliveries under way, and now and then a first try fails.
        let failed = Mutex::new(HashSet::new());
        receiver.answers(move |one| {
            let fails = one.seq() % 9 == 0 && failed.lock().unwrap().insert(one.id.clone());
            Reply {
                status: if fails { 500 } else { 200 },
                after: Duration::from_millis(fastrand::u64(60..200)),
            }
        });
        let database = postgres::database().await;
        let folder = TempDir::new().unwrap();
        let file = write_sinks(folder.path(), &[receiver.webhook("crm")]);
        let arguments = ["--sinks-file", &file, "--delivery-timeout", "500ms"];
        let mut servers = [
            Binary::serve(&database, &arguments).await,
            Binary::serve(&database, &arguments).await,
        ];
        // It signs the tokens, and delivers nothing.
        let judge = Server::on(database.clone()).await;
        let alice = judge.user("alice");
        let mut chats = Vec::new();
        for n in 0..CHATS {
            let alice = alice.on(servers[n % 2].address);
            chats.push(alice.group(&format!("{n}"), &[]).await);
        }
        for kill in 0..KILLS {
            for n in 0..BETWEEN {
                for (place, chat) in chats.iter().enumerate() {
                    let alice = alice.on(servers[(n + place) % 2].address);
                    alice.sends(chat, &"x".repeat(1 + n)).await;
                }
            }
            // Both have tries under way, since each takes a while.
            let before = receiver.received().len();
            until("some are under way", || {
                receiver.received().len() > before + 1
            })
            .await;
            // Dropped first, which kills it, and then replaced.
            let dead = servers.into_iter();
            let (mut left, gone): (Vec<_>, Vec<_>) =
                dead.enumerate().partition(|(place, _)| *place != kill % 2);
            drop(gone);
            let survivor = left.remove(0).1;
            sleep(Duration::from_millis(200)).await;
            let another = Binary::serve(&database, &arguments).await;
            servers = if kill % 2 == 0 {
                [another, survivor]
            } else {
                [survivor, another]
            };
        }
        let each = 1 + (KILLS * BETWEEN) as i64;
        let begun = Instant::now();
        let seqs = loop {
            let mut seqs: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            for one in receiver.taken() {
                let seqs = seqs.entry(one.chat().to_owned()).or_default();
                if !seqs.contains(&one.seq()) {
                    seqs.push(one.seq());
                }
            }
            if seqs.len() == CHATS && seqs.values().all(|seqs| seqs.len() as i64 == each) {
                break seqs;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "{seqs:?}");
            sleep(Duration::from_millis(50)).await;
        };
        // The first time that each was taken is in the order of the log.
        for (chat, seqs) in &seqs {
            assert!(seqs.iter().copied().eq(1..=each), "{chat}: {seqs:?}");
        }
        let mut ids: HashMap<(String, i64), String> = HashMap::new();
        for one in receiver.received() {
            let place = (one.chat().to_owned(), one.seq());
            let id = ids.entry(place).or_insert_with(|| one.id.clone());
            assert_eq!(*id, one.id);
        }
        // Some was taken twice: so a server died between that and its note of it.
        assert!(receiver.taken().len() > ids.len(), "no kill hit a delivery");
        println!(
            "{} tries for {} events",
            receiver.received().len(),
            ids.len()
        );
        for server in &mut servers {
            server.is_sound();
        }
    });
}

/// Whoever is away is told of the last message at last, whatever servers die: each notification under one id.
#[test]
fn notifications_outlive_the_servers_that_send_them() {
    const PEOPLE: usize = 6;
    run(async {
        let receiver = Receiver::start().await;
        receiver.answers(|_| Reply {
            status: 200,
            after: Duration::from_millis(fastrand::u64(100..300)),
        });
        let database = postgres::database().await;
        let folder = TempDir::new().unwrap();
        let mut webhook = receiver.webhook("push");
        webhook["feeds"] = json!(["notifications"]);
        let file = write_sinks(folder.path(), &[webhook]);
        let arguments = [
            "--sinks-file",
            &file,
            "--delivery-timeout",
            "500ms",
            "--notify-after",
            "100ms",
        ];
        let judge = Server::on(database.clone()).await;
        let mut server = Binary::serve(&database, &arguments).await;
        let people: Vec<User> = (0..PEOPLE).map(|n| judge.user(&format!("p{n}"))).collect();
        let alice = judge.user("alice");
        let others: Vec<&User> = people.iter().collect();
        let chat = alice.group("Team", &others).await;
        for n in 0..KILLS {
            alice.sends(&chat, &format!("{n}")).await;
            // Amid the tries: each takes a while, and four are under way at a time.
            let before = receiver.received().len();
            until("a notification is under way", || {
                receiver.received().len() > before
            })
            .await;
            drop(server);
            server = Binary::serve(&database, &arguments).await;
        }
        let last = format!("{}", KILLS - 1);
        let told = || -> HashSet<String> {
            let taken = receiver.taken().into_iter();
            let of_last = taken.filter(|one| one.body["data"]["lastMessage"]["body"] == last);
            of_last
                .map(|one| one.body["data"]["recipientId"].as_str().unwrap().to_owned())
                .collect()
        };
        for _ in 0..1200 {
            if told().len() == PEOPLE {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(told().len(), PEOPLE);
        let mut ids: HashMap<(String, String), String> = HashMap::new();
        for one in receiver.received() {
            let data = &one.body["data"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let about = (
                text(&data["recipientId"]),
                text(&data["lastMessage"]["body"]),
            );
            let id = ids.entry(about).or_insert_with(|| one.id.clone());
            assert_eq!(*id, one.id);
        }
        server.is_sound();
    });
}
