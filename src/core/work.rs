//! Requests that may be about many jobs, taken on step by step, so that nobody has to wait for all of another's.

use super::acting::Acting;
use super::audit;
use super::command::{Caller, Found, Outcome};
use super::submission::Submission;
use super::{Core, refuse};
use crate::model::ids::{Position, Uid};
use crate::model::time::Now;
use crate::wire::client::{RefusalCode, Reply, Request, Selector, Submit};

/// About how many jobs are looked at in one step: less than a millisecond's work. Few in tests, so that many things are
/// done in steps.
pub const STEP_JOBS: usize = if cfg!(test) { 3 } else { 256 };

/// A request that is being worked on.
#[derive(Debug)]
pub enum Work {
    /// A submission that was not looked at yet.
    New(Box<(Caller, Submit, Found)>),
    /// A submission.
    Submission(Box<Submission>),
    /// A verb on jobs.
    Acting(Box<Acting>),
    /// What is no such request.
    Nothing,
}

/// Whose requests keep their order, if one of them is taken on in steps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// A user's, from wherever they come.
    User(Uid),
    /// Somebody's who is no user.
    Other(String),
}

impl Lane {
    /// Of whoever is behind a request.
    pub fn of(caller: &Caller) -> Lane {
        match caller.identity.uid {
            Some(uid) => Lane::User(uid),
            None => Lane::Other(format!("{} {}", caller.identity.role, caller.identity.name)),
        }
    }
}

impl Work {
    /// The work that a request makes.
    pub fn new(caller: Caller, request: Request, found: Found) -> Work {
        match request {
            Request::Submit(submit) => Work::New(Box::new((caller, submit, found))),
            Request::Act(act) => Work::Acting(Box::new(Acting::new(caller, act, found))),
            _ => Work::Nothing,
        }
    }

    /// Who asks for what, for the record of a refusal.
    fn asked(&self) -> Option<(Caller, String)> {
        match self {
            Work::New(new) => Some((new.0.clone(), audit::SUBMIT_WORD.to_owned())),
            Work::Submission(submission) => Some((submission.caller.clone(), audit::SUBMIT_WORD.to_owned())),
            Work::Acting(acting) => Some((acting.caller.clone(), audit::verb_words(&acting.act))),
            Work::Nothing => None,
        }
    }

    /// Whether this is a submission.
    pub fn is_submission(&self) -> bool {
        matches!(self, Work::New(_) | Work::Submission(_))
    }
}

/// Whether a request may be about so many jobs that it is taken on in steps.
pub fn may_be_long(request: &Request) -> bool {
    match request {
        Request::Submit(submit) => submit.specs.len() > STEP_JOBS,
        Request::Act(act) => {
            let selectors = &act.selection.selectors;
            let named = selectors.iter().any(|selector| matches!(selector, Selector::Name(_)));
            named || selectors.is_empty() || selectors.len() > STEP_JOBS
        }
        _ => false,
    }
}

impl Core {
    /// Whether a submission that comes in now has to wait for the one that is taken on in steps: what that one will count
    /// against limits that others share is not known yet.
    pub fn submissions_wait(&self) -> bool {
        let open = self.set_aside.is_some() || self.cluster.unsettled.is_some();
        open && self.cluster.accounting.has_submitted_caps()
    }

    /// Begins a request that [`may_be_long`], or answers it.
    ///
    /// # Errors
    /// The answer, if there is one already.
    pub fn begin(
        &mut self,
        now: Now,
        position: Position,
        caller: Caller,
        request: Request,
        found: Found,
    ) -> Result<Work, Box<Outcome>> {
        let Some(reply) = self.admit(now, &caller, &request, &found) else {
            return Ok(Work::new(caller, request, found));
        };
        let asked = audit::asked(&request);
        let (told, outcome) = self.during(now, position, |core, outcome| {
            core.audit_refusal(now, &caller, &asked, &reply, outcome);
            reply
        });
        Err(Box::new(Outcome { reply: Some(told), ..outcome }))
    }

    /// Takes work on by one step. The outcome has the answer when that was the last.
    pub fn step(&mut self, now: Now, position: Position, work: &mut Work) -> Outcome {
        let asked = work.asked();
        let (reply, outcome) = self.during(now, position, |core, outcome| {
            let reply = core.further(now, work, STEP_JOBS, true, outcome);
            if let (Some(reply), Some((caller, words))) = (&reply, &asked) {
                core.audit_refusal(now, caller, words, reply, outcome);
            }
            reply
        });
        Outcome { reply, ..outcome }
    }

    /// The whole of some work.
    pub(super) fn in_one_go(&mut self, now: Now, mut work: Work, outcome: &mut Outcome) -> Reply {
        loop {
            if let Some(reply) = self.further(now, &mut work, usize::MAX, false, outcome) {
                return reply;
            }
        }
    }

    fn further(
        &mut self,
        now: Now,
        work: &mut Work,
        most: usize,
        in_steps: bool,
        outcome: &mut Outcome,
    ) -> Option<Reply> {
        match work {
            Work::New(_) => {
                let Work::New(new) = std::mem::replace(work, Work::Nothing) else { return None };
                let (caller, submit, found) = *new;
                match self.begin_submission(caller, submit, found, in_steps) {
                    Ok(submission) => *work = Work::Submission(Box::new(submission)),
                    Err(refusal) => return Some(Reply::Refused(refusal)),
                }
                None
            }
            Work::Submission(submission) => self.submission_step(now, submission, most, outcome),
            Work::Acting(acting) => self.acting_step(now, acting, most, outcome),
            Work::Nothing => Some(refuse(RefusalCode::Invalid, "this request changes nothing", "")),
        }
    }

    /// Refusals of what somebody may not do are audited.
    pub(super) fn audit_refusal(
        &mut self,
        now: Now,
        caller: &Caller,
        asked: &str,
        reply: &Reply,
        outcome: &mut Outcome,
    ) {
        if let Reply::Refused(refusal) = reply
            && refusal.code == RefusalCode::NotAllowed
        {
            let deed = audit::Deed::of(format!("{asked} (refused: {})", refusal.message));
            self.audit_seldom(now, caller, deed, false, outcome);
        }
    }
}
