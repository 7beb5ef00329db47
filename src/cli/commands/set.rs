//! `jqueue set`: from `KEY=VALUE` to what is to be changed.

use super::context::moment;
use crate::cli::args::values::Setting;
use crate::cli::error::CliError;
use crate::cli::moment::Towards;
use crate::cli::render::quantity::Clock;
use crate::model::parse::memory::Amount;
use crate::model::parse::{dependency, feature, hostlist, memory, span};
use crate::model::spec::Dependencies;
use crate::wire::client::Settings;

/// Reads settings; a later one of the same key wins.
///
/// # Errors
/// Values that can't be (64), keys that are not supported yet (65).
pub(super) fn settings(given: &[Setting], clock: &Clock) -> Result<Settings, CliError> {
    let mut settings = Settings::default();
    for setting in given {
        one(setting, clock, &mut settings)?;
    }
    Ok(settings)
}

fn one(setting: &Setting, clock: &Clock, settings: &mut Settings) -> Result<(), CliError> {
    let value = setting.value.trim();
    let wrong = |why: String| {
        CliError::usage("malformed_value", format!("{}: {why}", setting.key)).option(&setting.key)
    };
    let number = || value.parse::<u32>().map_err(|_| wrong(format!("`{value}` is no whole number")));
    let list =
        || value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let nodes = || match value {
        "" => Ok(Vec::new()),
        _ => hostlist::expand(value).map_err(|error| wrong(error.to_string())),
    };
    let at = || moment(value, clock, Towards::Future, &setting.key);
    match setting.key.as_str() {
        "time" => settings.time = Some(span::limit(value).map_err(|error| wrong(error.to_string()))?),
        "mem" => {
            let amount = memory::amount(value).map_err(|error| wrong(error.to_string()))?;
            (settings.memory_bytes, settings.memory_most_bytes) = match amount {
                Amount::Bytes(bytes) => (Some(bytes), None),
                Amount::Range(least, most) => (Some(least), Some(most)),
            };
        }
        "nodes" => {
            let nodes = crate::cli::request::node_range(value).map_err(wrong)?;
            if nodes.0 > 1 {
                let error =
                    CliError::script("not_supported", format!("not supported yet: set nodes={value}"));
                return Err(error.option("nodes"));
            }
            settings.nodes = Some(nodes);
        }
        "constraint" => {
            let wanted = match value {
                "" => None,
                _ => Some(feature::constraint(value).map_err(|error| wrong(error.to_string()))?),
            };
            settings.constraint = Some(wanted);
        }
        "dependency" => {
            settings.dependencies = Some(match value {
                "" => Dependencies::default(),
                _ => dependency::expression(value, None).map_err(|error| wrong(error.to_string()))?,
            });
        }
        "cpus" => settings.cpus = Some(number()?),
        "partition" => settings.partitions = Some(list()),
        "account" => settings.account = Some(value.to_owned()),
        "qos" => settings.qos = Some(value.to_owned()),
        "nice" => {
            let nice = value.parse().map_err(|_| wrong(format!("`{value}` is no whole number")))?;
            settings.nice = Some(nice);
        }
        "name" => settings.name = Some(value.to_owned()),
        "comment" => settings.comment = Some(setting.value.clone()),
        "begin" => settings.begin = Some(at()?),
        "deadline" => settings.deadline = Some(at()?),
        "nodelist" => settings.nodelist = Some(nodes()?),
        "exclude" => settings.exclude = Some(nodes()?),
        "array-limit" => settings.array_limit = Some(number()?),
        "priority" => settings.priority = Some(number()?),
        other => {
            let error = CliError::script("not_supported", format!("not supported yet: set {other}="));
            return Err(error.option(other));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::sample;
    use crate::model::time::{Seconds, TimeLimit, WallTime};

    fn read(words: &[&str]) -> Result<Settings, CliError> {
        let given: Vec<Setting> = words.iter().map(|word| word.parse().unwrap()).collect();
        settings(&given, &sample::clock())
    }

    #[test]
    fn settings_are_read_as_options_are() {
        let read = |words: &[&str]| read(words).unwrap();
        let set = read(&[
            "time=2h",
            "mem=8G",
            "partition=a,b",
            "begin=now+1h",
            "nodelist=n[1-2]",
            "nice=-5",
            "comment=",
        ]);
        assert_eq!(set.time, Some(TimeLimit(Some(Seconds(7_200)))));
        assert_eq!(set.memory_bytes, Some(8 << 30));
        assert_eq!(set.partitions, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(set.begin, Some(WallTime(sample::NOW.0 + 3_600_000_000)));
        assert_eq!(set.nodelist.map(|nodes| nodes.len()), Some(2));
        assert_eq!((set.nice, set.comment.as_deref()), (Some(-5), Some("")));
    }

    #[test]
    fn what_makes_no_sense_is_64_and_what_is_to_come_65() {
        for word in [
            "time=soon",
            "mem=much",
            "cpus=-1",
            "nice=x",
            "begin=never",
            "nodelist=n[",
            "constraint=a|",
            "dependency=last",
        ] {
            assert_eq!(read(&[word]).unwrap_err().code.number(), 64, "{word}");
        }
        assert_eq!(read(&["nodes=2"]).unwrap_err().code.number(), 65);
        let set = read(&["nodes=1", "constraint=a&b", "dependency=afterok:1", "mem=1G..4G"]).unwrap();
        assert_eq!((set.nodes, set.memory_most_bytes), (Some((1, 1)), Some(4 << 30)));
        assert_eq!(set.dependencies.map(|all| all.conditions.len()), Some(1));
        assert!(matches!(read(&["constraint="]).unwrap().constraint, Some(None)));
    }
}
