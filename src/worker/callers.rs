//! Commands inside jobs: each of their connections becomes a stream to the controller, and bytes pass both ways. The
//! daemon says in whose name a stream is, and looks at nothing of what is said on it.
//!
//! Memory is bounded: an attempt has at most [`CALLERS_PER_ATTEMPT_MAX`] connections here, of them at most
//! [`SENDING_PER_ATTEMPT_MAX`] that send their request at the same time, the node [`JOB_STREAMS_MAX`] in all.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use quinn::{RecvStream, SendStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::model::ids::{Attempt, TaskRef};
use crate::net::close::CloseCode;
use crate::net::frame::HEADER_BYTES;
use crate::wire::codec::{self, Body};
use crate::wire::inside::{Gate, JOB_REQUEST_BYTES_MAX, JOB_STREAMS_MAX, JobCall};

/// The most connections of one attempt.
pub const CALLERS_PER_ATTEMPT_MAX: usize = 64;
/// The most of them that send their requests at once.
pub const SENDING_PER_ATTEMPT_MAX: usize = 4;

/// How long a caller waits for a connection to the controller before it is told to come again.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(5);
/// How long a request may take to pass.
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);
/// How long a caller may take to read what it was sent.
const REPLY_PATIENCE: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 16 << 10;

/// Takes callers in.
#[derive(Clone, Debug)]
pub struct Callers {
    connection: watch::Receiver<Option<quinn::Connection>>,
    streams: Arc<Semaphore>,
    attempts: Arc<Mutex<Attempts>>,
}

type Attempts = BTreeMap<(TaskRef, Attempt), Weak<Places>>;

/// What one attempt may have at once.
#[derive(Debug)]
struct Places {
    callers: Semaphore,
    sending: Semaphore,
}

/// Why a caller was not served to the end. Nobody hears of most of it: the caller is gone.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("the controller's side: {0}")]
    Controller(String),
    #[error("it took too long")]
    Slow,
}

impl Callers {
    /// Passes callers on over the connection that is there at the time.
    pub fn new(connection: watch::Receiver<Option<quinn::Connection>>) -> Callers {
        let streams = Arc::new(Semaphore::new(usize::try_from(JOB_STREAMS_MAX).unwrap_or(1)));
        Callers { connection, streams, attempts: Arc::default() }
    }

    /// Serves a caller that its supervisor knows as a process of this attempt.
    pub fn take(&self, task: TaskRef, attempt: Attempt, socket: OwnedFd) {
        let stream = std::os::unix::net::UnixStream::from(socket);
        let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(job = %task.job, %error, "a call from a job was lost"),
        };
        let (this, places) = (self.clone(), self.places(task, attempt));
        tokio::spawn(async move {
            if let Err(error) = this.serve(JobCall { task, attempt }, &places, stream).await {
                tracing::debug!(job = %task.job, %error, "a call from a job was broken off");
            }
        });
    }

    fn places(&self, task: TaskRef, attempt: Attempt) -> Arc<Places> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = attempts.get(&(task, attempt)).and_then(Weak::upgrade) {
            return places;
        }
        attempts.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Places {
            callers: Semaphore::new(CALLERS_PER_ATTEMPT_MAX),
            sending: Semaphore::new(SENDING_PER_ATTEMPT_MAX),
        });
        attempts.insert((task, attempt), Arc::downgrade(&places));
        places
    }

    async fn serve(&self, call: JobCall, places: &Places, stream: UnixStream) -> Result<(), Broken> {
        let (mut from, mut to) = stream.into_split();
        let busy = |reason: &str| Gate::Busy { reason: reason.to_owned() };
        let Ok(_place) = places.callers.try_acquire() else {
            let reason = format!("this job asks more than {CALLERS_PER_ATTEMPT_MAX} things at once");
            return say(&mut to, &busy(&reason)).await;
        };
        let Ok(_stream) = self.streams.try_acquire() else {
            return say(&mut to, &busy("the jobs of this node ask too much at once")).await;
        };
        let mut shared = self.connection.clone();
        let connection = timeout(CONNECTION_PATIENCE, shared.wait_for(Option::is_some)).await;
        let connection = connection.ok().and_then(|found| found.ok()?.clone());
        let Some(connection) = connection else {
            return say(&mut to, &busy("the node has no connection with the controller")).await;
        };
        let sending = places.sending.acquire().await.map_err(|_| Broken::Slow)?;
        let in_words = |error: &dyn std::fmt::Display| Broken::Controller(error.to_string());
        let opened = connection.open_bi().await;
        let (mut send, mut receive) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let reason = format!("the node has lost the controller: {error}");
                return say(&mut to, &busy(&reason)).await;
            }
        };
        send.write_all(&frame(&call)).await.map_err(|error| in_words(&error))?;
        say(&mut to, &Gate::Open).await?;
        let asked = timeout(REQUEST_PATIENCE, pass_request(&mut from, &mut send)).await;
        drop(sending);
        let outcome = match asked.unwrap_or(Err(Broken::Slow)) {
            Ok(()) => tokio::select! {
                // A caller that is gone wants no more.
                gone = until_gone(&mut from) => gone,
                passed = pass_replies(&mut receive, &mut to) => passed,
            },
            Err(error) => Err(error),
        };
        // Where the stream has ended properly these change nothing; else the controller hears at once.
        let _ = receive.stop(CloseCode::Done.varint());
        let _ = send.reset(CloseCode::Done.varint());
        outcome
    }
}

