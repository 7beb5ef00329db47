//! Why a connection was closed: the codes that go with a close, and the end of a connection in words.

use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, VarInt};

/// The most characters of a peer's reason that are shown.
pub const REASON_CHARS_MAX: usize = 500;

/// Turns of the event loop that [`finish`] waits at most for the driver to send the close.
const FINISH_TURNS_MAX: usize = 64;
/// After those it sleeps between looks, for drivers on another thread.
const FINISH_PAUSE: Duration = Duration::from_micros(50);
/// How many of those pauses it makes at most, 20 ms together.
const FINISH_PAUSES_MAX: usize = 400;

/// What a close of ours means, beside its words. The numbers are fixed; others may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// Done, nothing is wrong.
    Done,
    /// The peer's certificate does not let it in, or it has none.
    NotAdmitted,
    /// Over a quota of connections, or too much to do.
    Busy,
    /// The peer broke the protocol.
    Protocol,
    /// The daemon stops; come back later.
    Stopping,
    /// The certificate was revoked.
    Revoked,
    /// Idle for longer than this side keeps a connection.
    Idle,
    /// The certificate has ended while connected: come back with the renewed one.
    Ended,
}

impl CloseCode {
    /// All codes.
    pub const ALL: [CloseCode; 8] = [
        CloseCode::Done,
        CloseCode::NotAdmitted,
        CloseCode::Busy,
        CloseCode::Protocol,
        CloseCode::Stopping,
        CloseCode::Revoked,
        CloseCode::Idle,
        CloseCode::Ended,
    ];

    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            CloseCode::Done => 0,
            CloseCode::NotAdmitted => 1,
            CloseCode::Busy => 2,
            CloseCode::Protocol => 3,
            CloseCode::Stopping => 4,
            CloseCode::Revoked => 5,
            CloseCode::Idle => 6,
            CloseCode::Ended => 7,
        }
    }

    /// The code of that number, if this version knows it.
    pub fn from_number(number: u64) -> Option<CloseCode> {
        CloseCode::ALL.into_iter().find(|code| u64::from(code.number()) == number)
    }

    /// For quinn's calls.
    pub fn varint(self) -> VarInt {
        VarInt::from_u32(self.number())
    }
}

/// Why the connection ended, once it has: from the close itself, never from the error of a read.
///
/// `None` while it is open. The text is for people: a peer's words are cut and stripped of control characters.
pub fn end_of(connection: &Connection) -> Option<End> {
    connection.close_reason().map(|error| End::of(&error))
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed it and said why.
    ByPeer {
        /// Its code, if this version knows it.
        code: Option<CloseCode>,
        /// Its words.
        reason: String,
    },
    /// The peer's QUIC or TLS gave up; `alert` is the number of the TLS alert, if it was one.
    Aborted {
        /// The TLS alert.
        alert: Option<u8>,
        /// What it said.
        reason: String,
    },
    /// The peer does not know the connection any more: it has restarted.
    Restarted,
    /// Nothing was heard for the idle time.
    Silent,
    /// This side closed it.
    Here,
    /// This side's QUIC or TLS gave up.
    Failed {
        /// Why.
        reason: String,
    },
}

impl End {
    /// Reads quinn's error.
    pub fn of(error: &ConnectionError) -> End {
        match error {
            ConnectionError::ApplicationClosed(close) => End::ByPeer {
                code: CloseCode::from_number(close.error_code.into_inner()),
                reason: shown(&String::from_utf8_lossy(&close.reason)),
            },
            ConnectionError::ConnectionClosed(close) => End::Aborted {
                alert: alert_of(close.error_code.into()),
                reason: shown(&format!("{} {}", close.error_code, String::from_utf8_lossy(&close.reason))),
            },
            ConnectionError::Reset => End::Restarted,
            ConnectionError::TimedOut => End::Silent,
            ConnectionError::LocallyClosed => End::Here,
            other => End::Failed { reason: shown(&other.to_string()) },
        }
    }
}

/// Closes a client's connection and returns once the close is with the kernel, so that the process may exit and
/// the peer need not wait for its idle time. Does not wait until the connection is drained, which takes some
/// 80 ms. Data not yet acknowledged is given up: call this only when the last answer is in.
pub async fn finish(endpoint: Endpoint, connection: Connection, code: CloseCode, reason: &str) {
    if connection.close_reason().is_none() {
        let sent_before = connection.stats().udp_tx.datagrams;
        connection.close(code.varint(), reason.as_bytes());
        // On a current-thread runtime the driver's task runs while this one yields, mostly at the first turn.
        for turn in 0..FINISH_TURNS_MAX + FINISH_PAUSES_MAX {
            if connection.stats().udp_tx.datagrams > sent_before {
                break;
            }
            if turn < FINISH_TURNS_MAX {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(FINISH_PAUSE).await;
            }
        }
    }
    drop((connection, endpoint));
}

/// TLS alerts travel as QUIC's codes 0x100 to 0x1ff.
fn alert_of(code: u64) -> Option<u8> {
    code.checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())
}

/// A peer's words as they can be shown: no control characters, no direction marks, not too many.
pub(crate) fn shown(words: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    words.trim().chars().take(REASON_CHARS_MAX).map(|c| if hidden(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_words_are_tamed() {
        assert_eq!(shown(" no\x1b[2J\nno\u{202e} "), "no?[2J?no?");
        assert_eq!(shown(&"é".repeat(REASON_CHARS_MAX + 1)).chars().count(), REASON_CHARS_MAX);
        assert_eq!((alert_of(0x0ff), alert_of(0x12d), alert_of(0x200)), (None, Some(45), None));
    }

    #[test]
    fn codes_are_told_apart_by_their_numbers() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(code.number().into()), Some(code));
        }
        assert_eq!(CloseCode::from_number(8), None);
    }
}
