//! By what else than its number a job is found, and what it shares with its neighbours.

use std::sync::Arc;

use super::job::Job;
use super::state::Cluster;
use crate::model::record::JobRecord;
use crate::model::shared::same_or;

impl Cluster {
    /// The record, with the parts that it has in common with the job before it in memory only once.
    pub(super) fn with_shared_parts(&self, record: &Arc<JobRecord>) -> Arc<JobRecord> {
        let Some((_, before)) = self.jobs.get_prev(&record.id) else { return Arc::clone(record) };
        let before = &before.record;
        if Arc::ptr_eq(&before.spec, &record.spec) && Arc::ptr_eq(&before.key, &record.key) {
            return Arc::clone(record);
        }
        Arc::new(JobRecord {
            spec: same_or(&before.spec, &record.spec),
            user: same_or(&before.user, &record.user),
            partitions: same_or(&before.partitions, &record.partitions),
            key: same_or(&before.key, &record.key),
            ..(**record).clone()
        })
    }

    pub(super) fn learn_indexes(&mut self, job: &Job) {
        let record = &job.record;
        self.by_user.insert((record.uid, record.id));
        let key = (record.uid, Arc::<str>::from(record.spec.name.as_str()), record.id);
        let like = self.by_name.get_prev(&key).filter(|before| (before.0, &before.1) == (key.0, &key.1));
        let key = like.map(|before| (before.0, Arc::clone(&before.1), record.id)).unwrap_or(key);
        self.by_name.insert(key);
        for wait in &record.waits_for {
            self.dependents.insert((wait.parent, record.id));
        }
        if !record.waits_for.is_empty() {
            *self.waits_of.entry(record.uid).or_default() += record.waits_for.len() as u64;
        }
        self.descendants.extend(record.ancestors.iter().map(|ancestor| (*ancestor, record.id)));
    }

    pub(super) fn forget_indexes(&mut self, job: &Job) {
        let record = &job.record;
        self.by_user.remove(&(record.uid, record.id));
        self.by_name.remove(&(record.uid, Arc::from(record.spec.name.as_str()), record.id));
        for wait in &record.waits_for {
            self.dependents.remove(&(wait.parent, record.id));
        }
        if !record.waits_for.is_empty() {
            let left = self.waits_of.remove(&record.uid).unwrap_or_default();
            let left = left.saturating_sub(record.waits_for.len() as u64);
            if left > 0 {
                self.waits_of.insert(record.uid, left);
            }
        }
        for ancestor in &record.ancestors {
            self.descendants.remove(&(*ancestor, record.id));
        }
    }
}

/// Whether two records of one job stand at the same places of all indexes.
pub(super) fn is_found_alike(one: &JobRecord, other: &JobRecord) -> bool {
    one.uid == other.uid
        && one.spec.name == other.spec.name
        && one.waits_for == other.waits_for
        && one.ancestors == other.ancestors
}
