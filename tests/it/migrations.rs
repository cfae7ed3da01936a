//! The migrations, and what they make: reversible, described, named by one convention.

use std::collections::BTreeSet;

use colloquy::store::{Connection, migrations};

use crate::support::rows::lines;
use crate::support::{postgres, run};

/// Everything that the migrations make, one line each.
const CATALOG: &str = "
    SELECT format('%s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)) AS line
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
        AND c.relname <> '__diesel_schema_migrations' AND NOT a.attisdropped
    UNION ALL SELECT format('%s %s %s %s', relname, relkind, reloptions, obj_description(oid))
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^__diesel'
    UNION ALL SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conname !~ '^__diesel'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename !~ '^__diesel'
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
    ORDER BY line";

/// The columns, keys and comments, in the words of `src/schema.rs`.
const TABLES: &str = "
    SELECT format('%s (%s): %s', c.relname, (SELECT string_agg(a.attname, ', ' ORDER BY k.place)
            FROM unnest(p.conkey) WITH ORDINALITY AS k (attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum),
        obj_description(c.oid)) AS line
    FROM pg_class AS c JOIN pg_constraint AS p ON p.conrelid = c.oid AND p.contype = 'p'
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname !~ '^__diesel'
    UNION ALL SELECT format('%s.%s %s %s%s: %s', table_name, column_name, ordinal_position, udt_name,
        CASE is_nullable WHEN 'YES' THEN ' null' ELSE '' END,
        col_description(table_name::regclass, ordinal_position))
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name !~ '^__diesel'";

/// The names of constraints and indexes, each behind its table's.
const NAMES: &str = "
    SELECT format('%s %s', conrelid::regclass, conname) AS line FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
    UNION SELECT format('%s %s', tablename, indexname) FROM pg_indexes WHERE schemaname = 'public'";

/// The unique keys without the distribution key, of the tables that can be distributed by it.
const UNDISTRIBUTABLE: &str = "
    SELECT indexrelid::regclass::text AS line FROM pg_index
    WHERE indisunique AND indrelid IN ('messages'::regclass, 'chat_events'::regclass, 'participants'::regclass)
        AND NOT EXISTS (SELECT FROM pg_attribute
            WHERE attrelid = indrelid AND attnum = ANY (indkey::smallint[]) AND attname = 'chat_id')";

async fn catalog(conn: &mut Connection) -> Vec<String> {
    lines(conn, CATALOG).await
}

#[test]
fn migrations_run_up_and_down_and_up() {
    run(async {
        let template = postgres::database().await;
        let wanted = catalog(&mut template.connect().await.unwrap()).await;
        assert!(wanted.len() > 80, "only {} lines of catalog", wanted.len());
        let empty = postgres::empty_database().await;
        let connect = || async { empty.connect().await.unwrap() };
        let up = migrations::run(connect().await, connect().await)
            .await
            .unwrap();
        assert_eq!(catalog(&mut connect().await).await, wanted);
        let down = migrations::revert_all(connect().await).await.unwrap();
        assert_eq!(down.iter().rev().cloned().collect::<Vec<_>>(), up);
        assert_eq!(catalog(&mut connect().await).await, [""; 0]);
        assert_eq!(
            migrations::run(connect().await, connect().await)
                .await
                .unwrap(),
            up
        );
        assert_eq!(catalog(&mut connect().await).await, wanted);
    });
}

#[test]
fn pending_migrations_are_those_that_have_not_run() {
    run(async {
        let empty = postgres::empty_database().await;
        let connect = || async { empty.connect().await.unwrap() };
        let pending = migrations::pending(connect().await).await.unwrap();
        let ran = migrations::run(connect().await, connect().await)
            .await
            .unwrap();
        assert_eq!(pending.len(), ran.len());
        let left = migrations::pending(connect().await).await.unwrap();
        assert_eq!(left, [""; 0]);
    });
}

#[test]
fn servers_that_start_together_take_turns() {
    run(async {
        let empty = postgres::empty_database().await;
        let connect = || async { empty.connect().await.unwrap() };
        let expected = migrations::pending(connect().await).await.unwrap().len();
        let runs =
            (0..3).map(|_| async { migrations::run(connect().await, connect().await).await });
        let ran = futures_util::future::join_all(runs).await;
        let mut counts: Vec<_> = ran.into_iter().map(|names| names.unwrap().len()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, expected]);
    });
}

/// `src/schema.rs` in the form of [`TABLES`].
fn declared() -> BTreeSet<String> {
    let source = include_str!("../../src/schema.rs");
    let mut all = BTreeSet::new();
    for block in source.split("diesel::table! {").skip(1) {
        let block = block.split("\n}").next().unwrap();
        let (mut doc, mut table, mut place) = ("", "", 0);
        for line in block.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(text) = line.strip_prefix("///") {
                doc = text.trim();
            } else if let Some(head) = line.strip_suffix(" {") {
                all.insert(format!("{head}: {doc}"));
                table = head.split(' ').next().unwrap();
            } else if let Some((name, kind)) = line.split_once(" -> ") {
                place += 1;
                let kind = kind.trim_end_matches(',');
                let bare = kind
                    .strip_prefix("Nullable<")
                    .map(|k| k.trim_end_matches('>'));
                let null = if bare.is_some() { " null" } else { "" };
                let kind = bare.unwrap_or(kind).to_lowercase();
                all.insert(format!("{table}.{name} {place} {kind}{null}: {doc}"));
            }
        }
    }
    all
}

/// What `diesel print-schema` would write, without its command line.
#[test]
fn the_schema_in_rust_is_the_one_in_the_database() {
    run(async {
        let database = postgres::database().await;
        let mut conn = database.connect().await.unwrap();
        let real: BTreeSet<_> = lines(&mut conn, TABLES).await.into_iter().collect();
        let declared = declared();
        assert_eq!(real.difference(&declared).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(declared.difference(&real).collect::<Vec<_>>(), [""; 0]);
        assert!(real.iter().all(|line| !line.ends_with(": ")), "{real:?}");
    });
}

#[test]
fn constraints_and_indexes_are_named_by_convention() {
    run(async {
        let database = postgres::database().await;
        let mut conn = database.connect().await.unwrap();
        let mut count = 0;
        for line in lines(&mut conn, NAMES).await {
            let (table, name) = line.split_once(' ').unwrap();
            if table == "__diesel_schema_migrations" {
                continue;
            }
            count += 1;
            let rest = name.strip_prefix(table).unwrap_or_else(|| panic!("{line}"));
            let kinds = ["_pkey", "_key", "_fkey", "_idx", "_check"];
            assert!(kinds.iter().any(|kind| rest.ends_with(kind)), "{line}");
            assert!(!rest.contains(|c: char| c.is_ascii_digit()), "{line}");
        }
        assert!(count > 20, "only {count} names");
    });
}

#[test]
fn unique_keys_contain_the_chat() {
    run(async {
        let database = postgres::database().await;
        let mut conn = database.connect().await.unwrap();
        assert_eq!(lines(&mut conn, UNDISTRIBUTABLE).await, [""; 0]);
    });
}
