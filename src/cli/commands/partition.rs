//! `jnode partition`: set, list, remove.

use serde_json::Value;

use super::context::Context;
use super::node_act::plain;
use super::node_list::ask;
use crate::cli::args::jnode::Partition;
use crate::cli::args::values::Setting;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::partition::{partition_json, partitions as table};
use crate::cli::table::terminal_width;
use crate::cli::text::print;
use crate::model::parse::{hostlist, memory, span};
use crate::sched::policy::Policy;
use crate::wire::client::{NodeAct, PartitionPolicy, PartitionSettings, PartitionState};

/// Does what is asked with partitions.
pub(super) fn partition(context: &Context, verb: Partition) -> Result<ExitCode, CliError> {
    match verb {
        Partition::Set { name, settings: given } => {
            plain(context, NodeAct::PartitionSet(partition_settings(&name, &given)?))
        }
        Partition::Remove { name } => plain(context, NodeAct::PartitionRemove { name }),
        Partition::List => list(context),
    }
}

fn list(context: &Context) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        let (nodes, partitions) = ask(client).await?;
        if context.json {
            let items = partitions.iter().map(|one| Value::Object(partition_json(one, &nodes)));
            context.print_json(Value::Array(items.collect()))?;
        } else {
            print(&table(&partitions).text(true, terminal_width()))?;
        }
        Ok(ExitCode::Done)
    })
}

/// Reads `KEY=VALUE`s; a later one of the same key wins.
///
/// # Errors
/// Keys and values that can't be (64), or are not honoured yet (65).
pub(in crate::cli) fn partition_settings(
    name: &str,
    given: &[Setting],
) -> Result<PartitionSettings, CliError> {
    let mut settings = PartitionSettings { name: name.to_owned(), ..PartitionSettings::default() };
    for setting in given {
        one(setting, &mut settings)?;
    }
    Ok(settings)
}

fn one(setting: &Setting, settings: &mut PartitionSettings) -> Result<(), CliError> {
    let value = setting.value.trim();
    let wrong = |why: String| {
        CliError::usage("malformed_value", format!("{}: {why}", setting.key)).option(&setting.key)
    };
    let limit = || span::limit(value).map_err(|error| wrong(error.to_string()));
    match setting.key.as_str() {
        "nodes" if value.is_empty() => settings.nodes = Some(Vec::new()),
        "nodes" if value.eq_ignore_ascii_case("all") => settings.nodes = Some(vec!["ALL".to_owned()]),
        "nodes" => settings.nodes = Some(hostlist::expand(value).map_err(|error| wrong(error.to_string()))?),
        "default" => {
            settings.default = Some(match value.to_ascii_lowercase().as_str() {
                "yes" | "true" | "1" => true,
                "no" | "false" | "0" => false,
                _ => return Err(wrong(format!("`{value}` is neither yes nor no"))),
            });
        }
        "state" => {
            settings.state = Some(match value.to_ascii_lowercase().as_str() {
                "up" => PartitionState::Up,
                "down" => PartitionState::Down,
                "closed" => PartitionState::Closed,
                _ => return Err(wrong(format!("`{value}` is none of up, down, closed"))),
            });
        }
        "max-time" => settings.max_time = Some(limit()?),
        "default-time" => settings.default_time = Some(limit()?),
        "default-mem-per-cpu" => {
            let bytes = if value.is_empty() { Ok(0) } else { memory::bytes(value) };
            settings.default_memory_per_cpu_bytes = Some(bytes.map_err(|error| wrong(error.to_string()))?);
        }
        "priority" => {
            let number = value.parse().map_err(|_| wrong(format!("`{value}` is no whole number")))?;
            settings.priority = Some(number);
        }
        "max-nodes" => {
            let most = if value.is_empty() { Ok(0) } else { value.parse::<u32>() };
            settings.nodes_max = Some(most.map_err(|_| wrong(format!("`{value}` is no whole number")))?);
        }
        "accounts" => {
            let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
            settings.accounts = Some(words.map(str::to_owned).collect());
        }
        "policy" => settings.policy = Some(policy(value)?),
        other => {
            let error = CliError::script("not_supported", format!("not supported yet: {other}={value}"));
            return Err(error.option(other));
        }
    }
    Ok(())
}

fn policy(name: &str) -> Result<PartitionPolicy, CliError> {
    let found = PartitionPolicy::named(name);
    found.ok_or_else(|| {
        let all = PartitionPolicy::names().collect::<Vec<_>>().join(" ");
        let later = ["smart", "rr"];
        let planned = later.contains(&name) || name.starts_with("rr:") || Policy::named(name).is_some();
        let error = if planned {
            CliError::script("not_supported", format!("not supported for partitions yet: policy={name}"))
        } else {
            CliError::usage("malformed_value", format!("policy: `{name}` is no policy"))
        };
        error.option("policy").hint(format!("partitions can have one of: {all}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<PartitionSettings, CliError> {
        let given: Vec<Setting> = words.iter().map(|word| word.parse().unwrap()).collect();
        partition_settings("main", &given)
    }

    #[test]
    fn settings_are_read_or_refused_with_their_code() {
        let set = read(&[
            "nodes=n[1-3]",
            "default=yes",
            "state=closed",
            "max-time=UNLIMITED",
            "priority=-3",
            "accounts=a,b",
            "max-nodes=2",
        ])
        .unwrap();
        assert_eq!((set.accounts.as_ref().map(Vec::len), set.nodes_max), (Some(2), Some(2)));
        assert_eq!(set.nodes.as_ref().map(Vec::len), Some(3));
        assert_eq!(
            (set.default, set.state, set.priority),
            (Some(true), Some(PartitionState::Closed), Some(-3))
        );
        assert_eq!(set.max_time.map(|limit| limit.0), Some(None));
        assert_eq!(read(&["nodes=all"]).unwrap().nodes, Some(vec!["ALL".to_owned()]));
        for word in ["default=maybe", "state=open", "max-time=x", "nodes=n["] {
            assert_eq!(read(&[word]).unwrap_err().code.number(), 64, "{word}");
        }
        for word in ["policy=smart", "policy=rr:60", "policy=wfp3-easy", "requeue=no"] {
            assert_eq!(read(&[word]).unwrap_err().code.number(), 65, "{word}");
        }
        assert_eq!(read(&["policy=smrt"]).unwrap_err().code.number(), 64);
        assert_eq!(read(&["policy=sjf-easy"]).unwrap().policy, Some(PartitionPolicy::SjfEasy));
    }
}
