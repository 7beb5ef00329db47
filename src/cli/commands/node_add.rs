//! `jnode add`: one-use tokens with which nodes join. The secrets are made here; the controller sees their hashes.

use serde_json::{Value, json};

use super::context::Context;
use super::failure::with_repeat;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::quantity::rfc3339;
use crate::cli::text::{print, say};
use crate::client::error::ClientError;
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::model::identity::Role;
use crate::model::ids::ContentHash;
use crate::model::time::{Seconds, WallTime};
use crate::pki::certificate::Fingerprint;
use crate::pki::token::{JoinToken, Secret, TokenName};
use crate::wire::client::{NodeAct, Reply, Request};

/// How long tokens are good unless `--ttl` says otherwise: a day.
pub const TOKEN_TTL_DEFAULT: Seconds = Seconds(86_400);

/// Makes tokens and prints them, a line each.
pub(super) fn add(
    context: &Context,
    nodes: Vec<String>,
    ttl: Option<Seconds>,
    replace: bool,
) -> Result<ExitCode, CliError> {
    let secrets = nodes.iter().map(|_| secret()).collect::<Result<Vec<_>, _>>()?;
    let act = NodeAct::Add {
        nodes: nodes.clone(),
        ttl: ttl.unwrap_or(TOKEN_TTL_DEFAULT),
        secrets: secrets.iter().map(hash).collect(),
        replace,
    };
    context.with_client(async |client| {
        let named: Vec<(String, Secret)> = nodes.into_iter().zip(secrets).collect();
        let issued = tokens(client, Request::NodeAct(act), named, Role::Node).await?;
        if context.json {
            let items = issued.tokens.iter().map(|(name, token)| {
                json!({"node": name, "token": token.encode(), "expires": rfc3339(issued.expires)})
            });
            context.print_json(Value::Array(items.collect()))?;
            return Ok(ExitCode::Done);
        }
        print(&issued.tokens.iter().map(|(_, token)| token.encode() + "\n").collect::<String>())?;
        let until = context.clock.local(issued.expires);
        say(&format!(
            "good until {until}, each once; next, on each node: jworkerd join TOKEN && jworkerd run"
        ));
        Ok(ExitCode::Done)
    })
}

/// What the controller recorded, and the tokens that it makes good.
pub(super) struct Issued {
    /// Name and token, in the order that was asked for.
    pub tokens: Vec<(String, JoinToken)>,
    /// Until when they are good.
    pub expires: WallTime,
}

/// Sends a request that is answered with what tokens need, and makes them of the secrets.
///
/// # Errors
/// See [`ClientError`].
pub(super) async fn tokens(
    client: &mut Client,
    request: Request,
    named: Vec<(String, Secret)>,
    role: Role,
) -> Result<Issued, CliError> {
    let again = "the same command; it makes new tokens, and those that were not printed are worth nothing";
    let answer = client.ask(&request).await.map_err(|error| with_repeat(error.into(), again))?;
    let Reply::Tokens { addresses, cluster, fingerprint, expires } = answer else {
        return Err(unexpected(&answer).into());
    };
    let make = |(name, secret): (String, Secret)| {
        let (for_one, authority) = (TokenName::One(name.clone()), Fingerprint(fingerprint));
        let made = JoinToken::with_secret(secret, addresses.clone(), authority, &cluster, role, for_one);
        made.map(|token| (name, token)).map_err(|error| ClientError::Protocol(error.to_string()).into())
    };
    Ok(Issued { tokens: named.into_iter().map(make).collect::<Result<_, CliError>>()?, expires })
}

/// A new secret.
///
/// # Errors
/// [`ClientError::System`] when there is no randomness.
pub(super) fn secret() -> Result<Secret, CliError> {
    Secret::random().map_err(|error| ClientError::System(error.to_string()).into())
}

/// What the controller gets to see of a secret.
pub(super) fn hash(secret: &Secret) -> ContentHash {
    ContentHash(secret.hash().0)
}
