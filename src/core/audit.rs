//! Who did what, when, from where: records in a chain, each with the hash of the one before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Core;
use super::command::{Caller, Effect, Outcome};
use crate::model::change::{AUDIT_RUNS_MAX, AuditRecord, Change};
use crate::model::ids::JobId;
use crate::model::time::{Now, Seconds, WallTime};
use crate::wire::client::{AccountAct, Act, Admin, ConfigAct, NodeAct, Request, Verb};
use crate::wire::codec::encode;

/// What the same caller does again and again within this time is recorded once; the next record counts the others.
pub const REPEATS_WITHIN: Seconds = Seconds(60);
/// The most such things that are remembered at once, and of one of them who does them.
pub const REPEATS_MAX: usize = 4_096;
/// The same of one caller: what is more is one record, with its count.
pub const REPEATS_OF_ONE_MAX: usize = 256;
/// The most bytes of one record's words.
pub const AUDIT_WORDS_MAX: usize = 1_024;

/// The end of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// How many records there have been.
    pub count: u64,
    /// BLAKE3 of the last one, encoded; zeros before the first.
    pub hash: [u8; 32],
}

impl AuditHead {
    /// The chain with one record more.
    pub fn after(record: &AuditRecord) -> AuditHead {
        AuditHead { count: record.number, hash: hash(record) }
    }
}

/// What the next record in a chain names as the one before it.
pub fn hash(record: &AuditRecord) -> [u8; 32] {
    // A record can't be over the limit of a body: its parts are capped where it is made.
    encode(record).map(|bytes| *blake3::hash(&bytes).as_bytes()).unwrap_or_default()
}

/// Something to be recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deed {
    /// What.
    pub what: String,
    /// To which jobs, in order.
    pub jobs: Vec<JobId>,
    /// To which nodes.
    pub nodes: Vec<String>,
}

impl Deed {
    /// One that is about no job and no node.
    pub fn of(what: impl Into<String>) -> Deed {
        Deed { what: what.into(), ..Deed::default() }
    }
}

/// When something was last recorded, and how often it came since.
pub(super) type Repeats = BTreeMap<(String, String), (WallTime, u64)>;

impl Core {
    /// Records what was done, or refused.
    pub(super) fn audit(
        &mut self,
        now: Now,
        caller: &Caller,
        deed: Deed,
        allowed: bool,
        outcome: &mut Outcome,
    ) {
        let who = format!("{} {}", caller.identity.role, caller.identity.actor());
        self.audit_as(now, &who, &caller.from, deed, allowed, outcome);
    }

    /// The same for somebody who has no certificate.
    pub(super) fn audit_as(
        &mut self,
        now: Now,
        who: &str,
        from: &str,
        deed: Deed,
        allowed: bool,
        outcome: &mut Outcome,
    ) {
        let runs = runs(&deed.jobs);
        let mut parts: Vec<&[(JobId, JobId)]> = runs.chunks(AUDIT_RUNS_MAX).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        for part in parts {
            let head = self.cluster.audit;
            let record = AuditRecord {
                number: head.count + 1,
                before: head.hash,
                at: now.wall,
                who: who.to_owned(),
                from: from.to_owned(),
                what: cut(&deed.what),
                jobs: part.to_vec(),
                nodes: deed.nodes.clone(),
                allowed,
            };
            outcome.effects.push(Effect::Audit(record.clone()));
            self.commit(Change::Audit(Box::new(record)), outcome);
        }
    }

    /// Records what can be had by asking again and again (refusals, looks at somebody else's output) once a minute,
    /// and then how often it was.
    pub(super) fn audit_seldom(
        &mut self,
        now: Now,
        caller: &Caller,
        mut deed: Deed,
        allowed: bool,
        outcome: &mut Outcome,
    ) {
        let who = format!("{} {}", caller.identity.role, caller.identity.actor());
        let mut key = (who, format!("{} {:?}", deed.what, deed.jobs.first()));
        let of_one = self.repeats.range((key.0.clone(), String::new())..).take_while(|(k, _)| k.0 == key.0);
        if !self.repeats.contains_key(&key) && of_one.count() >= REPEATS_OF_ONE_MAX {
            deed = Deed::of("many other things, each of them once");
            key.1 = String::new();
        }
        let again = self.repeats.get(&key).copied();
        if let Some((at, more)) = again
            && now.wall < at.plus(REPEATS_WITHIN)
            && now.wall >= at
        {
            self.repeats.insert(key, (at, more + 1));
            return;
        }
        if let Some((_, more)) = again.filter(|(_, more)| *more > 0) {
            deed.what = format!("{} (and {more} times more)", cut(&deed.what));
        }
        if again.is_none() && self.repeats.len() >= REPEATS_MAX {
            self.repeats.retain(|_, (at, _)| now.wall < at.plus(REPEATS_WITHIN));
            if self.repeats.len() >= REPEATS_MAX {
                // So many at once who do so many things have been recorded thousands of times.
                return;
            }
        }
        self.repeats.insert(key, (now.wall, 0));
        self.audit(now, caller, deed, allowed, outcome);
    }
}

