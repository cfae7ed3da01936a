//! The faults of `colloquy::sabotage`, each in a short scenario that it must not survive, and that a sound
//! server passes.

use std::path::Path;
use std::time::{Duration, Instant};

use colloquy::embedded::Postgres;
use colloquy::model::EventCursor;
use colloquy::sabotage::Sabotage;
use fastrand::Rng;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::checker::{Invariant, Violation, check};
use crate::client::User;
use crate::database::Database;
use crate::follower::{Follower, Progress, Report, Target, Temperament};
use crate::history::History;
use crate::nemesis::crash;
use crate::process::{Server, Settings};
use crate::trial::replay_to;
use crate::world::{self, Actor};

/// So rarely that whatever arrives was rung for.
const NEVER: Duration = Duration::from_secs(3600);

/// How long to wait for what a sound server does at once.
const SOON: Duration = Duration::from_secs(4);

/// How many scenarios run side by side.
const ABREAST: usize = 4;

/// Which promise a fault breaks.
pub(crate) fn breaks(sabotage: Sabotage) -> Invariant {
    match sabotage {
        Sabotage::RingOffByOne => Invariant::I6,
        Sabotage::NotifyBeforeCommit | Sabotage::ScanBeforeListen | Sabotage::NoSweep => {
            Invariant::I5
        }
        Sabotage::ResumeInclusive | Sabotage::DropOnOverflow => Invariant::I1,
        Sabotage::MembershipOnlyAtSubscribe => Invariant::I7,
        Sabotage::AckBeforeCommit => Invariant::I2,
    }
}

/// What the checker found in a fault's scenario, on servers with the fault and on servers without it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) scenario: Sabotage,
    pub(crate) sabotaged: bool,
    pub(crate) violations: Vec<Violation>,
    pub(crate) took: Duration,
}

/// Runs every scenario with and without its fault.
pub(crate) async fn all(postgres: &mut Postgres, logs: &Path) -> Vec<Found> {
    let folder = postgres.socket_dir().to_owned();
    let (crashing, quiet): (Vec<_>, Vec<_>) = Sabotage::ALL
        .into_iter()
        .flat_map(|scenario| [(scenario, true), (scenario, false)])
        .partition(|(scenario, _)| *scenario == Sabotage::AckBeforeCommit);
    let runs = quiet.into_iter().map(|(scenario, sabotaged)| {
        let (folder, logs) = (folder.clone(), logs.to_owned());
        async move {
            let began = Instant::now();
            let mut stage = Stage::set(&folder, &logs, scenario, sabotaged).await;
            stage.play(scenario).await;
            stage.end(began).await
        }
    });
    let mut found: Vec<Found> = stream::iter(runs).buffer_unordered(ABREAST).collect().await;
    // These crash the Postgres that all share.
    for (scenario, sabotaged) in crashing {
        let began = Instant::now();
        let mut stage = Stage::set(&folder, logs, scenario, sabotaged).await;
        stage.answers_survive_a_crash(postgres).await;
        found.push(stage.end(began).await);
    }
    found
}

/// A follower at work.
struct Running {
    progress: Progress,
    stop: CancellationToken,
    task: JoinHandle<Report>,
}

/// Two servers and a chat of alice, bob and carol.
struct Stage {
    scenario: Sabotage,
    sabotaged: bool,
    database: Database,
    servers: Vec<Server>,
    target: Target,
    history: History,
    sent: usize,
}

impl Stage {
    async fn set(folder: &Path, logs: &Path, scenario: Sabotage, sabotaged: bool) -> Self {
        let health = if sabotaged { "ill" } else { "sound" };
        let name = format!("{}_{health}", scenario.name().replace('-', "_"));
        let database = Database::create(folder, &name).await;
        let settings = Settings {
            ring: 8,
            sweep: match scenario {
                Sabotage::NotifyBeforeCommit | Sabotage::ScanBeforeListen => NEVER,
                _ => Duration::from_millis(500),
            },
            sabotage: sabotaged.then_some(scenario),
        };
        let start = |server: &str| {
            let (database, settings) = (&database, settings.clone());
            let server = format!("{name}_{server}");
            async move { Server::start(server, database, settings, logs).await }
        };
        let servers = join_all([start("here"), start("there")]).await;
        let addresses: Vec<_> = servers.iter().map(Server::address).collect();
        let people = ["alice", "bob", "carol"].map(str::to_owned);
        let target = world::open(&addresses, &people).await;
        Self {
            scenario,
            sabotaged,
            servers,
            target,
            database,
            history: History::default(),
            sent: 0,
        }
    }

