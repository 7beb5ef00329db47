//! `jnode set`: what is known of nodes.

use super::context::Context;
use super::node_act::plain;
use crate::cli::args::values::Setting;
use crate::cli::error::{CliError, ExitCode};
use crate::model::parse::hostlist;
use crate::model::record::NODE_WEIGHT;
use crate::wire::client::NodeAct;
use crate::wire::config::NodeSettings;

/// Sets what was named; the rest stays.
///
/// # Errors
/// Values that can't be (64); generic resources, which are not supported yet (65).
pub(super) fn set(context: &Context, nodes: Vec<String>, given: &[Setting]) -> Result<ExitCode, CliError> {
    plain(context, act(nodes, given)?)
}

/// What a configuration says of nodes; what it leaves out is as of a new one.
///
/// # Errors
/// As of [`set`]; and a list of partitions, since those say which nodes they have.
pub(in crate::cli) fn node_settings(entry: &str, given: &[Setting]) -> Result<NodeSettings, CliError> {
    let names = hostlist::expand(entry)
        .map_err(|error| CliError::usage("malformed_value", format!("`{entry}`: {error}")))?;
    let NodeAct::Set { nodes: names, features, weight, partitions: None } = act(names, given)? else {
        let message = "partitions: a partition's own `nodes` says which nodes it has";
        return Err(CliError::usage("unknown_key", message).option("partitions"));
    };
    let (features, weight) = (features.unwrap_or_default(), weight.unwrap_or(NODE_WEIGHT));
    Ok(NodeSettings { entry: entry.to_owned(), names, features, weight })
}

fn act(nodes: Vec<String>, given: &[Setting]) -> Result<NodeAct, CliError> {
    let (mut features, mut weight, mut partitions) = (None, None, None);
    for setting in given {
        let value = setting.value.trim();
        let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
        let words: Vec<String> = words.map(str::to_owned).collect();
        match setting.key.as_str() {
            "features" => features = Some(words),
            "partitions" => partitions = Some(words),
            "weight" => {
                let number = value.parse::<u32>().map_err(|_| {
                    let why = format!("weight: `{value}` is no whole number");
                    CliError::usage("malformed_value", why).option("weight")
                });
                weight = Some(number?);
            }
            other => {
                let error = CliError::script("not_supported", format!("not supported yet: set {other}="));
                return Err(error.option(other));
            }
        }
    }
    Ok(NodeAct::Set { nodes, features, weight, partitions })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<NodeAct, CliError> {
        let given: Vec<Setting> = words.iter().map(|word| word.parse().unwrap()).collect();
        act(vec!["n1".to_owned()], &given)
    }

    #[test]
    fn settings_are_read_or_refused_with_their_code() {
        let strings = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let nodes = vec!["n1".to_owned()];
        let all =
            NodeAct::Set { nodes, features: strings(&["a", "b"]), weight: Some(3), partitions: strings(&[]) };
        assert_eq!(read(&["features=a, b", "weight=3", "partitions="]), Ok(all));
        assert_eq!(read(&["weight=-1"]).unwrap_err().code.number(), 64);
        assert_eq!(read(&["gres=gpu:1"]).unwrap_err().code.number(), 65);
    }
}
