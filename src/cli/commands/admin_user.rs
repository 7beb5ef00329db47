//! `jctld user add`: a user, and the one-use token or the ready folder with the first certificate.

use std::path::Path;

use nix::unistd::User as Account;
use serde_json::json;

use super::context::Context;
use super::node_add::{TOKEN_TTL_DEFAULT, hash, secret, tokens};
use crate::cli::args::jctld::UserRole;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::quantity::rfc3339;
use crate::cli::text::{print, say};
use crate::client::join::join_into;
use crate::model::identity::Role;
use crate::model::ids::Uid;
use crate::model::time::Seconds;
use crate::pki::token::TokenName;
use crate::wire::client::{Admin, Request};

/// The configuration's name in a folder that `--out` makes.
const OUT_FILE: &str = "client.toml";

/// Adds a user; prints the token, or with `out` uses it here at once and writes the folder.
pub(super) fn add(
    context: &Context,
    name: &str,
    uid: Option<u32>,
    role: UserRole,
    ttl: Option<Seconds>,
    out: Option<&Path>,
) -> Result<ExitCode, CliError> {
    let uid = uid.map_or_else(|| uid_of(name), Ok)?;
    let role = match role {
        UserRole::User => Role::User,
        UserRole::Operator => Role::Operator,
        UserRole::Admin => Role::Admin,
    };
    let secret = secret()?;
    let request = Request::Admin(Admin::UserAdd {
        name: name.to_owned(),
        uid: Uid(uid),
        role,
        ttl: ttl.unwrap_or(TOKEN_TTL_DEFAULT),
        secret: hash(&secret),
    });
    context.with_client(async |client| {
        let issued = tokens(client, request, vec![(TokenName::One(name.to_owned()), secret)], role).await?;
        let Some((_, token)) = issued.tokens.first() else { return Ok(ExitCode::Done) };
        if let Some(folder) = out {
            let file = folder.join(OUT_FILE);
            join_into(token, name, &file).await?;
            if context.json {
                context.print_json(json!({"name": name, "uid": uid, "role": role.word(), "config": file}))?;
            } else {
                print(&format!("export JSCHED_CONFIG={}\n", file.display()))?;
            }
            return Ok(ExitCode::Done);
        }
        if context.json {
            let expires = rfc3339(issued.expires);
            let token = token.encode();
            context.print_json(
                json!({"name": name, "uid": uid, "role": role.word(), "token": token, "expires": expires}),
            )?;
            return Ok(ExitCode::Done);
        }
        print(&(token.encode() + "\n"))?;
        let until = context.clock.local(issued.expires);
        say(&format!("good until {until}, once; next, as {name} on the login machine:"));
        say(&format!("jqueue login {}", token.encode()));
        Ok(ExitCode::Done)
    })
}

/// The uid of that name on this machine.
fn uid_of(name: &str) -> Result<u32, CliError> {
    match Account::from_name(name) {
        Ok(Some(account)) => Ok(account.uid.as_raw()),
        _ => {
            let error = CliError::usage("no_such_user", format!("this machine knows no user `{name}`"));
            Err(error.option("--uid").hint("say the numeric id that the user has on the nodes: --uid N"))
        }
    }
}
