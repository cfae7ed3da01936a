use std::future::poll_fn;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::*;

fn next(text: &'static str) -> Answer {
    Answer::Next {
        json: Bytes::from_static(text.as_bytes()),
        cursor: None,
        code: "OK",
    }
}

fn operation(answers: BoxStream<'static, Answer>) -> Operation {
    Operation {
        answers,
        ends: false,
    }
}

/// Always has something to say.
fn hot() -> Operation {
    operation(stream::repeat_with(|| next("hot")).boxed())
}

async fn is_quiet(operations: &mut Operations) -> bool {
    poll_fn(|cx| Poll::Ready(operations.poll_next(cx).is_pending())).await
}

async fn said(operations: &mut Operations) -> (String, bool) {
    match poll_fn(|cx| operations.poll_next(cx)).await {
        Said::Answer(id, _) => (id.to_string(), false),
        Said::End(id) => (id.to_string(), true),
    }
}

#[tokio::test]
async fn each_has_its_turn() {
    let mut operations = Operations::default();
    operations.start("a".into(), hot());
    operations.start("b".into(), hot());
    let (tell, told) = tokio::sync::watch::channel(false);
    let quiet = stream::once(async move {
        let mut told = told;
        told.wait_for(|told| *told).await.unwrap();
        next("quiet")
    });
    operations.start("q".into(), operation(quiet.boxed()));
    for id in ["a", "b", "a", "b", "a", "b"] {
        assert_eq!(said(&mut operations).await, (id.to_owned(), false));
    }
    tell.send_replace(true);
    let mut heard = Vec::new();
    for _ in 0..6 {
        heard.push(said(&mut operations).await);
    }
    let q = |ended| ("q".to_owned(), ended);
    assert!(
        heard[..3].contains(&q(false)) && heard.contains(&q(true)),
        "{heard:?}"
    );
}

#[tokio::test]
async fn who_is_ended_says_nothing_more_and_its_id_runs_anew() {
    let mut operations = Operations::default();
    operations.start("a".into(), hot());
    said(&mut operations).await;
    operations.end("a");
    assert!(!operations.contains("a"));
    let once = stream::iter([next("new")]);
    operations.start("a".into(), operation(once.boxed()));
    assert_eq!(said(&mut operations).await, ("a".to_owned(), false));
    assert_eq!(said(&mut operations).await, ("a".to_owned(), true));
    assert_eq!(operations.len(), 0);
}

#[tokio::test]
async fn nothing_follows_a_failure() {
    let mut operations = Operations::default();
    let failed = Answer::Failed {
        errors: Bytes::from_static(b"[]"),
        code: "OTHER",
    };
    let answers = stream::iter([next("1"), failed, next("2")]);
    operations.start("a".into(), operation(answers.boxed()));
    assert_eq!(said(&mut operations).await, ("a".to_owned(), false));
    assert_eq!(said(&mut operations).await, ("a".to_owned(), false));
    assert_eq!(operations.len(), 0);
    assert!(is_quiet(&mut operations).await);
}

/// One that wakes itself for ever, and says nothing, does not keep its connection from the rest.
#[tokio::test]
async fn a_restless_operation_holds_nobody() {
    let mut operations = Operations::default();
    let restless = stream::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    operations.start("r".into(), operation(restless.boxed()));
    operations.start("a".into(), hot());
    for _ in 0..3 {
        assert_eq!(said(&mut operations).await.0, "a");
    }
    operations.end("a");
    assert!(is_quiet(&mut operations).await);
}
async fn go_on(operations: &mut Operations) {
    poll_fn(|cx| {
        operations.go_on(cx);
        Poll::Ready(())
    })
    .await;
}

/// Where nothing can be said, what each says is kept once, in order, and nothing of it is lost.
#[tokio::test]
async fn what_goes_on_unheard_keeps_one_answer_each() {
    let polled = Arc::new(AtomicU64::new(0));
    let counted = {
        let polled = Arc::clone(&polled);
        stream::repeat_with(move || {
            polled.fetch_add(1, Ordering::Relaxed);
            next("hot")
        })
    };
    let mut operations = Operations::default();
    operations.start("a".into(), operation(counted.boxed()));
    operations.start("b".into(), operation(stream::iter([next("b")]).boxed()));
    operations.start("e".into(), operation(stream::empty().boxed()));
    operations.start("c".into(), hot());
    for _ in 0..5 {
        go_on(&mut operations).await;
        operations.running["a"].waker.wake_by_ref();
    }
    assert_eq!(polled.load(Ordering::Relaxed), 1);
    operations.end("c");
    let expected = [("a", false), ("b", false), ("e", true)];
    for (id, ended) in expected {
        assert_eq!(said(&mut operations).await, (id.to_owned(), ended));
    }
    let heard = [said(&mut operations).await, said(&mut operations).await];
    assert!(heard.contains(&("a".to_owned(), false)), "{heard:?}");
    assert!(heard.contains(&("b".to_owned(), true)), "{heard:?}");
}

/// Who starts and ends operations while nobody takes turns leaves nothing in the line.
#[tokio::test]
async fn who_is_ended_leaves_the_line() {
    let mut operations = Operations::default();
    let mut wakers = Vec::new();
    for _ in 0..100 {
        operations.start("a".into(), hot());
        wakers.push(operations.running["a"].waker.clone());
        operations.end("a");
    }
    wakers.iter().for_each(Waker::wake_by_ref);
    assert_eq!(operations.line.length(), 0);
}

/// Whoever hangs up has operations in line, or operations that are woken later: by the database, whose answer comes.
#[tokio::test]
async fn nothing_of_a_connection_that_is_gone_remains() {
    let mut operations = Operations::default();
    let (late, mut wakers) = tokio::sync::mpsc::unbounded_channel();
    let waits = stream::poll_fn(move |cx: &mut Context<'_>| {
        late.send(cx.waker().clone()).unwrap();
        Poll::Pending
    });
    operations.start("late".into(), operation(waits.boxed()));
    assert!(is_quiet(&mut operations).await);
    operations.start("in line".into(), hot());
    let line = Arc::downgrade(&operations.line);
    let places = operations.running.values();
    let places: Vec<_> = places.map(|one| Arc::downgrade(&one.place)).collect();
    drop(operations);
    wakers.recv().await.unwrap().wake();
    drop(wakers);
    assert!(line.upgrade().is_none());
    assert!(places.iter().all(|place| place.upgrade().is_none()));
}
