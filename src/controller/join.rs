//! Joining: a one-use secret for a certificate. The use of the token and the certificate's record are durable
//! before the certificate leaves.

use std::time::Duration;

use quinn::Connection;

use super::office::Office;
use super::renew;
use crate::core::Command;
use crate::core::tokens::Joining;
use crate::model::ids::ContentHash;
use crate::net::close::CloseCode;
use crate::net::frame::{FrameReader, FrameWriter, JOIN_FRAME_BYTES_MAX, Patience};
use crate::pki::certificate::Subject;
use crate::pki::request::PublicKey;
use crate::pki::token::Secret;
use crate::wire::client::{Refusal, RefusalCode, Reply};
use crate::wire::codec::{decode, encode};
use crate::wire::join::{JoinReply, JoinRequest};

/// How long the exchange may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves one exchange on a join connection.
pub async fn serve(office: &Office, connection: &Connection) {
    let exchange = async {
        let (send, receive) = connection.accept_bi().await.ok()?;
        let mut reader = FrameReader::new(receive, JOIN_FRAME_BYTES_MAX);
        let frame = reader.next(Patience::of(PATIENCE)).await.ok()??;
        let reply = answer(office, &frame, connection.remote_address().to_string()).await;
        let mut writer = FrameWriter::new(send, JOIN_FRAME_BYTES_MAX);
        writer.push(&encode(&reply).ok()?).ok()?;
        writer.finish(PATIENCE).await.ok()
    };
    let _ = tokio::time::timeout(PATIENCE, exchange).await;
    // The peer closes once it has read the answer.
    let _ = tokio::time::timeout(PATIENCE, connection.closed()).await;
    connection.close(CloseCode::Done.varint(), b"done");
}

async fn answer(office: &Office, frame: &[u8], from: String) -> JoinReply {
    let refuse = |code, message: String, hint: &str| JoinReply::Refused(Refusal::new(code, message, hint));
    let request: JoinRequest = match decode(frame) {
        Ok(request) => request,
        Err(error) => return refuse(RefusalCode::Invalid, error.to_string(), ""),
    };
    let key = match PublicKey::from_request(&request.signing_request) {
        Ok(key) => key,
        Err(error) => return refuse(RefusalCode::Invalid, error.to_string(), ""),
    };
    let hash = ContentHash(Secret::from_bytes(request.secret).hash().0);
    let joining = Joining { hash, name: request.name, key: ContentHash(key.digest()), from };
    let command = Command::Join(joining);
    let Some(answer) = office.driver.ask(command, None).await else {
        return refuse(RefusalCode::Stopping, "the controller is stopping".to_owned(), "try again");
    };
    if let Some(Reply::Refused(refusal)) = answer.reply {
        tracing::warn!(reason = refusal.message, "a join was refused");
        return JoinReply::Refused(refusal);
    }
    let Some(token) = answer.issue else {
        return refuse(RefusalCode::Conflict, "nothing to issue".to_owned(), "");
    };
    let issued = match Subject::new(token.role, &token.name, token.uid) {
        Ok(subject) => {
            let life = office.config.certificate_life(token.role);
            renew::issue(office, &subject, &key, life).await
        }
        Err(error) => Err(error.to_string()),
    };
    match issued {
        Ok(certificate) => JoinReply::Issued { certificate, authority: office.authority.pem() },
        Err(error) => refuse(RefusalCode::Conflict, error, "ask an admin for a new token"),
    }
}
