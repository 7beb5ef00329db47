//! A new cluster: CA, certificates of the controller and of the first admin, settings, state.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::clock;
use super::config::{Config, ConfigError};
use crate::core::node_act::new_partition;
use crate::model::change::{Change, Group};
use crate::model::identity::Role;
use crate::model::ids::{Incarnation, JobId, NodeId, Position, Uid};
use crate::model::record::{CertificateRecord, PartitionRecord, UserRecord};
use crate::model::time::{Seconds, TimeLimit};
use crate::pki::authority::{Authority, AuthorityError};
use crate::pki::certificate::{Subject, SubjectError, Validity};
use crate::pki::file::{FileError, Publish, write_public};
use crate::pki::key::{KeyError, KeyPair};
use crate::pki::request::{PublicKey, RequestError};
use crate::store::cluster_file::{self, ClusterFile, ClusterFileError};
use crate::store::disk::real::RealDisk;
use crate::store::disk::{Disk, DiskError};
use crate::store::journal::Journal;
use crate::store::log::{Claim, Log, LogError};
use crate::wire::codec::{DecodeError, encode};

/// Why there is no new cluster.
#[derive(Debug, Error)]
pub enum InitError {
    /// Settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The CA.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A name.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A signing request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A file of the PKI.
    #[error(transparent)]
    File(#[from] FileError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The journal.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The cluster file.
    #[error(transparent)]
    Cluster(#[from] ClusterFileError),
    /// The first records.
    #[error(transparent)]
    Encode(#[from] DecodeError),
    /// Something else on the way.
    #[error("{0}")]
    Other(String),
}

/// Who the first admin is.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: Uid,
}

/// Makes a cluster named `name` as `config`, which is written to `settings`, says. The first admin's certificate,
/// key and client configuration go into `client`.
///
/// # Errors
/// What is there already is never overwritten.
pub fn init(
    settings: &Path,
    config: &Config,
    name: &str,
    admin: &Admin,
    client: &Path,
) -> Result<(), InitError> {
    let folder = settings.parent().unwrap_or(Path::new("."));
    make_private(folder)?;
    config.write_new(settings)?;
    // Read back, so that the folders are those that the daemon will use.
    let config = Config::load(settings)?;
    make_private(&config.ca)?;
    make_private(&config.credentials)?;
    make_private(client)?;
    let now = clock::wall();
    let authority = Authority::create(&config.ca, name, now)?;
    let controller = issue(&authority, &Subject::controller(), &config.credentials, None)?;
    let person = Subject::person(Role::Admin, &admin.name, admin.uid)?;
    let first = issue(&authority, &person, client, None)?;
    write_client_config(client, &config.advertise)?;
    let user = UserRecord { name: admin.name.clone(), uid: admin.uid, role: Role::Admin };
    let main = PartitionRecord {
        default: true,
        default_time: Some(TimeLimit(Some(Seconds(86_400)))),
        ..new_partition("main")
    };
    let changes = vec![
        Change::NextJob(JobId(1)),
        Change::NextNode(NodeId(1)),
        Change::Partition(Box::new(main)),
        Change::User(user),
        Change::Certificate(controller),
        Change::Certificate(first),
    ];
    make_state(&config.state, name, changes)
}

fn make_state(folder: &Path, name: &str, changes: Vec<Change>) -> Result<(), InitError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| InitError::Other(error.to_string()))?;
    let incarnation = Incarnation(random);
    make_private(folder)?;
    let disk = RealDisk::create(folder)?;
    Journal::create(&disk, incarnation)?;
    let mut journal = Journal::new(Arc::new(disk.clone()) as Arc<dyn Disk>);
    let opened = journal.open(Claim { incarnation })?;
    let payload = encode(&Group { changes })?;
    journal.append(opened.epoch, Position(opened.end.0 + 1), &payload)?;
    journal.sync()?;
    journal.close()?;
    // Last: only with it is the folder a cluster's.
    cluster_file::create(&disk, &ClusterFile { name: name.to_owned(), incarnation })?;
    Ok(())
}

/// Makes a key in `folder`, and a certificate for it.
fn issue(
    authority: &Authority,
    subject: &Subject,
    folder: &Path,
    ttl: Option<Seconds>,
) -> Result<CertificateRecord, InitError> {
    let key = KeyPair::generate()?;
    let now = clock::wall();
    let usual = Validity::usual(subject.role(), now);
    let validity = ttl.map_or(usual, |ttl| Validity::lasting(ttl, now));
    let issued = authority.issue(subject, &PublicKey::of(&key)?, validity)?;
    key.write(&folder.join("key.pem"), Publish::New)?;
    write_public(&folder.join("cert.pem"), issued.pem.as_bytes(), Publish::New)?;
    write_public(&folder.join("ca.pem"), authority.pem().as_bytes(), Publish::New)?;
    Ok(CertificateRecord {
        serial: issued.serial,
        role: subject.role(),
        name: subject.name().to_owned(),
        issued: now,
        expires: issued.not_after,
        revoked: None,
    })
}

/// Signs a certificate on the CA's host, whether the daemon runs or not; the daemon learns of it when it is used.
/// It counts as long as `ttl`, else as long as is usual for its role.
///
/// # Errors
/// The CA, the name, or the files, none of which is overwritten.
pub fn issue_offline(
    config: &Config,
    subject: &Subject,
    folder: &Path,
    ttl: Option<Seconds>,
) -> Result<CertificateRecord, InitError> {
    make_private(folder)?;
    let authority = Authority::load(&config.ca)?;
    let record = issue(&authority, subject, folder, ttl)?;
    write_client_config(folder, &config.advertise)?;
    Ok(record)
}

/// `client.toml` in a folder with certificate, key and CA.
pub fn write_client_config(folder: &Path, controllers: &[String]) -> Result<PathBuf, InitError> {
    let list: Vec<String> = controllers.iter().map(|address| format!("{address:?}")).collect();
    let text = format!(
        "controllers = [{}]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nca = \"ca.pem\"\n",
        list.join(", ")
    );
    let path = folder.join("client.toml");
    write_public(&path, text.as_bytes(), Publish::New)?;
    Ok(path)
}

fn make_private(folder: &Path) -> Result<(), InitError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| InitError::Other(format!("{}: {error}", folder.display())))
}

/// Who runs this, by name and uid.
pub fn whoami() -> (String, Uid) {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    (user.map_or_else(|| format!("uid{uid}"), |user| user.name), Uid(uid.as_raw()))
}

/// A person as a subject; the uid is that of the name on this host unless given.
///
/// # Errors
/// A name that is not known here, or that can't be one.
pub fn person(name: &str, role: Role, uid: Option<u32>) -> Result<Subject, InitError> {
    let uid = match uid {
        Some(uid) => uid,
        None => {
            let user = nix::unistd::User::from_name(name).ok().flatten();
            let unknown = || InitError::Other(format!("user {name} is not known on this host; give --uid"));
            user.ok_or_else(unknown)?.uid.as_raw()
        }
    };
    Ok(Subject::person(role, name, Uid(uid))?)
}
