//! The node's own credentials: read from their files whenever a connection is made, and renewed there in time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::link::random;
use super::supervisor::clock;
use crate::client::renew::checked;
use crate::model::time::Seconds;
use crate::net::client::dial;
use crate::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use crate::pki::credentials::{CredentialFiles, Credentials};
use crate::pki::file::{Publish, read_public, write_public};
use crate::pki::key::KeyPair;
use crate::pki::request::request;
use crate::wire::codec;
use crate::wire::join::{CheckReply, JoinReply, RenewRequest};

/// The first frame of a connection for one new certificate.
const RENEW: &[u8] = b"renew";
/// The first frame of a connection that asks how things stand.
const CHECK: &[u8] = b"check";
/// How long the controller may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The longest pause between two looks at the certificate; clocks may be set meanwhile.
const LOOK: Seconds = Seconds(3_600);
/// The longest pause after a try that failed.
const RETRY: Seconds = Seconds(300);

/// The files, and what they held when they could last be read.
#[derive(Debug)]
pub struct Own {
    files: CredentialFiles,
    last: Mutex<Credentials>,
}

impl Own {
    /// With what was loaded at the start.
    pub fn new(files: CredentialFiles, credentials: Credentials) -> Own {
        Own { files, last: Mutex::new(credentials) }
    }

    /// What the files hold now: `jworkerd join` may have put another certificate there. While they can't be used,
    /// what they held before.
    pub fn now(&self) -> Credentials {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match Credentials::load(&self.files) {
            Ok(fresh) if fresh.bearer().identity.name == last.bearer().identity.name => *last = fresh,
            Ok(_) => tracing::warn!("the certificate is of another node now; start the daemon again"),
            Err(error) => tracing::warn!(%error, "the credentials can't be read; the old ones are used"),
        }
        last.clone()
    }

    /// Asks for a new certificate for the same key, and puts it in the place of the old one.
    ///
    /// # Errors
    /// In words.
    pub async fn renew(&self, addresses: &[String]) -> Result<(), String> {
        let key = KeyPair::read(&self.files.key).map_err(|error| error.to_string())?;
        let signing_request = request(&key).map_err(|error| error.to_string())?;
        let asked = codec::encode(&RenewRequest { signing_request }).map_err(|error| error.to_string())?;
        let answer = ask(&self.now(), addresses, &[RENEW, &asked]).await?;
        let (certificate, authority) = match codec::decode(&answer).map_err(|error| error.to_string())? {
            JoinReply::Issued { certificate, authority } => (certificate, authority),
            JoinReply::Refused(refusal) => return Err(refusal.message),
        };
        checked(&certificate, &key, &authority).map_err(|error| error.to_string())?;
        let write = |path, text: &str| {
            write_public(path, text.as_bytes(), Publish::Replace).map_err(|error| error.to_string())
        };
        if read_public(&self.files.authorities).map_err(|error| error.to_string())? != authority {
            write(&self.files.authorities, &authority)?;
        }
        write(&self.files.certificate, &certificate)
    }
}

/// Asks the controller how it is and how the node stands.
///
/// # Errors
/// In words.
pub async fn check(credentials: &Credentials, addresses: &[String]) -> Result<CheckReply, String> {
    let answer = ask(credentials, addresses, &[CHECK]).await?;
    codec::decode(&answer).map_err(|error| error.to_string())
}

/// Renews the certificate past two thirds of its life, for ever. Running jobs have no part in it.
pub async fn keep(own: Arc<Own>, addresses: Vec<String>) {
    let mut failures = 0_u32;
    loop {
        let validity = own.now().bearer().validity;
        let (life, now) = (validity.life(), clock::now().wall);
        let wait = validity.renewal().micros_since(now).min(LOOK.micros());
        // Nodes that joined together do not come back together.
        let jitter = random() % (life.micros() / 30).clamp(1, LOOK.micros());
        if wait > 0 {
            tokio::time::sleep(Duration::from_micros(wait.saturating_add(jitter))).await;
            continue;
        }
        match own.renew(&addresses).await {
            Ok(()) => {
                let end = own.now().bearer().validity.not_after.unix_seconds();
                tracing::info!(good_until_unix_seconds = end, "the node's certificate was renewed");
                failures = 0;
            }
            Err(reason) => {
                failures = failures.saturating_add(1);
                if failures.is_power_of_two() {
                    tracing::warn!(%reason, failures, "the node's certificate was not renewed; it is tried again");
                }
            }
        }
        let pause = RETRY.micros().min((life.micros() / 60).max(200_000));
        tokio::time::sleep(Duration::from_micros(pause.saturating_add(jitter / 4))).await;
    }
}

/// One question on a connection of its own.
async fn ask(credentials: &Credentials, addresses: &[String], frames: &[&[u8]]) -> Result<Vec<u8>, String> {
    let link = dial(credentials, addresses).await.map_err(|error| error.to_string())?;
    let exchange = async {
        let (send, receive) = link.connection().open_bi().await.map_err(|error| error.to_string())?;
        let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
        for frame in frames {
            writer.push(frame).map_err(|error| error.to_string())?;
        }
        writer.finish(TIMEOUT).await.map_err(|error| error.to_string())?;
        let mut reader = FrameReader::new(receive, ANSWER_BYTES_MAX);
        let answer = reader.next(Patience::of(TIMEOUT)).await.map_err(|error| error.to_string())?;
        answer.map(|bytes| bytes.to_vec()).ok_or_else(|| "the controller gave no answer".to_owned())
    };
    let answer = match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    };
    let answer = answer.map_err(|seen| link.lost().map_or(seen, |lost| lost.to_string()));
    link.finish().await;
    answer
}
