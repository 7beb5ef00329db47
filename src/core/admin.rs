//! Users, tokens and certificates.

use super::command::{Caller, Effect, Outcome};
use super::node_act::TOKEN_TTL_MAX;
use super::{Core, refuse};
use crate::model::change::Change;
use crate::model::identity::{Role, name_is_valid};
use crate::model::ids::{ContentHash, JobId};
use crate::model::record::{CertificateRecord, TokenRecord, UserRecord};
use crate::model::time::Now;
use crate::wire::client::{Admin, RefusalCode, Reply, Request};

impl Core {
    pub(super) fn admin(&mut self, now: Now, caller: &Caller, admin: &Admin, outcome: &mut Outcome) -> Reply {
        let (reply, what) = match admin {
            Admin::UserAdd { name, uid, role, ttl, secret } => {
                if !name_is_valid(name) || !matches!(role, Role::User | Role::Operator | Role::Admin) {
                    return refuse(RefusalCode::Invalid, format!("`{name}` as {role} can't be added"), "");
                }
                if *ttl > TOKEN_TTL_MAX {
                    return refuse(RefusalCode::Limit, "a token is good for at most 30 days", "");
                }
                let user = UserRecord { name: name.clone(), uid: *uid, role: *role };
                let clash = self.cluster.users.values().find(|old| old.uid == *uid && old.name != *name);
                if let Some(old) = clash {
                    let message = format!("uid {uid} is {} already", old.name);
                    return refuse(RefusalCode::Conflict, message, "one uid, one user");
                }
                let expires = now.wall.plus(*ttl);
                let token =
                    TokenRecord { hash: *secret, role: *role, name: name.clone(), uid: Some(*uid), expires };
                self.commit(Change::User(user), outcome);
                self.commit(Change::Token(token), outcome);
                (self.tokens_reply(expires), format!("add {role} {name}, uid {uid}"))
            }
            Admin::UserRemove { name, cancel_jobs } => {
                (self.remove_user(now, caller, name, *cancel_jobs, outcome), format!("remove user {name}"))
            }
            Admin::CertificateRevoke { serial } => {
                let Some(record) = self.cluster.certificates.get(serial).cloned() else {
                    return refuse(RefusalCode::Invalid, format!("no certificate has serial {serial}"), "");
                };
                let what = format!("revoke certificate {serial} of {} {}", record.role, record.name);
                self.revoke(now, record, outcome);
                (Reply::Done { lines: vec![format!("{serial} revoked")], warnings: Vec::new() }, what)
            }
            Admin::Stop => {
                outcome.effects.push(Effect::Stop);
                let lines = vec!["stopping; jobs go on".to_owned()];
                (Reply::Done { lines, warnings: Vec::new() }, "stop".to_owned())
            }
            Admin::Status
            | Admin::Verify
            | Admin::UserList
            | Admin::CertificateList
            | Admin::Audit { .. } => {
                return refuse(RefusalCode::Invalid, "this request changes nothing", "");
            }
        };
        if !matches!(reply, Reply::Refused(_)) {
            self.audit(now, caller, &what, true, outcome);
        }
        reply
    }

    fn revoke(&mut self, now: Now, record: CertificateRecord, outcome: &mut Outcome) {
        let serial = record.serial;
        let record = CertificateRecord { revoked: Some(now.wall), ..record };
        self.commit(Change::Certificate(record), outcome);
        outcome.effects.push(Effect::CutOff(serial));
    }

    fn remove_user(
        &mut self,
        now: Now,
        caller: &Caller,
        name: &str,
        cancel_jobs: Option<bool>,
        outcome: &mut Outcome,
    ) -> Reply {
        let Some(user) = self.cluster.users.get(name).cloned() else {
            return refuse(
                RefusalCode::NoSuchUser,
                format!("there is no user `{name}`"),
                "`jctld user list`",
            );
        };
        let jobs: Vec<JobId> = self
            .cluster
            .by_user
            .range((user.uid, JobId(0))..=(user.uid, JobId(u64::MAX)))
            .map(|(_, job)| *job)
            .filter(|job| self.cluster.jobs.get(job).is_some_and(|job| job.ended.is_none()))
            .collect();
        if !jobs.is_empty() && cancel_jobs.is_none() {
            return refuse(
                RefusalCode::Conflict,
                format!("{name} has {} unfinished jobs", jobs.len()),
                "say --cancel-jobs or --keep-running",
            );
        }
        if cancel_jobs == Some(true) {
            for job in jobs {
                self.cancel_whole(now, caller, job, "the user was removed", outcome);
            }
        }
        let certificates: Vec<CertificateRecord> = self
            .cluster
            .certificates
            .values()
            .filter(|c| c.name == name && c.role != Role::Node)
            .cloned()
            .collect();
        for record in certificates {
            self.revoke(now, record, outcome);
        }
        let tokens: Vec<ContentHash> = self
            .cluster
            .tokens
            .values()
            .filter(|t| t.name == name && t.uid.is_some())
            .map(|t| t.hash)
            .collect();
        for hash in tokens {
            self.commit(Change::TokenUsed(hash), outcome);
        }
        self.commit(Change::UserRemoved(name.to_owned()), outcome);
        Reply::Done { lines: vec![format!("user {name} removed")], warnings: Vec::new() }
    }

    /// A revoked certificate, or one of a user who was removed, speaks for nobody; nor does an attempt that has ended.
    pub(super) fn barred(&mut self, _now: Now, caller: &Caller, request: &Request) -> Option<Reply> {
        if let Some(refusal) = self.barred_within(caller, request) {
            return Some(Reply::Refused(refusal));
        }
        let record = self.cluster.certificates.get(&caller.identity.serial)?;
        record.revoked?;
        Some(refuse(
            RefusalCode::NotAllowed,
            "this certificate was revoked",
            "ask an admin for a new token: `jctld user add`",
        ))
    }

    pub(super) fn on_join(
        &mut self,
        now: Now,
        hash: ContentHash,
        name: &str,
        outcome: &mut Outcome,
    ) -> Reply {
        let refused = |why: &str| refuse(RefusalCode::NotAllowed, why, "ask an admin for a new token");
        let Some(token) = self.cluster.tokens.get(&hash).cloned() else {
            return refused("this token is not known, or was used already");
        };
        if token.expires <= now.wall {
            self.commit(Change::TokenUsed(hash), outcome);
            return refused("this token has expired");
        }
        if token.name != name {
            return refused("this token is for another name");
        }
        self.commit(Change::TokenUsed(hash), outcome);
        outcome.effects.push(Effect::Issue(token));
        Reply::Done { lines: Vec::new(), warnings: Vec::new() }
    }
}
