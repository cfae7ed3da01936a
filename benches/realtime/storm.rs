//! Everybody reconnects at once, each with a past to catch up with.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use crate::audience::{Audience, connect, rest};
use crate::figures::Figures;
use crate::people::{MISSED, chat_id};
use crate::sender::{Pace, send};
use crate::server::Server;
use crate::socket::FOR_ALL;
use crate::statements;
use crate::tally::{Tally, ms};
use crate::world::Database;

/// How long catching up may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// How many connections the yardstick has: as many as the server's pool.
const CONNECTIONS: usize = 16;

/// What the yardstick reads for each subscriber.
const READ: &str = "SELECT seq, id, sender_id, body, created_at FROM messages \
    WHERE chat_id = ('00000000-0000-7000-8000-' || lpad($1::int8::text, 12, '0'))::uuid \
    AND tenant_id = 'default' AND seq > 0 ORDER BY seq LIMIT 128";

/// How a look-up of people begins.
const NAMES: &str = "SELECT \"users\"";

/// What the statements of a storm are for, by how they begin.
const KINDS: [(&str, &str); 5] = [
    ("making users known", "INSERT INTO users"),
    ("presence", "INSERT INTO presences"),
    ("admissions", "SELECT \"chats\""),
    ("reads of logs", "SELECT want.chat_id"),
    ("names of senders", NAMES),
];

/// Reconnects everybody of the chats that have a past, and has them catch up and go on.
pub(crate) async fn play(
    server: &Server,
    database: &Database,
    epoch: Uuid,
    figures: &mut Figures,
) -> Result<()> {
    crate::live::warm_up(crate::live::Stage::of(server), epoch).await?;
    let subscribers = MISSED.count * MISSED.people;
    let statements = Counter::start(server, database).await?;
    let began = Instant::now();
    let sockets = connect(server.address, MISSED.members()).await?;
    let line = format!("storm: ms until {subscribers} new users are connected and acknowledged");
    figures.alone(&line, 0, began.elapsed().as_secs_f64() * 1e3);
    rest(server.pid()).await?;
    statements.end("connecting", figures).await?;

    let mut audience = Audience::new(Tally::new(MISSED.first, MISSED.count, MISSED.past + 1));
    let statements = Counter::start(server, database).await?;
    let began = audience.tally().now();
    audience.follow(sockets, epoch, FOR_ALL)?;
    let past = subscribers * MISSED.past;
    audience.until(past.into(), PATIENCE).await?;
    let caught_up = audience.tally().last_of(MISSED.past)? - began;
    let (names, events) = (statements.count(NAMES)?, MISSED.count * MISSED.past);
    let count = statements.end("catching up", figures).await? - names;
    // Who sent what is read with the log. A few who were read too long ago are looked up where the machine is slow.
    ensure!(
        count <= subscribers / 8 && names <= events / 8,
        "catching up took {count} statements and {names} for names"
    );
    let took = go_on(server, &mut audience, past + subscribers).await?;
    audience.end(|_| MISSED.past + 1).await?;
    let alone = yardstick(server, database).await?;
    let line = format!("storm: statements to resume {subscribers} subscribers; one for each");
    figures.beside(&line, 0, count.into(), subscribers.into());
    let line =
        format!("storm: the same for what {events} missed events show; one for each delivery");
    figures.beside(&line, 0, names.into(), past.into());
    let line = format!(
        "storm: ms until {past} missed events are delivered; reading them with a statement for each"
    );
    figures.beside(&line, 0, ms(caught_up), alone);
    let line = "storm: ms until one new message in each chat has reached everybody";
    figures.alone(line, 0, took);
    Ok(())
}

/// Sends a message to each chat. Says in milliseconds when all have got it.
async fn go_on(server: &Server, audience: &mut Audience, delivered: u32) -> Result<f64> {
    let pace = Pace {
        per_second: 1000,
        to_each: 1,
    };
    let tally = audience.tally();
    let began = tally.now();
    send(server.address, MISSED, pace, &tally).await?;
    audience.until(delivered.into(), PATIENCE).await?;
    Ok(ms(tally.last_of(MISSED.past + 1)? - began))
}

/// How long it takes in milliseconds to read what each subscriber missed with a statement for each.
async fn yardstick(server: &Server, database: &Database) -> Result<f64> {
    let statements = Counter::start(server, database).await?;
    let databases = (0..CONNECTIONS).map(|_| Database::connect(server));
    let databases = try_join_all(databases).await?;
    let began = Instant::now();
    let reads = databases.iter().enumerate().map(async |(mine, database)| {
        let read = database.client.prepare(READ).await?;
        for member in MISSED.members().skip(mine).step_by(CONNECTIONS) {
            let rows = database
                .client
                .query(&read, &[&i64::from(member.chat)])
                .await?;
            ensure!(
                rows.len() > 50,
                "{} rows of chat {}",
                rows.len(),
                chat_id(member.chat)?
            );
        }
        Ok(())
    });
    let reads = stream::iter(reads).buffer_unordered(CONNECTIONS);
    reads.try_collect::<()>().await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    let count = statements.count(READ.get(..20).unwrap_or_default())?;
    ensure!(count == MISSED.count * MISSED.people, "{count} statements");
    statements.stop().await?;
    Ok(took)
}

/// Counts statements in Postgres' log.
struct Counter<'a> {
    server: &'a Server,
    database: &'a Database,
    before: usize,
}

impl<'a> Counter<'a> {
    async fn start(server: &'a Server, database: &'a Database) -> Result<Self> {
        statements::log(database, "all").await?;
        let mut counter = Self {
            server,
            database,
            before: 0,
        };
        counter.before = counter.text()?.len();
        Ok(counter)
    }

    fn text(&self) -> Result<String> {
        let log = self.server.folder.join("postgres.log");
        let text = fs::read_to_string(log)?;
        Ok(text
            .get(self.before..)
            .context("the log shrank")?
            .to_owned())
    }

    /// How many statements begin like this.
    fn count(&self, begin: &str) -> Result<u32> {
        let text = self.text()?;
        let executed = text.lines().filter_map(statements::executed);
        Ok(u32::try_from(
            executed.filter(|sql| sql.starts_with(begin)).count(),
        )?)
    }

    async fn stop(self) -> Result<()> {
        statements::log(self.database, "none").await
    }

    /// Reports how many statements there were of each kind, and says how many all in all.
    async fn end(self, what: &str, figures: &mut Figures) -> Result<u32> {
        let text = self.text()?;
        let all = text.lines().filter_map(statements::executed).count();
        let all = u32::try_from(all)?;
        let mut rest = all;
        for (kind, begin) in KINDS {
            let count = self.count(begin)?;
            rest -= count;
            figures.alone(
                &format!("storm: statements for {what}: {kind}"),
                0,
                count.into(),
            );
        }
        figures.alone(
            &format!("storm: statements for {what}: sweeps and others"),
            0,
            rest.into(),
        );
        self.stop().await?;
        Ok(all)
    }
}
