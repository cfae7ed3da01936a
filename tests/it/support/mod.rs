//! How tests speak: as users, through the real router and real sockets, on a database of their own.

pub(crate) mod binary;
pub(crate) mod certificate;
pub(crate) mod database;
pub(crate) mod files;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod issuer;
pub(crate) mod log;
pub(crate) mod mail;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod row_security;
pub(crate) mod rows;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod socketio;
pub(crate) mod speech;
pub(crate) mod streaming;
pub(crate) mod user;

pub(crate) use server::Server;
pub(crate) use user::User;

/// Runs a test on a runtime with as many workers as the server has.
pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

/// Starts tasks at once, each on its own, and returns what they answer, in their order.
pub(crate) async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.into_iter().map(tokio::task::spawn).collect();
    let mut answers = Vec::with_capacity(tasks.len());
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it does not come to this: {what}");
}
