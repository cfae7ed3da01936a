//! Row level security as a second wall: what a role that works for one tenant sees, and who may be that role.

pub(crate) mod statements;

use std::time::{Duration, Instant};

use colloquy::model::TenantId;
use colloquy::store::{Database, Pool, RoleName, RowSecurityError, migrations, row_security};
use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use serde_json::json;

use crate::support::pgbouncer::PgBouncer;
use crate::support::row_security::tenant_role;
use crate::support::rows::{lines, try_lines};
use crate::support::server::Setup;
use crate::support::socket::bodies;
use crate::support::{Server, at_once, postgres, run};

/// The tables with a tenant that their policy does not guard.
const UNGUARDED: &str = "
    SELECT c.relname::text AS line FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id'
        AND NOT (c.relrowsecurity AND (SELECT array_agg(format('%s %s %s %s %s', cmd, permissive, roles, qual, with_check))
            FROM pg_policies WHERE tablename = c.relname)
            = ARRAY['ALL PERMISSIVE {public} (tenant_id = current_setting(''colloquy.tenant''::text, true)) '])
    ORDER BY line";

/// A database with the policies as they are shipped, whatever the mode of the run.
async fn shipped() -> Database {
    // Makes the role, which all databases share.
    postgres::database().await;
    let database = postgres::empty_database().await;
    let connect = || async { database.connect().await.unwrap() };
    migrations::run(connect().await, connect().await)
        .await
        .unwrap();
    row_security::prepare(&mut connect().await, Some(&tenant_role()))
        .await
        .unwrap();
    database
}

fn confined() -> Setup {
    Setup {
        row_security_role: Some(tenant_role()),
        ..Setup::default()
    }
}

/// A user in each of some tenants, so that there is something to leak.
async fn populate(database: &Database, tenants: usize) {
    let insert = format!(
        "INSERT INTO users (tenant_id, id, created_at) SELECT 't' || n, 'alice', now() FROM generate_series(1, {tenants}) AS n"
    );
    postgres::sql(&mut database.connect().await.unwrap(), &insert).await;
}

fn tenant(n: usize) -> TenantId {
    TenantId::new(format!("t{n}")).unwrap()
}

/// Whose rows a connection sees.
const SEEN: &str = "SELECT DISTINCT tenant_id AS line FROM users ORDER BY 1";

#[test]
fn every_table_with_a_tenant_is_guarded_and_a_new_one_is_noticed() {
    run(async {
        let mut conn = shipped().await.connect().await.unwrap();
        assert_eq!(lines(&mut conn, UNGUARDED).await, [""; 0]);
        let new = "CREATE TABLE notes (tenant_id text NOT NULL); ALTER TABLE users DISABLE ROW LEVEL SECURITY; \
             CREATE POLICY more ON chats USING (true); \
             ALTER POLICY messages_of_tenant ON messages WITH CHECK (true)";
        conn.batch_execute(new).await.unwrap();
        assert_eq!(
            lines(&mut conn, UNGUARDED).await,
            ["chats", "messages", "notes", "users"]
        );
    });
}

async fn tenants_work(server: &Server) {
    let mut streams = Vec::new();
    for name in ["one", "it's \\ other"] {
        let (alice, bob) = (server.user_of(name, "alice"), server.user_of(name, "bob"));
        let chat = alice.direct(&bob).await;
        let mut events = bob.follows(&chat, None).await;
        alice.sends(&chat, name).await;
        assert_eq!(bodies(&events.take(1).await), [name]);
        assert_eq!(bob.unread(&chat).await, 1);
        assert_eq!(bob.lists(json!({})).await, [chat.clone()]);
        let page = bob.chat(&chat, "messages { nodes { body } }").await;
        assert_eq!(page["messages"]["nodes"], json!([{ "body": name }]));
        streams.push((alice, chat, events));
    }
    // The tenants take turns on the pool's connections.
    for round in 0..10 {
        for (alice, chat, events) in &mut streams {
            let body = format!("{round}");
            let message = alice.sends(chat, &body).await;
            assert_eq!(bodies(&events.take(1).await), [body]);
            alice.edits(&message, "edited").await;
            assert_eq!(bodies(&events.take(1).await), ["edited"]);
            assert_eq!(alice.lists(json!({})).await, [chat.clone()]);
        }
    }
}

