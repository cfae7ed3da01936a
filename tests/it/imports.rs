//! Moving in from a SourceLoop chat service: its rows become chats that people read and go on with.

mod beside;
mod mapped;

use std::process::Stdio;

use colloquy::app::{Import, ImportError, ImportPlan};
use colloquy::model::{ChatId, ImportReport, MessageId, People, Reason, imported_id};
use colloquy::store::Database;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::postgres::{self, sql};
use crate::support::rows::lines;
use crate::support::{Server, User, run};

const ANN: &str = "a0000000-0000-4000-8000-000000000001";
const BEN: &str = "b0000000-0000-4000-8000-000000000002";
const CAL: &str = "c0000000-0000-4000-8000-000000000003";
const TASK: &str = "10000000-0000-4000-8000-000000000001";
const OTHER: &str = "20000000-0000-4000-8000-000000000002";

/// The columns that the service's own tables have, as an import reads them.
const TABLES: &str = "CREATE SCHEMA main; \
    CREATE TABLE main.messages (id uuid PRIMARY KEY, body text NOT NULL, channel_id uuid, channel_type varchar(200) \
    NOT NULL DEFAULT 'task', created_by uuid, created_on timestamptz NOT NULL, deleted bool NOT NULL DEFAULT false, \
    deleted_by uuid, deleted_on timestamptz NOT NULL DEFAULT now(), modified_by uuid, modified_on timestamptz NOT NULL, \
    status integer NOT NULL DEFAULT 0, subject varchar(200), to_user_id uuid, parent_message_id uuid); \
    CREATE TABLE main.message_recipients (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), channel_id uuid NOT NULL, \
    created_by uuid, created_on timestamptz NOT NULL DEFAULT now(), deleted bool NOT NULL DEFAULT false, deleted_by uuid, \
    deleted_on timestamptz, forwarded_by uuid, is_favorite bool NOT NULL DEFAULT false, is_forwarded bool NOT NULL \
    DEFAULT false, is_read bool NOT NULL DEFAULT false, message_id uuid NOT NULL REFERENCES main.messages, \
    modified_by uuid, modified_on timestamptz NOT NULL DEFAULT now(), recipient_id uuid NOT NULL);";

/// The table that no migration of the service makes.
const FILES: &str = "CREATE TABLE main.message_files (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), channel_id uuid, \
    file_key text, message_id uuid, meta_data jsonb, deleted bool NOT NULL DEFAULT false);";

/// A source of a test.
struct Source(Database);

impl Source {
    async fn new() -> Self {
        let source = Self(postgres::empty_database().await);
        source.sql(TABLES).await;
        source
    }

    async fn sql(&self, statement: &str) {
        sql(&mut self.0.connect().await.unwrap(), statement).await;
    }

    /// A message of a channel by somebody, in the second `at` of a day.
    async fn says(&self, number: u32, channel: &str, author: &str, at: u32, body: &str) {
        let (id, time) = (message(number), time(at));
        self.sql(&format!(
            "INSERT INTO main.messages (id, body, channel_id, created_by, created_on, modified_on) \
             VALUES ('{id}', '{body}', '{channel}', '{author}', '{time}', '{time}')"
        ))
        .await;
    }

    async fn set(&self, number: u32, what: &str) {
        let id = message(number);
        self.sql(&format!(
            "UPDATE main.messages SET {what} WHERE id = '{id}'"
        ))
        .await;
    }

    async fn received(&self, number: u32, person: &str, columns: &str, values: &str) {
        let id = message(number);
        self.sql(&format!(
            "INSERT INTO main.message_recipients (channel_id, message_id, recipient_id, {columns}) \
             VALUES ('{TASK}', '{id}', '{person}', {values})"
        ))
        .await;
    }

    async fn tries(&self, server: &Server, plan: &ImportPlan) -> Result<ImportReport, ImportError> {
        let mut source = self.0.connect().await.unwrap();
        let mut target = server.sql().await;
        Import::run((&mut source, &mut target), plan, |_| {}).await
    }

    async fn moves(&self, server: &Server, plan: &ImportPlan) -> ImportReport {
        self.tries(server, plan).await.unwrap()
    }
}

fn message(number: u32) -> String {
    format!("d0000000-0000-4000-8000-{number:012}")
}

