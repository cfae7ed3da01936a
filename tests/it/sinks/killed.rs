//! Servers are killed while they deliver: everything still arrives, under one id each, and in order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::binary::Binary;
use crate::support::receiver::{Receiver, Reply, write_sinks};
use crate::support::{Server, postgres, run};

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
                after: Duration::from_millis(fastrand::u64(5..60)),
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