#[test]
fn a_server_under_the_role_serves_as_any_other() {
    run(async {
        let database = shipped().await;
        let server = Server::with(database.clone(), confined()).await;
        tenants_work(&server).await;
        let pool = &server.app.pool;
        let mut conn = pool.get_for(&TenantId::new("one").unwrap()).await.unwrap();
        let who = "SELECT current_user || ' ' || count(DISTINCT tenant_id) AS line FROM messages";
        assert_eq!(lines(&mut conn, who).await, ["colloquy_tenant 1"]);
    });
}

#[test]
fn a_server_under_the_role_serves_behind_a_pooler_of_transactions() {
    run(async {
        let Some(pooler) = PgBouncer::start(3).await else {
            return;
        };
        let direct = shipped().await;
        let setup = Setup {
            listen: Some(direct.clone()),
            ..confined()
        };
        let server = Server::with(pooler.database(&direct), setup).await;
        tenants_work(&server).await;
        let pool = &server.app.pool;
        let mut conn = pool.get_for(&TenantId::new("one").unwrap()).await.unwrap();
        let who = "SELECT current_user || ' ' || count(DISTINCT tenant_id) AS line FROM messages";
        assert_eq!(lines(&mut conn, who).await, ["colloquy_tenant 1"]);
        // A session of the proxy's keeps nothing of it.
        let mut bare = server.sql().await;
        let who =
            "SELECT current_user || coalesce(current_setting('colloquy.tenant', true), '') AS line";
        assert_eq!(lines(&mut bare, who).await, ["colloquy"]);
    });
}

fn pool(database: &Database, size: usize) -> Pool {
    let mut options = Setup::default().pool;
    options.size = size;
    database
        .pool(options)
        .unwrap()
        .confined_as(Some(tenant_role()))
}

#[test]
fn a_raw_statement_reaches_no_other_tenant() {
    run(async {
        let database = shipped().await;
        populate(&database, 3).await;
        let pool = pool(&database, 1);
        let mut conn = pool.get_for(&tenant(2)).await.unwrap();
        assert_eq!(lines(&mut conn, SEEN).await, ["t2"]);
        let change = "WITH x AS (UPDATE users SET display_name = 'x' WHERE tenant_id <> 't2' RETURNING 1) \
             SELECT count(*)::text AS line FROM x";
        assert_eq!(lines(&mut conn, change).await, ["0"]);
        for (refused, why) in [
            (
                "INSERT INTO users (tenant_id, id, created_at) VALUES ('t1', 'eve', now())",
                "row-level security policy",
            ),
            (
                "UPDATE users SET tenant_id = 't1'",
                "row-level security policy",
            ),
            (
                "INSERT INTO chats (id, tenant_id, kind, title, created_at, last_seq, last_activity_at) \
                 VALUES (gen_random_uuid(), 't1', 1, 'x', now(), 0, now())",
                "row-level security policy",
            ),
            (
                "INSERT INTO participants (chat_id, user_id, tenant_id, role, joined_at, joined_seq, read_seq) \
                 VALUES (gen_random_uuid(), 'alice', 't1', 0, now(), 1, 0)",
                "row-level security policy",
            ),
            (
                "INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at) \
                 VALUES (gen_random_uuid(), 1, gen_random_uuid(), 't1', 'alice', 'x', now())",
                "row-level security policy",
            ),
            (
                "INSERT INTO chat_events (chat_id, seq, tenant_id, kind, occurred_at, data) \
                 VALUES (gen_random_uuid(), 1, 't1', 4, now(), '{}')",
                "row-level security policy",
            ),
            (
                "SELECT revision::text AS line FROM revocations",
                "permission denied",
            ),
            ("TRUNCATE users", "permission denied"),
        ] {
            let said = try_lines(&mut conn, refused).await.unwrap_err();
            assert!(said.contains(why), "{refused}: {said}");
        }
        drop(conn);
        // The same connection, for the engine.
        let mut conn = pool.get().await.unwrap();
        assert_eq!(lines(&mut conn, SEEN).await, ["t1", "t2", "t3"]);
    });
}

