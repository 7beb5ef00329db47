//! From arguments that were read to what the wire carries: selections, listings, settings of jobs and partitions.

use std::fmt::Display;

use jiff::tz::TimeZone;

use super::args::filters::{Filters, Selection};
use super::args::jqueue;
use super::args::values::{Jobs, Setting};
use super::error::CliError;
use super::moment::{self, Towards};
use super::request::{COUNT_MAX, bounded, count, hosts, names};
use crate::model::identity::name_is_valid;
use crate::model::parse::selector::JobSelector;
use crate::model::parse::{memory, span};
use crate::model::spec::{COMMENT_BYTES_MAX, JOB_NAME_BYTES_MAX};
use crate::model::time::{Seconds, WallTime};
use crate::wire::client::{self as wire, Filter, PartitionSettings, PartitionState, Selector};

/// How far back ended jobs are looked for when nobody says.
const ENDED_SINCE_DEFAULT: Seconds = Seconds(86_400);

/// Who reads the arguments, and when: times of day depend on it.
#[derive(Clone, Debug)]
pub struct Here {
    /// The time.
    pub now: WallTime,
    /// The zone in which times of day are meant.
    pub zone: TimeZone,
}

impl Here {
    /// A moment that lies in the past, such as `--since`.
    ///
    /// # Errors
    /// What is no moment (64).
    pub fn past(&self, option: &str, text: &str) -> Result<WallTime, CliError> {
        self.place(option, text, Towards::Past)
    }

    /// A moment that is to come, such as `--deadline`.
    ///
    /// # Errors
    /// What is no moment (64).
    pub fn future(&self, option: &str, text: &str) -> Result<WallTime, CliError> {
        self.place(option, text, Towards::Future)
    }

    fn place(&self, option: &str, text: &str, towards: Towards) -> Result<WallTime, CliError> {
        moment::place(text, self.now, &self.zone, towards).map_err(|why| malformed(option, &why))
    }

    fn a_day_ago(&self) -> WallTime {
        WallTime(self.now.0.saturating_sub(i64::try_from(ENDED_SINCE_DEFAULT.micros()).unwrap_or(i64::MAX)))
    }
}

/// What a verb's jobs are. Without a selector only the caller's own are meant, unless users are named, and ended ones
/// of the last 24 hours where `-t` asks for ends.
pub fn selection(selection: &Selection, here: &Here) -> wire::Selection {
    chosen(&selection.selectors, &selection.filters, &selection.names.name, here)
}

/// The same for a verb that has its own form, such as `log` and `set`.
pub fn chosen(selectors: &[Jobs], filters: &Filters, names: &[String], here: &Here) -> wire::Selection {
    let all = selectors.iter().chain(&filters.jobs).flat_map(|jobs| jobs.0.iter());
    let selectors: Vec<Selector> = all.map(selector).collect();
    let own = filters.me || (selectors.is_empty() && filters.user.is_empty());
    let ends = selectors.is_empty() && filters.states.is_some_and(|states| states.has_ends());
    let filter = Filter { own, ended_since: ends.then(|| here.a_day_ago()), ..filter(filters, names) };
    wire::Selection { selectors, filter }
}

/// What a listing shows: the own jobs, unless everybody's or some users' are asked for.
///
/// # Errors
/// `--since` that is no moment (64).
pub fn listing(list: &jqueue::List, here: &Here) -> Result<wire::List, CliError> {
    let mut selection = chosen(&[], &list.filters, &list.names.name, here);
    if list.all && !list.filters.me {
        selection.filter.own = false;
    }
    // A job that is named is shown whosever it is.
    if !selection.selectors.is_empty() && list.filters.states.is_some_and(|states| states.has_ends()) {
        selection.filter.ended_since = Some(here.a_day_ago());
    }
    if let Some(since) = &list.since {
        selection.filter.ended_since = Some(here.past("--since", since)?);
    }
    Ok(wire::List { selection, expand: list.array, brief: false })
}

/// One selector.
pub fn selector(selector: &JobSelector) -> Selector {
    match selector {
        JobSelector::Job(id) => Selector::Number(*id),
        JobSelector::Tasks(id, tasks) => Selector::Tasks(*id, tasks.clone()),
        JobSelector::Name(name) => Selector::Name(name.clone()),
        JobSelector::Last => Selector::Last,
    }
}

