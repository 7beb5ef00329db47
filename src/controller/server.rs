//! Listens, lets in whom the certificate names, and gives each connection to the one who speaks its language.

use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;

use super::office::Office;
use super::{handlers, join, node_link};
use crate::core::Caller;
use crate::model::identity::{Identity, Role};
use crate::net::close::CloseCode;
use crate::net::endpoint::{Arrival, Listener, Peer};
use crate::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use crate::wire::client::{Refusal, RefusalCode, Reply, Request};
use crate::wire::codec::{decode, encode};

/// How long a request may take to arrive once its stream is open.
pub const REQUEST_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to read a frame.
pub const REPLY_PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes of a request: a hundred thousand jobs in one call.
const REQUEST_BYTES_MAX: usize = 48 << 20;
/// Work on more bytes than this may take longer than a millisecond.
const HEAVY_BYTES_MIN: usize = 128 << 10;
/// A client connection without an open stream is closed after this.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Serves until the endpoint is closed.
pub async fn serve(listener: &Listener, office: &Arc<Office>) {
    while let Some(arrival) = listener.accept().await {
        let office = office.clone();
        tokio::spawn(async move { receive(arrival, office).await });
    }
}

async fn receive(arrival: Arrival, office: Arc<Office>) {
    let (connection, peer) = match arrival.admit().await {
        Ok(admitted) => admitted,
        Err(error) => return tracing::info!(%error, "a connection was not admitted"),
    };
    let bearer = match peer {
        Peer::Joining => return join::serve(&office, &connection).await,
        Peer::Known(bearer) => bearer,
    };
    let identity = bearer.identity;
    let revoked = office.published.view().cluster.certificates.get(&identity.serial).and_then(|c| c.revoked);
    if revoked.is_some() {
        return connection.close(CloseCode::Revoked.varint(), b"this certificate was revoked");
    }
    let Some(id) = office.enter(&identity, &connection) else {
        tracing::warn!(who = identity.name, "too many connections of one bearer");
        return connection.close(CloseCode::Busy.varint(), b"too many connections at once; close some");
    };
    match identity.role {
        Role::User | Role::Operator | Role::Admin => serve_client(&office, &connection, identity).await,
        Role::Node => node_link::serve(&office, &connection, &identity).await,
        Role::Login | Role::Controller | Role::Job => {
            connection.close(CloseCode::NotAdmitted.varint(), b"this role has nothing to ask here");
        }
    }
    office.leave(id);
}

async fn serve_client(office: &Arc<Office>, connection: &Connection, identity: Identity) {
    let caller = Caller { identity, from: connection.remote_address().to_string() };
    let open = Arc::new(tokio::sync::Notify::new());
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    loop {
        let idle = async {
            // Nobody waits on a connection that asks nothing.
            loop {
                if count.load(std::sync::atomic::Ordering::Acquire) == 0 {
                    tokio::time::sleep(IDLE_MAX).await;
                    if count.load(std::sync::atomic::Ordering::Acquire) == 0 {
                        return;
                    }
                } else {
                    open.notified().await;
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
        count.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        let (office, caller, count, open) = (office.clone(), caller.clone(), count.clone(), open.clone());
        tokio::spawn(async move {
            let reader = FrameReader::new(receive, REQUEST_BYTES_MAX);
            let writer = FrameWriter::new(send, FRAME_BYTES_MAX);
            answer(&office, caller, reader, writer).await;
            count.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
            open.notify_one();
        });
    }
}

async fn answer(office: &Arc<Office>, caller: Caller, mut reader: FrameReader, writer: FrameWriter) {
    let frame = match reader.next(Patience::of(REQUEST_PATIENCE)).await {
        Ok(Some(frame)) => frame,
        Ok(None) => return,
        Err(error) => return tracing::info!(who = caller.identity.name, %error, "a request did not arrive"),
    };
    let mut replies = Replies::new(writer);
    let request: Request = match heavy(frame.len(), || decode(&frame)) {
        Ok(request) => request,
        Err(error) => {
            let refusal =
                Refusal::new(RefusalCode::Invalid, error.to_string(), "are both sides of one version?");
            let _ = replies.last(&Reply::Refused(refusal)).await;
            return;
        }
    };
    if let Err(error) = handlers::handle(office, caller, request, &mut replies).await {
        tracing::debug!(%error, "a reply was not delivered");
    }
}

/// Does work that grows with `bytes`; if they are many, without keeping others' work from being taken up meanwhile.
pub fn heavy<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes < HEAVY_BYTES_MIN { work() } else { tokio::task::block_in_place(work) }
}

/// The way back on one stream.
#[derive(Debug)]
pub struct Replies {
    writer: FrameWriter,
    waiting: usize,
}

/// A reply that could not be delivered: the client is gone, or does not read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Undelivered(String);

impl Replies {
    /// Over that stream.
    pub fn new(writer: FrameWriter) -> Replies {
        Replies { writer, waiting: 0 }
    }

    /// Adds a reply; what has gathered is sent when it is much, or at [`Replies::flush`].
    pub async fn push(&mut self, reply: &Reply) -> Result<(), Undelivered> {
        let bytes = encode(reply).map_err(|error| Undelivered(error.to_string()))?;
        self.waiting += bytes.len();
        self.writer.push(&bytes).map_err(|error| Undelivered(error.to_string()))?;
        if self.writer.is_full() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what has gathered.
    pub async fn flush(&mut self) -> Result<(), Undelivered> {
        self.waiting = 0;
        self.writer.flush(REPLY_PATIENCE).await.map_err(|error| Undelivered(error.to_string()))
    }

    /// The last reply: sends everything and ends the stream.
    pub async fn last(&mut self, reply: &Reply) -> Result<(), Undelivered> {
        self.push(reply).await?;
        self.end().await
    }

    /// Ends the stream after what was pushed.
    pub async fn end(&mut self) -> Result<(), Undelivered> {
        self.flush().await?;
        self.writer.stream_mut().finish().map_err(|error| Undelivered(error.to_string()))
    }

    /// Returns when the client has gone away or wants no more.
    pub async fn gone(&mut self) {
        let _ = self.writer.stream_mut().stopped().await;
    }
}
