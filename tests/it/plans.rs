//! Whatever is executed finds its rows by an index, and each index is there for a statement.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::hot_path::{plan, quiet};
use crate::row_security::statements::{does_everything, nodes};
use crate::support::rows::lines;
use crate::support::{postgres, run};

/// The tables that grow with use.
const LARGE: [&str; 17] = [
    "receipts",
    "message_attachments",
    "attachments",
    "attachment_downloads",
    "stars",
    "notification_settings",
    "chat_notification_settings",
    "dead_letters",
    "delivery_lanes",
    "deliveries",
    "messages",
    "chat_events",
    "participants",
    "chats",
    "users",
    "direct_chats",
    "audit_entries",
];

/// So much that reading a table from end to end is never the cheapest.
const FILL: &str = "
    INSERT INTO users (tenant_id, id, created_at)
        SELECT 'default', 'u' || n, now() FROM generate_series(1, 5000) AS n;
    INSERT INTO chats (id, tenant_id, kind, title, created_at, last_seq, last_activity_at)
        SELECT gen_random_uuid(), 'default', 1, 'filler', now(), 50, now() - n * interval '1 s'
        FROM generate_series(1, 20000) AS n;
    INSERT INTO participants (chat_id, user_id, tenant_id, role, joined_at, joined_seq, read_seq)
        SELECT c.id, 'u' || 1 + (n * 7 + c.number) % 5000, 'default', 0, now(), 1, 0
        FROM (SELECT id, row_number() OVER () AS number FROM chats WHERE title = 'filler') AS c,
            generate_series(1, 5) AS n;
    INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at)
        SELECT id, n, gen_random_uuid(), 'default', 'u1', 'filler', now()
        FROM chats, generate_series(1, 5) AS n WHERE title = 'filler';
    INSERT INTO chat_events (chat_id, seq, tenant_id, kind, actor_id, occurred_at, data)
        SELECT id, n, 'default', 8, 'u1', now(), '{}'
        FROM chats, generate_series(51, 54) AS n WHERE title = 'filler';
    INSERT INTO stars (chat_id, user_id, seq, tenant_id, starred_at)
        SELECT m.chat_id, 'u' || 1 + n * 7 % 5000, m.seq, 'default', now() - n * interval '1 s'
        FROM (SELECT chat_id, seq, row_number() OVER () AS n FROM messages WHERE body = 'filler') AS m;
    INSERT INTO receipts (chat_id, user_id, kind, seq, from_seq, tenant_id, marked_at)
        SELECT chat_id, 'u1', seq % 2, seq, 0, 'default', now() FROM messages WHERE body = 'filler';
    INSERT INTO audit_entries (tenant_id, occurred_at, actor_id, act, chat_id, data)
        SELECT 'default', now() - seq * interval '1 s', 'u1', 0, chat_id, '{}' FROM messages WHERE body = 'filler';
    INSERT INTO attachments (id, tenant_id, uploader_id, name, content_type, size, checksum, status, created_at, sent_at)
        SELECT gen_random_uuid(), 'default', 'u' || 1 + n % 5000, 'filler', 'text/plain', 1, sha256(''), 1, now(),
            CASE WHEN n % 2 = 0 THEN now() END
        FROM generate_series(1, 20000) AS n;
    INSERT INTO message_attachments (chat_id, seq, position, attachment_id, tenant_id)
        SELECT m.chat_id, m.seq, 0, a.id, 'default'
        FROM (SELECT chat_id, seq, row_number() OVER () AS n FROM messages WHERE body = 'filler') AS m
        JOIN (SELECT id, row_number() OVER () AS n FROM attachments WHERE name = 'filler') AS a ON a.n = m.n;
    INSERT INTO attachment_downloads (id, tenant_id, attachment_id, user_id, occurred_at)
        SELECT gen_random_uuid(), 'default', a.id, 'u' || 1 + n % 5, now() - n * interval '1 s'
        FROM attachments AS a, generate_series(1, 3) AS n WHERE name = 'filler';
    INSERT INTO notification_settings (tenant_id, user_id, level)
        SELECT 'default', 'u' || n, 1 FROM generate_series(1, 5000) AS n;
    INSERT INTO chat_notification_settings (chat_id, user_id, tenant_id, level)
        SELECT chat_id, user_id, tenant_id, 1 FROM participants WHERE user_id LIKE 'u%' ON CONFLICT DO NOTHING;
    INSERT INTO dead_letters (tenant_id, sink, chat_id, user_id, seq, attempts, failure, created_at)
        SELECT 'default', 'crm', id, '', 1, 1, 0, now() FROM chats;
    INSERT INTO delivery_lanes (tenant_id, sink, chat_id, user_id, due_at)
        SELECT 'default', 'crm', id, '', now() FROM chats;
    INSERT INTO deliveries (lane_id, tenant_id, seq)
        SELECT id, tenant_id, n FROM delivery_lanes, generate_series(1, 3) AS n;
    INSERT INTO direct_chats (tenant_id, low_user_id, high_user_id, chat_id)
        SELECT 'default', 'u' || n, 'u' || n || 'x', id
        FROM (SELECT id, row_number() OVER () AS n FROM chats WHERE title = 'filler') AS c;
    ANALYZE";

