//! What the scheduler is told, derived from the state: by value, at most once a job and turn.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Core;
use super::belong::time_over;
use super::job::Job;
use super::priority::{ages_from, fixed};
use super::state::Node;
use crate::model::ids::{JobId, NodeId};
use crate::model::policy::PartitionPolicy;
use crate::model::record::{Memory, NodeAdmin, PartitionState, Phase};
use crate::model::resources::Resources;
use crate::model::shared::same_or;
use crate::model::time::{Seconds, WallTime};
use crate::sched::{Demand, Held, MemoryDemand, Note, PartitionId, Rank, Refill, Release, Supply};

/// By when a task that was given to a node has started, for the estimate of when it ends.
const START_ALLOWANCE: Seconds = Seconds(60);

impl Core {
    /// What has changed for the scheduler since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.take_some_notes(usize::MAX)
    }

    /// Whether there is more that the scheduler may hear.
    pub fn has_notes(&self) -> bool {
        let untold = &self.untold;
        let standing = self.standing_due().is_some_and(|due| due <= self.now.wall);
        let others = standing || untold.places || !untold.nodes.is_empty() || !untold.slots.is_empty();
        others || untold.jobs.iter().any(|id| !self.is_unsettled(*id))
    }

    /// Whether a job belongs to a submission that is not accepted yet.
    fn is_unsettled(&self, id: JobId) -> bool {
        self.cluster.unsettled.is_some_and(|(first, behind)| (first..behind).contains(&id))
    }

    /// The same about at most so many jobs.
    pub fn take_some_notes(&mut self, most: usize) -> Vec<Note> {
        let mut untold = std::mem::take(&mut self.untold);
        let mut notes = Vec::new();
        self.renew_standing(untold.places, &mut notes);
        if untold.places {
            self.number_partitions();
            self.bounds.renew(&self.cluster.accounting, &mut notes);
            untold.nodes.extend(self.cluster.nodes.keys().copied());
            untold.jobs.extend(self.cluster.jobs.keys().copied());
        }
        if let Some((first, behind)) = self.cluster.unsettled {
            let mut later = untold.jobs.split_off(&first);
            untold.jobs.append(&mut later.split_off(&behind));
            self.untold.jobs = later;
        }
        if let Some(next) = untold.jobs.iter().nth(most).copied() {
            self.untold.jobs.append(&mut untold.jobs.split_off(&next));
        }
        // What a job holds is told with it.
        let (later, slots) = untold.slots.into_iter().partition(|(job, _)| self.untold.jobs.contains(job));
        (self.untold.slots, untold.slots) = (later, slots);
        for id in &untold.nodes {
            match self.cluster.nodes.get(id).and_then(|node| node.record.only_uid) {
                Some(uid) => self.restricted.insert(*id, uid),
                None => self.restricted.remove(id),
            };
            let supply = self.cluster.nodes.get(id).and_then(|node| self.supply(node));
            notes.push(Note::Node { node: *id, supply });
        }
        let mut told: BTreeSet<(JobId, NodeId)> = BTreeSet::new();
        for id in &untold.jobs {
            let job = self.cluster.jobs.get(id).cloned();
            if let Some(job) = &job {
                self.bounds.of(&self.cluster.accounting, &job.record, &mut notes);
                self.tell_share(job, &mut notes);
            }
            let job = job.as_deref();
            let mut demand = job.and_then(|job| self.demand(job));
            if let Some(demand) = &mut demand {
                demand.partitions = same_or(&self.last_places.0, &demand.partitions);
                demand.except = same_or(&self.last_places.1, &demand.except);
                self.last_places = (demand.partitions.clone(), demand.except.clone());
            }
            notes.push(Note::Job { job: *id, demand });
            let Some(job) = job.filter(|job| !job.slots.is_empty()) else { continue };
            let mut releases = releases(job);
            let caps = self.bounds.known(&job.record);
            for (node, slots) in &job.slots {
                told.insert((*id, *node));
                let refill = match (slots.refills, slots.not_after) {
                    (false, _) => Refill::Never,
                    (true, Some(at)) => Refill::Until(at),
                    (true, None) => Refill::Always,
                };
                let held = Held {
                    slots: slots.count,
                    charge: slots.charge.times(slots.count),
                    exclusive: slots.exclusive,
                    releases: releases.remove(node).unwrap_or_default(),
                    refill,
                    caps: caps.clone(),
                };
                notes.push(Note::Held { job: *id, node: *node, held: Some(held) });
            }
        }
        for (job, node) in untold.slots {
            if !told.contains(&(job, node)) {
                notes.push(Note::Held { job, node, held: None });
            }
        }
        notes
    }

    fn number_partitions(&mut self) {
        let names: Vec<Arc<str>> = self.cluster.partitions.keys().cloned().collect();
        for name in names {
            let next = PartitionId(self.partition_ids.len() as u16);
            self.partition_ids.entry(name).or_insert(next);
        }
    }

    fn supply(&self, node: &Node) -> Option<Supply> {
        let record = &node.record;
        let hardware = record.hardware.as_ref()?;
        let sight = self.sights.get(&record.id);
        let ready = sight.is_some_and(|sight| sight.takes_work());
        let ready = ready && !self.cluster.has_abandoned(record.id);
        let partitions = self.cluster.partitions.values().filter(|partition| partition.has(&record.name));
        Some(Supply {
            total: hardware.resources,
            accepts: ready && record.admin == NodeAdmin::Up,
            partitions: partitions.filter_map(|p| self.partition_ids.get(p.name.as_str()).copied()).collect(),
            weight: record.weight,
            version: record.version_number,
        })
    }

    pub(super) fn demand(&self, job: &Job) -> Option<Demand> {
        let record = &job.record;
        let refills = job.is_array();
        let holds = !job.slots.is_empty();
        let room = self.slots_wanted(job);
        if room == 0 && !(refills && holds) {
            return None;
        }
        let spec = &record.spec;
        let partitions = record.partitions.iter().filter(|name| {
            self.cluster.partitions.get(name.as_str()).is_some_and(|p| p.state != PartitionState::Down)
        });
        let only = (!spec.place.nodes.is_empty()).then(|| self.node_ids(&spec.place.nodes).into());
        let mut except = self.node_ids(&spec.place.exclude);
        let foreign = self.restricted.iter().filter(|(_, uid)| **uid != record.uid);
        except.extend(foreign.map(|(node, _)| *node));
        // Where it holds slots of another size than it asks for by now, they come free first.
        let outdated = job.slots.iter().filter(|(_, slots)| !super::dispatch::is_current(record, slots));
        except.extend(outdated.map(|(node, _)| *node));
        if let Some(wanted) = &spec.place.constraint {
            let unfit = self.cluster.nodes.iter().filter(|(_, node)| !wanted.holds(&node.record.features));
            except.extend(unfit.map(|(id, _)| *id));
        }
        Some(Demand {
            rank: self.rank(job),
            cpus: record.cpus,
            memory: match record.memory {
                Memory::Fixed(bytes) => MemoryDemand::Fixed(bytes),
                Memory::Share => MemoryDemand::Share,
                Memory::Whole => MemoryDemand::Whole,
            },
            tmp_bytes: spec.request.tmp_bytes,
            exclusive: spec.request.exclusive,
            slots: room,
            limit: record.limit.0,
            begin: spec.times.begin,
            latest_end: spec.times.deadline,
            latest_start: spec.times.start_by,
            partitions: partitions
                .filter_map(|name| self.partition_ids.get(name.as_str()).copied())
                .collect(),
            only,
            except: except.into(),
            refills,
            strict: self.policy(job).is_strict(),
            planned: self.policy(job).is_conservative(),
            caps: self.bounds.known(record),
            ages_from: ages_from(&self.cluster, job),
            share: self.share_of(job),
            counted_cpus: if spec.request.exclusive { self.largest_node(record.cpus) } else { record.cpus },
            version: record.version,
        })
    }

    /// What a job that has a node to itself counts against limits at most.
    fn largest_node(&self, least: u32) -> u32 {
        if self.cluster.accounting.is_empty() {
            return least;
        }
        let nodes = self.cluster.nodes.values().filter_map(|node| node.record.hardware.as_ref());
        nodes.map(|hardware| hardware.resources.cpus).max().unwrap_or(least).max(least)
    }

    /// How many more slots a job could use now.
    pub(super) fn slots_wanted(&self, job: &Job) -> u32 {
        let record = &job.record;
        if job.ended.is_some() || record.blocked_by().next().is_some() {
            return 0;
        }
        if time_over(&self.cluster.accounting, record).is_some() {
            return 0;
        }
        let Some(array) = &record.spec.array else { return job.pending().min(1) };
        let held: u32 = job.slots.values().map(|slots| slots.count).sum();
        array.limit.map_or(job.pending(), |limit| job.pending().min(limit.saturating_sub(held)))
    }

    /// A job's place in the order.
    pub fn rank(&self, job: &Job) -> Rank {
        let policy = self.policy(job);
        let tier = tier(&self.cluster, job);
        let priority = if policy.by_priority() { fixed(&self.cluster, job) } else { 0 };
        let order = policy.order(job.record.limit.0, job.record.cpus);
        Rank { tier, priority, order, submit: job.record.place, job: job.id() }
    }

    fn policy(&self, job: &Job) -> PartitionPolicy {
        policy(&self.cluster, job)
    }

    fn node_ids(&self, names: &[String]) -> Vec<NodeId> {
        names.iter().filter_map(|name| self.cluster.node_names.get(name.as_str()).copied()).collect()
    }
}