/// What `jqueue set`, `requeue --with` and `why --what-if` change.
///
/// # Errors
/// Values that make no sense (64); keys that can't be changed yet (65).
pub fn settings(settings: &[Setting], here: &Here) -> Result<wire::Settings, CliError> {
    let mut changed = wire::Settings::default();
    for setting in settings {
        let (key, value) = (setting.key.as_str(), setting.value.as_str());
        match key {
            "time" => changed.time = Some(read(key, span::limit(value))?),
            "mem" => changed.memory_bytes = Some(read(key, memory::bytes(value))?),
            "cpus" => changed.cpus = Some(read(key, count(value, 1, COUNT_MAX))?),
            "partition" => changed.partitions = Some(read(key, names(value))?),
            "account" => changed.account = Some(read(key, name(value))?),
            "qos" => changed.qos = Some(read(key, name(value))?),
            "nice" => changed.nice = Some(read(key, value.parse::<i32>())?),
            "name" => changed.name = Some(read(key, bounded(value, JOB_NAME_BYTES_MAX))?),
            "comment" => changed.comment = Some(read(key, bounded(value, COMMENT_BYTES_MAX))?),
            "begin" => changed.begin = Some(here.future("begin", value)?),
            "deadline" => changed.deadline = Some(here.future("deadline", value)?),
            "nodelist" => changed.nodelist = Some(nodes(key, value)?),
            "exclude" => changed.exclude = Some(nodes(key, value)?),
            "array-limit" => changed.array_limit = Some(read(key, count(value, 0, u32::MAX))?),
            _ => return Err(later(key)),
        }
    }
    Ok(changed)
}

/// What `jnode partition set` changes.
///
/// # Errors
/// A name or values that make no sense (64); keys that can't be changed yet (65).
pub fn partition(partition: &str, settings: &[Setting]) -> Result<PartitionSettings, CliError> {
    if !name_is_valid(partition) {
        return Err(malformed("the partition", &format!("`{partition}` can't be a name")));
    }
    let mut changed = PartitionSettings { name: partition.to_owned(), ..PartitionSettings::default() };
    for setting in settings {
        let (key, value) = (setting.key.as_str(), setting.value.as_str());
        match key {
            "nodes" if value.eq_ignore_ascii_case("all") => changed.nodes = Some(vec!["ALL".to_owned()]),
            "nodes" => changed.nodes = Some(nodes(key, value)?),
            "default" => changed.default = Some(read(key, yes_or_no(value))?),
            "state" => changed.state = Some(read(key, partition_state(value))?),
            "max-time" => changed.max_time = Some(read(key, span::limit(value))?),
            "default-time" => changed.default_time = Some(read(key, span::limit(value))?),
            "default-mem-per-cpu" => {
                changed.default_memory_per_cpu_bytes = Some(read(key, memory::bytes(value))?)
            }
            "priority" => changed.priority = Some(read(key, value.parse::<i32>())?),
            _ => return Err(later(key)),
        }
    }
    Ok(changed)
}

fn filter(filters: &Filters, names: &[String]) -> Filter {
    Filter {
        own: false,
        users: filters.user.clone(),
        names: names.to_vec(),
        partitions: filters.partition.clone(),
        states: filters.states.map_or(Vec::new(), |states| states.iter().collect()),
        accounts: filters.account.clone(),
        qos: filters.qos.clone(),
        nodes: filters.nodelist.clone().map_or(Vec::new(), |nodes| nodes.0),
        ended_since: None,
    }
}

/// Nothing takes away what was set before.
fn nodes(key: &str, value: &str) -> Result<Vec<String>, CliError> {
    if value.is_empty() { Ok(Vec::new()) } else { read(key, hosts(value)) }
}

