//! The fields that `jqueue -o` and `-S` know: the JSON names and Slurm's letters, in one table.

use std::cmp::Ordering;

use super::job_json::{array_of, elapsed, exit_code, memory_peak, node_count, signal};
use super::quantity::{Clock, limit, size, span};
use crate::model::state::State;
use crate::model::time::{Seconds, WallTime};
use crate::wire::info::{JobInfo, cause_line};

/// One field of a job.
pub struct JobField {
    /// Its name in JSON, where there is one.
    pub name: &'static str,
    /// Slurm's letter in `-o %…`; `'\0'` for none.
    pub letter: char,
    /// The head of its column.
    pub header: &'static str,
    /// Whether its column stands to the right, as numbers do.
    pub right: bool,
    /// What it is, for `-o help`.
    pub about: &'static str,
    value: fn(&JobInfo, &Clock) -> String,
    order: fn(&JobInfo, &Clock) -> Rank,
}

/// What a field sorts by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Nothing,
    Number(i128),
    Text(String),
}

impl JobField {
    /// The cell, raw: control characters are escaped by whoever prints it.
    pub fn value(&self, job: &JobInfo, clock: &Clock) -> String {
        (self.value)(job, clock)
    }

    /// Whether only a job's owner and operators may see it.
    pub fn is_private(&self) -> bool {
        ["work_dir", "output", "error", "comment", "script_hash"].contains(&self.name)
    }

    /// How two jobs stand by this field.
    pub fn compare(&self, one: &JobInfo, other: &JobInfo, clock: &Clock) -> Ordering {
        (self.order)(one, clock).cmp(&(self.order)(other, clock))
    }
}

/// The field of that JSON name, column head (any case) or, if it is one letter, Slurm letter.
pub fn job_field(word: &str) -> Option<&'static JobField> {
    let by_letter = |field: &&JobField| {
        let mut letters = word.chars();
        field.letter != '\0' && letters.next() == Some(field.letter) && letters.next().is_none()
    };
    JOB_FIELDS
        .iter()
        .find(|field| field.name == word)
        .or_else(|| JOB_FIELDS.iter().find(|field| field.header.eq_ignore_ascii_case(word)))
        .or_else(|| JOB_FIELDS.iter().find(by_letter))
}

macro_rules! fields {
    ($($name:literal $letter:literal $header:literal $side:ident $about:literal, $value:expr, $order:expr;)*) => {
        &[$(JobField {
            name: $name, letter: $letter, header: $header, right: fields!(@$side), about: $about,
            value: $value, order: $order,
        }),*]
    };
    (@right) => { true };
    (@left) => { false };
}

