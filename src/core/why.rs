//! Everything that keeps a waiting job from starting, whatever the nodes offer.

use super::info::reason;
use super::job::Job;
use super::state::View;
use crate::model::parse::dependency;
use crate::model::policy::PartitionPolicy;
use crate::model::record::{Hold, PartitionState};
use crate::model::spec::DependencyKind;
use crate::model::time::WallTime;
use crate::wire::info::Condition;

/// The most dependencies that are told one by one.
const DEPENDENCIES_TOLD_MAX: usize = 20;

impl View {
    /// The policy under which a job waits.
    pub fn policy(&self, job: &Job) -> PartitionPolicy {
        super::notes::policy(&self.cluster, job)
    }

    /// The conditions that fail, aside from what the nodes offer.
    pub fn conditions(&self, job: &Job) -> Vec<Condition> {
        let record = &job.record;
        let mut list: Vec<Condition> = Vec::new();
        let mut add = |code: &str, text: String, until: Option<WallTime>| {
            let why = reason(code, text);
            list.push(Condition { code: why.code, nodes: 0, text: why.text, until });
        };
        match record.hold {
            Hold::No => {}
            Hold::User => {
                add("JobHeldUser", format!("it is held; `jqueue release {}` lets it go", job.id()), None);
            }
            Hold::Admin => {
                add("JobHeldAdmin", "an operator holds it, and only operators let it go".to_owned(), None)
            }
        }
        for wait in record.open_waits().take(DEPENDENCIES_TOLD_MAX) {
            let kind = dependency::word(wait.condition.kind);
            let text = match wait.condition.kind {
                DependencyKind::AfterCorrelated => {
                    format!("tasks wait for their counterparts in array {} ({kind})", wait.parent)
                }
                _ => format!("it waits for job {} ({kind})", wait.parent),
            };
            add("Dependency", text, wait.holds_at);
        }
        let more = record.open_waits().count().saturating_sub(DEPENDENCIES_TOLD_MAX);
        if more > 0 {
            add("Dependency", format!("and for {more} more"), None);
        }
        if let Some(begin) = record.spec.times.begin.filter(|begin| *begin > self.at) {
            add("BeginTime", "its begin time has not come".to_owned(), Some(begin));
        }
        let held: u32 = job.slots.values().map(|slots| slots.count).sum();
        let limit = record.spec.array.as_ref().and_then(|array| array.limit);
        if let Some(limit) = limit.filter(|limit| held >= *limit) {
            let text = format!("{held} of its tasks run, and %{limit} allows no more at once");
            add("JobArrayTaskLimit", text, None);
        }
        for (code, text) in self.limits(job) {
            add(code, text, None);
        }
        if !self.cluster.knows_nodes() {
            add("NoNodes", "no node has joined the cluster yet".to_owned(), None);
        }
        for name in record.partitions.iter() {
            let partition = self.cluster.partitions.get(name.as_str());
            if partition.is_some_and(|partition| partition.state == PartitionState::Down) {
                add("PartitionDown", format!("partition {name} is down: nothing starts there"), None);
            }
        }
        list
    }
}
