//! In whose name a job runs: its account and quality of service, and what their limits say when it is submitted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::accounting::{Accounting, Scope};
use super::job::Job;
use crate::model::ids::Uid;
use crate::model::record::JobRecord;
use crate::model::spec::JobSpec;
use crate::model::time::{Seconds, TimeLimit};
use crate::wire::client::{Refusal, RefusalCode};

/// The job with its account and quality of service filled in. While none are defined any name is taken as it is.
///
/// # Errors
/// A name that is not defined, or not the user's.
pub fn belong(accounting: &Accounting, user: &str, spec: &Arc<JobSpec>) -> Result<Arc<JobSpec>, Refusal> {
    let account = account_of(accounting, user, &spec.account)?;
    let qos = qos_of(accounting, &spec.qos)?;
    if *account == *spec.account && qos == spec.qos {
        return Ok(spec.clone());
    }
    let (account, qos) = (account.to_string(), qos.to_owned());
    Ok(Arc::new(JobSpec { account, qos, ..(**spec).clone() }))
}

fn account_of(accounting: &Accounting, user: &str, wanted: &str) -> Result<Arc<str>, Refusal> {
    if accounting.accounts.is_empty() {
        return Ok(wanted.into());
    }
    let refused = |message: String| {
        let mine: Vec<&str> = accounting.accounts_of(user).map(|name| &**name).collect();
        let hint = if mine.is_empty() {
            "an admin or a coordinator adds you: `jctld account set NAME users=+YOU`".to_owned()
        } else {
            format!("yours: {}", mine.join(", "))
        };
        Err(Refusal::new(RefusalCode::NoSuchAccount, message, hint))
    };
    if wanted.is_empty() {
        return match accounting.default_of(user) {
            Some(account) => Ok(account.clone()),
            None => refused(format!("{user} is in no account, and jobs need one here")),
        };
    }
    if !accounting.accounts.contains_key(wanted) {
        return refused(format!("there is no account `{wanted}`"));
    }
    if !accounting.is_member(user, wanted) {
        return refused(format!("{user} is not in account `{wanted}`"));
    }
    Ok(wanted.into())
}

fn qos_of<'a>(accounting: &Accounting, wanted: &'a str) -> Result<&'a str, Refusal> {
    if accounting.qos.is_empty() || accounting.qos.contains_key(wanted) {
        return Ok(wanted);
    }
    if wanted.is_empty() {
        return Ok(accounting.default_qos());
    }
    let known: Vec<&str> = accounting.qos.keys().map(|name| &**name).collect();
    let message = format!("there is no QOS `{wanted}`");
    Err(Refusal::new(RefusalCode::NoSuchQos, message, format!("there are: {}", known.join(", "))))
}

/// The time limit of a job as its account and quality of service allow it: one that nobody asked for is cut.
///
/// # Errors
/// One that was asked for and is longer.
pub fn time_within(accounting: &Accounting, spec: &JobSpec, limit: TimeLimit) -> Result<TimeLimit, Refusal> {
    let of_job = accounting.limits(&spec.account, &spec.qos);
    let bounds = of_job.filter_map(|(qos, name, limits)| Some((limits.time_max?, qos, name)));
    let Some((most, qos, name)) = bounds.min() else { return Ok(limit) };
    if limit.0.is_some_and(|limit| limit <= most) {
        return Ok(limit);
    }
    if spec.times.limit.is_none() {
        return Ok(TimeLimit(Some(most)));
    }
    let most = TimeLimit(Some(most));
    let message = format!("a time limit of {limit} is more than {} allows: {most}", scope_word(qos, name));
    Err(Refusal::new(RefusalCode::Limit, message, format!("ask for at most --time={most}")))
}

/// The bound on a job's time that its limit is over, if there is one, with whether it is a quality of service's.
pub fn time_over(accounting: &Accounting, record: &JobRecord) -> Option<(Seconds, bool, String)> {
    let of_job = accounting.limits(&record.spec.account, &record.spec.qos);
    let over = |most: &Seconds| record.limit.0.is_none_or(|limit| limit > *most);
    let mut bounds = of_job.filter_map(|(qos, name, limits)| Some((limits.time_max?, qos, name)));
    bounds.find(|(most, ..)| over(most)).map(|(most, qos, name)| (most, qos, name.to_owned()))
}

/// What the jobs of one submission count against limits on unfinished jobs.
#[derive(Debug, Default)]
pub struct Counted(BTreeMap<Scope, u64>);

impl Counted {
    /// Counts one more job of so many tasks.
    ///
    /// # Errors
    /// A limit that would be exceeded: its value, and who uses it.
    pub fn add(
        &mut self,
        accounting: &Accounting,
        spec: &JobSpec,
        uid: Uid,
        tasks: u64,
    ) -> Result<(), Refusal> {
        for scope in accounting.scopes(&spec.account, &spec.qos, uid) {
            let Some(most) = accounting.caps(&scope).submitted else { continue };
            let here = self.0.entry(scope.clone()).or_default();
            *here += tasks;
            over_submitted(accounting, &scope, most, *here)?;
        }
        Ok(())
    }
}

/// Checks that a job whose account or quality of service changes finds room there.
///
/// # Errors
/// A limit that would be exceeded.
pub fn may_move(accounting: &Accounting, job: &Job, spec: &JobSpec) -> Result<(), Refusal> {
    let uid = job.record.uid;
    let old: Vec<Scope> = accounting.scopes_of(&job.record).collect();
    let new = accounting.scopes(&spec.account, &spec.qos, uid).filter(|scope| !old.contains(scope));
    let tasks = u64::from(job.unfinished());
    for scope in new {
        if let Some(most) = accounting.caps(&scope).submitted {
            over_submitted(accounting, &scope, most, tasks)?;
        }
    }
    Ok(())
}

fn over_submitted(accounting: &Accounting, scope: &Scope, most: u32, more: u64) -> Result<(), Refusal> {
    let now = accounting.used(scope).submitted;
    if now + more <= u64::from(most) {
        return Ok(());
    }
    let (whose, code) = match scope {
        Scope::Account(name) => (format!("account {name}"), "AssocGrpSubmitJobsLimit"),
        Scope::AccountUser(name, _) => (format!("each user of account {name}"), "AssocMaxSubmitJobLimit"),
        Scope::Qos(name) => (format!("QOS {name}"), "QOSGrpSubmitJobsLimit"),
        Scope::QosUser(name, _) => (format!("each user of QOS {name}"), "QOSMaxSubmitJobPerUserLimit"),
    };
    let message = format!(
        "{whose} may have {most} unfinished jobs; there are {now}, and {more} more are too many ({code})"
    );
    Err(Refusal::new(RefusalCode::Limit, message, "each task of an array counts; wait for some to end"))
}

/// `account physics`, `QOS long`.
pub fn scope_word(qos: bool, name: &str) -> String {
    format!("{} {name}", if qos { "QOS" } else { "account" })
}
