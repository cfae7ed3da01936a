//! Whether the table of messages is better cut into partitions by chat: the statements of a send and of pages, by pgbench,
//! on the whole table and on one with the same rows in hash partitions. No server is asked.

use anyhow::Result;
use serde_json::{Value, json};

use crate::measure::Bench;
use crate::statements;
use crate::world::Operation;

/// Into how many.
const PARTITIONS: u32 = 16;

/// At how many clients.
const CLIENTS: u32 = 8;

pub(crate) async fn compare(bench: &Bench) -> Result<Value> {
    let mut scripts = Vec::new();
    for operation in [Operation::send(), Operation::page(), Operation::deep_page()] {
        let statements = statements::of(&bench.server, &bench.database, &operation).await?;
        scripts.push((operation.name, statements.script));
    }
    let texts: Vec<String> = scripts.iter().map(|(_, script)| script.clone()).collect();
    let whole = bench.in_turns(CLIENTS, &texts).await?;
    let parts = partitions();
    bench
        .database
        .run(&format!(
            "CREATE TABLE cut (LIKE messages INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY HASH (chat_id);
             {parts}
             INSERT INTO cut SELECT * FROM messages;
             ALTER TABLE cut ADD PRIMARY KEY (chat_id, seq);
             CREATE UNIQUE INDEX ON cut (id, chat_id);
             CREATE UNIQUE INDEX ON cut (chat_id, sender_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
             ALTER TABLE messages RENAME TO whole;
             ALTER TABLE cut RENAME TO messages;"
        ))
        .await?;
    bench.database.run("VACUUM (ANALYZE) messages").await?;
    bench.database.run("CHECKPOINT").await?;
    let cut = bench.in_turns(CLIENTS, &texts).await?;
    let lines = scripts.iter().zip(whole.iter().zip(&cut));
    let lines = lines.map(|((name, _), (whole, cut))| {
        json!({ "operation": name, "clients": CLIENTS, "whole": whole, "cut": cut })
    });
    bench
        .database
        .run("DROP TABLE messages; ALTER TABLE whole RENAME TO messages")
        .await?;
    Ok(lines.collect())
}

fn partitions() -> String {
    let part = |n| {
        format!(
            "CREATE TABLE cut_{n} PARTITION OF cut FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {n});"
        )
    };
    (0..PARTITIONS).map(part).collect()
}
