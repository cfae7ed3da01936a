//! What comes from the peer: the frames of RFC 6455, put together to messages.
//!
//! tungstenite reads. What it writes by itself, pongs and the answer to a close, joins the queue of all that
//! is on its way: it never sees a connection that blocks, so it buffers nothing. Between two messages there is no
//! tungstenite: most connections are silent most of the time, and its state and buffer are larger than all else of them.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, ReadBuf};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

use super::close::Close;
use super::outgoing::Outgoing;
use crate::http::channel::Channel;

/// How much is read at once.
const READ_BUFFER: usize = 1024;

/// The most bytes of a message from somebody who is not known: a token or a query fits. A connection may hold a part
/// of a message as long as it likes, and those without a user are not counted.
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
    /// What reads a message, as long as there is something of one. At rest there is none.
    frames: Option<Box<WebSocketContext>>,
    most: usize,
    /// How many bytes `frames` was given.
    given: usize,
    /// How many bytes at least the messages took that came of them.
    taken: usize,
    heard: bool,
    /// `frames` knows that a close is on its way.
    closing: bool,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

impl Incoming {
    /// Reads messages of at most `most` bytes, and of fewer as long as nobody is known. `begin` is what was read already.
    pub(super) fn new(begin: &[u8], most: usize) -> Self {
        let mut incoming = Self {
            frames: None,
            most: most.min(UNKNOWN_MAX),
            given: 0,
            taken: 0,
            heard: false,
            closing: false,
        };
        if !begin.is_empty() {
            incoming.begin(begin);
        }
        incoming
    }

    /// Takes messages of up to `most` bytes from now on.
    pub(super) fn trust(&mut self, most: usize) {
        self.most = most;
        if let Some(frames) = &mut self.frames {
            frames.set_config(|config| {
                config.max_message_size = Some(most);
                config.max_frame_size = Some(most);
            });
        }
    }

    /// The next message, or how the connection ends.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Channel,
        outgoing: &mut Outgoing,
    ) -> Poll<Result<Heard, End>> {
        if self.frames.is_none() {
            ready!(self.poll_begin(cx, stream))?;
        }
        let (frames, mut wire) = self.parts(cx, stream, outgoing);
        let read = frames.read(&mut wire);
        if matches!(read, Ok(Message::Ping(_) | Message::Close(_))) {
            // Queues the answer.
            frames.flush(&mut wire).ok();
        }
        if let Ok(message) = &read {
            self.taken = self.taken.saturating_add(least_size(message.len()));
        }
        match read {
            Ok(Message::Text(text)) => Poll::Ready(Ok(Heard::Text(text))),
            Ok(Message::Binary(_)) => Poll::Ready(Ok(Heard::Binary)),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                Poll::Ready(Ok(Heard::Control))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.rest();
                Poll::Pending
            }
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
        self.closing = true;
        let (frames, mut wire) = self.parts(cx, stream, outgoing);
        frames.close(&mut wire, Some(close.frame())).ok();
    }

    /// Waits for the first bytes of a message.
    fn poll_begin(&mut self, cx: &mut Context<'_>, stream: &mut Channel) -> Poll<Result<(), End>> {
        let mut begin = [MaybeUninit::uninit(); READ_BUFFER];
        let mut begin = ReadBuf::uninit(&mut begin);
        let read = ready!(Pin::new(stream).poll_read(cx, &mut begin));
        if read.is_err() || begin.filled().is_empty() {
            // The peer is gone.
            return Poll::Ready(Err(None));
        }
        self.heard = true;
        self.begin(begin.filled());
        Poll::Ready(Ok(()))
    }

    fn begin(&mut self, begin: &[u8]) {
        self.frames = Some(context(begin, self.most));
        self.given = begin.len();
        self.taken = 0;
    }

    /// Lets go of what read messages, where nothing of another one has come. No message takes fewer bytes than its
    /// [`least_size`], so there is nothing left where those that came took all of the bytes by that alone.
    fn rest(&mut self) {
        if self.given == self.taken && !self.closing {
            self.frames = None;
        }
    }

    fn parts<'a, 'cx>(
        &'a mut self,
        cx: &'a mut Context<'cx>,
        stream: &'a mut Channel,
        outgoing: &'a mut Outgoing,
    ) -> (&'a mut WebSocketContext, Wire<'a, 'cx>) {
        let most = self.most;
        let frames = self.frames.get_or_insert_with(|| context(&[], most));
        let wire = Wire {
            stream,
            outgoing,
            cx,
            heard: &mut self.heard,
            given: &mut self.given,
        };
        (frames, wire)
    }
}

