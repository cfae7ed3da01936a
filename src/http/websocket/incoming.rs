//! What comes from the peer: the frames of RFC 6455, put together to messages.
//!
//! tungstenite reads. What it writes by itself, pongs and the answer to a close, joins the queue of all that
//! is on its way: it never sees a connection that blocks, so it buffers nothing.

use std::fmt;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead as _, ReadBuf};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

use super::close::Close;
use super::outgoing::Outgoing;
use crate::http::channel::Channel;

/// How much is read at once. Each connection keeps a buffer of this size.
const READ_BUFFER: usize = 1024;

/// The most bytes of a message from somebody who is not known: a token or a query fits. A connection keeps the
/// memory of its largest message, and those without a user are not counted.
const UNKNOWN_MAX: usize = 16 * 1024;

/// What came.
#[derive(Debug)]
pub(super) enum Heard {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary,
    /// A ping or a pong of the WebSocket, which is dealt with.
    Control,
}

/// How a connection ends: by a close of ours, or without one because the peer is gone or has closed.
pub(super) type End = Option<Close>;

/// The reading half of a WebSocket.
pub(super) struct Incoming {
    frames: WebSocketContext,
    heard: bool,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

impl Incoming {
    /// Reads messages of at most `most` bytes, and of fewer as long as nobody is known. `begin` is what was read already.
    pub(super) fn new(begin: &[u8], most: usize) -> Self {
        let most = most.min(UNKNOWN_MAX);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let (begin, config) = (begin.to_vec(), Some(config));
        let frames = WebSocketContext::from_partially_read(begin, Role::Server, config);
        Self {
            frames,
            heard: false,
        }
    }

    /// Takes messages of up to `most` bytes from now on.
    pub(super) fn trust(&mut self, most: usize) {
        self.frames.set_config(|config| {
            config.max_message_size = Some(most);
            config.max_frame_size = Some(most);
        });
    }

    /// The next message, or how the connection ends.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Channel,
        outgoing: &mut Outgoing,
    ) -> Poll<Result<Heard, End>> {
        let mut wire = Wire {
            stream,
            outgoing,
            cx,
            heard: &mut self.heard,
        };
        let read = self.frames.read(&mut wire);
        if matches!(read, Ok(Message::Ping(_) | Message::Close(_))) {
            // Queues the answer.
            self.frames.flush(&mut wire).ok();
        }
        match read {
            Ok(Message::Text(text)) => Poll::Ready(Ok(Heard::Text(text))),
            Ok(Message::Binary(_)) => Poll::Ready(Ok(Heard::Binary)),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                Poll::Ready(Ok(Heard::Control))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Ok(Message::Close(_)) => Poll::Ready(Err(None)),
            Err(error) => Poll::Ready(Err(end_of(&error))),
        }
    }

    /// Whether anything came since this was last asked, be it a part of a long message.
    pub(super) fn has_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Queues a close frame, behind what is queued already.
    pub(super) fn close(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Channel,
        outgoing: &mut Outgoing,
        close: &Close,
    ) {
        let mut wire = Wire {
            stream,
            outgoing,
            cx,
            heard: &mut self.heard,
        };
        self.frames.close(&mut wire, Some(close.frame())).ok();
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else goes wrong, the peer cannot be talked to"
)]
fn end_of(error: &Error) -> End {
    use tungstenite::error::ProtocolError as P;
    match error {
        Error::Capacity(_) => Some(Close::TooLarge),
        Error::Utf8(_) => Some(Close::NotUtf8),
        Error::Protocol(P::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(Close::Violation),
        _ => None,
    }
}

/// The connection as tungstenite sees it: reading may block, writing never does.
struct Wire<'a, 'cx> {
    stream: &'a mut Channel,
    outgoing: &'a mut Outgoing,
    cx: &'a mut Context<'cx>,
    heard: &'a mut bool,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                *self.heard = true;
                Ok(buffer.filled().len())
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.frames(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
