//! Exchanges a one-use token for a certificate, and writes what a client needs into a folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::net::client::{Link, dial_join};
use crate::net::frame::{JOIN_FRAME_BYTES_MAX, Patience, read_frame, write_frame};
use crate::pki::certificate::{Bearer, from_pem, to_pem};
use crate::pki::credentials::{CredentialFiles, Credentials};
use crate::pki::file::{FileError, Publish, read_public, write_public};
use crate::pki::key::{KeyError, KeyPair};
use crate::pki::request::request;
use crate::pki::token::JoinToken;
use crate::wire::codec;
use crate::wire::join::{JoinReply, JoinRequest};

use super::error::{ClientError, Trouble};
use super::renew::checked;

/// The new key of somebody who joins again, until its certificate is there.
const KEY_DRAFT: &str = "key.new.pem";
/// How long the controller may take for each half of the exchange.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What the token was exchanged for, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The certificate for the key that was shown.
    pub certificate: String,
    /// The authority's, the one that the token names.
    pub authority: String,
}

/// What to do when the controller is not the one that the token is for.
pub const TRY_ANOTHER: &str = "the token is of another cluster than the one that answers there; its admin gives another: `jnode add NAME` for a \
     node, `jctld user add NAME` for a person";

/// Asks for the first certificate, for `key` under `name`.
///
/// # Errors
/// [`ClientError::NotReached`] before anything was sent, [`ClientError::Unknown`] when no answer came, refusals.
pub async fn join(token: &JoinToken, name: &str, key: &KeyPair) -> Result<Joined, ClientError> {
    let signing_request = request(key).map_err(|error| ClientError::System(error.to_string()))?;
    let asked = JoinRequest { secret: *token.secret().bytes(), name: name.to_owned(), signing_request };
    let dialled = dial_join(token.authority(), token.cluster(), token.addresses()).await;
    let (link, authority) = dialled.map_err(|error| match Trouble::of(error, false) {
        Trouble::Final(error) => error,
        Trouble::Passing { reason, .. } => ClientError::NotReached(reason),
    })?;
    let reply = exchange(&link, &asked).await;
    link.finish().await;
    match reply? {
        JoinReply::Issued { certificate, .. } => Ok(Joined { certificate, authority: to_pem(&authority) }),
        JoinReply::Refused(refusal) => Err(ClientError::Refused(refusal)),
    }
}

/// Makes a key in `folder`, joins, and writes `cert.pem`, `ca.pem` and, last of all, the configuration `file`. A key
/// that an interrupted try left there is used again, so that the controller knows the repeat.
///
/// Where there is a configuration already, it stays, and key and certificate are replaced if they are of the same
/// cluster, role and name: that is how an expired or revoked certificate is replaced.
///
/// # Errors
/// As [`join`]; [`ClientError::System`] for files, and if what is there is somebody else's.
pub async fn join_into(token: &JoinToken, name: &str, file: &Path) -> Result<CredentialFiles, ClientError> {
    let folder = file.parent().map_or_else(PathBuf::new, Path::to_owned);
    let system = |what: String| ClientError::System(what);
    let files = CredentialFiles::in_folder(&folder);
    let again = file.exists();
    if again {
        must_be_same(token, name, file, &files)?;
    }
    std::fs::create_dir_all(&folder).map_err(|error| system(format!("{}: {error}", folder.display())))?;
    let draft = if again { folder.join(KEY_DRAFT) } else { files.key.clone() };
    let key = key_in(&draft).map_err(|error| system(error.to_string()))?;
    let joined = join(token, name, &key).await?;
    checked(&joined.certificate, &key, &joined.authority)?;
    let write = |path: &Path, text: &str| {
        write_public(path, text.as_bytes(), Publish::Replace).map_err(|error| system(error.to_string()))
    };
    write(&files.certificate, &joined.certificate)?;
    write(&files.authorities, &joined.authority)?;
    if again {
        // Last: as long as the draft is there, the same command can be repeated.
        std::fs::rename(&draft, &files.key)
            .map_err(|error| system(format!("{}: {error}", files.key.display())))?;
    }
    Credentials::load(&files).map_err(|error| ClientError::Certificate(error.to_string()))?;
    if !again {
        write(file, &configuration(token.addresses()))?;
    }
    Ok(files)
}

/// What is there may only be replaced by what is for the same bearer.
fn must_be_same(
    token: &JoinToken,
    name: &str,
    file: &Path,
    files: &CredentialFiles,
) -> Result<(), ClientError> {
    let bearer = read_public(&files.certificate).ok().and_then(|text| from_pem(&text));
    let bearer = bearer.and_then(|certificates| Bearer::of(certificates.first()?).ok());
    let same = bearer.as_ref().is_some_and(|bearer| {
        let there = &bearer.identity;
        (bearer.cluster.as_str(), there.role, there.name.as_str()) == (token.cluster(), token.role(), name)
    });
    if same {
        return Ok(());
    }
    let whose = bearer.map_or_else(String::new, |bearer| {
        format!(", for {} {} of cluster {}", bearer.identity.role, bearer.identity.name, bearer.cluster)
    });
    let path = file.display();
    Err(ClientError::System(format!(
        "{path} is there already{whose}: move it away, or name another with --config (--dir for jworkerd)"
    )))
}

/// The text of a configuration beside the usual names of its files.
pub fn configuration(controllers: &[String]) -> String {
    let list: Vec<String> = controllers.iter().map(|address| format!("{address:?}")).collect();
    format!(
        "controllers = [{}]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nca = \"ca.pem\"\n",
        list.join(", ")
    )
}

fn key_in(path: &Path) -> Result<KeyPair, KeyError> {
    let key = KeyPair::generate()?;
    match key.write(path, Publish::New) {
        Ok(()) => Ok(key),
        Err(KeyError::File(FileError::Exists { .. })) => KeyPair::read(path),
        Err(error) => Err(error),
    }
}

async fn exchange(link: &Link, asked: &JoinRequest) -> Result<JoinReply, ClientError> {
    let lost = |reason: String| {
        let reason = link.lost().map_or(reason, |error| error.to_string());
        ClientError::Unknown(format!("{reason}; the same token may be tried again"))
    };
    let body = codec::encode(asked).map_err(|error| ClientError::Protocol(error.to_string()))?;
    let (send, receive) = link.connection().open_bi().await.map_err(|error| lost(error.to_string()))?;
    write_frame(send, &body, JOIN_FRAME_BYTES_MAX, JOIN_TIMEOUT)
        .await
        .map_err(|error| lost(error.to_string()))?;
    let frame = read_frame(receive, JOIN_FRAME_BYTES_MAX, Patience::of(JOIN_TIMEOUT)).await;
    let frame = frame.map_err(|error| lost(error.to_string()))?;
    codec::decode(&frame).map_err(|error| ClientError::Protocol(format!("the controller's answer: {error}")))
}
