//! Renewal of the caller's certificate, after a command's own work and over the connection that it has anyway.

use std::convert::Infallible;
use std::fs::File;
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};

use super::connection::{credentials, encode};
use super::error::{ClientError, Trouble};
use super::session::{Client, Way};
use super::wait::unexpected;
use crate::model::time::WallTime;
use crate::pki::certificate::from_pem;
use crate::pki::credentials::Credentials;
use crate::pki::file::{Publish, read_public, write_public};
use crate::pki::key::KeyPair;
use crate::pki::request::request;
use crate::wire::client::{Reply, Request};

/// How long renewal may keep a command that has done its work.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a command that waits looks at its certificate.
const LOOK: Duration = Duration::from_secs(600);

impl Client {
    /// Renews the certificate if it is past two thirds of its life and a connection is open. The key stays, so that
    /// one file alone is replaced, at once: a command that runs meanwhile reads the old certificate or the new one,
    /// and each fits the key. Of several commands one renews. Gives a word for the user when the end is near and
    /// renewal does not work.
    pub async fn renew_if_due(&mut self, now: WallTime) -> Option<String> {
        let validity = self.credentials.as_ref()?.bearer().validity;
        if now < validity.renewal() || self.connection.is_none() {
            return None;
        }
        let renewed = tokio::time::timeout(PATIENCE, self.renew(now)).await;
        let why = match renewed {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the controller took too long".to_owned(),
        };
        // For most of the last third there is time for a better moment.
        let left = validity.not_after.micros_since(now);
        (left < validity.life().micros() / 10).then(|| {
            let hours = left / 3_600_000_000;
            format!("your certificate ends in {hours} h and was not renewed: {why}")
        })
    }

    async fn renew(&mut self, now: WallTime) -> Result<(), ClientError> {
        let system = |what: String| ClientError::System(what);
        // A job has no certificate of its own.
        let Way::Network(config) = self.way.clone() else { return Ok(()) };
        let key_file = File::open(&config.key).map_err(|error| system(error.to_string()))?;
        // Whoever has the lock renews; the others go on with what they have.
        let Ok(_lock) = Flock::lock(key_file, FlockArg::LockExclusiveNonblock) else { return Ok(()) };
        let old = credentials(&config)?;
        if now < old.bearer().validity.renewal() {
            return Ok(());
        }
        let key = KeyPair::read(&config.key).map_err(|error| system(error.to_string()))?;
        let signing_request = request(&key).map_err(|error| system(error.to_string()))?;
        let body = encode(&Request::Renew { signing_request })?;
        let reply = match self.renewal_reply(&body).await {
            Ok(reply) => reply,
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Passing { reason, .. }) => return Err(ClientError::NotReached(reason)),
        };
        let Some(Reply::Renewed { certificate, authorities }) = reply else {
            return Err(reply.map_or_else(|| system("no answer".to_owned()), |other| unexpected(&other)));
        };
        let fresh = checked(&certificate, &key, &authorities)?;
        if fresh.bearer().cluster != old.bearer().cluster || fresh.bearer().validity.not_after < now {
            return Err(ClientError::Protocol("the controller sent a certificate that is none".to_owned()));
        }
        let write = |path, text: &str| {
            write_public(path, text.as_bytes(), Publish::Replace).map_err(|error| system(error.to_string()))
        };
        if read_public(&config.ca).map_err(|error| system(error.to_string()))? != authorities {
            write(&config.ca, &authorities)?;
        }
        write(&config.certificate, &certificate)
    }

    async fn renewal_reply(&mut self, body: &[u8]) -> Result<Option<Reply>, Trouble> {
        let mut replies = self.send(body).await?;
        self.next(&mut replies).await
    }
}

/// For commands that wait for longer than certificates last: looks at the certificate now and then, and renews it over
/// a connection of its own. A command that is done sooner than the first look never notices.
pub async fn stay_renewed(way: Way) -> Infallible {
    loop {
        tokio::time::sleep(LOOK).await;
        let mut client = Client::new(way.clone());
        let now = wall();
        let due = |own: Option<&Credentials>| own.is_some_and(|own| now >= own.bearer().validity.renewal());
        if client.credentials().is_ok_and(due) && client.ask(&Request::Whoami).await.is_ok() {
            client.renew_if_due(now).await;
        }
        client.finish().await;
    }
}

fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// What was sent, once it is sure that it fits the key.
///
/// # Errors
/// [`ClientError::Protocol`] if it does not.
pub fn checked(certificate: &str, key: &KeyPair, authorities: &str) -> Result<Credentials, ClientError> {
    let wrong = |why: String| ClientError::Protocol(format!("the controller's certificate: {why}"));
    let authorities = from_pem(authorities).ok_or_else(|| wrong("no authority with it".to_owned()))?;
    let certificates = from_pem(certificate).ok_or_else(|| wrong("it is no certificate".to_owned()))?;
    let [certificate] = certificates.as_slice() else { return Err(wrong("it is more than one".to_owned())) };
    Credentials::new(certificate, key, &authorities).map_err(|error| wrong(error.to_string()))
}
