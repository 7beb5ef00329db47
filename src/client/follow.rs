//! Follows a job's output as it is written, over any number of restarts of the controller, to its very end.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::model::ids::{Attempt, NodeId};
use crate::model::state::State;
use crate::wire::client::{Log, Output, Reply, Request, Selector};
use crate::wire::data::{CHUNK_BYTES_MAX, From};

use super::connection::encode;
use super::error::{ClientError, Trouble};
use super::session::Client;
use super::wait::unexpected;

/// How long the controller may hold a request for more output.
pub const POLL_WAIT_MS: u32 = 30_000;
/// The least between two requests that brought nothing.
const EMPTY_PAUSE: Duration = Duration::from_millis(250);
/// How long an ended job's missing bytes are asked for before they count as lost: a node daemon that was killed is back
/// by then.
pub const MISSING_PATIENCE: Duration = Duration::from_secs(10);

/// What to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Whose output.
    pub selector: Selector,
    /// Which try; `None`: the last, and those that come after it.
    pub attempt: Option<Attempt>,
    /// Standard error's file.
    pub error: bool,
    /// Where to begin.
    pub from: From,
    /// Until the job has ended; otherwise only what is there now.
    pub live: bool,
}

/// How following came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The job's id as users write it.
    pub id: String,
    /// Its state: an end, if it was followed to there.
    pub state: State,
    /// What the controller said when there was nothing more to be had; may be empty.
    pub note: String,
    /// Gaps: bytes that could not be had, first and first after, and why.
    pub gaps: Vec<Gap>,
}

/// Bytes that are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first missing byte.
    pub first: u64,
    /// The first one after.
    pub end: u64,
    /// Why, if the controller said.
    pub note: String,
}

/// Where in the file a follower is.
#[derive(Debug)]
struct Reader {
    log: Log,
    live: bool,
    /// What `live` was at first; it rests while what is missing of an attempt is made do with.
    was_live: bool,
    /// Later attempts are wanted, too.
    onward: bool,
    offset: Option<u64>,
    attempt: Option<Attempt>,
    /// Where the attempt before this one ran, and how far its file was read.
    before: Option<(NodeId, u64)>,
    missing_since: Option<Instant>,
    gaps: Vec<Gap>,
}

/// What to do after one answer.
enum Step {
    /// Ask for more at once.
    More,
    /// There was nothing; ask again, but not faster than that.
    Nothing,
    /// That was all.
    End(Followed),
}

impl Client {
    /// Hands the output to `sink` piece by piece until the job has ended (unless only what is there now is wanted) and
    /// its file is read to the end.
    ///
    /// # Errors
    /// [`ClientError::NotReached`] only before the controller was first reached; refusals; what `sink` gives.
    pub async fn follow(
        &mut self,
        follow: &Follow,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Followed, ClientError> {
        let mut reader = Reader::new(follow);
        loop {
            let asked = Instant::now();
            let output = match self.try_output(&reader.log).await {
                Ok(output) => output,
                Err(trouble) => {
                    self.outlive(trouble).await?;
                    continue;
                }
            };
            match reader.take(output, Instant::now(), &mut sink)? {
                Step::More => {}
                Step::Nothing => sleep(EMPTY_PAUSE.saturating_sub(asked.elapsed())).await,
                Step::End(followed) => return Ok(followed),
            }
        }
    }

    async fn try_output(&mut self, log: &Log) -> Result<Output, Trouble> {
        let body = encode(&Request::Log(log.clone())).map_err(Trouble::Final)?;
        let mut replies = self.send(&body).await?;
        match self.next(&mut replies).await? {
            Some(Reply::Output(output)) => Ok(output),
            Some(other) => Err(Trouble::Final(unexpected(&other))),
            None => Err(Trouble::Passing { sent: true, reason: "the answer ended too early".to_owned() }),
        }
    }
}

impl Reader {
    fn new(follow: &Follow) -> Reader {
        let log = Log {
            selector: follow.selector.clone(),
            attempt: follow.attempt,
            error: follow.error,
            from: follow.from,
            bytes: CHUNK_BYTES_MAX,
            wait_ms: if follow.live { POLL_WAIT_MS } else { 0 },
        };
        Reader {
            log,
            live: follow.live,
            was_live: follow.live,
            onward: follow.attempt.is_none(),
            offset: None,
            attempt: None,
            before: None,
            missing_since: None,
            gaps: Vec::new(),
        }
    }

