//! Draining nodes: nothing new starts there, what was only handed over comes back, and at the deadline what is left is
//! ended as by preemption.

use super::Core;
use super::command::{Caller, Outcome};
use crate::model::change::Change;
use crate::model::ids::{NodeId, Ordinal};
use crate::model::record::{NODE_WEIGHT, NodeAdmin, NodeRecord, PartitionRecord, Phase, Wanted};
use crate::model::time::{Now, WallTime};
use crate::wire::client::{Refusal, RefusalCode, Reply};
use crate::wire::node::{Act as Order, KillReason};

use super::dispatch::add_to_runs;

/// The most features of one node.
pub const FEATURES_MAX: usize = 64;

/// What is said to attempts whose node is drained.
pub(super) fn drain_reason() -> KillReason {
    KillReason::Preempt { text: "its node was drained".to_owned() }
}

impl Core {
    /// Remembers when a draining node is looked at again.
    pub(super) fn set_drain_timer(&mut self, node: NodeId) {
        if let Some(at) = self.cluster.nodes.get(&node).and_then(|node| node.record.drain_until) {
            self.drains.insert((at, node));
        }
    }

    /// What a node holds ahead is taken back when it drains.
    pub(super) fn take_back_handed(&mut self, node: NodeId, outcome: &mut Outcome) {
        for id in self.jobs_on(node) {
            let Some(job) = self.cluster.jobs.get(&id).filter(|job| job.handed > 0).cloned() else {
                continue;
            };
            let mut attempts = Vec::new();
            let handed = job.live.iter().filter(|(_, live)| live.node == node && live.phase == Phase::Handed);
            handed.for_each(|(ordinal, live)| add_to_runs(&mut attempts, *ordinal, live.attempt));
            if !attempts.is_empty() {
                self.send_order(node, id, Order::Withdraw { attempts }, outcome);
            }
        }
    }

    /// Ends what is left on nodes whose drain has come to its deadline.
    pub(super) fn on_drains(&mut self, now: Now, outcome: &mut Outcome) {
        while let Some((at, node)) = self.drains.first().copied().filter(|(at, _)| *at <= now.wall) {
            self.drains.remove(&(at, node));
            let record = self.cluster.nodes.get(&node).map(|node| node.record.clone());
            let due =
                |record: &NodeRecord| record.admin == NodeAdmin::Drain && record.drain_until == Some(at);
            if !record.is_some_and(|record| due(&record)) {
                continue;
            }
            for id in self.jobs_on(node) {
                let Some(job) = self.cluster.jobs.get(&id).cloned() else { continue };
                let here = |ordinal: Ordinal| {
                    job.live.get(&ordinal).is_some_and(|live| live.node == node && live.wanted == Wanted::Run)
                };
                self.kill_live(&job, &here, Wanted::Preempt, drain_reason(), outcome);
            }
        }
    }

    /// `jnode set`: features, weight, and the partitions that a node belongs to.
    pub(super) fn set_node(
        &mut self,
        names: &[String],
        features: Option<&[String]>,
        weight: Option<u32>,
        partitions: Option<&[String]>,
        outcome: &mut Outcome,
    ) -> Reply {
        let ids = match self.find_nodes(names).and_then(|ids| {
            check_features(features.unwrap_or_default())?;
            self.check_partitions(partitions.unwrap_or_default())?;
            Ok(ids)
        }) {
            Ok(ids) => ids,
            Err(refusal) => return Reply::Refused(refusal),
        };
        let mut lines = Vec::new();
        for id in ids {
            let Some(node) = self.cluster.nodes.get(&id).cloned() else { continue };
            let mut record = (*node.record).clone();
            if let Some(features) = features {
                record.features = features.to_vec();
            }
            record.weight = weight.unwrap_or(record.weight);
            if record != *node.record {
                record.version_number += 1;
                self.commit(Change::Node(Box::new(record)), outcome);
                // Whose constraint it meets may be another by now.
                self.untold.places = true;
            }
            lines.push(format!("{} set", node.record.name));
        }
        let mut warnings = Vec::new();
        if let Some(wanted) = partitions {
            self.set_memberships(names, wanted, &mut warnings, outcome);
        }
        Reply::Done { lines, warnings }
    }

