//! What is on its way to the peer.
//!
//! An answer is not copied: the bytes that all its readers share are queued between a begin and an end of
//! this connection's own. The queue is empty whenever the peer keeps up, and holds no memory then.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use crate::http::channel::Channel;

/// How many pieces are written at once.
const PIECES: usize = 48;

/// How many bytes a peer takes that is slow, and not stalled: it has time for as many again.
const PROGRESS: usize = 64 * 1024;

/// The frames that are to be written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    replies: usize,
    since: Option<Instant>,
    taken: usize,
    stuck: bool,
}

impl Outgoing {
    /// How many bytes are queued.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes of them the peer has caused by what it sent, since the queue was empty.
    pub(super) fn replies(&self) -> usize {
        self.replies
    }

    /// Since when the queue has not been empty, or the peer has taken the last [`PROGRESS`] bytes of it.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether the peer has not taken what was queued when it was last written.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Whether there is nothing to write, nor anything below that the kernel has not taken.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && !self.stuck
    }

    /// Queues a text message, put together of pieces.
    pub(super) fn text<const N: usize>(&mut self, pieces: [Bytes; N]) {
        let length = pieces.iter().map(Bytes::len).sum();
        self.push(text_head(length));
        for piece in pieces {
            self.push(piece);
        }
    }

    /// Queues a text message that answers one of the peer's.
    pub(super) fn reply(&mut self, text: Bytes) {
        self.replies = self.replies.saturating_add(text.len());
        self.text([text]);
    }

    /// Queues bytes that are frames already, which answer frames of the peer.
    pub(super) fn frames(&mut self, frames: &[u8]) {
        self.replies = self.replies.saturating_add(frames.len());
        self.push(Bytes::copy_from_slice(frames));
    }

    /// Queues a ping of the WebSocket (RFC 6455, section 5.5.2).
    pub(super) fn ping(&mut self) {
        self.push(Bytes::from_static(&[0x89, 0]));
    }

    fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        // Below TLS something may still be on its way, though nothing is queued.
        self.since = self.since.or_else(|| Some(Instant::now()));
        self.bytes = self.bytes.saturating_add(piece.len());
        self.pieces.push_back(piece);
    }

    /// Writes all that is queued; ready when the kernel has taken it.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Channel,
    ) -> Poll<std::io::Result<()>> {
        self.stuck = true;
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let pieces = self.pieces.iter().zip(slices.iter_mut());
            let count = pieces
                .map(|(piece, slice)| *slice = IoSlice::new(piece))
                .count();
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        // TLS takes what the kernel does not.
        ready!(Pin::new(&mut *stream).poll_flush(cx))?;
        self.rest();
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        self.taken = self.taken.saturating_add(written);
        if self.taken >= PROGRESS {
            self.taken = 0;
            self.since = Some(Instant::now());
        }
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }

    /// Forgets what belongs to the queue that was.
    fn rest(&mut self) {
        self.stuck = false;
        self.since = None;
        self.replies = 0;
        self.taken = 0;
        self.pieces = VecDeque::new();
    }
}

/// The head of a text frame: final, not masked (RFC 6455, section 5.2).
fn text_head(length: usize) -> Bytes {
    let mut head = BytesMut::with_capacity(10);
    head.put_u8(0x81);
    if let Ok(length) = u8::try_from(length)
        && length < 126
    {
        head.put_u8(length);
    } else if let Ok(length) = u16::try_from(length) {
        head.put_u8(126);
        head.put_u16(length);
    } else {
        head.put_u8(127);
        head.put_u64(u64::try_from(length).unwrap_or(u64::MAX));
    }
    head.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_the_length_in_as_few_bytes_as_it_can() {
        let cases: [(usize, &[u8]); 6] = [
            (0, &[0x81, 0]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (16_777_216, &[0x81, 127, 0, 0, 0, 0, 1, 0, 0, 0]),
        ];
        for (length, head) in cases {
            assert_eq!(text_head(length), head, "{length}");
        }
    }

    #[test]
    fn what_was_written_is_forgotten_to_the_byte() {
        let mut outgoing = Outgoing::default();
        outgoing.text([Bytes::from_static(b"abc"), Bytes::from_static(b"defg")]);
        assert_eq!(outgoing.bytes(), 9);
        outgoing.advance(4);
        outgoing.advance(3);
        assert_eq!((outgoing.bytes(), outgoing.pieces.len()), (2, 1));
        assert_eq!(outgoing.pieces[0], b"fg".as_slice());
        outgoing.advance(2);
        assert!(outgoing.is_empty());
    }
}
