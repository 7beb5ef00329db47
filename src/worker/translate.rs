//! Between the agent's words, the controller's and the supervisors': each language keeps its own types, since each
//! lives by its own versions.

use std::collections::BTreeMap;

use crate::agent::{Notice, Said, Tell, Try, tries_of};
use crate::model::ids::{JobId, NodeId, Ordinal, TaskIndex};
use crate::model::spec::{MemoryRequest, Request};
use crate::model::time::Seconds;
use crate::wire::node::{JobBody, KillReason, TaskRun};
use crate::wire::supervisor as language;
use language::{AttemptRef, FromSupervisor, News, ToSupervisor, Which};

/// The most tasks of one message to a supervisor.
const RUN_TASKS_MAX: usize = 512;
/// A message to a supervisor is closed when its lines have so many bytes.
const RUN_LINES_BYTES_MAX: usize = 1 << 20;

/// What this node adds to a job.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub node: String,
    /// The cluster's name.
    pub cluster: String,
    /// Control group trees, if there are any.
    pub cgroups: Option<language::Cgroups>,
    /// Where private folders are made.
    pub tmp_base: String,
    /// Whether uid 0 may run jobs.
    pub root_allowed: bool,
}

/// The lines of a job with `--each-line`, found by their number.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Lines {
    /// Of a text with a newline after each line.
    pub fn new(bytes: Vec<u8>) -> Lines {
        let after = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after).collect();
        Lines { bytes, starts }
    }

    /// The line of that number, counted from 1, without its newline.
    pub fn get(&self, number: u32) -> Option<String> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let start = *self.starts.get(at)?;
        let end = self.starts.get(at + 1).map_or(self.bytes.len(), |next| next - 1);
        let line = self.bytes.get(start..end).filter(|_| start < self.bytes.len())?;
        Some(String::from_utf8_lossy(line).into_owned())
    }
}

/// The job as its supervisor is told.
pub fn job(
    id: JobId,
    body: &JobBody,
    user: language::User,
    script: Vec<u8>,
    environment: Vec<u8>,
    place: &Place,
) -> language::Job {
    let memory = match (body.memory_per_node_bytes, body.memory_per_cpu_bytes) {
        (Some(bytes), _) => MemoryRequest::PerNode(bytes),
        (None, Some(bytes)) => MemoryRequest::PerCpu(bytes),
        (None, None) => MemoryRequest::Default,
    };
    language::Job {
        job: id,
        array: body.indexes.as_ref().and_then(array_facts),
        name: body.name.clone(),
        user,
        root_allowed: place.root_allowed,
        script,
        environment,
        arguments: body.arguments.clone(),
        work_dir: body.work_dir.clone(),
        submit_dir: body.submit_dir.clone(),
        submit_host: body.submit_host.clone(),
        umask: body.umask,
        files: body.files.clone(),
        // Which number the tables give this node is the controller's business; ends leave here without one.
        node: NodeId(0),
        node_name: place.node.clone(),
        cluster: place.cluster.clone(),
        partition: body.partition.clone(),
        account: body.account.clone(),
        qos: body.qos.clone(),
        request: Request {
            tasks: body.tasks,
            tasks_per_node: body.tasks_per_node,
            cpus_per_task: body.cpus_per_task,
            memory,
            ..Request::default()
        },
        granted: body.resources,
        time_limit: body.limit,
        kill_grace: body.grace,
        warning: body.warning,
        cgroups: place.cgroups.clone(),
        tmp_base: place.tmp_base.clone(),
        slots: 0,
        lease: body.lease(),
    }
}

