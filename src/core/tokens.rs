//! One-use tokens and certificates: what is kept of them, who joins with which, and what is let go again.

use std::sync::Arc;

use super::audit::Deed;
use super::command::{Effect, Outcome};
use super::state::Cluster;
use super::{Core, refuse};
use crate::model::change::Change;
use crate::model::identity::{Role, name_is_valid};
use crate::model::ids::ContentHash;
use crate::model::record::{CertificateRecord, SpentToken, TokenRecord};
use crate::model::time::{Now, Seconds, WallTime};
use crate::model::token::pool_member;
use crate::wire::client::{RefusalCode, Reply};

/// How long a certificate's record is kept after its end, so that `jctld ca list` can still name it.
pub const EXPIRED_KEPT: Seconds = Seconds(7 * 86_400);
/// How long after its use a token still serves the same key, for an answer that was lost on its way.
pub const ANSWER_AGAIN: Seconds = Seconds(600);
/// The most certificates of one bearer that count at the same time; renewal is refused beyond.
pub const CERTIFICATES_MAX: usize = 64;

/// Somebody without a certificate shows a token's secret.
#[derive(Clone, Debug)]
pub struct Joining {
    /// BLAKE3 of the secret.
    pub hash: ContentHash,
    /// The name that is asked for.
    pub name: String,
    /// BLAKE3 of the public key that wants the certificate.
    pub key: ContentHash,
    /// From which address.
    pub from: String,
}

impl Cluster {
    /// Takes in what is about tokens and certificates; anything else is left alone.
    pub(super) fn absorb_credentials(&mut self, change: &Change) {
        match change {
            Change::Token(record) => {
                self.spent.remove(&record.hash);
                self.tokens.insert(record.hash, record.clone());
            }
            Change::TokenUsed(hash) => {
                self.tokens.remove(hash);
                self.spent.remove(hash);
            }
            Change::TokenSpent(record) => {
                self.tokens.remove(&record.token.hash);
                self.spent.insert(record.token.hash, Arc::new((**record).clone()));
            }
            Change::Certificate(record) => {
                self.certificates.insert(record.serial, record.clone());
            }
            Change::CertificateDropped(serial) => {
                self.certificates.remove(serial);
            }
            _ => {}
        }
    }
}

impl Core {
    pub(super) fn on_join(&mut self, now: Now, joining: &Joining, outcome: &mut Outcome) -> Reply {
        if !name_is_valid(&joining.name) {
            return not_joined("the name that was asked for cannot be one".to_owned());
        }
        let (token, why) = match self.token_of(now, joining) {
            Ok(token) => (token, None),
            Err((Some(token), why)) => (token, Some(why)),
            // Whoever guesses secrets is no event of the cluster: the log of the daemon has it, the journal has not.
            Err((None, why)) => return not_joined(why),
        };
        let late = now.wall.micros_since(token.expires) / 1_000_000;
        let why = match why {
            None if token.expires <= now.wall => Some(format!("this token expired {late} s ago")),
            why => why,
        };
        if let Some(why) = why {
            self.audit_joining(now, &token, joining, &why, false, outcome);
            return not_joined(why);
        }
        if token.role == Role::Node {
            // A name is one machine's: whatever joined under it before is that no more.
            self.revoke_node(now, &joining.name, outcome);
        }
        let spent = SpentToken { token: token.clone(), key: joining.key, at: now.wall };
        self.commit(Change::TokenSpent(Box::new(spent)), outcome);
        let what = format!("{} {} joins", token.role, joining.name);
        self.audit_joining(now, &token, joining, &what, true, outcome);
        outcome.effects.push(Effect::Issue(token));
        Reply::Done { lines: Vec::new(), warnings: Vec::new() }
    }