fn name(text: &str) -> Result<String, String> {
    let fits = text.is_empty() || name_is_valid(text);
    if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` can't be a name")) }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither yes nor no")),
    }
}

fn partition_state(text: &str) -> Result<PartitionState, String> {
    match text.to_ascii_lowercase().as_str() {
        "up" => Ok(PartitionState::Up),
        "down" => Ok(PartitionState::Down),
        "closed" => Ok(PartitionState::Closed),
        _ => Err(format!("`{text}` is none of up, down and closed")),
    }
}

fn read<T, E: Display>(key: &str, value: Result<T, E>) -> Result<T, CliError> {
    value.map_err(|why| malformed(key, &why))
}

fn malformed(what: &str, why: &dyn Display) -> CliError {
    CliError::usage("malformed_value", format!("{what}: {why}")).option(what)
}

fn later(key: &str) -> CliError {
    CliError::script("not_supported", format!("not supported yet: {key}=")).option(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::JobId;
    use crate::model::state::State;
    use crate::model::time::TimeLimit;

    const NOW: WallTime = WallTime(1_795_348_800_000_000);

    fn here() -> Here {
        Here { now: NOW, zone: TimeZone::UTC }
    }

    fn listed(line: &str) -> wire::List {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        match super::super::args::parse::<jqueue::JQueue>(&words).unwrap() {
            super::super::args::Parsed::Run(jqueue) => listing(&jqueue.list, &here()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn acted(line: &str) -> wire::Selection {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        match super::super::args::parse::<super::super::args::jcancel::JCancel>(&words).unwrap() {
            super::super::args::Parsed::Run(jcancel) => selection(&jcancel.selection, &here()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_own_jobs_are_meant_unless_others_are_asked_for() {
        assert!(listed("").selection.filter.own);
        assert!(listed("-p main").selection.filter.own);
        assert!(!listed("-a").selection.filter.own);
        assert!(!listed("-u ada").selection.filter.own);
        assert!(!listed("-j 7").selection.filter.own);
        assert!(listed("-a --me").selection.filter.own);
        assert!(acted("-t PD").filter.own && !acted("7").filter.own && acted("7 --me").filter.own);
        assert_eq!(acted("7,8_[1-2] last").selectors[0], Selector::Number(JobId(7)));
        assert_eq!(acted("7,8_[1-2] last").selectors.len(), 3);
    }

    #[test]
    fn ended_jobs_are_looked_for_when_asked_for() {
        assert_eq!(listed("-t R").selection.filter.ended_since, None);
        assert_eq!(listed("-t bad").selection.filter.ended_since, Some(here().a_day_ago()));
        assert_eq!(
            listed("--since now-2h").selection.filter.ended_since,
            Some(WallTime(NOW.0 - 7_200_000_000))
        );
        assert_eq!(listed("-t CD,F").selection.filter.states, [State::Completed, State::Failed]);
        assert_eq!(acted("-t bad").filter.ended_since, Some(here().a_day_ago()));
        assert_eq!(acted("7 -t bad").filter.ended_since, None);
    }

    fn set(words: &[&str]) -> Result<wire::Settings, CliError> {
        let settings_of: Vec<Setting> = words.iter().map(|word| word.parse().unwrap()).collect();
        settings(&settings_of, &here())
    }

    #[test]
    fn settings_of_jobs_and_partitions() {
        let changed =
            set(&["TIME=2h", "mem=8G", "array_limit=0", "nodelist=n[1-2]", "exclude=", "begin=now+1h"])
                .unwrap();
        assert_eq!(changed.time, Some(TimeLimit(Some(Seconds(7_200)))));
        assert_eq!((changed.memory_bytes, changed.array_limit), (Some(8 << 30), Some(0)));
        assert_eq!(changed.nodelist, Some(vec!["n1".to_owned(), "n2".to_owned()]));
        assert_eq!((changed.exclude, changed.cpus), (Some(Vec::new()), None));
        for (bad, word) in
            [("time=x", "malformed_value"), ("cpus=0", "malformed_value"), ("nodes=2", "not_supported")]
        {
            assert_eq!(set(&[bad]).unwrap_err().word, word, "{bad}");
        }
        let settings = ["nodes=ALL", "default=yes", "state=closed", "max-time=1-00:00"]
            .map(|word| word.parse().unwrap());
        let changed = partition("long", &settings).unwrap();
        assert_eq!((changed.default, changed.state), (Some(true), Some(PartitionState::Closed)));
        assert_eq!(changed.nodes, Some(vec!["ALL".to_owned()]));
        assert!(partition("a/b", &[]).is_err());
    }
}
