//! Listens, lets in whom the certificate names, and gives each connection to the one who speaks its language.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::office::{Office, REVOKED};
use super::quota::{Admitted, Bearer, SMALL_BYTES};
use super::strangers::Kind;
use super::{handlers, join, node_link, renew};
use crate::core::Caller;
use crate::model::identity::{Identity, Role};
use crate::net::close::CloseCode;
use crate::net::endpoint::{AdmissionError, Arrival, Listener, Peer, Pressure};
use crate::net::frame::{FRAME_BYTES_MAX, FrameError, FrameReader, FrameWriter, Patience};
use crate::net::transport::{CLIENT_WINDOW_BYTES, KNOWN_WINDOW_BYTES};
use crate::wire::client::{Refusal, RefusalCode, Reply, Request};
use crate::wire::codec::{decode, encode};

/// How long a request may take to arrive once its stream is open.
pub const REQUEST_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to read a frame.
pub const REPLY_PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes of a request: a hundred thousand jobs in one call.
const REQUEST_BYTES_MAX: usize = 48 << 20;
/// A client connection without an open stream is closed after this.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Serves until the endpoint is closed.
pub async fn serve(listener: &Listener, office: &Arc<Office>) {
    let told = |pressure, from| {
        let (kind, why) = match pressure {
            Pressure::Proving => (Kind::Proving, "too many handshakes are open"),
            Pressure::TurnedAway => (Kind::TurnedAway, "far too many handshakes are open"),
        };
        office.strangers.note(kind, &from, &why);
    };
    while let Some(arrival) = listener.accept_or(told).await {
        let office = office.clone();
        tokio::spawn(async move { receive(arrival, office).await });
    }
}

async fn receive(arrival: Arrival, office: Arc<Office>) {
    let from = arrival.from();
    let (connection, peer) = match arrival.admit().await {
        Ok(admitted) => admitted,
        Err(error) => {
            let kind = match &error {
                AdmissionError::Handshake { .. } => Kind::Handshake,
                AdmissionError::Slow { .. } => Kind::SlowHandshake,
                AdmissionError::NoCertificate { .. } | AdmissionError::Certificate { .. } => {
                    Kind::Certificate
                }
            };
            return office.strangers.note(kind, &from, &error);
        }
    };
    let bearer = match peer {
        Peer::Joining => {
            let Some(_place) = office.quotas.join() else {
                office.strangers.note(Kind::Connections, &from, &"too many join at once");
                return connection.close(CloseCode::Busy.varint(), b"too many join at once; try again");
            };
            return join::serve(&office, &connection).await;
        }
        Peer::Known(bearer) => bearer,
    };
    let admitted = match office.quotas.enter(&bearer, &connection) {
        Ok(admitted) => admitted,
        Err(why) => {
            office.strangers.note(Kind::Connections, &bearer.identity.name, &why);
            return connection.close(CloseCode::Busy.varint(), why.as_bytes());
        }
    };
    // Entered first: whoever is revoked from here on is cut off as a connection that is open.
    let known = office.published.view().cluster.certificates.get(&bearer.identity.serial).map(|c| c.revoked);
    if known.is_none() {
        renew::first_seen(&office, &bearer).await;
    }
    if known.flatten().is_some() {
        office.strangers.note(Kind::Revoked, &bearer.identity.name, &bearer.identity.serial);
        return connection.close(CloseCode::Revoked.varint(), REVOKED.as_bytes());
    }
    let identity = bearer.identity;
    match identity.role {
        Role::User | Role::Operator | Role::Admin => {
            serve_client(&office, &connection, identity, &admitted).await
        }
        Role::Node => node_link::serve(&office, &connection, &identity).await,
        Role::Login | Role::Controller | Role::Job => {
            connection.close(CloseCode::NotAdmitted.varint(), b"this role has nothing to ask here");
        }
    }
}

async fn serve_client(
    office: &Arc<Office>,
    connection: &Connection,
    identity: Identity,
    admitted: &Admitted,
) {
    let caller = Caller { identity, from: connection.remote_address().to_string() };
    let ended = Arc::new(Notify::new());
    let busy = || admitted.busy.load(Ordering::Acquire) > 0;
    loop {
        let idle = async {
            // Nobody waits on a connection that asks nothing.
            loop {
                while busy() {
                    ended.notified().await;
                }
                tokio::time::sleep(IDLE_MAX).await;
                if !busy() {
                    return;
                }
            }
        };
        let (send, receive) = tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok(stream) => stream,
                Err(_) => return,
            },
            () = idle => return connection.close(CloseCode::Idle.varint(), b"idle"),
        };
        let stream = Stream {
            connection: connection.clone(),
            bearer: admitted.bearer.clone(),
            open: Open::count(&admitted.busy, &ended),
        };
        let (office, caller) = (office.clone(), caller.clone());
        tokio::spawn(async move {
            let reader = FrameReader::new(receive, REQUEST_BYTES_MAX);
            let writer = FrameWriter::new(send, FRAME_BYTES_MAX);
            answer(&office, caller, reader, writer, stream).await;
        });
    }
}

/// What a request's stream belongs to.
struct Stream {
    connection: Connection,
    bearer: Arc<Bearer>,
    /// Counted until it is dropped.
    #[allow(dead_code, reason = "it acts when it is dropped")]
    open: Open,
}

/// An open stream of a connection.
struct Open {
    busy: Arc<AtomicUsize>,
    ended: Arc<Notify>,
}

