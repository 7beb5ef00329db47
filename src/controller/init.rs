//! A new cluster: CA, certificates of the controller and of the first admin, settings, state.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::clock;
use super::config::{Config, ConfigError};
use crate::core::node_act::new_partition;
use crate::model::change::{Change, Group};
use crate::model::identity::{Role, name_is_valid};
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

/// Makes a cluster named `name` as `config`, which is written to `settings`, says. The first admin's certificate and
/// key go beside `client`, the client configuration that is written.
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
    if client.exists() {
        return Err(FileError::Exists(client.to_owned()).into());
    }
    make_private(folder)?;
    config.write_new(settings)?;
    // Read back, so that the folders are those that the daemon will use.
    let config = Config::load(settings)?;
    let client_folder = client.parent().unwrap_or(Path::new("."));
    make_private(&config.ca)?;
    make_private(&config.credentials)?;
    make_private(client_folder)?;
    let now = clock::wall();
    let authority = Authority::create(&config.ca, name, now)?;
    let life = |role| config.certificate_life(role);
    let (credentials, own) = (&config.credentials, life(Role::Controller));
    let controller = issue(&authority, &Subject::controller(), credentials, own)?;
    let person = Subject::person(Role::Admin, &admin.name, admin.uid)?;
    let first = issue(&authority, &person, client_folder, life(Role::Admin))?;
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
    life: Seconds,
) -> Result<CertificateRecord, InitError> {
    let key = KeyPair::generate()?;
    let now = clock::wall();
    let validity = Validity::lasting(life, now);
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
    let life = ttl.unwrap_or_else(|| config.certificate_life(subject.role()));
    let record = issue(&authority, subject, folder, life)?;
    write_client_config(&folder.join("client.toml"), &config.advertise)?;
    Ok(record)
}

/// A client configuration beside certificate, key and CA.
///
/// # Errors
/// The disk; nothing is overwritten.
pub fn write_client_config(path: &Path, controllers: &[String]) -> Result<(), InitError> {
    let list: Vec<String> = controllers.iter().map(|address| format!("{address:?}")).collect();
    let text = format!(
        "controllers = [{}]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nca = \"ca.pem\"\n",
        list.join(", ")
    );
    Ok(write_public(path, text.as_bytes(), Publish::New)?)
}

/// Where the first admin's configuration goes: where the commands look first, if there is none yet, else beside the
/// settings.
pub fn admin_config(settings: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let usual = home.map(|home| home.join(".config/jsched/config.toml"));
    let free = |path: &PathBuf| {
        ["config.toml", "cert.pem", "key.pem", "ca.pem"]
            .iter()
            .all(|name| !path.with_file_name(name).exists())
    };
    usual.filter(free).unwrap_or_else(|| settings.with_file_name("client").join("client.toml"))
}

/// A cluster's name from the address that it is reached at: the host's first label, `cluster` where that says nothing.
pub fn cluster_name(advertise: &str) -> String {
    let host = advertise.rsplit_once(':').map_or(advertise, |(host, _)| host);
    let is_address = |text: &str| text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let label = host.split('.').next().unwrap_or_default();
    if is_address(advertise) || is_address(host) || !name_is_valid(label) {
        return "cluster".to_owned();
    }
    label.to_owned()
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
