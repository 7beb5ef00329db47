//! What is turned away or cut short at the door: counted for `jctld status`, and logged without filling the disk.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::office::lock;

/// After the first line about a kind, the next one comes this much later at the earliest, with the count since.
pub const LOG_PAUSE: Duration = Duration::from_secs(60);

/// What can happen at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// So many handshakes were open that a client had to prove its address first.
    Proving,
    /// So many handshakes were open that a client was turned away.
    TurnedAway,
    /// A handshake failed.
    Handshake,
    /// A handshake took too long.
    SlowHandshake,
    /// No certificate, or none of this cluster's.
    Certificate,
    /// A revoked certificate.
    Revoked,
    /// More connections than one bearer, or all together, may have.
    Connections,
    /// More requests at once than one bearer may have.
    Requests,
    /// A request that did not arrive in time.
    SlowRequest,
    /// A request that is too long, or no request at all.
    Malformed,
    /// A large request that found no room.
    Large,
    /// An answer that was not read in time.
    SlowReader,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 12] = [
        Kind::Proving,
        Kind::TurnedAway,
        Kind::Handshake,
        Kind::SlowHandshake,
        Kind::Certificate,
        Kind::Revoked,
        Kind::Connections,
        Kind::Requests,
        Kind::SlowRequest,
        Kind::Malformed,
        Kind::Large,
        Kind::SlowReader,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Proving => "address to be proven under load",
            Kind::TurnedAway => "turned away under load",
            Kind::Handshake => "failed handshake",
            Kind::SlowHandshake => "handshake not finished in time",
            Kind::Certificate => "no usable certificate",
            Kind::Revoked => "revoked certificate",
            Kind::Connections => "too many connections",
            Kind::Requests => "too many requests at once",
            Kind::SlowRequest => "request not sent in time",
            Kind::Malformed => "malformed request",
            Kind::Large => "no room for a large request",
            Kind::SlowReader => "answer not read in time",
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    count: u64,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Strangers {
    counts: [AtomicU64; Kind::ALL.len()],
    told: [Mutex<Told>; Kind::ALL.len()],
}

impl Strangers {
    /// Counts one, and says so if nothing was said about its kind lately.
    pub fn note(&self, kind: Kind, who: &dyn fmt::Display, why: &dyn fmt::Display) {
        if let Some(count) = self.count(kind, Instant::now()) {
            let (kind, who, why) = (kind.words(), who.to_string(), why.to_string());
            tracing::warn!(kind, count, who, why, "refused");
        }
    }

    /// Counts one; how many there were since the last line, if another one is due.
    fn count(&self, kind: Kind, now: Instant) -> Option<u64> {
        let count = self.counts.get(kind as usize)?.fetch_add(1, Ordering::Relaxed) + 1;
        let mut told = lock(self.told.get(kind as usize)?);
        if told.at.is_some_and(|at| now.saturating_duration_since(at) < LOG_PAUSE) {
            return None;
        }
        let since = count.saturating_sub(told.count);
        *told = Told { at: Some(now), count };
        Some(since)
    }

    /// How often each kind came, those that came.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let count = |kind: &Kind| self.counts.get(*kind as usize).map_or(0, |n| n.load(Ordering::Relaxed));
        let all = Kind::ALL.iter().map(|kind| (kind.words().to_owned(), count(kind)));
        all.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_the_others_are_counted() {
        let strangers = Strangers::default();
        let begin = Instant::now();
        assert_eq!(strangers.count(Kind::Handshake, begin), Some(1));
        for _ in 0..5 {
            assert_eq!(strangers.count(Kind::Handshake, begin + LOG_PAUSE / 2), None);
        }
        assert_eq!(strangers.count(Kind::Malformed, begin), Some(1));
        assert_eq!(strangers.count(Kind::Handshake, begin + LOG_PAUSE), Some(6));
        let counts = [("failed handshake".to_owned(), 7), ("malformed request".to_owned(), 1)];
        assert_eq!(strangers.counts(), counts);
    }

    #[test]
    fn kinds_stand_at_their_places() {
        assert!(Kind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
    }
}
