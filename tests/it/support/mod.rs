//! How tests speak: as users, through the real router and real sockets, on a database of their own.

pub(crate) mod log;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod socket;
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
