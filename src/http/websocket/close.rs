//! Why a connection ends: the codes of the protocol and of RFC 6455.

use std::sync::Arc;

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

/// The most bytes of a reason: a control frame holds 125, and the code takes two.
const REASON_MAX: usize = 123;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum Close {
    /// The client said that it leaves.
    Left,
    /// The server stops; reconnecting finds another or the next one.
    GoingAway,
    /// The frames are not those of RFC 6455.
    Violation,
    /// A text is not UTF-8.
    NotUtf8,
    /// A message is larger than allowed.
    TooLarge,
    /// The database is away, so nobody can be known.
    Unavailable,
    /// What came is no message of the protocol, and why.
    BadMessage(&'static str),
    /// An operation was asked for before the connection was acknowledged.
    Unauthorized,
    /// The token is not accepted, or not any more.
    Forbidden,
    /// The client speaks another subprotocol, or says none.
    UnknownProtocol,
    /// `connection_init` did not come in time.
    InitTimeout,
    /// An operation has the id of one that runs.
    DuplicateId(Arc<str>),
    /// `connection_init` came twice.
    TooManyInits,
    /// Too many tokens from its address were forged.
    TooManyRequests,
    /// The user has too many connections.
    TooManyConnections,
    /// The client does not take what it asked for.
    SlowConsumer,
}

impl Close {
    /// The close frame that says so.
    pub(super) fn frame(&self) -> CloseFrame {
        let mut reason = self.reason();
        while reason.len() > REASON_MAX {
            reason.pop();
        }
        CloseFrame {
            code: CloseCode::from(self.code()),
            reason: reason.into(),
        }
    }

    /// Its code.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Left => 1000,
            Self::GoingAway => 1001,
            Self::Violation => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
            Self::Unavailable => 1013,
            Self::BadMessage(_) => 4400,
            Self::Unauthorized => 4401,
            Self::Forbidden => 4403,
            Self::UnknownProtocol => 4406,
            Self::InitTimeout => 4408,
            Self::DuplicateId(_) => 4409,
            Self::TooManyInits | Self::TooManyRequests | Self::TooManyConnections => 4429,
            Self::SlowConsumer => 4508,
        }
    }

    fn reason(&self) -> String {
        let fixed = match self {
            Self::BadMessage(why) => return format!("Invalid message: {why}"),
            Self::DuplicateId(id) => return format!("Subscriber for {id} already exists"),
            Self::Left => "Goodbye",
            Self::GoingAway => "Going away",
            Self::Violation => "Protocol error",
            Self::NotUtf8 => "A text is not UTF-8",
            Self::TooLarge => "Message too large",
            Self::Unavailable => "Try again later",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::UnknownProtocol => "Subprotocol not acceptable",
            Self::InitTimeout => "Connection initialisation timeout",
            Self::TooManyInits => "Too many initialisation requests",
            Self::TooManyRequests => "Too many requests: try again later",
            Self::TooManyConnections => "Too many connections",
            Self::SlowConsumer => "Slow consumer: resume",
        };
        fixed.to_owned()
    }

    /// Whether the peer's frames can still be told from each other.
    pub(super) fn keeps_framing(&self) -> bool {
        !matches!(self, Self::Violation | Self::NotUtf8 | Self::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_into_its_frame_whatever_the_id() {
        for id in ["1", &"ü".repeat(100), &"\u{1F600}".repeat(100)] {
            let frame = Close::DuplicateId(id.into()).frame();
            assert!(frame.reason.len() <= REASON_MAX);
            assert_eq!(u16::from(frame.code), 4409);
            assert!(frame.reason.starts_with("Subscriber for "));
        }
        let frame = Close::DuplicateId("7".into()).frame();
        assert_eq!(frame.reason.as_str(), "Subscriber for 7 already exists");
    }
}