impl Open {
    fn count(busy: &Arc<AtomicUsize>, ended: &Arc<Notify>) -> Open {
        busy.fetch_add(1, Ordering::AcqRel);
        Open { busy: busy.clone(), ended: ended.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.busy.fetch_sub(1, Ordering::AcqRel);
        self.ended.notify_one();
    }
}

async fn answer(
    office: &Arc<Office>,
    caller: Caller,
    mut reader: FrameReader,
    writer: FrameWriter,
    stream: Stream,
) {
    let mut replies = Replies::new(writer).on(&stream.connection);
    let busy = |why: &str| Reply::Refused(Refusal::new(RefusalCode::Busy, why, "try again"));
    let who = caller.identity.name.clone();
    let Some(_one) = stream.bearer.request() else {
        let why = "you have too many requests open at once";
        office.strangers.note(Kind::Requests, &who, &why);
        let _ = replies.last(&busy(why)).await;
        return;
    };
    let (frame, _room) = match read_request(office, &mut reader, &stream).await {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(error) => {
            let kind = match &error {
                Unread::Frame(FrameError::Slow(_)) => Kind::SlowRequest,
                Unread::Frame(_) => Kind::Malformed,
                Unread::NoRoom => Kind::Large,
            };
            office.strangers.note(kind, &who, &error);
            if matches!(error, Unread::NoRoom) {
                let _ = replies.last(&busy("there is no room for another large request now")).await;
            }
            return;
        }
    };
    // What takes long must not keep the others of this thread waiting.
    let large = frame.len() > SMALL_BYTES;
    let decoded =
        if large { tokio::task::block_in_place(|| decode::<Request>(&frame)) } else { decode(&frame) };
    let request: Request = match decoded {
        Ok(request) => request,
        Err(error) => {
            office.strangers.note(Kind::Malformed, &who, &error);
            let refusal =
                Refusal::new(RefusalCode::Invalid, error.to_string(), "are both sides of one version?");
            let _ = replies.last(&Reply::Refused(refusal)).await;
            return;
        }
    };
    drop(frame);
    if let Err(error) = handlers::handle(office, caller, &stream.bearer, request, &mut replies).await {
        if error.slow {
            office.strangers.note(Kind::SlowReader, &who, &error);
        }
        tracing::debug!(%error, "a reply was not delivered");
    }
}

/// Why a request was not read.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("no room within {} s", REQUEST_PATIENCE.as_secs())]
    NoRoom,
}

type Room = Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>;

/// Reads a request; a large one only once there is room for it, which it then holds.
async fn read_request(
    office: &Office,
    reader: &mut FrameReader,
    stream: &Stream,
) -> Result<Option<(Bytes, Room)>, Unread> {
    let Some(bytes) = reader.announced(REQUEST_PATIENCE).await? else { return Ok(None) };
    let mut room = None;
    if bytes > SMALL_BYTES {
        let given = tokio::time::timeout(REQUEST_PATIENCE, office.quotas.large(&stream.bearer, bytes)).await;
        room = Some(given.ok().flatten().ok_or(Unread::NoRoom)?);
        stream.connection.set_receive_window(KNOWN_WINDOW_BYTES.into());
    }
    let frame = reader.next(Patience::of(REQUEST_PATIENCE)).await;
    if bytes > SMALL_BYTES {
        stream.connection.set_receive_window(CLIENT_WINDOW_BYTES.into());
    }
    Ok(frame?.map(|frame| (frame, room)))
}

/// The way back on one stream.
#[derive(Debug)]
pub struct Replies {
    writer: FrameWriter,
    waiting: usize,
    connection: Option<Connection>,
}

/// A reply that could not be delivered: the client is gone, or does not read.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct Undelivered {
    words: String,
    /// It does not read.
    slow: bool,
}

impl Undelivered {
    /// The client does not read.
    pub fn slow(words: &str) -> Undelivered {
        Undelivered { words: words.to_owned(), slow: true }
    }

    fn of(error: &dyn std::fmt::Display) -> Undelivered {
        Undelivered { words: error.to_string(), slow: false }
    }
}

impl Replies {
    /// Over that stream.
    pub fn new(writer: FrameWriter) -> Replies {
        Replies { writer, waiting: 0, connection: None }
    }

    /// Of that client's own connection.
    pub fn on(mut self, connection: &Connection) -> Replies {
        self.connection = Some(connection.clone());
        self
    }

    /// Adds a reply; what has gathered is sent when it is much, or at [`Replies::flush`].
    pub async fn push(&mut self, reply: &Reply) -> Result<(), Undelivered> {
        let bytes = encode(reply).map_err(|error| Undelivered::of(&error))?;
        self.waiting += bytes.len();
        self.writer.push(&bytes).map_err(|error| Undelivered::of(&error))?;
        if self.writer.is_full() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what has gathered.
    pub async fn flush(&mut self) -> Result<(), Undelivered> {
        self.waiting = 0;
        let flushed = self.writer.flush(REPLY_PATIENCE).await;
        flushed.map_err(|error| Undelivered {
            slow: matches!(error, FrameError::Slow(_)),
            words: error.to_string(),
        })
    }

    /// The last reply: sends everything and ends the stream.
    pub async fn last(&mut self, reply: &Reply) -> Result<(), Undelivered> {
        self.push(reply).await?;
        self.end().await
    }

    /// Ends the stream after what was pushed.
    pub async fn end(&mut self) -> Result<(), Undelivered> {
        self.flush().await?;
        self.writer.stream_mut().finish().map_err(|error| Undelivered::of(&error))
    }

    /// Whether the connection ended because nothing was heard any more.
    pub fn fell_silent(&self) -> bool {
        let end = self.connection.as_ref().and_then(Connection::close_reason);
        matches!(end, Some(quinn::ConnectionError::TimedOut))
    }

    /// Returns when the client has gone away or wants no more.
    pub async fn gone(&mut self) {
        let _ = self.writer.stream_mut().stopped().await;
    }
}
