//! How often what could happen has happened: a fault that never fires finds nothing.

use std::collections::BTreeMap;

use super::links::Kind;

/// What can happen to a message.
pub const MESSAGE_FAULTS: [&str; 5] = ["dropped", "doubled", "reordered", "delayed", "cut"];

/// Where the controller may die, by kill or by power cut.
pub const CONTROLLER_POINTS: [&str; 14] = [
    "a command was read",
    "a command was applied",
    "a step was taken",
    "a group was closed",
    "a group was appended",
    "groups were synced",
    "the core knows that they are durable",
    "something was told",
    "tables are to be written",
    "tables were written",
    "an export was made",
    "the journal was trimmed",
    "a plan was made",
    "office was taken",
];

/// Where a node daemon may die.
pub const DAEMON_POINTS: [&str; 13] = [
    "before keeping content",
    "before recording",
    "before dropping content",
    "before starting a supervisor",
    "before telling a supervisor",
    "before ending leftovers",
    "before removing a folder",
    "before a report",
    "before a refusal",
    "before a beat",
    "after a turn",
    "after an order",
    "while it begins",
];

/// Where a supervisor may die.
pub const SUPERVISOR_POINTS: [&str; 7] = [
    "it was not told its job",
    "before the intent",
    "after the intent",
    "after the start, unrecorded",
    "after the start",
    "before the end is recorded",
    "after the end was recorded",
];

/// What can happen to hosts, disks, clocks and spools.
pub const HOST_FAULTS: [&str; 25] = [
    "controller killed",
    "controller without power",
    "disk write fails",
    "disk sync fails",
    "disk full",
    "tables stale",
    "tables torn",
    "tables damaged",
    "tables without power",
    "wall clock jumps",
    "daemon killed",
    "supervisor killed",
    "node without power",
    "spool wiped",
    "spool cloned",
    "deposed controller dialled",
    "controller away",
    "daemon away",
    "node cut off for long",
    "answer comes late",
    "lease runs out",
    "freezing fails",
    "thawed",
    "killed while frozen",
    "given up",
];

/// The counts of one run or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    fired: BTreeMap<(&'static str, &'static str), u64>,
    /// Runs counted.
    pub runs: u64,
    /// Steps of all of them.
    pub steps: u64,
}

impl Counts {
    /// It has happened.
    pub fn fired(&mut self, what: &'static str, to: &'static str) {
        *self.fired.entry((what, to)).or_default() += 1;
    }

    /// It has happened so often.
    pub fn add_to(&mut self, what: &'static str, to: &'static str, count: u64) {
        *self.fired.entry((what, to)).or_default() += count;
    }

    /// Adds the counts of other runs.
    pub fn add(&mut self, other: &Counts) {
        for (key, count) in &other.fired {
            *self.fired.entry(*key).or_default() += count;
        }
        self.runs += other.runs;
        self.steps += other.steps;
    }

    /// Everything that must happen, and how often it did.
    pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
        let pairs = MESSAGE_FAULTS.iter().flat_map(|fault| Kind::ALL.map(|kind| (*fault, kind.word())));
        let points = CONTROLLER_POINTS.map(|point| ("controller dies", point)).into_iter();
        let points = points.chain(DAEMON_POINTS.map(|point| ("daemon dies", point)));
        let points = points.chain(SUPERVISOR_POINTS.map(|point| ("supervisor dies", point)));
        let hosts = HOST_FAULTS.map(|fault| ("fault", fault)).into_iter();
        let sent = Kind::ALL.map(|kind| ("sent", kind.word())).into_iter();
        let hosts = hosts.chain(sent);
        let all = pairs.filter(|(fault, kind)| possible(fault, kind)).chain(points).chain(hosts);
        all.map(|(what, to)| (what, to, self.fired.get(&(what, to)).copied().unwrap_or_default())).collect()
    }

    /// What happened less than `least` times, `seldom` kinds of messages aside.
    pub fn rare(&self, least: u64, seldom: &[&str]) -> Vec<String> {
        let rare = self
            .all()
            .into_iter()
            .filter(|(what, to, count)| *count < least && *what != "sent" && !seldom.contains(to));
        rare.map(|(what, to, count)| format!("{what}: {to}: {count}")).collect()
    }

    /// A table of all of it.
    pub fn table(&self) -> String {
        let mut text = format!("{} runs, {} steps\n", self.runs, self.steps);
        for (what, to, count) in self.all() {
            text.push_str(&format!("{count:>10}  {what}: {to}\n"));
        }
        text
    }
}

/// Whether a transport could do that: the first message of a connection has nothing to be reordered with, and a launch
/// goes on the same stream as all that must not pass it.
fn possible(fault: &str, kind: &str) -> bool {
    !(fault == "reordered" && matches!(kind, "hello" | "welcome" | "launch"))
}
