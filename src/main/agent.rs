//! `colloquy mcp`: the wiring.

use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use colloquy::config::McpArgs;
use colloquy::mcp::{self, Executor, Remote};
use colloquy::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Serves the agent that has started this process, on the server at an address.
pub(super) async fn run(args: &McpArgs) -> anyhow::Result<()> {
    telemetry::start(&args.log).context("the log filter cannot be read")?;
    let executor: Option<Arc<dyn Executor>> = match args.token() {
        Some(token) => {
            token.read().await?;
            Some(Arc::new(Remote::new(args.url.clone(), token)?))
        }
        None => None,
    };
    if executor.is_none() {
        tracing::warn!(
            "without a token there are no chats: set COLLOQUY_TOKEN, or name a file with it"
        );
    }
    let server = mcp::Server::on_this_machine(mcp::catalogue()?, executor);
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let mut ending = pin!(mcp::serve_stdio(server, stop.clone()));
    tokio::select! {
        ended = &mut ending => return Ok(ended?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    Ok(ending.await?)
}