impl Core {
    /// Records a verb on jobs with those that it changed.
    pub(super) fn audit_act(
        &mut self,
        now: Now,
        caller: &Caller,
        act: &Act,
        jobs: Vec<JobId>,
        outcome: &mut Outcome,
    ) {
        if !jobs.is_empty() {
            let deed = Deed { what: act_words(act), jobs, nodes: Vec::new() };
            self.audit(now, caller, deed, true, outcome);
        }
    }
}

/// What a submission is called there.
pub(super) const SUBMIT_WORD: &str = "submit";

/// What a request asks for, in words that its sender did not choose: for the record of a refusal.
pub fn asked(request: &Request) -> String {
    let words = match request {
        Request::Submit(_) => SUBMIT_WORD,
        Request::List(_) => "list",
        Request::Show(_) => "show",
        Request::Act(act) => return verb_words(act),
        Request::Wait(_) => "wait",
        Request::Watch(_) | Request::WatchNodes => "watch",
        Request::Log(_) => "read output",
        Request::Ended(_) => "list what has ended",
        Request::Usage(_) => "usage",
        Request::Whoami => "whoami",
        Request::Nodes => "list nodes",
        Request::Tied(_) => "hold a tie",
        Request::Renew { .. } => "renew",
        Request::Account(act) => match act {
            AccountAct::Set { .. } => "set an account",
            AccountAct::Remove { .. } => "remove an account",
            AccountAct::List => "list accounts",
            AccountAct::QosSet { .. } => "set a QOS",
            AccountAct::QosRemove { .. } => "remove a QOS",
            AccountAct::QosList => "list QOS",
        },
        Request::Config(ConfigAct::Export) => "export the configuration",
        Request::Config(ConfigAct::Apply { .. }) => "apply a configuration",
        Request::NodeAct(act) => match act {
            NodeAct::Drain { .. } => "drain nodes",
            NodeAct::Resume { .. } => "resume nodes",
            NodeAct::Down { .. } => "take nodes down",
            NodeAct::Add { .. } | NodeAct::AddPool { .. } => "add nodes",
            NodeAct::Remove { .. } => "remove nodes",
            NodeAct::PartitionSet(_) => "set a partition",
            NodeAct::PartitionRemove { .. } => "remove a partition",
            NodeAct::Set { .. } => "set nodes",
        },
        Request::Admin(admin) => match admin {
            Admin::Status => "status",
            Admin::Verify => "verify",
            Admin::Stop => "stop the controller",
            Admin::UserAdd { .. } => "add a user",
            Admin::UserList => "list users",
            Admin::UserRemove { .. } => "remove a user",
            Admin::CertificateList => "list certificates",
            Admin::CertificateRevoke { .. } => "revoke a certificate",
            Admin::Audit(_) => "read the audit",
            Admin::AuditVerify => "verify the audit",
            Admin::Accept => "accept a restored state",
            Admin::Export => "export the state",
            Admin::Backup { .. } => "back the state up",
        },
    };
    words.to_owned()
}

/// A verb on jobs in words, with the reason that was given.
fn act_words(act: &Act) -> String {
    match &act.verb {
        Verb::Cancel { reason } if !reason.is_empty() => format!("cancel: {reason}"),
        _ => verb_words(act),
    }
}

pub(super) fn verb_words(act: &Act) -> String {
    match &act.verb {
        Verb::Cancel { .. } => "cancel".to_owned(),
        Verb::Signal { signal, .. } => format!("signal {signal}"),
        Verb::Hold => "hold".to_owned(),
        Verb::Release => "release".to_owned(),
        Verb::Requeue | Verb::RequeueWith { settings: None, dependents: false } => "requeue".to_owned(),
        Verb::RequeueWith { dependents: true, .. } => "requeue with dependents".to_owned(),
        Verb::RequeueWith { .. } => "requeue with other settings".to_owned(),
        Verb::Suspend => "suspend".to_owned(),
        Verb::Resume => "resume".to_owned(),
        Verb::First => "first".to_owned(),
        Verb::Set(_) => "set".to_owned(),
    }
}

fn runs(jobs: &[JobId]) -> Vec<(JobId, JobId)> {
    let mut runs: Vec<(JobId, JobId)> = Vec::new();
    for job in jobs {
        match runs.last_mut() {
            Some((_, last)) if *last == *job || last.0 + 1 == job.0 => *last = *job,
            _ => runs.push((*job, *job)),
        }
    }
    runs
}

/// At most [`AUDIT_WORDS_MAX`] bytes of it.
fn cut(text: &str) -> String {
    if text.len() <= AUDIT_WORDS_MAX {
        return text.to_owned();
    }
    let end = (0..=AUDIT_WORDS_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_numbers_and_words_are_kept_short() {
        let ids = |numbers: &[u64]| numbers.iter().map(|number| JobId(*number)).collect::<Vec<_>>();
        let found = runs(&ids(&[3, 4, 4, 5, 9]));
        assert_eq!(found, [(JobId(3), JobId(5)), (JobId(9), JobId(9))]);
        assert_eq!(cut(&"é".repeat(AUDIT_WORDS_MAX)).len(), AUDIT_WORDS_MAX + "…".len());
        assert_eq!(cut(&"x".repeat(AUDIT_WORDS_MAX)).len(), AUDIT_WORDS_MAX);
    }
}