/// All fields, in the order in which `-o help` lists them.
pub static JOB_FIELDS: &[JobField] = fields! {
    "id" 'i' "JOBID" left "the id as users write it", |j, _| j.id.clone(), |j, _| by_id(j);
    "array_id" 'F' "ARRAY_JOB_ID" right "the array's number",
        |j, _| array_of(j).unwrap_or(j.job).to_string(), |j, _| number(j.job.0);
    "task" 'K' "ARRAY_TASK_ID" right "the index in the array",
        |j, _| j.task.map_or_else(na, |t| t.to_string()), |j, _| maybe(j.task.map(|t| t.0));
    "number" 'A' "NUMBER" right "SLURM_JOB_ID: the task's own number",
        |j, _| j.number.to_string(), |j, _| number(j.number.0);
    "name" 'j' "NAME" left "the name", |j, _| j.name.clone(), |j, _| text(&j.name);
    "user" 'u' "USER" left "the user", |j, _| j.user.clone(), |j, _| text(&j.user);
    "account" 'a' "ACCOUNT" left "the account", |j, _| j.account.clone(), |j, _| text(&j.account);
    "qos" 'q' "QOS" left "the quality of service", |j, _| j.qos.clone(), |j, _| text(&j.qos);
    "partition" 'P' "PARTITION" left "the partition, or those it may run in",
        |j, _| j.partition.clone(), |j, _| text(&j.partition);
    "state" 'T' "STATE" left "the state", |j, _| j.state.word().to_owned(), |j, _| number(j.state as u8);
    "state_code" 't' "ST" left "the state's code", |j, _| j.state.code().to_owned(), |j, _| number(j.state as u8);
    "reason" 'r' "REASON" left "why it waits", |j, _| none_if_empty(&j.reason.code), |j, _| text(&j.reason.code);
    "nodes" 'N' "NODELIST" left "the nodes", |j, _| node_list(j), |j, _| text(&node_list(j));
    "place" 'R' "NODELIST(REASON)" left "the nodes, or why it waits; of an array what its tasks do",
        |j, _| place(j), |j, _| text(&place(j));
    "node_count" 'D' "NODES" right "how many nodes", |j, _| node_count(j).to_string(), |j, _| number(node_count(j) as u64);
    "cpus" 'C' "CPUS" right "cpus", |j, _| j.cpus.to_string(), |j, _| number(j.cpus);
    "memory_limit_bytes" 'm' "MEMORY" right "memory that it may use",
        |j, _| memory(j), |j, _| number(if j.memory_bytes == 0 { u64::MAX } else { j.memory_bytes });
    "gres" 'b' "GRES" left "generic resources", |_, _| na(), |_, _| Rank::Nothing;
    "time_limit_seconds" 'l' "LIMIT" right "time limit",
        |j, _| limit(j.limit), |j, _| number(j.limit.0.map_or(u64::MAX, |s| s.0));
    "elapsed_seconds" 'M' "TIME" right "how long it has run",
        |j, c| span(elapsed(j, c.now).unwrap_or_default()), |j, c| number(elapsed(j, c.now).unwrap_or_default().0);
    "time_left_seconds" 'L' "TIME_LEFT" right "time limit less time run",
        |j, c| time_left(j, c.now).map_or_else(|| "UNLIMITED".to_owned(), span),
        |j, c| number(time_left(j, c.now).map_or(u64::MAX, |s| s.0));
    "exit_code" 'x' "EXIT" right "the exit code",
        |j, _| j.end.as_ref().and_then(exit_code).map_or_else(na, |n| n.to_string()),
        |j, _| maybe(j.end.as_ref().and_then(exit_code));
    "signal" '\0' "SIGNAL" right "the signal that ended it",
        |j, _| j.end.as_ref().and_then(signal).map_or_else(na, |n| n.to_string()),
        |j, _| maybe(j.end.as_ref().and_then(signal));
    "cause" '\0' "CAUSE" left "who or what ended it",
        |j, _| j.end.as_ref().map_or_else(na, |end| cause_line(&end.cause)),
        |j, _| text(&j.end.as_ref().map(|end| cause_line(&end.cause)).unwrap_or_default());
    "attempt" '\0' "ATTEMPT" right "which try", |j, _| j.attempt.to_string(), |j, _| number(j.attempt.0);
    "restarts" '\0' "RESTARTS" right "how often it was started again",
        |j, _| j.restarts.to_string(), |j, _| number(j.restarts);
    "priority" 'Q' "PRIORITY" right "priority", |j, _| j.priority.to_string(), |j, _| Rank::Number(j.priority.into());
    "submit_time" 'V' "SUBMIT_TIME" left "when it was submitted",
        |j, c| c.local(j.submit_time), |j, _| Rank::Number(j.submit_time.0.into());
    "eligible_time" '\0' "ELIGIBLE_TIME" left "when it could first have run",
        |j, c| time(j.eligible_time, c), |j, _| at(j.eligible_time);
    "start_time" 'S' "START_TIME" left "when it started", |j, c| time(j.start_time, c), |j, _| at(j.start_time);
    "end_time" 'e' "END_TIME" left "when it ended", |j, c| time(j.end_time, c), |j, _| at(j.end_time);
    "work_dir" 'Z' "WORK_DIR" left "where it runs", |j, _| private(j, |p| &p.work_dir), |j, _| text(&private(j, |p| &p.work_dir));
    "output" '\0' "OUTPUT" left "its output file", |j, _| private(j, |p| &p.output), |j, _| text(&private(j, |p| &p.output));
    "error" '\0' "ERROR" left "its error file", |j, _| private(j, |p| &p.error), |j, _| text(&private(j, |p| &p.error));
    "comment" 'k' "COMMENT" left "free words", |j, _| private(j, |p| &p.comment), |j, _| text(&private(j, |p| &p.comment));
    "script_hash" '\0' "SCRIPT_HASH" left "hash of its script",
        |j, _| j.private.as_ref().map_or_else(na, |p| p.script_hash.to_string()),
        |j, _| text(&j.private.as_ref().map(|p| p.script_hash.to_string()).unwrap_or_default());
    "cpu_seconds" '\0' "CPU_TIME" right "processor time that it used",
        |j, _| j.end.as_ref().map_or_else(na, |e| span(Seconds(e.usage.cpu_ms / 1_000))),
        |j, _| maybe(j.end.as_ref().map(|e| e.usage.cpu_ms));
    "memory_peak_bytes" '\0' "MEM_PEAK" right "the most memory that it held",
        |j, _| j.end.as_ref().and_then(memory_peak).map_or_else(na, size),
        |j, _| maybe(j.end.as_ref().and_then(memory_peak));
    "tasks" '\0' "TASKS" left "tasks by state, of an array", |j, _| task_words(j), |j, _| text(&task_words(j));
};

