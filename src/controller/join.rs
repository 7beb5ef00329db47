//! Joining: a one-use secret for a certificate. The use of the token and the certificate's record are durable
//! before the certificate leaves.

use std::time::Duration;

use quinn::Connection;

use super::clock;
use super::office::Office;
use crate::core::Command;
use crate::model::ids::ContentHash;
use crate::model::record::{CertificateRecord, TokenRecord};
use crate::net::close::CloseCode;
use crate::net::frame::{FrameReader, FrameWriter, JOIN_FRAME_BYTES_MAX, Patience};
use crate::pki::certificate::{Subject, Validity};
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
        let reply = answer(office, &frame, &connection.remote_address().to_string()).await;
        let mut writer = FrameWriter::new(send, JOIN_FRAME_BYTES_MAX);
        writer.push(&encode(&reply).ok()?).ok()?;
        writer.finish(PATIENCE).await.ok()
    };
    let _ = tokio::time::timeout(PATIENCE, exchange).await;
    // The peer closes once it has read the answer.
    let _ = tokio::time::timeout(PATIENCE, connection.closed()).await;
    connection.close(CloseCode::Done.varint(), b"done");
}

async fn answer(office: &Office, frame: &[u8], from: &str) -> JoinReply {
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
    let command = Command::Join { hash, name: request.name, from: from.to_owned() };
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
    match issue(office, &token, &key).await {
        Ok(certificate) => JoinReply::Issued { certificate, authority: office.authority.pem() },
        Err(error) => refuse(RefusalCode::Conflict, error, "ask an admin for a new token"),
    }
}

async fn issue(office: &Office, token: &TokenRecord, key: &PublicKey) -> Result<String, String> {
    let subject = Subject::new(token.role, &token.name, token.uid).map_err(|error| error.to_string())?;
    let now = clock::wall();
    let validity = Validity::usual(token.role, now);
    let issued = office.authority.issue(&subject, key, validity).map_err(|error| error.to_string())?;
    let record = CertificateRecord {
        serial: issued.serial,
        role: token.role,
        name: token.name.clone(),
        issued: now,
        expires: issued.not_after,
        revoked: None,
    };
    office.driver.ask(Command::Issued(record), None).await.ok_or("the controller is stopping")?;
    Ok(issued.pem)
}
