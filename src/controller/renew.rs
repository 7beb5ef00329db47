//! Certificates after the first one: renewal for whoever is known, the daemon's own, and those that were signed on
//! the CA's host without the daemon.

use std::time::Duration;

use super::clock;
use super::config::Config;
use super::office::Office;
use crate::core::Command;
use crate::core::state::Cluster;
use crate::core::tokens::CERTIFICATES_MAX;
use crate::model::identity::{Identity, Role};
use crate::model::record::CertificateRecord;
use crate::model::time::{Seconds, WallTime};
use crate::net::endpoint::Listener;
use crate::pki::authority::{Authority, AuthorityError};
use crate::pki::certificate::{Bearer, Subject, Validity};
use crate::pki::credentials::{CredentialFiles, Credentials, CredentialsError};
use crate::pki::file::{FileError, Publish, write_public};
use crate::pki::key::{KeyError, KeyPair};
use crate::pki::request::{PublicKey, RequestError};
use crate::wire::client::{Refusal, RefusalCode};

/// How often the daemon looks at what has ended meanwhile; sooner where lives are short.
const UPKEEP: Duration = Duration::from_secs(60);

/// Why the daemon's own certificate could not be renewed.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// What is there can't be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The CA.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A signing request, never.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a renewal gives: certificate and authorities, PEM.
pub type Renewed = (String, String);

/// Signs a certificate and makes its record durable before it is handed over.
///
/// # Errors
/// In words.
pub async fn issue(
    office: &Office,
    subject: &Subject,
    key: &PublicKey,
    life: Seconds,
) -> Result<String, String> {
    let now = clock::wall();
    let validity = Validity::lasting(life, now);
    let issued = office.authority.issue(subject, key, validity).map_err(|error| error.to_string())?;
    let record = CertificateRecord {
        serial: issued.serial,
        role: subject.role(),
        name: subject.name().to_owned(),
        issued: now,
        expires: issued.not_after,
        revoked: None,
    };
    office.driver.ask(Command::Issued(record), None).await.ok_or("the controller is stopping")?;
    Ok(issued.pem)
}

/// A certificate in place of the one that `identity` came with; it counts no longer than that one did.
///
/// # Errors
/// Why there is none.
pub async fn renew(office: &Office, identity: &Identity, request: &[u8]) -> Result<Renewed, Refusal> {
    let invalid = |error: RequestError| Refusal::new(RefusalCode::Invalid, error.to_string(), "");
    let key = PublicKey::from_request(request).map_err(invalid)?;
    let view = office.published.view();
    let (subject, life) = renewable(&view.cluster, identity, clock::wall())?;
    let life = life.min(office.config.certificate_life(identity.role));
    let certificate = issue(office, &subject, &key, life).await;
    let certificate =
        certificate.map_err(|error| Refusal::new(RefusalCode::Conflict, error, "try again later"))?;
    tracing::info!(who = identity.name, role = %identity.role, old = %identity.serial, "a certificate was renewed");
    Ok((certificate, office.authorities.clone()))
}

/// For whom the new certificate is, and how long it may count at most.
fn renewable(cluster: &Cluster, identity: &Identity, now: WallTime) -> Result<(Subject, Seconds), Refusal> {
    let refused = |why: String| {
        let hint = "ask an admin for a new token: `jctld user add NAME`, or `jnode add NAME --replace`";
        Refusal::new(RefusalCode::NotAllowed, why, hint)
    };
    let Some(record) = cluster.certificates.get(&identity.serial).filter(|record| record.revoked.is_none())
    else {
        return Err(refused("this certificate was revoked or is not known".to_owned()));
    };
    let Identity { role, name, uid, .. } = identity;
    match role {
        Role::User | Role::Operator | Role::Admin => {
            let user = cluster.users.get(name.as_str());
            if user.is_none_or(|user| Some(user.uid) != *uid || user.role != *role) {
                return Err(refused(format!("{role} {name} is not known with this role and uid any more")));
            }
        }
        Role::Node => {
            if !cluster.node_names.contains_key(name.as_str()) {
                return Err(refused(format!("node {name} was removed")));
            }
        }
        Role::Login | Role::Controller | Role::Job => {
            return Err(refused(format!("certificates of role {role} are not renewed")));
        }
    }
    let others = cluster.certificates.values().filter(|other| {
        other.role == *role && other.name == *name && other.revoked.is_none() && other.expires > now
    });
    if others.count() >= CERTIFICATES_MAX {
        let why = format!("{role} {name} has {CERTIFICATES_MAX} certificates that count");
        return Err(Refusal::new(RefusalCode::Limit, why, "`jctld ca revoke` takes some of them back"));
    }
    let subject = Subject::new(*role, name, *uid).map_err(|error| refused(error.to_string()))?;
    Ok((subject, Seconds(record.expires.micros_since(record.issued) / 1_000_000)))
}

/// A certificate that the CA's host signed without the daemon comes for the first time: from here on it is listed.
pub async fn first_seen(office: &Office, bearer: &Bearer) {
    let Identity { role, name, serial, .. } = bearer.identity.clone();
    tracing::info!(%role, name, %serial, "a certificate that was signed on the CA's host came for the first time");
    let issued = WallTime(bearer.validity.not_before.0);
    let expires = bearer.validity.not_after;
    let record = CertificateRecord { serial, role, name, issued, expires, revoked: None };
    let _ = office.driver.ask(Command::Issued(record), None).await;
}

/// The daemon's own credentials, renewed here if they are due or over, and the record of what was signed for that.
///
/// # Errors
/// What is wrong with the files or the CA.
pub fn own(
    config: &Config,
    authority: &Authority,
) -> Result<(Credentials, Option<CertificateRecord>), OwnError> {
    let files = CredentialFiles::in_folder(&config.credentials);
    let credentials = Credentials::load(&files)?;
    let (bearer, now) = (credentials.bearer(), clock::wall());
    if bearer.identity.role != Role::Controller || bearer.validity.renewal() > now {
        return Ok((credentials, None));
    }
    let key = KeyPair::read(&files.key)?;
    let subject = Subject::controller();
    let validity = Validity::lasting(config.certificate_life(Role::Controller), now);
    let issued = authority.issue(&subject, &PublicKey::of(&key)?, validity)?;
    write_public(&files.certificate, issued.pem.as_bytes(), Publish::Replace)?;
    tracing::info!(serial = %issued.serial, "the daemon's own certificate was renewed");
    let record = CertificateRecord {
        serial: issued.serial,
        role: Role::Controller,
        name: subject.name().to_owned(),
        issued: now,
        expires: issued.not_after,
        revoked: None,
    };
    Ok((Credentials::load(&files)?, Some(record)))
}

/// Renews the daemon's own certificate in time and ends connections whose certificates have ended, for ever.
pub async fn upkeep(listener: &Listener, office: &Office) {
    let lives = [Role::User, Role::Node, Role::Controller].map(|role| office.config.certificate_life(role));
    let shortest = lives.into_iter().min().unwrap_or_default();
    let pause = UPKEEP.min(Duration::from_secs((shortest.0 / 6).max(1)));
    loop {
        tokio::time::sleep(pause).await;
        office.quotas.cut_off_expired(clock::wall());
        match own(&office.config, &office.authority) {
            Ok((_, None)) => {}
            Ok((credentials, Some(record))) => {
                if let Err(error) = listener.replace_credentials(&credentials) {
                    tracing::error!(%error, "the renewed certificate can't be used");
                }
                let _ = office.driver.ask(Command::Issued(record), None).await;
            }
            Err(error) => tracing::error!(%error, "the daemon's own certificate was not renewed"),
        }
    }
}
