//! More is asked than the server can do: requests come at so many times its capacity, whether or not the earlier ones
//! are answered. Who is let in shall be served in time, the others shall hear so soon, and afterwards all shall be as
//! before.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::client::Client;
use crate::measure::{Bench, Load, percentile};
use crate::report::{median, real};
use crate::world::{Operation, token};

/// The clients that find out what the capacity is.
const CLIENTS: u32 = 32;

/// How many times the capacity is asked for.
const TIMES: f64 = 3.0;

/// The connections on which it is: more than can be waited for at a time, so that none is missing.
const CONNECTIONS: u32 = 2_000;

/// After this time the burst that the queue takes in is worked off.
const BURST: Duration = Duration::from_secs(2);

/// The code of what is shed.
const SHED: &str = "\"code\":\"SERVICE_UNAVAILABLE\"";

/// What one storm came to: how long each request took from when it was due.
#[derive(Debug, Default)]
struct Storm {
    admitted: Vec<Duration>,
    /// Those of them that came after [`BURST`].
    later: Vec<Duration>,
    shed: Vec<Duration>,
    /// How late a request could be sent, because all connections were taken or the client was busy.
    late: Vec<Duration>,
    elapsed: Duration,
}

/// The operation at its capacity, beyond it, and at its capacity again; the medians of the runs.
pub(crate) async fn overload(bench: &Bench, operation: &Operation) -> Result<Value> {
    let (mut before, mut storms, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        bench.database.run("CHECKPOINT").await?;
        let capacity = bench.load(operation, CLIENTS).await?;
        let rate = capacity.per_second * TIMES;
        storms.push(storm(bench, operation, rate).await?);
        // Without a pause: recovery is part of what is measured.
        after.push(bench.load(operation, CLIENTS).await?);
        before.push(capacity);
    }
    let per_second = |loads: &[Load]| of(loads, |load| load.per_second);
    let p99 = |loads: &[Load]| of(loads, |load| load.p99_ms);
    let rate = |taken: &[Duration], storm: &Storm| real(taken.len()) / storm.elapsed.as_secs_f64();
    let (capacity, again) = (per_second(&before), per_second(&after));
    let admitted = of(&storms, |storm| rate(&storm.admitted, storm));
    Ok(json!({
        "times": TIMES,
        "capacity": capacity,
        "capacity_p50_ms": of(&before, |load| load.p50_ms),
        "capacity_p99_ms": p99(&before),
        "admitted": admitted,
        "admitted_ratio": admitted / capacity,
        "admitted_p50_ms": of(&storms, |storm| percentile(&storm.admitted, 50)),
        "admitted_p99_ms": of(&storms, |storm| percentile(&storm.admitted, 99)),
        "later_p50_ms": of(&storms, |storm| percentile(&storm.later, 50)),
        "later_p99_ms": of(&storms, |storm| percentile(&storm.later, 99)),
        "shed": of(&storms, |storm| rate(&storm.shed, storm)),
        "shed_p50_ms": of(&storms, |storm| percentile(&storm.shed, 50)),
        "shed_p99_ms": of(&storms, |storm| percentile(&storm.shed, 99)),
        "late_p99_ms": of(&storms, |storm| percentile(&storm.late, 99)),
        "after": again,
        "after_ratio": again / capacity,
        "after_p50_ms": of(&after, |load| load.p50_ms),
        "after_p99_ms": p99(&after),
    }))
}

fn of<T>(runs: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    median(&runs.iter().map(figure).collect::<Vec<_>>())
}

/// Requests that come so many times a second, on as many connections as it takes.
async fn storm(bench: &Bench, operation: &Operation, rate: f64) -> Result<Storm> {
    let mut connections = Vec::new();
    for client in 0..CONNECTIONS {
        connections.push((client, Client::connect(bench.server.address).await?));
    }
    let came = Cell::new(0_u32);
    let began = Instant::now();
    let until = Duration::from_secs(bench.seconds.into());
    let clients = connections
        .into_iter()
        .map(async |(client, mut connection)| {
            let token = token(client)?;
            let mut seen = Storm::default();
            loop {
                let number = came.replace(came.get() + 1);
                let due = Duration::from_secs_f64(f64::from(number) / rate);
                if due >= until {
                    return anyhow::Ok(seen);
                }
                let request = (operation.request)(&token, client, number);
                tokio::time::sleep_until((began + due).into()).await;
                seen.late.push(began.elapsed().saturating_sub(due));
                connection.receive(&request).await?;
                let tail = String::from_utf8_lossy(connection.tail());
                let took = began.elapsed().saturating_sub(due);
                if tail.contains(operation.wanted) {
                    seen.admitted.push(took);
                    if due > BURST {
                        seen.later.push(took);
                    }
                } else if tail.contains(SHED) {
                    seen.shed.push(took);
                } else {
                    bail!("neither done nor shed: {tail}");
                }
            }
        });
    let mut all = Storm::default();
    for seen in try_join_all(clients).await? {
        all.admitted.extend(seen.admitted);
        all.later.extend(seen.later);
        all.shed.extend(seen.shed);
        all.late.extend(seen.late);
    }
    all.elapsed = began.elapsed();
    ensure!(!all.admitted.is_empty(), "nobody was let in");
    ensure!(
        !all.shed.is_empty(),
        "nobody was turned away: this was no overload"
    );
    for taken in [
        &mut all.admitted,
        &mut all.later,
        &mut all.shed,
        &mut all.late,
    ] {
        taken.sort_unstable();
    }
    Ok(all)
}
