//! Who may do what: the one table (INTERFACE, "Who may do what"), deny by default.

use super::accounting::Accounting;
use crate::model::identity::{Identity, Role};
use crate::model::record::JobRecord;
use crate::wire::client::{AccountAct, Admin, NodeAct, Request, Verb};

/// Things that one may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// See ids, names, users, accounts, resources, states, reasons.
    SeeQueue,
    /// Submit jobs as oneself.
    Submit,
    /// See script, environment, command line, paths, comment and output of one's own job.
    SeeOwn,
    /// See those of somebody else's.
    SeeForeign,
    /// Change, hold, release, requeue, cancel, signal one's own job.
    ChangeOwn,
    /// The same with somebody else's.
    ChangeForeign,
    /// Raise a priority, change what is granted to a running job; nodes, reservations, partitions.
    Operate,
    /// Users, certificates, accounts, configuration, backup, audit.
    Administer,
    /// Change accounts below those that one coordinates, and see them: see [`may_change_account`].
    Coordinate,
    /// Speak as a node.
    BeNode,
}

/// Whether a role has a right. What is not in the table is not allowed.
pub fn allowed(role: Role, right: Right) -> bool {
    use Right::{
        Administer, BeNode, ChangeForeign, ChangeOwn, Coordinate, Operate, SeeForeign, SeeOwn, SeeQueue,
        Submit,
    };
    match role {
        Role::User => matches!(right, SeeQueue | Submit | SeeOwn | ChangeOwn | Coordinate),
        Role::Operator => {
            matches!(right, SeeQueue | Submit | SeeOwn | ChangeOwn | ChangeForeign | Operate | Coordinate)
        }
        Role::Admin => matches!(
            right,
            SeeQueue
                | Submit
                | SeeOwn
                | SeeForeign
                | ChangeOwn
                | ChangeForeign
                | Operate
                | Administer
                | Coordinate
        ),
        Role::Node => matches!(right, BeNode),
        // All of it within its reach alone: see `in_reach`.
        Role::Job => matches!(right, SeeQueue | Submit | SeeOwn | ChangeOwn),
        Role::Login | Role::Controller => false,
    }
}

/// What a request needs at the least, before it is known whose jobs it is about.
pub fn needed(request: &Request) -> Right {
    match request {
        Request::Submit(_) => Right::Submit,
        Request::List(_)
        | Request::Show(_)
        | Request::Wait(_)
        | Request::Watch(_)
        | Request::Ended(_)
        | Request::Usage(_)
        | Request::Whoami
        | Request::Nodes
        | Request::WatchNodes
        | Request::Renew { .. } => Right::SeeQueue,
        Request::Tied(_) => Right::ChangeOwn,
        Request::Log(_) => Right::SeeOwn,
        Request::Act(act) => match act.verb {
            Verb::Set(ref settings) | Verb::RequeueWith { settings: Some(ref settings), .. }
                if settings.priority.is_some() =>
            {
                Right::Operate
            }
            _ => Right::ChangeOwn,
        },
        Request::NodeAct(NodeAct::Add { .. } | NodeAct::AddPool { .. } | NodeAct::Remove { .. }) => {
            Right::Administer
        }
        Request::NodeAct(_) => Right::Operate,
        Request::Account(AccountAct::QosSet { .. } | AccountAct::QosRemove { .. }) => Right::Administer,
        Request::Account(_) => Right::Coordinate,
        Request::Admin(Admin::Status) => Right::Operate,
        Request::Admin(_) | Request::Config(_) => Right::Administer,
    }
}

/// Whether the caller may make or change accounts right below that one (`None`: that stand below none): admins
/// everywhere, coordinators below their own.
pub fn may_change_account(caller: &Identity, accounting: &Accounting, under: Option<&str>) -> bool {
    if !allowed(caller.role, Right::Coordinate) {
        return false;
    }
    let own = |under| accounting.chain(under).any(|account| account.coordinators.contains(&caller.name));
    allowed(caller.role, Right::Administer) || under.is_some_and(own)
}

/// Whether the caller may see what is defined of accounts.
pub fn may_list_accounts(caller: &Identity, accounting: &Accounting) -> bool {
    allowed(caller.role, Right::Administer)
        || (allowed(caller.role, Right::Coordinate)
            && accounting.coordinated_by(&caller.name).next().is_some())
}

/// Whether a job can be named at all: from inside a job only that job, the jobs that it submitted, and theirs.
pub fn in_reach(caller: &Identity, record: &JobRecord) -> bool {
    match (caller.role, &caller.within) {
        (Role::Job, Some(within)) => {
            let job = within.task.job;
            caller.uid == Some(record.uid) && (record.id == job || record.ancestors.contains(&job))
        }
        (Role::Job, None) | (_, Some(_)) => false,
        (_, None) => true,
    }
}

/// Whether the caller may see what is private to the owner of a job.
pub fn may_see(caller: &Identity, record: &JobRecord) -> bool {
    let right = if caller.uid == Some(record.uid) { Right::SeeOwn } else { Right::SeeForeign };
    allowed(caller.role, right) && in_reach(caller, record)
}

/// Whether the caller may change a job.
pub fn may_change(caller: &Identity, record: &JobRecord) -> bool {
    let right = if caller.uid == Some(record.uid) { Right::ChangeOwn } else { Right::ChangeForeign };
    allowed(caller.role, right) && in_reach(caller, record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_denies_by_default() {
        let all = [
            Right::SeeQueue,
            Right::Submit,
            Right::SeeOwn,
            Right::SeeForeign,
            Right::ChangeOwn,
            Right::ChangeForeign,
            Right::Operate,
            Right::Administer,
            Right::Coordinate,
            Right::BeNode,
        ];
        let count = |role| all.iter().filter(|right| allowed(role, **right)).count();
        let counts: Vec<usize> = Role::ALL.iter().map(|role| count(*role)).collect();
        assert_eq!(counts, [5, 7, 9, 1, 0, 0, 4]);
        assert!(!allowed(Role::Operator, Right::SeeForeign));
        assert!(!allowed(Role::Admin, Right::BeNode));
        assert!(!allowed(Role::Node, Right::SeeQueue));
    }
}
