//! Real endpoints on loopback, with certificates made for the purpose.

mod admission;
mod frames;
mod life;

use std::net::SocketAddr;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;

use super::endpoint::{self, AdmissionError, Listener, Peer};
use crate::model::identity::Role;
use crate::model::ids::Uid;
use crate::model::time::{Seconds, WallTime};
use crate::pki::authority::Authority;
use crate::pki::certificate::{Subject, Validity};
use crate::pki::credentials::Credentials;
use crate::pki::key::KeyPair;
use crate::pki::request::PublicKey;

const DAY: Seconds = Seconds(86_400);

fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    WallTime(i64::try_from(since.as_micros()).unwrap())
}

fn days_from_now(days: i64) -> WallTime {
    WallTime(now().0 + days * 86_400_000_000)
}

/// An authority in a folder that goes with it.
struct Site {
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new(cluster: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        // Old enough to have issued what has ended since.
        let authority = Authority::create(folder.path(), cluster, days_from_now(-100)).unwrap();
        Site { authority, _folder: folder }
    }

    fn credentials(&self, subject: &Subject) -> Credentials {
        self.credentials_for(subject, Validity::lasting(DAY, now()))
    }

    fn credentials_for(&self, subject: &Subject, validity: Validity) -> Credentials {
        self.believing(subject, validity, &[self])
    }

    /// Credentials of this site's authority that believe the authorities of `sites`.
    fn believing(&self, subject: &Subject, validity: Validity, sites: &[&Site]) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let issued = self.authority.issue(subject, &PublicKey::of(&key).unwrap(), validity).unwrap();
        let authorities: Vec<_> = sites.iter().map(|site| site.authority.certificate().clone()).collect();
        Credentials::new(&issued.der, &key, &authorities).unwrap()
    }

    fn serve(&self) -> Serving {
        Serving::start(endpoint::server(loopback(), &self.credentials(&Subject::controller())).unwrap())
    }
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn ann() -> Subject {
    Subject::person(Role::User, "ann", Uid(1000)).unwrap()
}

type Admitted = Result<(quinn::Connection, Peer), AdmissionError>;

/// A listener that tells of each arrival what became of it.
struct Serving {
    address: String,
    arrivals: UnboundedReceiver<Admitted>,
    task: JoinHandle<()>,
}

impl Serving {
    fn start(listener: Listener) -> Serving {
        let address = listener.local_address().unwrap().to_string();
        let (tell, arrivals) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(arrival) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let _ = tell.send(arrival.admit().await);
                });
            }
        });
        Serving { address, arrivals, task }
    }

    fn addresses(&self) -> Vec<String> {
        vec![self.address.clone()]
    }

    async fn next(&mut self) -> Admitted {
        self.arrivals.recv().await.unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}