/// Those that serve no constraint, and no statement of a user either, with what they are for.
const OTHERWISE: [&str; 7] = [
    // The removal of those that are old.
    "receipts_marked_at_idx",
    "dead_letters_died_at_idx",
    // The engine, which clears away what was never sent.
    "attachments_created_at_idx",
    // The workers' claims, which no user causes.
    "delivery_lanes_due_idx",
    "notices_due_at_idx",
    // The foreign key to the servers, when one of them is gone.
    "presences_server_id_idx",
    // An operator's reports of one tenant.
    "audit_entries_tenant_id_idx",
];

#[test]
fn nothing_reads_a_large_table_from_end_to_end_and_each_index_is_used() {
    run(async {
        let database = postgres::database().await;
        let (server, counts) = quiet(&database, None).await;
        does_everything(&server).await;
        let mut conn = database.connect().await.unwrap();
        postgres::sql(&mut conn, FILL).await;
        postgres::sql(&mut conn, "SET plan_cache_mode = force_generic_plan").await;
        let mut texts = counts.texts();
        texts.sort_by(|one, other| one.sql.cmp(&other.sql));
        texts.dedup_by(|one, other| one.sql == other.sql);
        let (mut bad, mut used, mut together) = (Vec::new(), BTreeSet::new(), 0);
        for text in texts.iter().filter(|text| is_planned(&text.sql)) {
            let plan: Value = serde_json::from_str(&plan(&mut conn, text, "JSON").await).unwrap();
            let mut all = Vec::new();
            nodes(&plan[0]["Plan"], &mut all);
            for node in all {
                used.extend(node["Index Name"].as_str().map(str::to_owned));
                let table = node["Relation Name"].as_str().unwrap_or_default();
                if node["Node Type"] == "Seq Scan" && LARGE.contains(&table) {
                    bad.push(format!("{table} in {}", text.sql));
                }
            }
            together += usize::from(text.sql.starts_with("WITH sent AS"));
        }
        assert!(bad.is_empty(), "{}", bad.join("\n\n"));
        assert!(together >= 1, "nothing was sent together");
        let indexes = "SELECT c.relname::text AS line FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid \
             WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisunique";
        let indexes = lines(&mut conn, indexes).await;
        assert!(indexes.len() >= 4, "{indexes:?}");
        for index in indexes {
            let for_this = used.contains(&index) || OTHERWISE.contains(&index.as_str());
            assert!(for_this, "nothing uses {index}: {used:?}");
        }
    });
}

/// Whether a statement has a plan.
fn is_planned(sql: &str) -> bool {
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
        .iter()
        .any(|verb| sql.trim_start().to_uppercase().starts_with(verb))
}