    fn play(&mut self, scenario: Sabotage) -> BoxFuture<'_, ()> {
        match scenario {
            Sabotage::RingOffByOne => Box::pin(self.every_cursor_continues()),
            Sabotage::NotifyBeforeCommit => Box::pin(self.hints_tell_of_what_is_there()),
            Sabotage::ScanBeforeListen => Box::pin(self.a_listener_finds_what_it_missed()),
            Sabotage::NoSweep => Box::pin(self.lost_hints_are_made_good()),
            Sabotage::ResumeInclusive => Box::pin(self.nothing_is_told_twice()),
            Sabotage::DropOnOverflow => Box::pin(self.a_burst_is_told_whole()),
            Sabotage::MembershipOnlyAtSubscribe => Box::pin(self.who_is_removed_hears_no_more()),
            Sabotage::AckBeforeCommit => unreachable!("it needs the Postgres"),
        }
    }

    async fn end(self, began: Instant) -> Found {
        let rows = self.database.rows().await.unwrap();
        Found {
            scenario: self.scenario,
            sabotaged: self.sabotaged,
            violations: check(&self.history, &rows),
            took: began.elapsed(),
        }
    }

    fn follower(&self, user: &str, server: usize) -> Follower {
        Follower {
            user: User::new(user),
            target: self.target.clone(),
            servers: vec![self.servers[server].address()],
            temperament: Temperament::Steady,
            guest: false,
            first: server,
            rng: Rng::with_seed(1),
            progress: Progress::default(),
        }
    }

    /// Follows from a cursor, on one of the servers.
    fn follow(&self, user: &str, server: usize, cursor: &str) -> Running {
        let follower = self.follower(user, server);
        let (progress, stop) = (follower.progress.clone(), CancellationToken::new());
        let task = tokio::task::spawn(follower.run(cursor.to_owned(), stop.clone()));
        Running {
            progress,
            stop,
            task,
        }
    }

    /// Follows from the beginning, and returns once the follower stands at the head.
    async fn at_the_head(&self, user: &str, server: usize) -> Running {
        let running = self.follow(user, server, &self.target.start);
        self.comes_to_the_head(&running).await;
        running
    }

    async fn head(&self) -> i64 {
        self.database.heads().await.unwrap()[&self.target.uuid]
    }

    /// Waits until a follower stands at the head, and not for ever: the checker tells.
    async fn comes_to_the_head(&self, running: &Running) {
        let (head, began) = (self.head().await, Instant::now());
        while running.progress.seq() < head && began.elapsed() < SOON {
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn ends(&mut self, running: Running) {
        running.stop.cancel();
        let report = running.task.await.unwrap();
        self.history.faults.extend(report.faults);
        self.history.streams.push(report.stream);
    }

    /// Has alice send on the first server.
    async fn send(&mut self, count: usize) {
        let mut alice = Actor {
            user: User::new("alice"),
            target: self.target.clone(),
            servers: vec![self.servers[0].address()],
            rng: Rng::with_seed(1),
            stop: CancellationToken::new(),
        };
        for _ in 0..count {
            alice.send(self.sent, &mut self.history).await;
            self.sent += 1;
        }
    }

    fn cursor(&self, seq: i64) -> String {
        let start = EventCursor::decode(&self.target.start).unwrap();
        EventCursor { seq, ..start }.encode()
    }

    /// While someone follows, others continue from every place there is, in the ring and out of it.
    async fn every_cursor_continues(&mut self) {
        let bob = self.at_the_head("bob", 0).await;
        self.send(20).await;
        self.comes_to_the_head(&bob).await;
        let head = self.head().await;
        let places = (0..head).map(|seq| (self.follower("carol", 0), self.cursor(seq)));
        let places: Vec<_> = places.collect();
        let replays = places
            .into_iter()
            .map(|(carol, cursor)| replay_to(carol, cursor, head));
        // Few at a time: a person has few devices.
        let reports: Vec<_> = stream::iter(replays).buffer_unordered(6).collect().await;
        for report in reports {
            self.history.replays.push(report.stream);
        }
        self.ends(bob).await;
    }

    /// Followers on both servers get what is sent without a sweep's help.
    async fn hints_tell_of_what_is_there(&mut self) {
        let bob = self.at_the_head("bob", 0).await;
        let carol = self.at_the_head("carol", 1).await;
        self.send(3).await;
        self.comes_to_the_head(&bob).await;
        self.comes_to_the_head(&carol).await;
        self.ends(bob).await;
        self.ends(carol).await;
    }

    /// What is sent while a server cannot listen is there when it can.
    async fn a_listener_finds_what_it_missed(&mut self) {
        let bob = self.at_the_head("bob", 1).await;
        let there = &self.servers[1];
        // Longer than the pool waits for a connection: a comparison that needs a new one comes to nothing, and
        // does not come late and by chance behind the sends.
        there
            .back
            .behave(|conduct| conduct.late = Duration::from_millis(2500));
        let listener = format!("{} listener", there.name);
        assert_eq!(self.database.terminate(&listener).await.unwrap(), 1);
        sleep(Duration::from_millis(500)).await;
        self.send(3).await;
        self.comes_to_the_head(&bob).await;
        self.ends(bob).await;
    }

    /// What is sent while every notification is lost comes with the next sweep.
    async fn lost_hints_are_made_good(&mut self) {
        let bob = self.at_the_head("bob", 1).await;
        self.servers[1].back.behave(|conduct| conduct.eat = true);
        self.send(3).await;
        self.comes_to_the_head(&bob).await;
        self.ends(bob).await;
    }

    /// Who hangs up and resumes gets what comes behind.
    async fn nothing_is_told_twice(&mut self) {
        let first = self.at_the_head("bob", 0).await;
        self.ends(first).await;
        let place = self.cursor(self.head().await);
        let second = self.follow("bob", 1, &place);
        self.send(2).await;
        self.comes_to_the_head(&second).await;
        self.ends(second).await;
        // One stream, on two connections.
        let second = self.history.streams.pop().unwrap();
        self.history.streams[0].sessions.extend(second.sessions);
    }

    /// More is written at once than the ring holds.
    async fn a_burst_is_told_whole(&mut self) {
        let bob = self.at_the_head("bob", 0).await;
        let client = self.database.connect().await.unwrap();
        let burst = format!(
            "WITH chat AS (UPDATE chats SET last_seq = last_seq + 100 WHERE id = '{}' \
             RETURNING id, tenant_id, last_seq - 100 AS base) \
             INSERT INTO messages (chat_id, seq, tenant_id, created_at, sender_id, id, body) \
             SELECT chat.id, chat.base + n, chat.tenant_id, now(), 'alice', gen_random_uuid(), 'burst' \
             FROM chat, generate_series(1, 100) AS n",
            self.target.uuid
        );
        client.batch_execute(&burst).await.unwrap();
        self.send(1).await;
        self.comes_to_the_head(&bob).await;
        self.ends(bob).await;
    }

    /// Someone is removed while events flow.
    async fn who_is_removed_hears_no_more(&mut self) {
        let bob = self.at_the_head("bob", 0).await;
        let carol = self.at_the_head("carol", 1).await;
        self.send(3).await;
        let query = "mutation ($input: RemoveParticipantInput!) { removeParticipant(input: $input) { \
                     userErrors { code } } }";
        let input = json!({ "input": { "chatId": self.target.id, "userId": "bob" } });
        let addresses = [self.servers[0].address()];
        User::new("alice")
            .insists(&addresses, query, &input)
            .await
            .unwrap();
        self.send(3).await;
        self.comes_to_the_head(&carol).await;
        sleep(Duration::from_millis(300)).await;
        self.ends(carol).await;
        bob.stop.cancel();
        let mut report = bob.task.await.unwrap();
        // Being turned away is what bob has to expect.
        report.stream.complete = false;
        self.history.streams.push(report.stream);
    }

    /// Postgres crashes right behind an answer.
    async fn answers_survive_a_crash(&mut self, postgres: &mut Postgres) {
        self.send(20).await;
        crash(postgres, Duration::ZERO).await;
    }
}