/// Borrows connections for one tenant after another, and gives some up in the middle of what they do.
async fn borrows(pool: Pool, until: Instant) -> usize {
    let mut seen = 0;
    while Instant::now() < until {
        let n = fastrand::usize(0..=6);
        let mut conn = match n {
            0 => pool.get().await.unwrap(),
            n => pool.get_for(&tenant(n)).await.unwrap(),
        };
        let expected: Vec<String> = match n {
            0 => (1..=6).map(|n| format!("t{n}")).collect(),
            n => vec![format!("t{n}")],
        };
        let patience = Duration::from_micros(fastrand::u64(0..1500));
        match fastrand::u8(0..5) {
            0 => {
                tokio::time::timeout(patience, lines(&mut conn, SEEN))
                    .await
                    .ok();
                continue;
            }
            1 => {
                let work = conn.transaction(async |conn| {
                    lines(conn, SEEN).await;
                    Err::<(), _>(diesel::result::Error::RollbackTransaction)
                });
                tokio::time::timeout(patience, work).await.ok();
                continue;
            }
            2 => {
                try_lines(&mut conn, "SELECT 1 / 0 AS line")
                    .await
                    .unwrap_err();
            }
            3 => {
                let found = conn
                    .transaction(async |conn| {
                        Ok::<_, diesel::result::Error>(lines(conn, SEEN).await)
                    })
                    .await;
                assert_eq!(found.unwrap(), expected);
            }
            _ => {}
        }
        assert_eq!(lines(&mut conn, SEEN).await, expected);
        seen += 1;
    }
    seen
}

async fn nothing_leaks(database: &Database) {
    let pool = pool(database, 3);
    let until = Instant::now() + Duration::from_secs(3);
    let seen = at_once((0..8).map(|_| borrows(pool.clone(), until))).await;
    let seen: usize = seen.into_iter().sum();
    assert!(seen > 100, "only {seen} were looked at");
}

#[test]
fn no_connection_shows_one_tenant_to_the_next() {
    run(async {
        let database = shipped().await;
        populate(&database, 6).await;
        nothing_leaks(&database).await;
    });
}

#[test]
fn no_session_of_a_pooler_shows_one_tenant_to_the_next() {
    run(async {
        let Some(pooler) = PgBouncer::start(2).await else {
            return;
        };
        let database = shipped().await;
        populate(&database, 6).await;
        nothing_leaks(&pooler.database(&database)).await;
    });
}

/// What keeps a server from starting, for a login that is no superuser.
#[test]
fn a_role_that_is_no_wall_is_refused() {
    run(async {
        let database = shipped().await;
        let mut root = database.connect().await.unwrap();
        root.batch_execute(
            "CREATE ROLE rs_owner LOGIN; CREATE ROLE rs_reader LOGIN; CREATE ROLE rs_good NOLOGIN; CREATE ROLE rs_member NOLOGIN; \
             CREATE ROLE rs_bypass NOLOGIN BYPASSRLS; GRANT rs_owner TO rs_member; GRANT rs_bypass TO rs_owner; \
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO rs_reader; \
             DO $$ DECLARE t record; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP \
             EXECUTE format('ALTER TABLE %I OWNER TO rs_owner', t.tablename); END LOOP; END $$",
        )
        .await
        .unwrap();
        let url = postgres::url(&database);
        let login = |name: &str| {
            let url = url.replace("//colloquy@", &format!("//{name}@"));
            async move { Database::new(&url).unwrap().connect().await.unwrap() }
        };
        let mut owner = login("rs_owner").await;
        let role = |name: &str| name.parse::<RoleName>().unwrap();
        let mut prepared =
            async |name: &str| row_security::prepare(&mut owner, Some(&role(name))).await;
        assert!(matches!(
            prepared("rs_none").await,
            Err(RowSecurityError::Missing(_))
        ));
        assert!(matches!(
            prepared("rs_bypass").await,
            Err(RowSecurityError::Exempt(_))
        ));
        assert!(matches!(
            prepared("colloquy").await,
            Err(RowSecurityError::Exempt(_))
        ));
        assert!(matches!(
            prepared("rs_owner").await,
            Err(RowSecurityError::Owner(_))
        ));
        assert!(matches!(
            prepared("rs_member").await,
            Err(RowSecurityError::Owner(_))
        ));
        assert!(matches!(
            prepared("rs_good").await,
            Err(RowSecurityError::Foreign(..))
        ));
        root.batch_execute("GRANT rs_good TO rs_owner")
            .await
            .unwrap();
        prepared("rs_good").await.unwrap();
        prepared("rs_good").await.unwrap();
        root.batch_execute("ALTER TABLE users DISABLE ROW LEVEL SECURITY")
            .await
            .unwrap();
        let open = prepared("rs_good").await.unwrap_err();
        assert!(
            matches!(&open, RowSecurityError::Open(table) if table == "users"),
            "{open}"
        );
        // Without a role too: who is not the owner would see nothing.
        row_security::prepare(&mut login("rs_owner").await, None)
            .await
            .unwrap();
        let blind = row_security::prepare(&mut login("rs_reader").await, None).await;
        assert!(
            matches!(blind, Err(RowSecurityError::Subject(_))),
            "{blind:?}"
        );
    });
}