    fn check_partitions(&self, names: &[String]) -> Result<(), Refusal> {
        match names.iter().find(|name| !self.cluster.partitions.contains_key(name.as_str())) {
            Some(name) => Err(Refusal::new(
                RefusalCode::NoSuchPartition,
                format!("there is no partition `{name}`"),
                "`jnode partition set NAME` makes one",
            )),
            None => Ok(()),
        }
    }

    /// Partitions are kept as lists of nodes; one of all nodes becomes a list when a node leaves it.
    fn set_memberships(
        &mut self,
        names: &[String],
        wanted: &[String],
        warnings: &mut Vec<String>,
        outcome: &mut Outcome,
    ) {
        let partitions: Vec<_> = self.cluster.partitions.values().cloned().collect();
        for old in partitions {
            let member = wanted.contains(&old.name);
            let mut nodes = match &old.nodes {
                Some(nodes) => nodes.clone(),
                None if member => continue,
                None => {
                    warnings
                        .push(format!("partition {} was of all nodes; it is a list of them now", old.name));
                    self.cluster.node_names.keys().map(|name| name.to_string()).collect()
                }
            };
            if member {
                nodes.extend(names.iter().filter(|name| !old.has(name)).cloned());
            } else {
                nodes.retain(|node| !names.contains(node));
            }
            let record = PartitionRecord { nodes: Some(nodes), ..(*old).clone() };
            if record != *old {
                self.commit(Change::Partition(Box::new(record)), outcome);
            }
        }
    }
}

/// Whether all of these can be features.
pub(super) fn check_features(features: &[String]) -> Result<(), Refusal> {
    let bad = features.iter().find(|name| !crate::model::identity::name_is_valid(name));
    if let Some(name) = bad {
        let hint = "1 to 63 letters, digits, `-`, `_` and `.`";
        return Err(Refusal::new(RefusalCode::Invalid, format!("`{name}` can't be a feature"), hint));
    }
    if features.len() > FEATURES_MAX {
        let message = format!("{} features are more than {FEATURES_MAX}", features.len());
        return Err(Refusal::new(RefusalCode::Limit, message, ""));
    }
    Ok(())
}

/// How `jnode` tells of what was set, for the audit.
pub(super) fn set_words(
    features: Option<&[String]>,
    weight: Option<u32>,
    partitions: Option<&[String]>,
) -> String {
    let mut words = "set".to_owned();
    if let Some(features) = features {
        words.push_str(&format!(" features={}", features.join(",")));
    }
    if let Some(weight) = weight {
        words.push_str(&format!(" weight={weight}"));
    }
    if let Some(partitions) = partitions {
        words.push_str(&format!(" partitions={}", partitions.join(",")));
    }
    words
}

/// A node of which nothing is known but its name.
pub(super) fn new_node(id: NodeId, name: &str) -> NodeRecord {
    NodeRecord {
        id,
        name: name.to_owned(),
        hardware: None,
        instance: None,
        version: String::new(),
        only_uid: None,
        boot_time: None,
        admin: NodeAdmin::Up,
        reason: None,
        version_number: 1,
        features: Vec::new(),
        weight: NODE_WEIGHT,
        drain_until: None,
    }
}

impl Core {
    /// Drains, resumes or takes down: the same change for each node.
    pub(super) fn admin_record(
        &self,
        now: Now,
        caller: &Caller,
        old: &NodeRecord,
        admin: NodeAdmin,
        reason: &str,
        drain_until: Option<WallTime>,
    ) -> NodeRecord {
        let by = caller.identity.name.clone();
        let reason = crate::model::record::NodeReason { text: reason.to_owned(), by, at: now.wall };
        NodeRecord {
            admin,
            reason: (admin != NodeAdmin::Up).then_some(reason),
            version_number: old.version_number + 1,
            drain_until,
            ..old.clone()
        }
    }
}
