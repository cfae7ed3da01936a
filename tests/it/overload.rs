//! More is asked than the database can do: who is let in is served in time, the others hear so soon, and afterwards
//! all is as before.

use std::time::{Duration, Instant};

use colloquy::store::PoolOptions;
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::server::Setup;
use crate::support::{Server, User, postgres, run};

/// How long the database takes for each write: so long that what a busy machine adds is little beside it. The writes are
/// such as nobody does together with others.
const SERVICE: Duration = Duration::from_millis(200);

/// How many connections there are.
const POOL: u32 = 2;

/// The chats, each with a lock of its own, so that nothing but the pool is waited for.
const CHATS: usize = 24;

/// After which time a queue stands.
const STANDING: Duration = Duration::from_secs(1);

/// How long a request waits that comes to a queue which stands (see the store's queue).
const HURRIED: Duration = Duration::from_millis(100);

struct World {
    server: Server,
    chats: Vec<(User, String)>,
}

/// How one request went.
struct Outcome {
    after_start: Duration,
    took: Duration,
    /// `None` where the chat was renamed.
    refusal: Option<Value>,
}

impl World {
    /// A server whose database is slow.
    async fn new(queue: usize) -> Self {
        let usual = Setup::default();
        let setup = Setup {
            pool: PoolOptions {
                size: POOL as usize,
                queue,
                standing: STANDING,
                ..usual.pool
            },
            ..usual
        };
        let server = Server::with(postgres::database().await, setup).await;
        let mut chats = Vec::new();
        for n in 0..CHATS {
            let user = server.user(&format!("user-{n}"));
            let chat = user.group("overload", &[]).await;
            chats.push((user, chat));
        }
        let slow = format!(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep({}); RETURN NEW; END $$; \
             CREATE TRIGGER slow BEFORE INSERT ON chat_events FOR EACH ROW EXECUTE FUNCTION slow()",
            SERVICE.as_secs_f64()
        );
        server.sql().await.batch_execute(&slow).await.unwrap();
        Self { server, chats }
    }

    /// Writes at even times, whatever has come of those before, as many clients would.
    async fn load(&self, per_second: f64, time: Duration) -> Vec<Outcome> {
        let start = Instant::now();
        let mut sending = JoinSet::new();
        let count = (per_second * time.as_secs_f64()) as usize;
        for n in 0..count {
            let due = Duration::from_secs_f64(n as f64 / per_second);
            sleep(due.saturating_sub(start.elapsed())).await;
            let (user, chat) = self.chats[n % CHATS].clone();
            sending.spawn(async move {
                let after_start = start.elapsed();
                let query = "mutation ($input: RenameChatInput!) { renameChat(input: $input) { chat { id } } }";
                let input = json!({ "chatId": chat, "title": format!("Chat {after_start:?}") });
                let answer = user.post(query, json!({ "input": input })).await.json();
                Outcome {
                    after_start,
                    took: start.elapsed() - after_start,
                    refusal: answer.get("errors").map(|errors| errors[0].clone()),
                }
            });
        }
        sending.join_all().await
    }
}

fn p99<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Duration {
    let mut times: Vec<Duration> = outcomes.map(|outcome| outcome.took).collect();
    times.sort_unstable();
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

/// The most that the database can do in a second.
fn capacity() -> f64 {
    f64::from(POOL) / SERVICE.as_secs_f64()
}

/// A load of thrice the capacity, between loads that fit. Says what came of it, and the p99 of the load before.
async fn overload(world: &World, time: Duration) -> (Vec<Outcome>, Duration) {
    let before = world.load(capacity() * 0.5, Duration::from_secs(2)).await;
    assert!(before.iter().all(|outcome| outcome.refusal.is_none()));
    let unloaded = p99(before.iter());
    let during = world.load(capacity() * 3.0, time).await;
    // At once, not after a pause.
    let after = world.load(capacity() * 0.5, Duration::from_secs(2)).await;
    let refused = after.iter().filter(|outcome| outcome.refusal.is_some());
    assert_eq!(refused.count(), 0, "it does not recover");
    assert!(p99(after.iter()) <= unloaded * 3 + HURRIED);
    assert_eq!(world.server.app.pool.waiting(), 0);
    (during, unloaded)
}

fn assert_refusals(outcomes: &[Outcome]) -> usize {
    let refusals = outcomes
        .iter()
        .filter_map(|outcome| outcome.refusal.as_ref());
    for refusal in refusals.clone() {
        assert_eq!(
            refusal["extensions"]["code"], "SERVICE_UNAVAILABLE",
            "{refusal}"
        );
        assert!(refusal["extensions"]["retryAfter"].as_u64().unwrap() >= 1);
    }
    refusals.count()
}

#[test]
fn a_full_queue_refuses_at_once_and_bounds_the_wait() {
    run(async {
        let queue = 8;
        let world = World::new(queue).await;
        let time = Duration::from_secs(5);
        let (outcomes, unloaded) = overload(&world, time).await;
        let refused = assert_refusals(&outcomes);
        let admitted = || outcomes.iter().filter(|outcome| outcome.refusal.is_none());
        // Two thirds are too many. The database goes on to do what it can.
        assert!(
            refused * 2 >= outcomes.len(),
            "{refused} of {}",
            outcomes.len()
        );
        let done = admitted().count() as f64;
        assert!(done >= capacity() * time.as_secs_f64() * 0.5, "{done}");
        // Who is let in has eight before them, at most, in two lines.
        let wait = unloaded * queue as u32 / POOL;
        let (late, most) = (p99(admitted()), unloaded * 3 + wait);
        println!(
            "unloaded {unloaded:?}, admitted {late:?} of {most:?}, {done} done, {refused} refused"
        );
        assert!(late <= most, "{late:?} of {most:?}");
        assert_eq!(world.server.app.pool.refused(), refused as u64);
    });
}

#[test]
fn a_queue_that_stands_lets_nobody_wait_for_long() {
    run(async {
        // It could hold all of them, and the pool would let each wait for 20 s.
        let world = World::new(10_000).await;
        let (outcomes, unloaded) = overload(&world, Duration::from_secs(7)).await;
        assert_refusals(&outcomes);
        // A second of burst is taken in and worked off by then.
        let later: Vec<&Outcome> = outcomes
            .iter()
            .filter(|outcome| outcome.after_start > Duration::from_millis(4500))
            .collect();
        let admitted = || {
            later
                .iter()
                .copied()
                .filter(|outcome| outcome.refusal.is_none())
        };
        assert!(admitted().count() > 10, "{}", admitted().count());
        let (late, most) = (p99(admitted()), unloaded * 3 + HURRIED);
        println!("unloaded {unloaded:?}, admitted {late:?} of {most:?}");
        assert!(late <= most, "{late:?} of {most:?}");
        let refused = later
            .iter()
            .copied()
            .filter(|outcome| outcome.refusal.is_some());
        let (late, most) = (p99(refused), unloaded * 2 + HURRIED);
        println!("refused {late:?} of {most:?}");
        assert!(late <= most, "{late:?} of {most:?}");
    });
}
