//! Delivery marks: acknowledged in batches, written together.

use super::*;

async fn behind_proxy(signals: SignalOptions) -> (Server, Arc<Counts>) {
    let database = postgres::database().await;
    let (proxied, counts) = counted(&database, postgres::socket_dir()).await;
    (Server::with(proxied, setup(signals)).await, counts)
}

#[test]
fn many_deliveries_are_few_statements_and_no_entries_of_the_log() {
    run(async {
        let slow = SignalOptions {
            gather: millis(400),
            ..quick()
        };
        let (server, counts) = behind_proxy(slow).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut heard = Heard::by(&alice, &chat, DELIVERED).await;
        let mut messages = Vec::new();
        for n in 0..60 {
            messages.push(alice.sends(&chat, &n.to_string()).await);
        }
        let before = server.log(&chat).await;
        counts.runs("");
        let started = Instant::now();
        for message in &messages {
            acknowledges(&bob, &chat, &[message]).await;
        }
        let mut told = Vec::new();
        while told.last() != Some(&json!("59")) {
            let signal = heard.next().await;
            assert_eq!(signal["user"]["id"], "bob");
            told.push(signal["message"]["body"].clone());
        }
        let ticks = usize::try_from(started.elapsed().as_millis() / 400).unwrap() + 1;
        let writes = counts.runs("SET delivered_seq");
        assert!(
            writes >= 1 && writes <= ticks,
            "{writes} writes in {ticks} ticks"
        );
        assert!(told.len() <= writes, "{told:?} of {writes} writes");
        let number = |body: &Value| body.as_str().unwrap().parse::<u32>().unwrap();
        assert!(told.windows(2).all(|two| number(&two[0]) < number(&two[1])));
        assert_eq!(server.log(&chat).await, before);
    });
}

#[test]
fn delivery_marks_never_move_back_and_reading_implies_them() {
    run(async {
        let server = one(quick()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut messages = Vec::new();
        for body in ["one", "two", "three", "four"] {
            messages.push(alice.sends(&chat, body).await);
        }
        assert_eq!(delivered(&alice, &chat, &bob).await, Value::Null);
        assert_eq!(delivered(&alice, &chat, &alice).await, "four");
        // Duplicates collapse to the newest, and the answer shows what will be so.
        let [one, two, three, four] = [0, 1, 2, 3].map(|n| &messages[n]);
        let payload = acknowledges(&bob, &chat, &[two, three, one, three]).await;
        let chats = payload["chats"].as_array().unwrap();
        assert_eq!(chats.len(), 1);
        assert_eq!(
            chats[0]["viewerParticipant"]["lastDeliveredMessage"]["id"],
            **three
        );
        let is = |body: &'static str| {
            let (alice, bob, chat) = (&alice, &bob, &chat);
            move || async move { delivered(alice, chat, bob).await == body }
        };
        until("delivered", is("three")).await;
        acknowledges(&bob, &chat, &[one]).await;
        sleep(millis(300)).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "three");
        bob.reads(&chat, four).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "four");
        alice.sends(&chat, "five").await;
        bob.sends(&chat, "six").await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "six");
    });
}

#[test]
fn a_batch_with_a_wrong_mark_changes_nothing_and_names_each() {
    run(async {
        let server = one(quick()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let other = alice.group("Other", &[]).await;
        let (message, foreign) = (
            alice.sends(&chat, "one").await,
            alice.sends(&other, "x").await,
        );
        let marks = json!([
            { "chatId": chat, "messageId": message },
            { "chatId": other, "messageId": foreign },
            { "chatId": chat, "messageId": foreign },
            { "chatId": chat, "messageId": "nonsense" },
        ]);
        let payload = bob
            .mutate(
                "markChatDelivered",
                "chats { id }",
                json!({ "marks": marks }),
            )
            .await;
        assert_eq!(payload["chats"], Value::Null);
        let errors = payload["userErrors"].as_array().unwrap();
        let places: Vec<_> = errors.iter().map(|e| (&e["code"], &e["field"])).collect();
        let not_found = json!("NOT_FOUND");
        let path = |place: &str, field: &str| json!(["input", "marks", place, field]);
        let expected = [
            path("1", "chatId"),
            path("2", "messageId"),
            path("3", "messageId"),
        ];
        assert_eq!(
            places,
            expected
                .iter()
                .map(|path| (&not_found, path))
                .collect::<Vec<_>>()
        );
        sleep(millis(200)).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, Value::Null);
        let mark = json!({ "chatId": chat, "messageId": message });
        let refused = bob.refused(
            "markChatDelivered",
            json!({ "marks": vec![mark.clone(); 101] }),
        );
        assert_eq!(
            refused.await,
            ("TOO_MANY".to_owned(), json!(["input", "marks"]))
        );
        bob.does("markChatDelivered", "", json!({ "marks": vec![mark; 100] }))
            .await;
    });
}

#[test]
fn marks_are_written_when_the_database_lets_them_and_when_the_server_stops() {
    run(async {
        let mut setup = setup(quick());
        setup.realtime.patience = millis(300);
        let server = Server::with(postgres::database().await, setup.clone()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let (one, two) = (
            alice.sends(&chat, "one").await,
            alice.sends(&chat, "two").await,
        );
        let mut conn = server.sql().await;
        let locks = "BEGIN; SELECT 1 FROM participants WHERE user_id = 'bob' FOR UPDATE";
        postgres::sql(&mut conn, locks).await;
        acknowledges(&bob, &chat, &[&one]).await;
        sleep(millis(900)).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, Value::Null);
        postgres::sql(&mut conn, "COMMIT").await;
        until("written after all", || async {
            delivered(&alice, &chat, &bob).await == "one"
        })
        .await;
        // A server that gathers for ever writes when it stops.
        setup.realtime.signals.gather = Duration::from_secs(3600);
        let database = server.database.clone();
        let stopping = Server::with(database, setup).await;
        acknowledges(&bob.at(&stopping), &chat, &[&two]).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "one");
        stopping.stop().await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "two");
    });
}
