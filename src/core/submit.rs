//! Submissions: all jobs of one request are accepted, or none is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Core;
use super::accounting::Accounting;
use super::authorise::{Right, allowed};
use super::belong::time_within;
use super::command::{Caller, Found, Outcome};
use super::limits::size_within;
use super::resolve::{Resolved, asks_the_same, resolve};
use crate::model::bug::{self, Bug};
use crate::model::change::Change;
use crate::model::identity::NAME_BYTES_MAX;
use crate::model::ids::{ContentHash, JobId, Uid};
use crate::model::record::{JobRecord, KeyRecord, Memory};
use crate::model::spec::{
    ARGUMENTS_BYTES_MAX, COMMENT_BYTES_MAX, DEPENDENCIES_MAX, JOB_NAME_BYTES_MAX, JobSpec, LostPolicy,
    MemoryRequest, Output, PATH_BYTES_MAX, SPEC_BYTES_MAX, WorkDir,
};
use crate::model::state::{Cause, State};
use crate::model::text::clip;
use crate::model::time::Now;
use crate::wire::client::{Receipt, Refusal, RefusalCode, Reply, SUBMIT_JOBS_MAX, Submit};
use crate::wire::codec::encode;

/// Content up to this size stands in the log; larger content lies in a file of its own.
pub const CONTENT_LOG_BYTES_MAX: usize = 64 << 10;

/// The most tasks of all unfinished jobs of one user. A hundred thousand arrays may be too much to be touched at once, each
/// of which would not be. Small in tests.
pub const TASKS_PER_USER_MAX: u64 = if cfg!(test) { 5_000 } else { 100_000_000 };

/// So many names of which nobody has heard are told back, and so much of each.
const NAMES_TOLD_MAX: usize = 5;

impl Core {
    /// Checks and resolves a job; what it has in common with the one before it is not worked out again.
    pub(super) fn resolve_next(
        &self,
        before: Option<&(Arc<JobSpec>, Resolved)>,
        spec: &Arc<JobSpec>,
        caller: &Caller,
        sent: &BTreeSet<ContentHash>,
        found: &Found,
        uid: Uid,
    ) -> Result<Resolved, Refusal> {
        let same = before.is_some_and(|(before, _)| Arc::ptr_eq(before, spec));
        if !same {
            check_spec(spec, caller, sent, found, &self.cluster.contents, uid)?;
            self.check_lease(spec)?;
        }
        match before {
            Some((before, resolved)) if same || asks_the_same(before, spec) => Ok(resolved.clone()),
            _ => {
                let resolved = resolve(&self.cluster, uid, spec)?;
                let limit = time_within(&self.cluster.accounting, spec, resolved.limit)?;
                size_within(&self.cluster.accounting, spec, resolved.cpus)?;
                Ok(Resolved { limit, ..resolved })
            }
        }
    }

