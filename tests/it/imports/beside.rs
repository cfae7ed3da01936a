//! An import beside a service that is used already.

use colloquy::app::Import;
use colloquy::model::Reason;
use serde_json::json;

use super::{ANN, BEN, CAL, OTHER, Source, TASK, chat_of, everything, history, plan};
use crate::support::postgres::sql;
use crate::support::{Server, run};

/// Whoever is to hear of what happens here hears nothing of what happened elsewhere, years ago.
#[test]
fn nobody_is_notified_of_what_is_imported() {
    run(async {
        let source = Source::new().await;
        source.says(1, TASK, ANN, 1, "old").await;
        source.received(1, BEN, "is_read", "false").await;
        let server = Server::start().await;
        let mut conn = server.sql().await;
        let sink = "INSERT INTO sinks (tenant_id, name, kind, events, notifications) VALUES ('default', 'all', 0, true, true)";
        sql(&mut conn, sink).await;
        source.moves(&server, &plan()).await;
        source.says(2, TASK, CAL, 2, "old too").await;
        let report = source.moves(&server, &plan()).await;
        assert_eq!((report.messages_written, report.participants), (1, 1));
        let waiting = "SELECT count(*) AS number FROM outbox";
        assert_eq!(server.number(waiting).await, 0);
        server.user(ANN).sends(&chat_of(TASK), "new").await;
        assert_eq!(server.number(waiting).await, 1);
    });
}

/// What people wrote to each other here is unread until they read it here.
#[test]
fn a_later_run_reads_nothing_for_anybody_that_was_sent_here() {
    run(async {
        let source = Source::new().await;
        source.says(1, TASK, ANN, 1, "old").await;
        source.received(1, BEN, "is_read", "true").await;
        source.received(1, CAL, "is_read", "true").await;
        let server = Server::start().await;
        let report = source.moves(&server, &plan()).await;
        assert_eq!(report.marks, 3);
        let [ann, ben, cal] = [ANN, BEN, CAL].map(|id| server.user(id));
        let chat = chat_of(TASK);
        // What is deleted is unread for nobody.
        let gone = ann.sends(&chat, "gone").await;
        ann.deletes(&gone).await;
        source.says(10, TASK, ANN, 1, "old, still").await;
        source.received(10, BEN, "is_read", "true").await;
        source.moves(&server, &plan()).await;
        assert_eq!(ben.unread(&chat).await, 0);
        let here = ann.sends(&chat, "here").await;
        cal.does(
            "markChatRead",
            "chat { id }",
            json!({ "chatId": chat, "messageId": here }),
        )
        .await;
        source.says(2, TASK, ANN, 2, "old, too").await;
        source.received(2, BEN, "is_read", "true").await;
        source.received(2, CAL, "is_read", "true").await;
        source.moves(&server, &plan()).await;
        let texts = ["old", "null", "old, still", "here", "old, too"];
        assert_eq!(history(&ben, &chat).await, texts);
        assert_eq!((ben.unread(&chat).await, cal.unread(&chat).await), (2, 0));
        let before = everything(&server).await;
        source.moves(&server, &plan()).await;
        assert_eq!(everything(&server).await, before);
    });
}

/// Runs something on the side, to its end, while an import waits.
fn meanwhile(work: impl Future<Output = ()> + Send + 'static) {
    let beside = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(work);
    });
    beside.join().unwrap();
}

#[test]
fn a_chat_that_is_deleted_meanwhile_gets_no_more() {
    run(async {
        let source = Source::new().await;
        for number in 1..=7 {
            source.says(number, TASK, ANN, number, "old").await;
            source.received(number, BEN, "is_favorite", "true").await;
        }
        source.says(8, OTHER, ANN, 8, "elsewhere").await;
        let server = Server::start().await;
        let (mut from, mut to) = (source.0.connect().await.unwrap(), server.sql().await);
        let database = server.database.clone();
        let mut is_first = true;
        let plan = plan();
        let report = Import::run((&mut from, &mut to), &plan, |_| {
            if std::mem::take(&mut is_first) {
                let database = database.clone();
                meanwhile(async move {
                    let mut conn = database.connect().await.unwrap();
                    sql(
                        &mut conn,
                        "UPDATE chats SET deleted_at = now(), deleted_by = created_by",
                    )
                    .await;
                    let left = format!("DELETE FROM participants WHERE user_id = '{BEN}'");
                    sql(&mut conn, &left).await;
                });
            }
        });
        let report = report.await.unwrap();
        assert_eq!(report.times(Reason::ChatDeleted), 1);
        assert_eq!((report.messages_written, report.messages_skipped), (4, 4));
        let chat = server.user(ANN).chat(&chat_of(OTHER), "title").await;
        assert_eq!(chat["title"], format!("Channel {OTHER}"));
    });
}

#[test]
fn who_left_meanwhile_gets_no_more_stars() {
    run(async {
        let source = Source::new().await;
        for number in 1..=7 {
            source.says(number, TASK, ANN, number, "old").await;
            source.received(number, BEN, "is_favorite", "true").await;
        }
        let server = Server::start().await;
        let (mut from, mut to) = (source.0.connect().await.unwrap(), server.sql().await);
        let (ben, chat) = (server.user(BEN), chat_of(TASK));
        let mut is_first = true;
        let plan = plan();
        let report = Import::run((&mut from, &mut to), &plan, |_| {
            if std::mem::take(&mut is_first) {
                let (ben, chat) = (ben.clone(), chat.clone());
                meanwhile(async move {
                    ben.does("leaveChat", "chat { id }", json!({ "chatId": chat }))
                        .await;
                });
            }
        });
        assert_eq!(report.await.unwrap().messages_written, 7);
        let stars = "SELECT count(*) AS number FROM stars";
        assert_eq!(server.number(stars).await, 3);
    });
}

/// The two open their chat in the moment in which it is imported: it is one.
#[test]
fn a_direct_chat_that_is_opened_meanwhile_is_the_one() {
    run(async {
        let source = Source::new().await;
        source.says(1, TASK, ANN, 1, "psst").await;
        source
            .set(1, &format!("channel_id = NULL, to_user_id = '{BEN}'"))
            .await;
        let server = Server::start().await;
        let [ann, ben] = [ANN, BEN].map(|id| server.user(id));
        let known = ann.direct(&ben).await;
        let mut conn = server.sql().await;
        let claim = "INSERT INTO direct_chats SELECT * FROM kept";
        for statement in [
            "CREATE TABLE kept AS TABLE direct_chats",
            "DELETE FROM direct_chats",
            "BEGIN",
            claim,
        ] {
            sql(&mut conn, statement).await;
        }
        let plan = plan();
        let mut moving = Box::pin(source.moves(&server, &plan));
        // It waits for who opens it.
        let soon = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, &mut moving).await.is_err());
        sql(&mut conn, "COMMIT").await;
        let report = moving.await;
        assert_eq!(
            (
                report.chats_made,
                report.chats_known,
                report.messages_written
            ),
            (0, 1, 1)
        );
        assert_eq!(ann.direct(&ben).await, known);
        assert_eq!(history(&ben, &known).await, ["psst"]);
        assert_eq!(
            server.number("SELECT count(*) AS number FROM chats").await,
            1
        );
    });
}