/// The policy under which a job waits: of its partitions that of the highest priority, of equals the first by name.
pub fn policy(cluster: &super::Cluster, job: &Job) -> PartitionPolicy {
    let known = job.record.partitions.iter().filter_map(|name| cluster.partitions.get(name.as_str()));
    let first = known.min_by_key(|partition| (Reverse(partition.priority), &partition.name));
    first.map_or(PartitionPolicy::default(), |partition| partition.policy)
}

/// The priority of its partition; of several the highest.
pub fn partition_priority(cluster: &super::Cluster, job: &Job) -> i32 {
    let partitions = job.record.partitions.iter().filter_map(|name| cluster.partitions.get(name.as_str()));
    partitions.map(|partition| partition.priority).max().unwrap_or(0)
}

/// What comes before all else: the priority of its partition, unless that is a factor among others.
pub fn tier(cluster: &super::Cluster, job: &Job) -> i32 {
    let is_factor = cluster.accounting.priority.partition > 0 && policy(cluster, job).by_priority();
    if is_factor { 0 } else { partition_priority(cluster, job) }
}

fn releases(job: &Job) -> BTreeMap<NodeId, Vec<Release>> {
    let mut by_node: BTreeMap<NodeId, BTreeMap<Option<WallTime>, u32>> = BTreeMap::new();
    let limit = job.record.limit.0;
    for live in job.live.values().filter(|live| live.phase != Phase::Handed) {
        // A task that is being started has its whole limit before it, and its start is not known yet.
        let start = live.start.unwrap_or(live.given.plus(START_ALLOWANCE));
        let end = limit.map(|limit| start.plus(limit));
        *by_node.entry(live.node).or_default().entry(end).or_default() += 1;
    }
    let list = |ends: BTreeMap<Option<WallTime>, u32>| {
        ends.into_iter().map(|(end, slots)| Release { end, slots }).collect()
    };
    by_node.into_iter().map(|(node, ends)| (node, list(ends))).collect()
}

/// What is free on a node.
pub fn free_on(node: &Node) -> Resources {
    match &node.record.hardware {
        Some(hardware) => hardware.resources.minus(&node.allocated),
        None => Resources::default(),
    }
}
