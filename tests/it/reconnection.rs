//! Many subscribers come back at once.

use std::sync::Arc;
use std::time::Duration;

use colloquy::realtime::RealtimeOptions;

use crate::support::log::{seqs, write};
use crate::support::proxy::{Counts, counted};
use crate::support::server::Setup;
use crate::support::{Server, User, postgres, run};

/// How far everybody is behind.
const BEHIND: usize = 50;

/// A chat on one server, and another server, just started, whose statements are counted.
struct Scene {
    writer: Server,
    server: Server,
    counts: Arc<Counts>,
    chat: String,
    people: Vec<User>,
}

impl Scene {
    async fn set(count: usize) -> Self {
        let database = postgres::database().await;
        let (proxied, counts) = counted(&database, postgres::socket_dir()).await;
        let writer = Server::on(database).await;
        let usual = RealtimeOptions::default();
        let hour = Duration::from_secs(3600);
        let setup = Setup {
            realtime: RealtimeOptions {
                sweep: hour,
                probe: hour,
                ..usual
            },
            ..Setup::default()
        };
        let server = Server::with(proxied, setup).await;
        let people: Vec<User> = (0..count)
            .map(|n| writer.user(&format!("user {n:03}")))
            .collect();
        let others: Vec<&User> = people[1..].iter().collect();
        let chat = people[0].group("Crowd", &others).await;
        Self {
            writer,
            server,
            counts,
            chat,
            people,
        }
    }

    /// Everybody resumes at once; returns what it took in statements until all had what they lacked.
    async fn storm(&self) -> usize {
        let after = self.people[0].event_cursor(&self.chat).await;
        write(&self.writer, &self.chat, &self.people[0].id, BEHIND, 10).await;
        self.counts.take();
        let resumes = self.people.iter().map(|user| async {
            let user = user.at(&self.server);
            let mut events = user.follows(&self.chat, Some(&after)).await;
            (events.take(BEHIND).await, events)
        });
        let (told, mut streams): (Vec<_>, Vec<_>) = futures_util::future::join_all(resumes)
            .await
            .into_iter()
            .unzip();
        let statements = self.counts.take().statements;
        let expected = seqs(&told[0]);
        assert_eq!(expected.len(), BEHIND);
        for told in &told {
            assert_eq!(seqs(told), expected);
        }
        // They are live: what is sent now comes to each.
        self.people[0].sends(&self.chat, "now").await;
        for events in &mut streams {
            assert_eq!(events.next().await["message"]["body"], "now");
        }
        statements
    }
}

#[test]
fn a_storm_takes_statements_for_chats_and_not_for_subscribers() {
    run(async {
        let (few, many) = (Scene::set(5).await, Scene::set(100).await);
        let (first, second) = (few.storm().await, many.storm().await);
        println!("{first} statements for 5 subscribers, {second} for 100");
        // Each comes by a connection of their own and is new to this server.
        assert!(second < 50, "{second} statements for 100 subscribers");
        assert!(second < first + 40, "{first} for 5, {second} for 100");
    });
}