/// NODELIST(REASON): where it runs, or why it does not; of an array what its tasks do.
pub fn place(job: &JobInfo) -> String {
    if !job.tasks.is_empty() {
        return task_words(job);
    }
    if matches!(job.state, State::Pending | State::Held) && !job.reason.code.is_empty() {
        return format!("({})", job.reason.code);
    }
    node_list(job)
}

/// `4210 done, 12 failed, 50 running of 10000`; pending tasks are what is missing to the whole.
pub fn task_words(job: &JobInfo) -> String {
    let sum = |wanted: &dyn Fn(State) -> bool| -> u64 {
        job.tasks.iter().filter(|(state, _)| wanted(*state)).map(|(_, count)| count).sum()
    };
    let parts = [
        (sum(&|s| s == State::Completed), "done"),
        (sum(&|s| s.is_bad()), "failed"),
        (sum(&|s| s == State::Cancelled), "cancelled"),
        // As `-t R` and `-t CF` pick them: who reads "running" here must find them there.
        (sum(&|s| s == State::Starting), "starting"),
        (sum(&|s| matches!(s, State::Running | State::Completing)), "running"),
        (sum(&|s| s == State::Suspended), "suspended"),
        (sum(&|s| s == State::Unreachable), "unreachable"),
        (sum(&|s| s == State::Held), "held"),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let total = sum(&|_| true);
    match (said.is_empty(), job.tasks.is_empty()) {
        (_, true) => String::new(),
        (true, false) if job.reason.code.is_empty() => format!("{total} pending"),
        (true, false) => format!("{total} pending ({})", job.reason.code),
        _ => format!("{} of {total}", said.join(", ")),
    }
}

/// The nodes, folded: `n[1-4,7]`.
pub fn node_list(job: &JobInfo) -> String {
    super::fold_nodes(&job.nodes)
}

fn time_left(job: &JobInfo, now: WallTime) -> Option<Seconds> {
    let ran = elapsed(job, now).unwrap_or_default();
    job.limit.0.map(|limit| Seconds(limit.0.saturating_sub(ran.0)))
}

fn memory(job: &JobInfo) -> String {
    if job.memory_bytes == 0 { "node".to_owned() } else { size(job.memory_bytes) }
}

fn private(job: &JobInfo, part: fn(&crate::wire::info::Private) -> &String) -> String {
    job.private.as_ref().map_or_else(na, |private| part(private).clone())
}

fn none_if_empty(text: &str) -> String {
    if text.is_empty() { "None".to_owned() } else { text.to_owned() }
}

fn na() -> String {
    "-".to_owned()
}

fn time(time: Option<WallTime>, clock: &Clock) -> String {
    clock.local_or_dash(time)
}

fn at(time: Option<WallTime>) -> Rank {
    time.map_or(Rank::Nothing, |time| Rank::Number(time.0.into()))
}

fn by_id(job: &JobInfo) -> Rank {
    Rank::Number((i128::from(job.job.0) << 33) | job.task.map_or(0, |task| i128::from(task.0) + 1))
}

fn number(value: impl Into<u64>) -> Rank {
    Rank::Number(value.into().into())
}

fn maybe<N: Into<u64>>(value: Option<N>) -> Rank {
    value.map_or(Rank::Nothing, number)
}

fn text(value: &str) -> Rank {
    Rank::Text(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::JobId;
    use crate::wire::sample::{NOW, job};

    #[test]
    fn only_fields_that_say_so_need_what_is_private() {
        let whole = job(JobId(7), State::Running);
        let brief = JobInfo { private: None, ..whole.clone() };
        let clock = Clock { now: NOW, zone: jiff::tz::TimeZone::UTC };
        for field in JOB_FIELDS {
            let alike = field.value(&whole, &clock) == field.value(&brief, &clock);
            assert_ne!(alike, field.is_private(), "{}", field.name);
        }
    }
}
