//! Where what is there goes here, and what is said of what cannot be.

use colloquy::app::ImportPlan;
use colloquy::model::{People, Reason};
use serde_json::{Value, json};

use super::{
    ANN, BEN, CAL, FILES, OTHER, Source, TASK, chat_of, everything, history, message, message_of,
    plan,
};
use crate::support::{Server, run};

#[test]
fn what_cannot_be_mapped_is_reported_and_the_rest_is_there() {
    run(async {
        let source = Source::new().await;
        source.sql(FILES).await;
        for number in 1..=12 {
            source
                .says(number, TASK, ANN, number, &format!("text {number}"))
                .await;
        }
        source.says(20, OTHER, ANN, 1, "elsewhere").await;
        let parent = |number: u32| format!("parent_message_id = '{}'", message(number));
        source.set(1, "body = repeat('x', 10001)").await;
        source.set(2, "body = E' \\n'").await;
        source.set(3, "body = '', subject = 'only this'").await;
        source.set(4, &parent(20)).await;
        source.set(5, &parent(6)).await;
        source.set(6, &parent(5)).await;
        source.set(7, &parent(99)).await;
        source.set(8, &parent(1)).await;
        source.set(9, "created_by = NULL").await;
        source.set(10, "body = ''").await;
        source
            .set(
                11,
                "created_on = now() + interval '1 year', modified_on = created_on",
            )
            .await;
        source.set(12, "channel_id = NULL").await;
        source
            .sql(&format!(
                "INSERT INTO main.message_files (message_id, file_key, meta_data) VALUES \
             ('{}', 'uploads/1.png', '{{\"size\": 5}}'), ('{}', 'uploads/2.png', \
             jsonb_build_object('a', repeat('y', 5000)))",
                message(10),
                message(6)
            ))
            .await;
        source.received(3, BEN, "is_read", "false").await;
        source
            .received(
                4,
                BEN,
                "is_read, is_forwarded, forwarded_by",
                &format!("true, true, '{CAL}'"),
            )
            .await;
        source.received(4, BEN, "is_read", "false").await;
        source.received(4, CAL, "deleted", "true").await;
        let server = Server::start().await;
        let dry = ImportPlan {
            dry_run: true,
            ..plan()
        };
        let tried = source.moves(&server, &dry).await;
        assert_eq!(
            server.number("SELECT count(*) AS number FROM users").await,
            0
        );
        assert_eq!(
            server.number("SELECT count(*) AS number FROM chats").await,
            0
        );
        let report = source.moves(&server, &plan()).await;
        assert!(!report.is_whole());
        let times = |reason| report.times(reason);
        for (reason, count) in [
            (Reason::LongBody, 1),
            (Reason::BlankBody, 1),
            (Reason::SubjectIsBody, 1),
            (Reason::ParentElsewhere, 1),
            (Reason::ParentLater, 1),
            (Reason::ParentMissing, 2),
            (Reason::NoAuthor, 1),
            (Reason::TimeAhead, 1),
            (Reason::NoChannel, 1),
            (Reason::File, 2),
            (Reason::MetadataCut, 1),
            (Reason::UnreadBeforeRead, 1),
            (Reason::DuplicateRecipient, 1),
            (Reason::DeletedRecipient, 1),
            (Reason::Forwarded, 1),
        ] {
            assert_eq!(
                times(reason),
                count,
                "{} in {}",
                reason.code(),
                report.json()
            );
            assert_eq!(tried.times(reason), count, "{} tried out", reason.code());
        }
        assert_eq!(tried.messages_written, report.messages_written);
        assert_eq!(
            (
                report.messages_read,
                report.messages_written,
                report.messages_skipped
            ),
            (13, 9, 4)
        );
        let ben = server.user(BEN);
        let chat = chat_of(TASK);
        let texts = [
            "only this",
            "text 4",
            "text 5",
            "text 6",
            "text 7",
            "text 8",
            "",
            "text 11",
        ];
        assert_eq!(history(&ben, &chat).await, texts);
        // Cal's row is deleted, and Cal neither wrote nor received: the forwarder is a note.
        assert_eq!(ben.people(&chat).await.len(), 2);
        let six = ben
            .message(&message_of(6), "replyTo { body } metadata")
            .await;
        assert_eq!(six["replyTo"]["body"], "text 5");
        assert_eq!(
            six["metadata"]["sourceloop"]["files"][0]["fileKey"],
            "uploads/2.png"
        );
        let ten = ben.message(&message_of(10), "body metadata").await;
        assert_eq!(
            ten["metadata"]["sourceloop"]["files"][0]["metaData"],
            json!({ "size": 5 })
        );
        let four = ben.message(&message_of(4), "replyTo { id } metadata").await;
        assert_eq!(
            four["metadata"]["sourceloop"]["parentMessageId"],
            message(20)
        );
        assert_eq!(four["metadata"]["sourceloop"]["forwardedBy"], json!([CAL]));
        // A send is of now, not of next year.
        let ann = server.user(ANN);
        let sent = ann.sends(&chat, "now").await;
        let at = ann.message(&sent, "createdAt").await["createdAt"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(at.as_str() < chrono::Utc::now().to_rfc3339().as_str());
    });
}

#[test]
fn people_have_their_tenants_and_a_chat_has_one() {
    run(async {
        let source = Source::new().await;
        source.says(1, TASK, ANN, 1, "in one").await;
        source.received(1, BEN, "is_read", "true").await;
        source.says(2, OTHER, ANN, 2, "in two").await;
        source.received(2, CAL, "is_read", "true").await;
        source
            .says(
                3,
                "30000000-0000-4000-8000-000000000003",
                "e0000000-0000-4000-8000-000000000004",
                3,
                "in none",
            )
            .await;
        let people = json!({
            "tenants": { ANN: "acme", BEN: "acme", CAL: "globex" },
            "users": { BEN: "auth0|ben" },
            "titles": { TASK: "The task" },
        });
        let plan = ImportPlan {
            people: serde_json::from_value(people).unwrap(),
            ..plan()
        };
        let server = Server::start().await;
        let report = source.moves(&server, &plan).await;
        assert_eq!(
            (
                report.messages_written,
                report.messages_skipped,
                report.chats_skipped
            ),
            (1, 2, 2)
        );
        assert_eq!(
            (
                report.times(Reason::SeveralTenants),
                report.times(Reason::NoTenant)
            ),
            (1, 1)
        );
        let chat = chat_of(TASK);
        let ben = server.user_of("acme", "auth0|ben");
        assert_eq!(history(&ben, &chat).await, ["in one"]);
        assert_eq!(ben.chat(&chat, "title").await["title"], "The task");
        let nobody = server.user_of("globex", ANN);
        let seen = nobody
            .ask(
                "query ($id: ID!) { chat(id: $id) { id } }",
                json!({ "id": chat }),
            )
            .await;
        assert_eq!(seen["chat"], Value::Null);
        // Of another tenant now: nothing of it is touched.
        let before = everything(&server).await;
        let report = source
            .moves(
                &server,
                &ImportPlan {
                    people: People::of_one_tenant(),
                    ..plan
                },
            )
            .await;
        assert_eq!(report.times(Reason::ChatTaken), 1);
        let after = everything(&server).await;
        assert!(before.iter().all(|row| after.contains(row)));
    });
}

#[test]
fn who_wrote_to_one_person_has_a_direct_chat() {
    run(async {
        let source = Source::new().await;
        source.says(1, TASK, ANN, 1, "psst").await;
        source
            .set(1, &format!("channel_id = NULL, to_user_id = '{BEN}'"))
            .await;
        source.says(2, TASK, BEN, 2, "yes?").await;
        source
            .set(2, &format!("channel_id = NULL, to_user_id = '{ANN}'"))
            .await;
        source.says(3, TASK, ANN, 3, "to cal").await;
        source.set(3, &format!("to_user_id = '{CAL}'")).await;
        let server = Server::start().await;
        let [ann, ben, cal] = [ANN, BEN, CAL].map(|id| server.user(id));
        let known = ben.direct(&ann).await;
        let direct = ImportPlan {
            direct: true,
            ..plan()
        };
        let report = source.moves(&server, &direct).await;
        assert!(report.is_whole(), "{}", report.json());
        assert_eq!(report.times(Reason::OutOfOrder), 2);
        assert_eq!(history(&ann, &known).await, ["psst", "yes?"]);
        assert_eq!(cal.direct(&ann).await, chat_of(TASK));
        assert_eq!(history(&cal, &chat_of(TASK)).await, ["to cal"]);
        let before = everything(&server).await;
        let again = source.moves(&server, &direct).await;
        assert_eq!((again.messages_written, again.messages_known), (0, 3));
        assert_eq!(everything(&server).await, before);
    });
}

#[test]
fn who_was_shown_a_message_between_two_is_not_in_their_chat() {
    run(async {
        let source = Source::new().await;
        source.says(1, TASK, ANN, 1, "psst").await;
        source
            .set(1, &format!("channel_id = NULL, to_user_id = '{BEN}'"))
            .await;
        source.received(1, CAL, "is_forwarded", "true").await;
        let server = Server::start().await;
        let [ann, ben, cal] = [ANN, BEN, CAL].map(|id| server.user(id));
        let report = source.moves(&server, &plan()).await;
        assert!(report.is_whole(), "{}", report.json());
        assert_eq!(report.times(Reason::OnlyShown), 1);
        let chat = ann.direct(&ben).await;
        assert_eq!(history(&ben, &chat).await, ["psst"]);
        let query = "query ($id: ID!) { chat(id: $id) { id } }";
        let seen = cal.ask(query, json!({ "id": chat })).await;
        assert_eq!(seen["chat"], json!(null));
        // Nor does it keep a later run from going on.
        source.says(2, TASK, BEN, 2, "yes?").await;
        source
            .set(2, &format!("channel_id = NULL, to_user_id = '{ANN}'"))
            .await;
        source.moves(&server, &plan()).await;
        assert_eq!(history(&ann, &chat).await, ["psst", "yes?"]);
    });
}

#[test]
fn a_channel_is_nobodys_direct_chat_whatever_it_is_called() {
    run(async {
        let source = Source::new().await;
        source
            .sql("ALTER TABLE main.messages ALTER channel_id TYPE text")
            .await;
        source.says(1, "kitchen", ANN, 1, "psst").await;
        source
            .set(1, &format!("channel_id = NULL, to_user_id = '{BEN}'"))
            .await;
        let key = format!("direct:[\"{ANN}\", \"{BEN}\"]");
        for (number, channel) in [
            (2, key.clone()),
            (3, format!("channel:{key}")),
            (4, "kitchen".to_owned()),
        ] {
            source.says(number, &channel, CAL, number, &channel).await;
        }
        let server = Server::start().await;
        let report = source.moves(&server, &plan()).await;
        assert!(report.is_whole(), "{}", report.json());
        assert_eq!((report.chats_made, report.messages_written), (4, 4));
        let [ann, ben, cal] = [ANN, BEN, CAL].map(|id| server.user(id));
        assert_eq!(history(&ann, &ann.direct(&ben).await).await, ["psst"]);
        assert_eq!(
            history(&cal, &chat_of(&format!("channel:{key}"))).await,
            [key]
        );
        assert_eq!(history(&cal, &chat_of("kitchen")).await, ["kitchen"]);
    });
}

#[test]
fn a_dry_run_says_what_a_run_does() {
    run(async {
        let source = Source::new().await;
        let third = "30000000-0000-4000-8000-000000000003";
        for (number, channel, person) in [
            (1, TASK, BEN),
            (2, OTHER, BEN),
            (3, third, CAL),
            (4, TASK, BEN),
        ] {
            source.says(number, channel, ANN, number, "hi").await;
            source
                .set(number, &format!("to_user_id = '{person}'"))
                .await;
        }
        source.set(4, "channel_id = NULL").await;
        let server = Server::start().await;
        let input = json!({ "title": "There", "participantIds": [BEN],
            "externalReference": { "channelType": "sourceloop", "channelId": third } });
        server
            .user(ANN)
            .does("createGroupChat", "chat { id }", input)
            .await;
        let direct = ImportPlan {
            direct: true,
            ..plan()
        };
        let before = everything(&server).await;
        let tried = source
            .moves(
                &server,
                &ImportPlan {
                    dry_run: true,
                    ..direct.clone()
                },
            )
            .await;
        assert_eq!(everything(&server).await, before);
        let report = source.moves(&server, &direct).await;
        for (reason, times) in [
            (Reason::SecondDirect, 1),
            (Reason::ReferenceTaken, 1),
            (Reason::OutOfOrder, 0),
        ] {
            assert_eq!(
                (tried.times(reason), report.times(reason)),
                (times, times),
                "{}",
                reason.code()
            );
        }
        assert_eq!(
            (tried.chats_made, tried.chats_known),
            (report.chats_made, report.chats_known)
        );
        assert_eq!((report.chats_made, report.chats_known), (3, 1));
    });
}