/// Passes the one frame of a request on.
async fn pass_request(from: &mut OwnedReadHalf, send: &mut SendStream) -> Result<(), Broken> {
    let in_words = |error: quinn::WriteError| Broken::Controller(error.to_string());
    let mut header = [0; HEADER_BYTES];
    from.read_exact(&mut header).await?;
    let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    send.write_all(&header).await.map_err(in_words)?;
    // The controller refuses what is too long, and says so; nothing of it is sent.
    let mut left = if length > JOB_REQUEST_BYTES_MAX { 0 } else { length };
    let mut bytes = vec![0; READ_BYTES];
    while left > 0 {
        let most = left.min(READ_BYTES);
        let count = from.read(bytes.get_mut(..most).unwrap_or_default()).await?;
        if count == 0 {
            return Err(Broken::Socket(std::io::ErrorKind::UnexpectedEof.into()));
        }
        send.write_all(bytes.get(..count).unwrap_or_default()).await.map_err(in_words)?;
        left -= count;
    }
    // A stream that is gone already says so when it is read.
    let _ = send.finish();
    Ok(())
}

/// Returns when the caller has closed its side; what it says after its request is thrown away.
async fn until_gone(from: &mut OwnedReadHalf) -> Result<(), Broken> {
    let mut bytes = [0; 256];
    while from.read(&mut bytes).await? > 0 {}
    Ok(())
}

async fn pass_replies(receive: &mut RecvStream, to: &mut OwnedWriteHalf) -> Result<(), Broken> {
    loop {
        let chunk = receive.read_chunk(READ_BYTES, true).await;
        let Some(chunk) = chunk.map_err(|error| Broken::Controller(error.to_string()))? else { break };
        timeout(REPLY_PATIENCE, to.write_all(&chunk.bytes)).await.map_err(|_| Broken::Slow)??;
    }
    Ok(to.shutdown().await?)
}

async fn say(to: &mut OwnedWriteHalf, gate: &Gate) -> Result<(), Broken> {
    Ok(timeout(REPLY_PATIENCE, to.write_all(&frame(gate))).await.map_err(|_| Broken::Slow)??)
}

/// A message as a frame: both kinds are far below any limit.
fn frame<T: Body>(message: &T) -> Vec<u8> {
    let body = codec::encode(message).unwrap_or_default();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], &body].concat()
}