/// What is said to a supervisor, in its language.
pub fn to_supervisor(id: JobId, body: &JobBody, lines: &Lines, tell: Tell) -> Vec<ToSupervisor> {
    match tell {
        Tell::Run { attempts, unstarted, slots, not_after } => {
            let unstarted: BTreeMap<Try, u32> = unstarted.into_iter().collect();
            let mut messages = vec![ToSupervisor::SetSlots { slots }];
            let (mut tasks, mut bytes) = (Vec::new(), 0);
            for which in tries_of(&attempts) {
                let index = body.indexes.as_ref().and_then(|indexes| indexes.index(which.ordinal));
                let line = body.lines.and_then(|_| lines.get(index?.0));
                bytes += line.as_ref().map_or(0, String::len);
                tasks.push(language::TaskRun {
                    task: attempt_ref(which),
                    index,
                    number: id.task_number(body.indexes.is_some(), which.ordinal),
                    restarts: restarts(which, unstarted.get(&which).copied()),
                    line,
                    not_after,
                });
                if tasks.len() == RUN_TASKS_MAX || bytes >= RUN_LINES_BYTES_MAX {
                    messages.push(ToSupervisor::Run { tasks: std::mem::take(&mut tasks) });
                    bytes = 0;
                }
            }
            if !tasks.is_empty() {
                messages.push(ToSupervisor::Run { tasks });
            }
            messages
        }
        Tell::Slots(slots) => vec![ToSupervisor::SetSlots { slots }],
        Tell::Contact(at) => vec![ToSupervisor::Contact { at }],
        Tell::Withdraw(attempts) => vec![ToSupervisor::Withdraw { tasks: refs(&attempts) }],
        Tell::Kill { attempts, reason } => {
            let which = Which::These(refs(&attempts));
            let grace = (reason == KillReason::GivenUp).then_some(Seconds(0));
            vec![ToSupervisor::Kill { which, reason: kill_reason(reason), grace }]
        }
        Tell::Signal { attempts, signal, batch_only } => {
            vec![ToSupervisor::Signal { which: Which::These(refs(&attempts)), signal, batch_only }]
        }
        Tell::Suspend { attempts, stop: true } => {
            vec![ToSupervisor::Suspend { which: Which::These(refs(&attempts)) }]
        }
        Tell::Suspend { attempts, stop: false } => {
            vec![ToSupervisor::Resume { which: Which::These(refs(&attempts)) }]
        }
        Tell::Acknowledge(up_to) => vec![ToSupervisor::Acknowledge { up_to }],
        Tell::Finish => vec![ToSupervisor::Finish],
        Tell::Limit(limit) => vec![ToSupervisor::SetLimit { limit }],
    }
}

/// How often a task was started before this attempt: an attempt that was withdrawn before its start was none.
fn restarts(which: Try, unstarted: Option<u32>) -> u32 {
    which.attempt.0.saturating_sub(1).saturating_sub(unstarted.unwrap_or_default())
}

/// What a supervisor says, in the agent's words; `None` for what the agent need not know.
pub fn said(message: FromSupervisor) -> Option<Said> {
    let started = |attempts: Vec<language::StartedAttempt>| {
        attempts.into_iter().map(|one| (try_of(one.task), one.start)).collect()
    };
    let notices = |reports: Vec<language::Report>| reports.into_iter().map(notice).collect::<Vec<Notice>>();
    Some(match message {
        FromSupervisor::Welcome { inventory, .. } => Said::Ready {
            held: inventory.queued.into_iter().map(try_of).collect(),
            started: started(inventory.running),
            notices: notices(inventory.reports),
        },
        FromSupervisor::Started { attempts } => Said::Started(started(attempts)),
        FromSupervisor::Reports { reports } => Said::Notices(notices(reports)),
        FromSupervisor::Kept { tasks } => Said::Kept(tasks.into_iter().map(try_of).collect()),
        FromSupervisor::Usage { .. } | FromSupervisor::Refused { .. } | FromSupervisor::Call { .. } => {
            return None;
        }
    })
}

/// An attempt in the agent's words.
pub fn try_of(task: AttemptRef) -> Try {
    Try { attempt: task.attempt, ordinal: task.ordinal }
}

fn notice(report: language::Report) -> Notice {
    let which = try_of(report.task);
    let end = match report.news {
        News::Ended(mut end) => {
            end.node = None;
            end.attempt = which.attempt;
            Some(end)
        }
        News::Never => None,
    };
    Notice { number: report.number, which, end }
}

fn attempt_ref(which: Try) -> AttemptRef {
    AttemptRef { ordinal: which.ordinal, attempt: which.attempt }
}

fn refs(attempts: &[TaskRun]) -> Vec<AttemptRef> {
    tries_of(attempts).map(attempt_ref).collect()
}

fn kill_reason(reason: KillReason) -> language::KillReason {
    match reason {
        KillReason::Cancel { by, text } => language::KillReason::Cancel { by, text },
        KillReason::Preempt { text } => language::KillReason::Preempt { text },
        KillReason::Deadline => language::KillReason::Deadline,
        KillReason::GivenUp => language::KillReason::Node {
            text: "there was no contact with its node for too long, and it was given up".to_owned(),
        },
    }
}

fn array_facts(indexes: &crate::model::task_set::IndexSet) -> Option<language::ArrayFacts> {
    let first = indexes.runs().first()?;
    let count = indexes.count();
    let TaskIndex(max) = indexes.index(Ordinal(count.checked_sub(1)?))?;
    Some(language::ArrayFacts { count, min: first.first, max, step: first.step })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::new(b"one\n\nthree\n".to_vec());
        let got: Vec<Option<String>> = (0..5).map(|number| lines.get(number)).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(got, [None, some("one"), some(""), some("three"), None]);
        assert_eq!(Lines::new(b"last".to_vec()).get(1), some("last"));
        assert_eq!(Lines::default().get(1), None);
    }
}
