//! Apollo's multipart protocol for subscriptions over HTTP.
//!
//! A part is only complete once the delimiter behind it has come. So each part is written together with the
//! delimiter that ends it, and a client sees an event when it happens.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::metrics::Via;
use super::stream::{Format, Told};
use crate::graphql::Answer;

/// The delimiter with which the first part begins.
const BEGIN: &[u8] = b"\r\n--graphql";

/// What follows a delimiter behind which another part comes.
const HEAD: &[u8] = b"\r\nContent-Type: application/json\r\n\r\n";

/// What follows the last delimiter.
const END: &[u8] = b"--\r\n";

/// How multipart is written (RFC 2046, section 5.1).
pub(super) struct Multipart;

impl Format for Multipart {
    const CONTENT_TYPE: &'static str = "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0";
    const VIA: Via = Via::Multipart;

    fn write(told: &Told) -> Bytes {
        match told {
            Told::Begin => Bytes::from_static(BEGIN),
            Told::Alive => part(&[b"{}"], b""),
            Told::Answer(Answer::Next { json, .. }) => part(&[b"{\"payload\":", json, b"}"], b""),
            Told::Answer(Answer::Failed { errors, .. }) => {
                part(&[b"{\"payload\":{\"errors\":", errors, b"}}"], b"")
            }
            Told::Completed => Bytes::from_static(END),
            Told::Expired => fatal(&Answer::expired()),
            Told::Stopping => fatal(&Answer::stopping()),
        }
    }
}

/// The last part: the stream, and not the operation, has failed.
fn fatal(answer: &Answer) -> Bytes {
    let (Answer::Failed { errors: json, .. } | Answer::Next { json, .. }) = answer;
    part(&[b"{\"payload\":null,\"errors\":", json, b"}"], END)
}

fn part(json: &[&[u8]], end: &[u8]) -> Bytes {
    let pieces = [HEAD]
        .into_iter()
        .chain(json.iter().copied())
        .chain([BEGIN, end]);
    let mut part = BytesMut::new();
    pieces.for_each(|piece| part.put_slice(piece));
    part.freeze()
}