fn time(at: u32) -> String {
    format!("2024-05-06T10:{:02}:{:02}.123456Z", at / 60, at % 60)
}

fn plan() -> ImportPlan {
    ImportPlan {
        people: People::of_one_tenant(),
        direct: false,
        dry_run: false,
        batch: 3,
    }
}

fn chat_of(channel: &str) -> String {
    ChatId(imported_id("chat", channel)).to_string()
}

fn message_of(number: u32) -> String {
    MessageId(imported_id("message", &message(number))).to_string()
}

async fn history(user: &User, chat: &str) -> Vec<String> {
    let fields = "messages(first: 50) { nodes { body } }";
    let chat = user.chat(chat, fields).await;
    let nodes = chat["messages"]["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| node["body"].as_str().unwrap_or("null").to_owned())
        .collect()
}

/// Everything that the import may write.
async fn everything(server: &Server) -> Vec<String> {
    let mut conn = server.sql().await;
    let mut all = Vec::new();
    for table in [
        "chats",
        "direct_chats",
        "messages",
        "chat_events",
        "participants",
        "stars",
        "users",
    ] {
        let query = format!("SELECT t::text AS line FROM {table} AS t ORDER BY 1");
        all.extend(lines(&mut conn, &query).await);
    }
    all
}

#[test]
fn a_channel_becomes_a_chat_that_people_go_on_with() {
    run(async {
        let source = Source::new().await;
        for (number, author, body) in [
            (1, ANN, "one"),
            (2, BEN, "two"),
            (3, ANN, "three"),
            (4, BEN, "four"),
        ] {
            source.says(number, TASK, author, number, body).await;
        }
        source.set(3, "parent_message_id = 'd0000000-0000-4000-8000-000000000002', subject = ' About\n it ', status = 4").await;
        source
            .set(
                4,
                &format!(
                    "deleted = true, deleted_by = '{BEN}', deleted_on = '{}'",
                    time(9)
                ),
            )
            .await;
        source
            .received(1, BEN, "is_read, is_favorite", "true, true")
            .await;
        source.received(1, CAL, "is_read", "true").await;
        source.received(2, CAL, "is_read", "false").await;
        source
            .received(3, CAL, "is_favorite, is_read", "true, false")
            .await;
        let server = Server::start().await;
        let report = source.moves(&server, &plan()).await;
        assert!(report.is_whole(), "{}", report.json());
        assert_eq!(
            (
                report.chats_made,
                report.participants,
                report.messages_written
            ),
            (1, 3, 4)
        );

        let chat = chat_of(TASK);
        let [ann, ben, cal] = [ANN, BEN, CAL].map(|id| server.user(id));
        assert_eq!(history(&ann, &chat).await, ["one", "two", "three", "null"]);
        let kinds = ["ParticipantAdded"; 3]
            .into_iter()
            .chain(["MessageSent"; 4]);
        assert_eq!(server.log(&chat).await, kinds.collect::<Vec<_>>());
        let seen = cal.chat(&chat, "title createdAt externalReference { channelType channelId } viewerParticipant { role } participants { nodes { role user { id } } }").await;
        assert_eq!(seen["title"], format!("Channel {TASK}"));
        assert_eq!(seen["createdAt"], "2024-05-06T10:00:01.123Z");
        assert_eq!(
            seen["externalReference"],
            json!({ "channelType": "sourceloop", "channelId": TASK })
        );
        let roles = seen["participants"]["nodes"].as_array().unwrap();
        let owner = roles.iter().find(|it| it["role"] == "OWNER").unwrap();
        assert_eq!((owner["user"]["id"].as_str(), roles.len()), (Some(ANN), 3));
        let third = cal.message(&message_of(3), "createdAt subject metadata editedAt replyTo { body } sender { id } viewerHasStarred").await;
        assert_eq!(third["createdAt"], "2024-05-06T10:00:03.123Z");
        assert_eq!(
            (&third["subject"], &third["replyTo"]["body"]),
            (&json!("About it"), &json!("two"))
        );
        assert_eq!(third["metadata"], json!({ "sourceloop": { "status": 4 } }));
        assert_eq!(
            (&third["editedAt"], &third["sender"]["id"]),
            (&Value::Null, &json!(ANN))
        );
        assert_eq!(third["viewerHasStarred"], true);
        let fourth = ann.message(&message_of(4), "body deletedAt").await;
        assert_eq!(
            fourth,
            json!({ "body": null, "deletedAt": "2024-05-06T10:00:09.123Z" })
        );
        // What Cal has read: the first. The deleted one does not count.
        assert_eq!(
            (
                cal.unread(&chat).await,
                ben.unread(&chat).await,
                ann.unread(&chat).await
            ),
            (2, 0, 0)
        );
        let starred = "{ viewer { starredMessages { nodes { body } } } }";
        let starred = ben.ask(starred, json!({})).await;
        assert_eq!(
            starred["viewer"]["starredMessages"]["nodes"],
            json!([{ "body": "one" }])
        );

        let mut events = cal.follows(&chat, None).await;
        let new = ann.sends(&chat, "five").await;
        assert_eq!(events.next().await["message"]["id"], new);
        assert_eq!(cal.unread(&chat).await, 3);
        assert!(
            cal.refused("editMessage", json!({ "messageId": new, "body": "x" }))
                .await
                .0
                == "FORBIDDEN"
        );
    });
}

#[test]
fn a_second_run_changes_nothing_and_a_later_one_adds_what_came() {
    run(async {
        let source = Source::new().await;
        for number in 1..=7 {
            source
                .says(
                    number,
                    TASK,
                    [ANN, BEN][number as usize % 2],
                    10 * number,
                    "old",
                )
                .await;
            source
                .received(number, CAL, "is_read, is_favorite", "true, true")
                .await;
        }
        let server = Server::start().await;
        let first = source.moves(&server, &plan()).await;
        assert_eq!(first.messages_written, 7);
        let before = everything(&server).await;
        let again = source.moves(&server, &plan()).await;
        assert_eq!(
            (
                again.messages_written,
                again.messages_known,
                again.chats_made
            ),
            (0, 7, 0)
        );
        assert_eq!((again.participants, again.stars, again.marks), (0, 0, 0));
        assert_eq!(everything(&server).await, before);

        // A newer one, an older one, somebody new; meanwhile people write here, and somebody left.
        let chat = chat_of(TASK);
        let [ann, cal] = [ANN, CAL].map(|id| server.user(id));
        ann.sends(&chat, "here").await;
        cal.leaves(&chat).await;
        source.says(8, TASK, ANN, 80, "newer").await;
        let new = "e0000000-0000-4000-8000-000000000004";
        source.says(9, TASK, new, 5, "older").await;
        source
            .received(2, new, "is_read, is_favorite", "true, true")
            .await;
        source.set(1, "deleted = true").await;
        let third = source.moves(&server, &plan()).await;
        assert_eq!(
            (
                third.messages_written,
                third.messages_known,
                third.participants
            ),
            (2, 7, 1)
        );
        assert_eq!(third.times(Reason::OutOfOrder), 2);
        assert_eq!(
            (
                third.times(Reason::Departed),
                third.times(Reason::DeletedSince)
            ),
            (1, 1)
        );
        let texts = history(&ann, &chat).await;
        assert_eq!(texts[7..], ["here", "older", "newer"]);
        server.log(&chat).await;
        let older = ann.message(&message_of(9), "metadata").await;
        assert_eq!(
            older["metadata"]["sourceloop"]["createdOn"],
            "2024-05-06T10:00:05.123456Z"
        );
        let backwards = "SELECT count(*) AS number FROM messages AS a JOIN messages AS b USING (chat_id) \
             WHERE a.seq < b.seq AND a.created_at > b.created_at";
        assert_eq!(server.number(backwards).await, 0);
        assert_eq!(
            cal.codes(
                "query ($id: ID!) { chat(id: $id) { id } }",
                json!({ "id": chat })
            )
            .await
            .len(),
            0
        );
        assert!(!ann.people(&chat).await.iter().any(|it| it.contains(CAL)));
        // Who is new has what they had there, up to what was written here.
        let new = server.user(new);
        assert_eq!((third.stars, new.unread(&chat).await), (1, 2));
        let second = new.message(&message_of(2), "viewerHasStarred").await;
        assert_eq!(second["viewerHasStarred"], true);
    });
}

#[test]
fn a_run_that_was_cut_off_goes_on() {
    run(async {
        let source = Source::new().await;
        for number in 1..=20 {
            let channel = [TASK, OTHER][number as usize % 2];
            source
                .says(number, channel, ANN, number, &number.to_string())
                .await;
            source
                .received(number, BEN, "is_read, is_favorite", "true, true")
                .await;
        }
        let whole = Server::start().await;
        source.moves(&whole, &plan()).await;

        let server = Server::start().await;
        let mut conn = server.sql().await;
        sql(
            &mut conn,
            "ALTER TABLE messages ADD CONSTRAINT cut CHECK (body <> '13')",
        )
        .await;
        let failed = source.tries(&server, &plan()).await;
        assert!(matches!(failed, Err(ImportError::Target(_))), "{failed:?}");
        let some = server
            .number("SELECT count(*) AS number FROM messages")
            .await;
        assert!(0 < some && some < 20, "{some}");
        for channel in [TASK, OTHER] {
            let chat = chat_of(channel).parse::<ChatId>().unwrap().0;
            let made = format!("SELECT count(*) AS number FROM chats WHERE id = '{chat}'");
            if server.number(&made).await == 1 {
                server.log(&chat_of(channel)).await;
            }
        }
        sql(&mut conn, "ALTER TABLE messages DROP CONSTRAINT cut").await;
        let report = source.moves(&server, &plan()).await;
        assert_eq!(report.messages_written + report.messages_known, 20);
        assert_eq!(i64::try_from(report.messages_known).unwrap(), some);
        let (there, here) = (everything(&whole).await, everything(&server).await);
        // Users are made when the import meets them first, which is the same in both.
        assert_eq!(here, there);
    });
}

/// The command as it is run: its exit codes, its report, and that the source's address is nowhere.
#[test]
fn the_command_reports_and_ends_with_what_came_of_it() {
    run(async {
        let source = Source::new().await;
        source.says(1, TASK, ANN, 1, "one").await;
        let server = Server::start().await;
        let run = async |arguments: &[&str], from: String| {
            let output = Command::new(env!("CARGO_BIN_EXE_colloquy"))
                .args(["import", "sourceloop"])
                .args(arguments)
                .env("DATABASE_URL", postgres::url(&server.database))
                .env("SOURCE_DATABASE_URL", from)
                .stdin(Stdio::null())
                .output()
                .await
                .unwrap();
            let out = String::from_utf8(output.stdout).unwrap();
            (
                output.status.code(),
                out,
                String::from_utf8(output.stderr).unwrap(),
            )
        };
        let url = postgres::url(&source.0);
        let (code, out, said) = run(&["--dry-run"], url.clone()).await;
        assert_eq!(code, Some(0), "{said}");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&report["dryRun"], &report["messages"]["written"]),
            (&json!(true), &json!(1))
        );
        source.says(2, TASK, ANN, 2, " ").await;
        let (code, out, _) = run(&[], url.clone()).await;
        assert_eq!(code, Some(3));
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["notMapped"][0]["reason"], "blankBody");
        assert_eq!(report["notMapped"][0]["examples"], json!([message(2)]));
        // Who cannot have the report hears of it before anything is done; who can has it and nothing of an older one.
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        let (code, _, said) = run(&["--report", &place("not/here")], url.clone()).await;
        assert_eq!(code, Some(1));
        assert!(said.contains("cannot be written"), "{said}");
        std::fs::write(place("report"), "x".repeat(10_000)).unwrap();
        let (code, out, _) = run(&["--report", &place("report")], url).await;
        assert_eq!((code, out.as_str()), (Some(3), ""));
        let report = std::fs::read(place("report")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["messages"]["known"], 1);
        // What fails is no report.
        let empty = postgres::url(&postgres::empty_database().await);
        let (code, out, said) = run(&[], empty).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{said}");
        let (code, out, said) = run(&[], "postgres://u:hunter2@127.0.0.1:1/x".to_owned()).await;
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(!said.contains("hunter2"), "{said}");
    });
}

/// The source is read only, whatever the import would do.
#[test]
fn the_source_is_not_written() {
    run(async {
        let source = Source::new().await;
        source.says(1, TASK, ANN, 1, "one").await;
        let mut conn = source.0.connect().await.unwrap();
        colloquy::store::imports::source::begin(&mut conn)
            .await
            .unwrap();
        let refused = crate::support::rows::try_lines(
            &mut conn,
            "DELETE FROM main.messages RETURNING id::text AS line",
        )
        .await;
        assert!(refused.unwrap_err().contains("read-only"));
    });
}
