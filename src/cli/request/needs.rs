//! What a job needs: tasks, cpus, memory, disk, nodes, and which nodes will do.

use serde_json::{Value, json};

use super::understanding::{Understanding, count};
use crate::cli::error::CliError;
use crate::model::identity::name_is_valid;
use crate::model::parse::memory::{self, Amount};
use crate::model::parse::{feature, hostlist};
use crate::model::spec::{Constraint, MemoryRequest, Place, Request};

/// The most tasks, or cpus, that a request can name.
pub const COUNT_MAX: u32 = 1_000_000;

impl Understanding<'_> {
    /// Understands the resources.
    ///
    /// # Errors
    /// Values that make no sense; more cpus than can be counted.
    pub fn request(&mut self) -> Result<Request, CliError> {
        let nodes = self.look("nodes", node_range, |range| write_range(*range), json!(1))?;
        let tasks = self.count("ntasks", 1, COUNT_MAX, Value::Null)?;
        let tasks_per_node = self.count("ntasks-per-node", 1, COUNT_MAX, Value::Null)?;
        let cpus_per_task = self.count("cpus-per-task", 1, COUNT_MAX, json!(1))?;
        let memory = self.memory()?;
        let cpus_min = self.count("mincpus", 1, COUNT_MAX, Value::Null)?.unwrap_or(0);
        let tmp = self.look("tmp", memory::bytes, |bytes| json!(bytes), Value::Null)?;
        let exclusive = self.exclusive()?;
        self.flag("contiguous");
        let request = Request {
            tasks,
            tasks_per_node,
            cpus_per_task,
            memory,
            tmp_bytes: tmp.unwrap_or(0),
            cpus_min,
            exclusive,
            nodes,
        };
        if request.cpus().is_none_or(|cpus| cpus > COUNT_MAX) {
            let long = if tasks.is_some() { "ntasks" } else { "ntasks-per-node" };
            let message = format!("tasks times cpus of each are more than {COUNT_MAX}");
            let error = self.merged.get(long).map(|given| given.error("too_many_cpus", &message));
            return Err(error.unwrap_or_else(|| CliError::script("too_many_cpus", message)));
        }
        self.default_tasks(&request);
        self.one_node_only(&request);
        Ok(request)
    }

    /// Without `-n`, as many tasks as `--ntasks-per-node` says, or one, on each node.
    fn default_tasks(&mut self, request: &Request) {
        if request.tasks.is_none() {
            let nodes = request.nodes.map_or(1, |(least, _)| least);
            self.amend("ntasks", json!(u64::from(nodes) * u64::from(request.tasks_per_node.unwrap_or(1))));
        }
    }

    /// Notes what really needs a second node.
    fn one_node_only(&mut self, request: &Request) {
        if request.nodes.is_some_and(|(least, _)| least > 1) {
            self.refuse("nodes");
        }
        if let (Some(tasks), Some(per_node)) = (request.tasks, request.tasks_per_node)
            && tasks > per_node
        {
            self.refuse("ntasks-per-node");
        }
    }

    fn memory(&mut self) -> Result<MemoryRequest, CliError> {
        let show = |amount: &Amount| match amount {
            Amount::Bytes(bytes) => json!(bytes),
            Amount::Range(least, most) => {
                json!(format!("{}..{}", memory::write(*least), memory::write(*most)))
            }
        };
        let per_node = self.look("mem", memory::amount, show, Value::Null)?;
        let per_cpu = self.look("mem-per-cpu", memory::bytes, |bytes| json!(bytes), Value::Null)?;
        Ok(match (per_node, per_cpu) {
            (Some(Amount::Bytes(0)), _) => MemoryRequest::WholeNode,
            (Some(Amount::Bytes(bytes)), _) => MemoryRequest::PerNode(bytes),
            (Some(Amount::Range(least, most)), _) => MemoryRequest::Range(least, most),
            // As for Slurm, none for each cpu means as for `--mem=0`.
            (None, Some(0)) => MemoryRequest::WholeNode,
            (None, Some(bytes)) => MemoryRequest::PerCpu(bytes),
            (None, None) => MemoryRequest::Default,
        })
    }

    fn exclusive(&mut self) -> Result<bool, CliError> {
        let read = |text: &str| match text.to_ascii_lowercase().as_str() {
            "" | "exclusive" => Ok(true),
            "user" | "mcs" | "topo" => Ok(false),
            _ => Err(format!("`{text}` is not known")),
        };
        let whole = self.look("exclusive", read, |whole| json!(whole), json!(false))?;
        if whole == Some(false) {
            self.refuse("exclusive");
        }
        Ok(whole == Some(true))
    }

    /// Understands which nodes will do.
    ///
    /// # Errors
    /// Names and lists that make no sense.
    pub fn place(&mut self) -> Result<Place, CliError> {
        let list = |names: &Vec<String>| json!(names);
        let partitions = self.look("partition", names, list, Value::Null)?.unwrap_or_default();
        let fold = |names: &Vec<String>| json!(hostlist::fold(names));
        let nodes = self.look("nodelist", hosts, fold, Value::Null)?.unwrap_or_default();
        let exclude = self.look("exclude", hosts, fold, Value::Null)?.unwrap_or_default();
        if nodes.len() > 1 && !self.merged.has("nodes") {
            let named = hostlist::fold(&nodes);
            self.warnings.push(format!("one node is given for now: the job runs on one of {named}"));
        }
        if let Some(given) = self.merged.get("nodelist").filter(|_| !nodes.is_empty())
            && nodes.iter().all(|node| exclude.contains(node))
        {
            return Err(given.error("no_node_left", "--exclude takes away every node of --nodelist"));
        }
        let read = |text: &str| match text.trim() {
            "" => Ok(None),
            text => feature::constraint(text).map(Some),
        };
        let show = |wanted: &Option<Constraint>| json!(wanted.as_ref().map(ToString::to_string));
        let constraint = self.look("constraint", read, show, Value::Null)?.flatten();
        self.trivial_of_one_node()?;
        Ok(Place { partitions, nodes, exclude, constraint })
    }

    /// What is true of any job on one node; looked at, so that nonsense is seen.
    fn trivial_of_one_node(&mut self) -> Result<(), CliError> {
        for long in ["use-min-nodes", "ignore-pbs"] {
            if self.merged.has(long) {
                self.flag(long);
            }
        }
        if self.merged.has("switches") {
            let read = |text: &str| count(text.split('@').next().unwrap_or_default(), 1, COUNT_MAX);
            self.look("switches", read, |count| json!(count), Value::Null)?;
        }
        if self.merged.has("wait-all-nodes") {
            self.count("wait-all-nodes", 0, 1, Value::Null)?;
        }
        Ok(())
    }
}

/// `MIN`, `MIN-`, or `MIN-MAX`.
pub fn node_range(text: &str) -> Result<(u32, u32), String> {
    let (least, most) = match text.split_once('-') {
        Some((least, "")) => (count(least, 1, COUNT_MAX)?, COUNT_MAX),
        Some((least, most)) => (count(least, 1, COUNT_MAX)?, count(most, 1, COUNT_MAX)?),
        None => (count(text, 1, COUNT_MAX)?, count(text, 1, COUNT_MAX)?),
    };
    if most < least { Err(format!("the range `{text}` goes down")) } else { Ok((least, most)) }
}

fn write_range((least, most): (u32, u32)) -> Value {
    match most {
        _ if least == most => json!(least),
        COUNT_MAX => json!(format!("{least}-")),
        _ => json!(format!("{least}-{most}")),
    }
}

/// Names between commas, each once.
pub fn names(text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',').map(str::trim) {
        if !name_is_valid(name) {
            return Err(format!("`{name}` can't be a name: 1 to 63 letters, digits, `-`, `_` and `.`"));
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// A hostlist, each name once.
pub fn hosts(text: &str) -> Result<Vec<String>, hostlist::HostlistError> {
    let mut names = hostlist::expand(text)?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
