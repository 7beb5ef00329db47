//! One connection to the controller, and the stream of replies to one request.

use std::time::Duration;

use crate::net::client::{Link, dial};
use crate::net::frame::{FrameError, FrameReader, FrameWriter, Patience};
use crate::pki::credentials::{CredentialFiles, Credentials};
use crate::wire::client::{Reply, Request};
use crate::wire::codec::{self, BODY_BYTES_MAX};

use super::config::Config;
use super::error::{ClientError, Trouble};
use super::inside::Conversation;

/// How long the controller may take to read a request.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a reply that has begun may take to arrive whole.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a frame in either direction: a whole body and its head.
pub(super) const FRAME_BYTES_MAX: usize = BODY_BYTES_MAX + 64;

/// Loads what the configuration names.
///
/// # Errors
/// [`ClientError::Certificate`].
pub fn credentials(config: &Config) -> Result<Credentials, ClientError> {
    let files = CredentialFiles {
        certificate: config.certificate.clone(),
        key: config.key.clone(),
        authorities: config.ca.clone(),
    };
    Credentials::load(&files)
        .map_err(|error| ClientError::Certificate(format!("{error} (named in {})", config.file.display())))
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    link: Link,
}

impl Connection {
    /// Dials the first controller that answers.
    pub(super) async fn open(
        credentials: &Credentials,
        controllers: &[String],
    ) -> Result<Connection, Trouble> {
        let link = dial(credentials, controllers).await.map_err(|error| Trouble::of(error, false))?;
        Ok(Connection { link })
    }

    /// Sends an encoded request on a stream of its own.
    pub(super) async fn request(&self, body: &[u8]) -> Result<Replies, Trouble> {
        let opened = self.link.connection().open_bi().await;
        let (send, receive) = opened.map_err(|error| self.broken(false, &error.to_string()))?;
        let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
        writer.push(body).map_err(|error| Trouble::Final(ClientError::Protocol(error.to_string())))?;
        // The controller may refuse before it has read all: then writing fails, and the replies say why.
        let written = writer.finish(SEND_TIMEOUT).await;
        let replies = Replies::Network(FrameReader::new(receive, FRAME_BYTES_MAX));
        match written {
            Ok(()) => Ok(replies),
            Err(FrameError::Write(quinn::WriteError::Stopped(_))) => Ok(replies),
            Err(error) => Err(self.broken(true, &error.to_string())),
        }
    }

    /// The next reply of a stream of this connection; `None` at its end.
    pub(super) async fn next(&self, reader: &mut FrameReader) -> Result<Option<Reply>, Trouble> {
        let frame = reader.next(Patience::for_events(REPLY_TIMEOUT)).await;
        match frame {
            Ok(Some(bytes)) => decode_reply(&bytes).map(Some),
            Ok(None) => Ok(None),
            Err(error @ FrameError::TooLong { .. }) => {
                Err(Trouble::Final(ClientError::Protocol(format!("the controller's answer: {error}"))))
            }
            Err(error) => Err(self.broken(true, &error.to_string())),
        }
    }

    /// The address that answered.
    pub fn address(&self) -> &str {
        self.link.address()
    }

    /// Whether it has ended.
    pub fn is_gone(&self) -> bool {
        self.link.lost().is_some()
    }

    /// Closes it; returns as soon as the kernel has the close.
    pub async fn finish(self) {
        self.link.finish().await;
    }

    /// What an error of a stream means: if the connection is gone, that says more than the stream does.
    fn broken(&self, sent: bool, reason: &str) -> Trouble {
        match self.link.lost() {
            Some(error) => Trouble::of(error, sent),
            None => Trouble::Passing { sent, reason: reason.to_owned() },
        }
    }
}

/// The replies to one request.
#[derive(Debug)]
pub(super) enum Replies {
    /// On a stream of the connection.
    Network(FrameReader),
    /// At the job's socket.
    Inside(Conversation),
}

/// Decodes a reply.
pub(super) fn decode_reply(frame: &[u8]) -> Result<Reply, Trouble> {
    codec::decode(frame)
        .map_err(|error| Trouble::Final(ClientError::Protocol(format!("the controller's answer: {error}"))))
}

/// Encodes a request.
pub(super) fn encode(request: &Request) -> Result<Vec<u8>, ClientError> {
    codec::encode(request)
        .map_err(|error| ClientError::Protocol(format!("the request can't be sent: {error}")))
}
