//! `jnode add`: one-use tokens with which nodes join. The secrets are made here; the controller sees their hashes.

use serde_json::{Value, json};

use std::io::IsTerminal;

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
use crate::model::parse::hostlist;
use crate::model::time::{Seconds, WallTime};
use crate::pki::certificate::Fingerprint;
use crate::pki::token::{JoinToken, Secret, TokenName};
use crate::wire::client::{NodeAct, Reply, Request};

/// How long tokens are good unless `--ttl` says otherwise: a day.
pub const TOKEN_TTL_DEFAULT: Seconds = Seconds(86_400);

/// To how many nodes the whole next line is said.
const NEXT_LINES_MAX: usize = 8;

/// What `jnode add` was asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The names.
    pub nodes: Vec<String>,
    /// How long the tokens are good.
    pub ttl: Option<Seconds>,
    /// One token for all of them.
    pub pool: bool,
    /// Names that have joined may join again.
    pub replace: bool,
}

/// Makes tokens and prints them, a line each.
pub(super) fn add(context: &Context, wanted: Wanted) -> Result<ExitCode, CliError> {
    let Wanted { nodes, ttl, pool, replace } = wanted;
    let ttl = ttl.unwrap_or(TOKEN_TTL_DEFAULT);
    let count = if pool { 1 } else { nodes.len() };
    let secrets = (0..count).map(|_| secret()).collect::<Result<Vec<_>, _>>()?;
    let act = match (pool, secrets.first()) {
        (true, Some(secret)) => NodeAct::AddPool { nodes: nodes.clone(), ttl, secret: hash(secret), replace },
        _ => NodeAct::Add { nodes: nodes.clone(), ttl, secrets: secrets.iter().map(hash).collect(), replace },
    };
    let names: Vec<TokenName> =
        if pool { vec![TokenName::Pool] } else { nodes.iter().cloned().map(TokenName::One).collect() };
    context.with_client(async |client| {
        let named: Vec<(TokenName, Secret)> = names.into_iter().zip(secrets).collect();
        let issued = tokens(client, Request::NodeAct(act), named, Role::Node).await?;
        let folded = hostlist::fold(&nodes);
        if context.json {
            let items = issued.tokens.iter().map(|(name, token)| {
                let node = if let TokenName::One(name) = name { name } else { &folded };
                json!({"node": node, "token": token.encode(), "expires": rfc3339(issued.expires)})
            });
            context.print_json(Value::Array(items.collect()))?;
            return Ok(ExitCode::Done);
        }
        print(&issued.tokens.iter().map(|(_, token)| token.encode() + "\n").collect::<String>())?;
        say(&format!("good until {}, each once; next:", context.clock.local(issued.expires)));
        for (name, token) in issued.tokens.iter().take(NEXT_LINES_MAX) {
            let place = match name {
                TokenName::One(name) => format!("on {name}"),
                TokenName::Pool => format!("on each of {folded}"),
            };
            // What is not a terminal may be a log, where no secret belongs.
            let word = if std::io::stderr().is_terminal() { token.encode() } else { "TOKEN".to_owned() };
            say(&format!("{place}: jworkerd join {word}"));
        }
        if issued.tokens.len() > NEXT_LINES_MAX {
            say("and so on: jworkerd join TOKEN on each node, the tokens in the order of the names");
        }
        Ok(ExitCode::Done)
    })
}

/// What the controller recorded, and the tokens that it makes good.
pub(super) struct Issued {
    /// Name and token, in the order that was asked for.
    pub tokens: Vec<(TokenName, JoinToken)>,
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
    named: Vec<(TokenName, Secret)>,
    role: Role,
) -> Result<Issued, CliError> {
    let again = "the same command; it makes new tokens, and those that were not printed are worth nothing";
    let answer = client.ask(&request).await.map_err(|error| with_repeat(error.into(), again))?;
    let Reply::Tokens { addresses, cluster, fingerprint, expires } = answer else {
        return Err(unexpected(&answer).into());
    };
    let make = |(name, secret): (TokenName, Secret)| {
        let authority = Fingerprint(fingerprint);
        let made = JoinToken::with_secret(secret, addresses.clone(), authority, &cluster, role, name.clone());
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