/// What reads messages of at most `most` bytes. `begin` is what was read already.
fn context(begin: &[u8], most: usize) -> Box<WebSocketContext> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(most))
        .max_frame_size(Some(most));
    let (begin, config) = (begin.to_vec(), Some(config));
    let frames = WebSocketContext::from_partially_read(begin, Role::Server, config);
    Box::new(frames)
}

/// The fewest bytes that a message with so many takes: one masked frame (RFC 6455, section 5.2).
fn least_size(length: usize) -> usize {
    let head = match length {
        0..126 => 6,
        126..65_536 => 8,
        _ => 14,
    };
    length.saturating_add(head)
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
    given: &'a mut usize,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                let count = buffer.filled().len();
                *self.heard = true;
                *self.given = self.given.saturating_add(count);
                Ok(count)
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::time::timeout;

    use super::super::fuzz::silence;
    use super::*;

    /// A frame with a mask of zeros, which changes nothing.
    fn frame(begin: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut frame = vec![begin];
        match length {
            0..126 => frame.push(0x80 | length),
            _ => frame.extend([0xFE, 0, length]),
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    /// What comes of some bytes, until nothing more does.
    async fn hear(incoming: &mut Incoming, stream: &mut Channel) -> Vec<String> {
        let (mut heard, mut outgoing) = (Vec::new(), Outgoing::default());
        loop {
            let next = poll_fn(|cx| incoming.poll_next(cx, stream, &mut outgoing));
            match timeout(Duration::from_millis(20), next).await {
                Ok(Ok(Heard::Text(text))) => heard.push(text.to_string()),
                Ok(Ok(Heard::Control)) => heard.push(String::new()),
                Ok(other) => panic!("{other:?}"),
                Err(_) => return heard,
            }
        }
    }

    #[tokio::test]
    async fn between_messages_nothing_is_kept_and_nothing_is_lost() {
        let (mut peer, mut stream) = silence().await;
        let mut incoming = Incoming::new(&[], UNKNOWN_MAX);
        let long = "long".repeat(50);
        let frames = [
            frame(0x81, b"one"),
            frame(0x89, b""),
            frame(0x81, long.as_bytes()),
        ];
        let wire = frames.concat();
        let ends = [0, 9, 15, wire.len()];
        for cut in (0..30).chain([wire.len() - 1, wire.len()]) {
            let (one, other) = wire.split_at(cut);
            peer.write_all(one).await.unwrap();
            let mut heard = hear(&mut incoming, &mut stream).await;
            assert_eq!(incoming.frames.is_none(), ends.contains(&cut), "{cut}");
            peer.write_all(other).await.unwrap();
            heard.extend(hear(&mut incoming, &mut stream).await);
            assert_eq!(heard, ["one", "", &long], "{cut}");
            assert!(incoming.frames.is_none(), "{cut}");
        }
    }

    #[tokio::test]
    async fn a_message_in_parts_is_kept_until_it_is_whole() {
        let (mut peer, mut stream) = silence().await;
        let mut incoming = Incoming::new(&frame(0x01, b"in "), UNKNOWN_MAX);
        assert!(hear(&mut incoming, &mut stream).await.is_empty());
        let rest = [frame(0x89, b""), frame(0x80, b"parts")].concat();
        peer.write_all(&rest).await.unwrap();
        assert_eq!(hear(&mut incoming, &mut stream).await, ["", "in parts"]);
        peer.write_all(&frame(0x81, b"whole")).await.unwrap();
        assert_eq!(hear(&mut incoming, &mut stream).await, ["whole"]);
    }
}
