//! Serving one agent over standard input and output.

use rmcp::service::{QuitReason, ServerInitializeError, serve_server_with_ct};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::stdio_pipes;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::Server;

/// The most bytes of a line: the longest message, escaped, and then some.
const LINE_MAX: usize = 1024 * 1024;

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The client did not begin as the protocol wants it.
    #[error("the client did not begin as the protocol says")]
    Begin,
    /// A task of the server panicked.
    #[error("the server failed")]
    Failed(#[source] JoinError),
}

/// Serves the process that this one is a child of, until it closes standard input or `stop` is cancelled. Nothing but the
/// protocol is written to standard output.
///
/// # Errors
///
/// [`StdioError`].
pub async fn serve_stdio(server: Server, stop: CancellationToken) -> Result<(), StdioError> {
    let (input, output) = stdio_pipes();
    let transport = AsyncRwTransport::new_server(input, output).with_max_line_length(LINE_MAX);
    let serving = match serve_server_with_ct(server, transport, stop.clone()).await {
        Ok(serving) => serving,
        // Whoever leaves before anything is said has asked for nothing.
        Err(_) if stop.is_cancelled() => return Ok(()),
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(_) => return Err(StdioError::Begin),
    };
    match serving.waiting().await {
        Ok(QuitReason::JoinError(error)) | Err(error) => Err(StdioError::Failed(error)),
        Ok(_) => Ok(()),
    }
}