    /// A lease shorter than the node timeout would freeze the job at every hiccup of the network.
    fn check_lease(&self, spec: &JobSpec) -> Result<(), Refusal> {
        let timeout = self.settings.node_timeout;
        match spec.restart.lost {
            LostPolicy::Fenced(Some(lease)) if lease < timeout => Err(Refusal::new(
                RefusalCode::Invalid,
                format!("a lease of {} s is shorter than the node timeout, {} s", lease.0, timeout.0),
                format!("--requeue=fenced:{}s at least, or --requeue=proof", timeout.0),
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn check_submission(&self, uid: Uid, submit: &Submit) -> Result<(), Refusal> {
        let limit = |message: String, hint: &str| Err(Refusal::new(RefusalCode::Limit, message, hint));
        if submit.specs.is_empty() {
            return Err(Refusal::new(RefusalCode::Invalid, "there is no job in the submission", ""));
        }
        if submit.specs.len() > SUBMIT_JOBS_MAX {
            let count = submit.specs.len();
            return limit(
                format!("{count} jobs in one submission are more than {SUBMIT_JOBS_MAX}"),
                "submit them in parts, or as an array",
            );
        }
        let new: u64 = submit.specs.iter().map(|spec| u64::from(spec.task_count())).sum();
        let tasks = self.cluster.tasks_of.get(&uid).copied().unwrap_or_default();
        if tasks.saturating_add(new) > TASKS_PER_USER_MAX {
            return limit(
                format!(
                    "your unfinished jobs have {tasks} tasks, and {new} more are over the limit of {TASKS_PER_USER_MAX}"
                ),
                "wait for some to end",
            );
        }
        let most = self.settings.jobs_per_user_max as usize;
        let mine = self.cluster.open_of.get(&uid).map_or(0, |open| *open as usize);
        if mine + submit.specs.len() > most {
            return limit(
                format!("you have {mine} unfinished jobs; {most} is the most for one user"),
                "wait for some to end, or use arrays: an array counts as one job",
            );
        }
        Ok(())
    }

    pub(super) fn remember_key(
        &mut self,
        now: Now,
        caller: &Caller,
        key: &str,
        found: &Found,
        reply: &Reply,
        outcome: &mut Outcome,
    ) {
        let kept = found.request_hash.filter(|_| !bug::is_made(Bug::ForgetKey));
        let (Some(request), Ok(reply)) = (kept, encode(reply)) else { return };
        let record =
            KeyRecord { owner: key_owner(caller), key: key.to_owned(), request, reply, at: now.wall };
        self.commit(Change::Key(Box::new(record)), outcome);
    }

    pub(super) fn receipt(&self, record: &JobRecord) -> Receipt {
        let output = match &record.spec.files.output {
            Output::Nothing => "none".to_owned(),
            Output::Pattern(pattern) => pattern.clone(),
        };
        Receipt {
            partition: record.partitions.join(","),
            cpus: record.cpus,
            memory_bytes: match record.memory {
                Memory::Fixed(bytes) => bytes,
                Memory::Whole => 0,
                Memory::Share => self.cluster.least_share().saturating_mul(record.cpus.into()),
            },
            memory_is_default: record.memory == Memory::Share,
            limit: record.limit,
            start: None,
            nodes: Vec::new(),
            output,
            tasks: record.spec.task_count(),
        }
    }

    /// Ends the tasks of a job that never got an attempt.
    pub(super) fn end_unstarted(
        &mut self,
        now: Now,
        job: JobId,
        set: crate::model::task_set::TaskSet,
        state: State,
        cause: Cause,
        outcome: &mut Outcome,
    ) {
        if set.is_empty() {
            return;
        }
        let end = crate::model::state::End {
            state,
            exit_code: 0,
            signal: 0,
            cause,
            node: None,
            start: None,
            end: now.wall,
            usage: crate::model::state::Usage::default(),
            attempt: crate::model::ids::Attempt(0),
        };
        self.commit(Change::EndedUnstarted { job, set: set.clone(), end: Box::new(end) }, outcome);
        self.after_ends(now, job, &set, outcome);
    }
}

/// Whose keys these are: two identities never share one.
pub fn key_owner(caller: &Caller) -> String {
    match caller.identity.uid {
        // A job that is run again may repeat what it has asked before, and never what its owner has.
        Some(_) if caller.identity.within.is_some() => {
            caller.identity.within.map_or_else(String::new, |within| format!("job {}", within.task.job))
        }
        Some(uid) => format!("uid {uid}"),
        None => format!("{} {}", caller.identity.role, caller.identity.name),
    }
}

/// Whoever has little left of a budget is told so before it is spent.
pub(super) fn note_budgets(accounting: &Accounting, records: &[Arc<JobRecord>], warnings: &mut Vec<String>) {
    let accounts: BTreeSet<&str> = records.iter().map(|record| record.spec.account.as_str()).collect();
    let spent = accounts.into_iter().flat_map(|account| accounting.budgets(account));
    let mut told = BTreeSet::new();
    for spent in spent.filter(|spent| spent.is_much()) {
        let name = &spent.account.name;
        if told.insert(name) {
            let rest = if spent.is_all() { "; nothing starts until there is more" } else { "" };
            warnings.push(format!("account {name} has used {}{rest}", spent.words()));
        }
    }
}

pub(super) fn note_unmanaged_names(
    accounting: &Accounting,
    records: &[Arc<JobRecord>],
    warnings: &mut Vec<String>,
) {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let managed = [!accounting.accounts.is_empty(), !accounting.qos.is_empty()];
    let what = match managed {
        [false, false] => "accounts or QOS",
        [false, true] => "accounts",
        _ => "QOS",
    };
    for record in records {
        let said = [("account", &record.spec.account), ("QOS", &record.spec.qos)];
        for ((word, name), managed) in said.into_iter().zip(managed) {
            if !name.is_empty() && !managed {
                names.insert(format!("{word} `{name}`"));
            }
        }
    }
    if !names.is_empty() {
        let more = names.len().saturating_sub(NAMES_TOLD_MAX);
        let mut names: Vec<String> = names.into_iter().take(NAMES_TOLD_MAX).collect();
        names.iter_mut().for_each(|name| clip(name, NAME_BYTES_MAX));
        if more > 0 {
            names.push(format!("{more} more"));
        }
        let list = names.join(", ");
        warnings.push(format!("no {what} are defined here; {list} is recorded and decides nothing"));
    }
}

/// A record must fit a row of the tables, with what it waits for beside what it asks for.
pub(super) fn check_size(spec: &JobSpec) -> Result<(), Refusal> {
    let bytes = spec.rough_bytes();
    if bytes <= SPEC_BYTES_MAX {
        return Ok(());
    }
    let message = format!("a job's description of {bytes} bytes is over the limit of {SPEC_BYTES_MAX}");
    Err(Refusal::new(RefusalCode::Limit, message, "shorten its lists of nodes, dependencies or words"))
}

/// What in a request can't be, whatever the cluster has.
fn nonsense(spec: &JobSpec) -> Option<&'static str> {
    let constraint = spec.place.constraint.as_ref();
    if constraint.is_some_and(|constraint| !constraint.is_valid()) {
        return Some("the constraint makes no sense");
    }
    let range =
        matches!(spec.request.memory, MemoryRequest::Range(least, most) if least == 0 || most < least);
    range.then_some("the memory range goes down")
}

/// Refuses what could not come from a well-meaning client: the client has said all this better already.
fn check_spec(
    spec: &JobSpec,
    caller: &Caller,
    sent: &BTreeSet<ContentHash>,
    found: &Found,
    known: &imbl::OrdSet<(Uid, ContentHash)>,
    uid: Uid,
) -> Result<(), Refusal> {
    let invalid = |what: &str| Err(Refusal::new(RefusalCode::Invalid, what.to_owned(), ""));
    let path_fits = |path: &str| path.len() <= PATH_BYTES_MAX && !path.contains('\0');
    if spec.name.is_empty() || spec.name.len() > JOB_NAME_BYTES_MAX || spec.name.contains('\0') {
        return invalid(&format!("a job name has 1 to {JOB_NAME_BYTES_MAX} bytes"));
    }
    if spec.comment.len() > COMMENT_BYTES_MAX {
        return invalid(&format!("a comment has at most {COMMENT_BYTES_MAX} bytes"));
    }
    if spec.arguments.iter().map(|argument| argument.len() + 1).sum::<usize>() > ARGUMENTS_BYTES_MAX {
        return invalid(&format!("all arguments together have at most {ARGUMENTS_BYTES_MAX} bytes"));
    }
    let dir = match &spec.work_dir {
        WorkDir::Path(path) => path.as_str(),
        WorkDir::Private => "/",
    };
    if !dir.starts_with('/') {
        return invalid("the working directory is not absolute");
    }
    let pattern = |output: &Output| match output {
        Output::Pattern(pattern) => path_fits(pattern),
        Output::Nothing => true,
    };
    let files = &spec.files;
    let fit = path_fits(dir)
        && path_fits(&spec.submit_dir)
        && path_fits(&files.input)
        && pattern(&files.output)
        && files.error.as_ref().is_none_or(pattern);
    if !fit {
        return invalid(&format!("a path has at most {PATH_BYTES_MAX} bytes and no NUL"));
    }
    if spec.array.as_ref().is_some_and(|array| !array.indexes.is_valid()) {
        return invalid("the array's indexes make no sense");
    }
    if let Some(what) = nonsense(spec) {
        return invalid(what);
    }
    check_size(spec)?;
    if spec.dependencies.conditions.len() > DEPENDENCIES_MAX {
        return invalid(&format!("more than {DEPENDENCIES_MAX} dependencies"));
    }
    if spec.request.nodes.is_some_and(|(least, _)| least > 1) {
        return Err(Refusal::new(RefusalCode::NotSupported, "not supported yet: --nodes above 1", ""));
    }
    let lines = spec.array.as_ref().and_then(|array| array.lines);
    let hashes = [Some(spec.script), Some(spec.environment), lines];
    for hash in hashes.into_iter().flatten() {
        if !sent.contains(&hash) && !found.contents.contains(&hash) && !known.contains(&(uid, hash)) {
            return invalid("the submission names content that was not sent");
        }
    }
    let raises = spec.priority.is_some() || spec.nice < 0;
    if raises && !allowed(caller.identity.role, Right::Operate) {
        return Err(Refusal::new(
            RefusalCode::NotAllowed,
            "only operators raise priorities",
            "leave out --priority and negative --nice",
        ));
    }
    Ok(())
}
