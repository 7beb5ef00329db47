//! Users, tokens and certificates.

use super::audit::Deed;
use super::command::{Caller, Effect, Outcome};
use super::node_act::TOKEN_TTL_MAX;
use super::{Core, refuse};
use crate::model::change::Change;
use crate::model::identity::{Role, name_is_valid};
use crate::model::ids::{ContentHash, JobId};
use crate::model::record::{CertificateRecord, TokenRecord, UserRecord};
use crate::model::time::{Now, Seconds};
use crate::wire::client::{Admin, RefusalCode, Reply, Request};

/// How long the revocation of a certificate that nobody has seen is kept: as long as an authority lives.
const UNKNOWN_KEPT: Seconds = Seconds(3_650 * 86_400);

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
                self.drop_expired_tokens(now, outcome);
                // What was issued for another role or uid must not outlive the change.
                if let Some(old) = self.cluster.users.get(name.as_str()).cloned() {
                    self.revoke_person(now, name, |c| old.uid == *uid && c.role == *role, outcome);
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
                // One that was issued on the CA's host and has not been used yet is not known, and can be revoked.
                let unknown = || CertificateRecord {
                    serial: *serial,
                    role: Role::User,
                    name: "-".to_owned(),
                    issued: now.wall,
                    expires: now.wall.plus(UNKNOWN_KEPT),
                    revoked: None,
                };
                let record = self.cluster.certificates.get(serial).cloned().unwrap_or_else(unknown);
                let what = format!("revoke certificate {serial} of {} {}", record.role, record.name);
                self.revoke(now, record, outcome);
                (Reply::Done { lines: vec![format!("{serial} revoked")], warnings: Vec::new() }, what)
            }
            Admin::Stop => {
                outcome.effects.push(Effect::Stop);
                let lines = vec!["stopping; jobs go on".to_owned()];
                (Reply::Done { lines, warnings: Vec::new() }, "stop".to_owned())
            }
            Admin::Accept => (self.accept(outcome), "accept the restored state".to_owned()),
            Admin::Export => (done(), "export".to_owned()),
            Admin::Backup { folder } => (done(), format!("back up to {folder}")),
            Admin::Status
            | Admin::Verify
            | Admin::UserList
            | Admin::CertificateList
            | Admin::Audit(_)
            | Admin::AuditVerify => {
                return refuse(RefusalCode::Invalid, "this request changes nothing", "");
            }
        };
        if !matches!(reply, Reply::Refused(_)) {
            self.audit(now, caller, Deed::of(what), true, outcome);
        }
        reply
    }

    /// Takes a certificate back: its connections end, and the token that gave it gives no second one.
    pub(super) fn revoke(&mut self, now: Now, record: CertificateRecord, outcome: &mut Outcome) {
        let serial = record.serial;
        let tokens = self.cluster.spent.values().map(|spent| &spent.token);
        let tokens = tokens.filter(|token| token.role == record.role && token.name == record.name);
        let tokens: Vec<ContentHash> = tokens.map(|token| token.hash).collect();
        for hash in tokens {
            self.commit(Change::TokenUsed(hash), outcome);
        }
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
        self.revoke_person(now, name, |_| false, outcome);
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
        self.leave_accounts(name, outcome);
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
}

/// What the shell does once this is durable.
fn done() -> Reply {
    Reply::Done { lines: Vec::new(), warnings: Vec::new() }
}