    fn take(
        &mut self,
        output: Output,
        now: Instant,
        sink: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Step, ClientError> {
        if !self.is_meant(&output) {
            return Ok(Step::More);
        }
        let asked = match self.log.from {
            // In a file that both append to, some of what is this one's may be out already.
            From::Offset(0) if self.log.attempt.is_some() => match self.before {
                Some((node, reached)) if node == output.node && output.start > 0 => output.start.max(reached),
                _ => output.start,
            },
            From::Offset(offset) => offset,
            // The controller chose the place; from there on it is ours to keep.
            From::LastLines(_) => output.offset,
        };
        let length = output.bytes.len() as u64;
        if length > 0 {
            // What is kept of an attempt begins where it began.
            let first = asked.max(output.start);
            if output.offset > first {
                self.gaps.push(Gap { first, end: output.offset, note: output.note.clone() });
            }
            // Bytes from before the place that was asked for are already out.
            let skip = usize::try_from(asked.saturating_sub(output.offset)).unwrap_or(usize::MAX);
            sink(output.bytes.get(skip..).unwrap_or_default())?;
            self.missing_since = None;
        }
        let reached = asked.max(output.offset.saturating_add(length));
        let settled = output.over || output.state.is_end() || output.latest > output.attempt || !self.live;
        if length > 0 || self.offset.is_some() || settled {
            self.log.from = From::Offset(reached);
            self.offset = Some(reached);
        }
        if length > 0 {
            if self.was_live && self.onward && reached > 0 {
                // This one to its end, before any other.
                self.log.attempt = Some(output.attempt);
            }
            return Ok(Step::More);
        }
        if !settled {
            return Ok(Step::Nothing);
        }
        // Attempt 0: nothing was ever started, so nothing can be missing.
        let missing = output.attempt.0 > 0 && (output.size > reached || !output.over);
        let since = *self.missing_since.get_or_insert(now);
        if missing && self.live && now.saturating_duration_since(since) < MISSING_PATIENCE {
            return Ok(Step::Nothing);
        }
        if missing && self.live {
            // That was long enough: now whatever there is, with the gaps named.
            self.live = false;
            self.log.wait_ms = 0;
            return Ok(Step::More);
        }
        if output.size > reached {
            self.gaps.push(Gap { first: reached, end: output.size, note: output.note.clone() });
        }
        let goes_on = output.latest > output.attempt || !output.state.is_end();
        if self.was_live && self.onward && output.attempt.0 > 0 && goes_on {
            self.before = Some((output.node, reached));
            return Ok(self.next_attempt(output.attempt));
        }
        let gaps = std::mem::take(&mut self.gaps);
        Ok(Step::End(Followed { id: output.id, state: output.state, note: output.note, gaps }))
    }

    /// Whether an answer is about the attempt that is being read. A later one has to wait until this one is read to its
    /// end.
    fn is_meant(&mut self, output: &Output) -> bool {
        match self.attempt.filter(|before| *before != output.attempt) {
            Some(before) if self.was_live && self.log.attempt.is_none() && self.offset.is_some() => {
                self.log.attempt = Some(before);
                false
            }
            _ => {
                self.attempt = Some(output.attempt).filter(|attempt| attempt.0 > 0);
                true
            }
        }
    }

    /// That attempt is read to its end: on with the one after it, from its beginning.
    fn next_attempt(&mut self, attempt: Attempt) -> Step {
        (self.live, self.log.wait_ms) = (true, POLL_WAIT_MS);
        (self.attempt, self.offset, self.missing_since) = (None, None, None);
        self.log.attempt = Some(Attempt(attempt.0.saturating_add(1)));
        self.log.from = From::Offset(0);
        Step::More
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::fake::{Answer, FakeController, run};
    use crate::model::ids::JobId;

    fn follow() -> Follow {
        Follow {
            selector: Selector::Number(JobId(7)),
            attempt: None,
            error: false,
            from: From::Offset(0),
            live: true,
        }
    }

    fn output(attempt: u32, state: State, offset: u64, bytes: &[u8], size: u64) -> Output {
        Output {
            id: "7".to_owned(),
            state,
            attempt: Attempt(attempt),
            offset,
            bytes: bytes.to_vec(),
            size,
            note: String::new(),
            start: 0,
            over: state.is_end(),
            latest: Attempt(attempt),
            node: NodeId(1),
        }
    }

    /// Answers as a controller would that has this file, in windows of its own choosing.
    fn answer(log: &Log, file: &[u8], state: State, window: usize) -> Output {
        let From::Offset(offset) = log.from else {
            return output(1, state, 0, &file[..0], file.len() as u64);
        };
        let start = (offset as usize).min(file.len());
        let end = (start + window).min(file.len());
        output(1, state, start as u64, &file[start..end], file.len() as u64)
    }

    proptest! {
        #[test]
        fn every_byte_once_in_order(file in prop::collection::vec(any::<u8>(), 0..300), windows in prop::collection::vec(0usize..40, 1..60)) {
            let mut reader = Reader::new(&follow());
            let mut seen = Vec::new();
            let mut sink = |bytes: &[u8]| { seen.extend_from_slice(bytes); Ok(()) };
            let (now, mut grown) = (Instant::now(), 0);
            for window in windows {
                grown = (grown + window).min(file.len());
                let answer = answer(&reader.log, &file[..grown], State::Running, window);
                let step = reader.take(answer, now, &mut sink).unwrap();
                prop_assert!(!matches!(step, Step::End(_)));
            }
            // It has ended, and the file is longer than what was read so far.
            let followed = loop {
                let answer = answer(&reader.log, &file, State::Completed, 17);
                if let Step::End(followed) = reader.take(answer, now, &mut sink).unwrap() {
                    break followed;
                }
            };
            prop_assert_eq!(followed.gaps, vec![]);
            prop_assert_eq!(seen, file);
        }
    }

    #[test]
    fn following_goes_on_at_its_place_over_broken_connections() {
        run(async {
            const FILE: &[u8] = b"one two three four";
            let fake = FakeController::start({
                let mut tries = 0;
                move |request| {
                    let Request::Log(log) = request else { panic!("{request:?}") };
                    tries += 1;
                    let reply = |state| Reply::Output(answer(&log, FILE, state, 4));
                    match tries {
                        1 | 3 => Answer::Die(vec![]),
                        2 => Answer::Die(vec![reply(State::Running)]),
                        4 => Answer::Replies(vec![reply(State::Running)]),
                        _ => Answer::Replies(vec![reply(State::Failed)]),
                    }
                }
            });
            let mut seen = Vec::new();
            let mut client = Client::new(fake.config());
            let all = follow();
            let followed = client.follow(&all, |bytes| {
                seen.extend_from_slice(bytes);
                Ok(())
            });
            assert_eq!(followed.await.unwrap().state, State::Failed);
            assert_eq!(seen, FILE);

            // A reader that went away ends it at once.
            let gone = client.follow(&all, |_| Err(io::Error::from(io::ErrorKind::BrokenPipe)));
            let error = gone.await.unwrap_err();
            assert!(matches!(error, ClientError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe));
        });
    }

    #[test]
    fn missing_bytes_are_waited_for_and_named() {
        let now = Instant::now();
        let mut seen = Vec::new();
        let mut sink = |bytes: &[u8]| {
            seen.extend_from_slice(bytes);
            Ok(())
        };
        let mut reader = Reader::new(&follow());
        reader.take(output(1, State::Running, 0, b"head", 4), now, &mut sink).unwrap();
        // The node is lost; what the controller has kept begins later.
        reader.take(output(1, State::NodeFail, 10, b"tail", 20), now, &mut sink).unwrap();
        let gone = || Output {
            note: "n1 is gone".to_owned(),
            over: false,
            ..output(1, State::NodeFail, 14, b"", 20)
        };
        assert!(matches!(reader.take(gone(), now, &mut sink).unwrap(), Step::Nothing));
        let now = now + MISSING_PATIENCE;
        assert!(matches!(reader.take(gone(), now, &mut sink).unwrap(), Step::More));
        assert_eq!(reader.log.wait_ms, 0, "now whatever there is");
        let Step::End(followed) = reader.take(gone(), now, &mut sink).unwrap() else { panic!("no end") };
        let gaps: Vec<(u64, u64)> = followed.gaps.iter().map(|gap| (gap.first, gap.end)).collect();
        assert_eq!((gaps, followed.note.as_str()), (vec![(4, 10), (14, 20)], "n1 is gone"));
        assert_eq!(seen, b"headtail");
    }

    #[test]
    fn what_never_started_and_what_is_only_looked_at_ends_at_once() {
        let (now, mut sink) = (Instant::now(), |_: &[u8]| Ok(()));
        let never = Output { note: "it never started".to_owned(), ..output(0, State::Cancelled, 0, b"", 0) };
        let mut reader = Reader::new(&follow());
        assert!(matches!(reader.take(never, now, &mut sink).unwrap(), Step::End(_)));
        let mut reader = Reader::new(&Follow { live: false, ..follow() });
        let nothing = output(1, State::Running, 0, b"", 0);
        assert!(matches!(reader.take(nothing, now, &mut sink).unwrap(), Step::End(_)));
    }

    #[test]
    fn an_attempt_is_read_to_its_end_before_the_next_begins() {
        let (now, mut seen) = (Instant::now(), Vec::new());
        let mut sink = |bytes: &[u8]| {
            seen.extend_from_slice(bytes);
            Ok(())
        };
        let mut reader = Reader::new(&follow());
        reader.take(output(1, State::Running, 0, b"head", 4), now, &mut sink).unwrap();
        assert_eq!((reader.log.attempt, reader.log.from), (Some(Attempt(1)), From::Offset(4)));
        let first = |offset, bytes: &[u8]| Output {
            over: true,
            latest: Attempt(2),
            ..output(1, State::Running, offset, bytes, 8)
        };
        reader.take(first(4, b"tail"), now, &mut sink).unwrap();
        reader.take(first(8, b""), now, &mut sink).unwrap();
        assert_eq!((reader.log.attempt, reader.log.from), (Some(Attempt(2)), From::Offset(0)));
        // It appends behind the other.
        let second =
            |offset, bytes: &[u8]| Output { start: 8, ..output(2, State::Completed, offset, bytes, 10) };
        reader.take(second(8, b"ok"), now, &mut sink).unwrap();
        let Step::End(followed) = reader.take(second(10, b""), now, &mut sink).unwrap() else { panic!() };
        assert_eq!((followed.gaps, followed.state), (vec![], State::Completed));
        assert_eq!(seen, b"headtailok");
    }
}
