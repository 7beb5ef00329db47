//! `jqueue login TOKEN`: makes the key here and gets the certificate for it.

use std::path::PathBuf;

use serde_json::json;

use super::context::{Context, run};
use crate::cli::args::General;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::text::print;
use crate::client::config::CONFIG_VARIABLE;
use crate::client::error::ClientError;
use crate::client::join::{TRY_ANOTHER, join_into};
use crate::model::identity::Role;
use crate::pki::token::{JoinToken, TokenName};

/// Logs in.
pub(super) fn login(context: &Context, general: &General, token: &str) -> Result<ExitCode, CliError> {
    let refused = |word, message: String| CliError::usage(word, message).option("TOKEN");
    let token = JoinToken::decode(token).map_err(|error| refused("malformed_value", error.to_string()))?;
    let name = match (token.name(), token.role()) {
        (TokenName::One(name), Role::User | Role::Operator | Role::Admin) => name.clone(),
        _ => {
            let error = refused("wrong_token", format!("this token is for a {}", token.role()));
            return Err(error.hint("`jworkerd join TOKEN` on the node; for a user: `jctld user add NAME`"));
        }
    };
    let file = target(general)?;
    run(async {
        join_into(&token, &name, &file).await.map_err(|error| match error {
            ClientError::Certificate(_) => CliError::from(error).hint(TRY_ANOTHER),
            other => other.into(),
        })
    })?;
    if context.json {
        let data =
            json!({"config": file, "name": name, "cluster": token.cluster(), "role": token.role().word()});
        context.print_json(data)?;
    } else {
        let words = format!("logged in to {} as {name} ({})\n", token.cluster(), token.role());
        print(&format!(
            "{words}configuration: {}\nnext: jqueue whoami\nthen: jsubmit --chdir /tmp --wait --wrap hostname\n",
            file.display()
        ))?;
    }
    Ok(ExitCode::Done)
}

/// Where the configuration goes: where the other commands will look first.
fn target(general: &General) -> Result<PathBuf, CliError> {
    if let Some(named) = &general.config {
        return Ok(named.clone());
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".config/jsched/config.toml"));
    variable(CONFIG_VARIABLE).or_else(home).ok_or_else(|| {
        let error = CliError::new(ExitCode::Configuration, "configuration", "there is no home directory");
        error.hint("name the file to write with --config FILE")
    })
}