    /// The token that was shown, or why it does not count.
    fn token_of(&self, now: Now, joining: &Joining) -> Result<TokenRecord, (Option<TokenRecord>, String)> {
        let member = pool_member(joining.hash, &joining.name);
        for hash in [joining.hash, member] {
            if let Some(spent) = self.cluster.spent.get(&hash) {
                let token = spent.token.clone();
                let again = now.wall.micros_since(spent.at) < ANSWER_AGAIN.micros();
                if again && spent.key == joining.key && token.name == joining.name {
                    // The answer was lost on its way: the same key asks again.
                    return Ok(token);
                }
                let why = format!("this token was used already, for {} {}", token.role, token.name);
                return Err((Some(token), why));
            }
        }
        if let Some(token) = self.cluster.tokens.get(&member) {
            return Ok(token.clone());
        }
        match self.cluster.tokens.get(&joining.hash) {
            None => Err((None, "this token is not known here: it was taken back, or is too old".to_owned())),
            Some(token) if token.name == joining.name => Ok(token.clone()),
            Some(token) if token.name.is_empty() => {
                Err((Some(token.clone()), format!("this token is not for a node `{}`", joining.name)))
            }
            Some(token) => {
                let why =
                    format!("this token is for {} {}, not for `{}`", token.role, token.name, joining.name);
                Err((Some(token.clone()), why))
            }
        }
    }

    fn audit_joining(
        &mut self,
        now: Now,
        token: &TokenRecord,
        joining: &Joining,
        what: &str,
        allowed: bool,
        outcome: &mut Outcome,
    ) {
        let whose = if token.name.is_empty() { "any of several" } else { &token.name };
        let who = format!("token of {} {whose}", token.role);
        self.audit_as(now, &who, &joining.from, Deed::of(what), allowed, outcome);
    }

    /// A certificate was signed. What the same bearer had and what has ended long since is let go.
    pub(super) fn on_issued(&mut self, now: Now, record: CertificateRecord, outcome: &mut Outcome) {
        let bound = |end: WallTime| end.plus(EXPIRED_KEPT) <= now.wall;
        let old = self.cluster.certificates.values();
        let old = old.filter(|old| old.role == record.role && old.name == record.name && bound(old.expires));
        let old: Vec<_> = old.map(|old| old.serial).collect();
        for serial in old {
            self.commit(Change::CertificateDropped(serial), outcome);
        }
        self.commit(Change::Certificate(record), outcome);
    }

    /// Lets go of tokens that have expired, used or not. Called where new ones are made.
    pub(super) fn drop_expired_tokens(&mut self, now: Now, outcome: &mut Outcome) {
        // A day longer than they are good: whoever comes late is told that it is that.
        let gone = |expires: WallTime| expires.plus(Seconds(86_400)) <= now.wall;
        let unused = self.cluster.tokens.values().filter(|token| gone(token.expires)).map(|token| token.hash);
        let spent = self.cluster.spent.values().map(|spent| &spent.token);
        let spent = spent.filter(|token| gone(token.expires)).map(|token| token.hash);
        let hashes: Vec<ContentHash> = unused.chain(spent).collect();
        for hash in hashes {
            self.commit(Change::TokenUsed(hash), outcome);
        }
    }

    /// Takes the certificates of a node back.
    pub(super) fn revoke_node(&mut self, now: Now, name: &str, outcome: &mut Outcome) {
        let hit = self.cluster.certificates.values();
        let hit = hit.filter(|c| c.role == Role::Node && c.name == name && c.revoked.is_none());
        let hit: Vec<CertificateRecord> = hit.cloned().collect();
        for record in hit {
            self.revoke(now, record, outcome);
        }
    }

    /// Takes the certificates of a person back that say something else than `keeps`.
    pub(super) fn revoke_person(
        &mut self,
        now: Now,
        name: &str,
        keeps: impl Fn(&CertificateRecord) -> bool,
        outcome: &mut Outcome,
    ) {
        let person = |role| matches!(role, Role::User | Role::Operator | Role::Admin);
        let hit = self.cluster.certificates.values().filter(|record| {
            record.name == name && person(record.role) && record.revoked.is_none() && !keeps(record)
        });
        let hit: Vec<CertificateRecord> = hit.cloned().collect();
        for record in hit {
            self.revoke(now, record, outcome);
        }
    }
}

fn not_joined(why: String) -> Reply {
    refuse(
        RefusalCode::NotAllowed,
        why,
        "ask an admin for a new token: `jnode add NAME` for a node, `jctld user add NAME` for a person",
    )
}
