//! Verbs on nodes and partitions.

use super::audit::Deed;
use super::command::{Caller, Outcome};
use super::config::AtKey;
use super::{Core, refuse};
use crate::model::change::Change;
use crate::model::identity::{Role, name_is_valid};
use crate::model::ids::{ContentHash, JobId, NodeId};
use crate::model::policy::PartitionPolicy;
use crate::model::record::{NodeAdmin, PartitionRecord, PartitionState, TokenRecord};
use crate::model::time::{Now, Seconds, TimeLimit, WallTime};
use crate::model::token::pool_member;
use crate::wire::client::{NodeAct, PartitionSettings, Refusal, RefusalCode, Reply};

/// The most nodes that one request may add.
pub const NODES_ADDED_MAX: usize = 10_000;
/// The most partitions.
pub const PARTITIONS_MAX: usize = 10_000;
/// The longest that a join token may be good.
pub const TOKEN_TTL_MAX: Seconds = Seconds(30 * 86_400);

impl Core {
    pub(super) fn node_act(
        &mut self,
        now: Now,
        caller: &Caller,
        act: &NodeAct,
        outcome: &mut Outcome,
    ) -> Reply {
        let reply = match act {
            NodeAct::Drain { nodes, reason, deadline } => {
                if deadline.is_some_and(|at| at <= now.wall) {
                    return refuse(RefusalCode::Invalid, "the deadline has passed", "say one to come");
                }
                self.set_nodes(now, caller, nodes, (NodeAdmin::Drain, *deadline), reason, outcome)
            }
            NodeAct::Resume { nodes } => {
                self.set_nodes(now, caller, nodes, (NodeAdmin::Up, None), "", outcome)
            }
            NodeAct::Set { nodes, features, weight, partitions } => {
                self.set_node(nodes, features.as_deref(), *weight, partitions.as_deref(), outcome)
            }
            NodeAct::Down { nodes, reason, confirmed_dead } => {
                let reply = self.set_nodes(now, caller, nodes, (NodeAdmin::Down, None), reason, outcome);
                if *confirmed_dead && matches!(reply, Reply::Done { .. }) {
                    self.confirm_dead(now, nodes, outcome);
                }
                reply
            }
            NodeAct::Add { nodes, ttl, secrets, replace } => {
                if nodes.len() != secrets.len() || nodes.len() > NODES_ADDED_MAX || *ttl > TOKEN_TTL_MAX {
                    let text =
                        format!("at most {NODES_ADDED_MAX} nodes and {} days", TOKEN_TTL_MAX.0 / 86_400);
                    return refuse(RefusalCode::Limit, text, "");
                }
                self.add_nodes(now, nodes, *ttl, secrets, *replace, outcome)
            }
            NodeAct::AddPool { nodes, ttl, secret, replace } => {
                self.add_pool(now, nodes, *ttl, *secret, *replace, outcome)
            }
            NodeAct::Remove { nodes } => self.remove_nodes(now, nodes, outcome),
            NodeAct::PartitionSet(settings) => self.set_partition(settings, outcome),
            NodeAct::PartitionRemove { name } => self.remove_partition(name, outcome),
        };
        if !matches!(reply, Reply::Refused(_)) {
            let deed = Deed { what: audit_words(act), nodes: nodes_of(act), ..Deed::default() };
            self.audit(now, caller, deed, true, outcome);
        }
        reply
    }

    pub(super) fn find_nodes(&self, names: &[String]) -> Result<Vec<NodeId>, Refusal> {
        let find = |name: &String| {
            self.cluster.node_names.get(name.as_str()).copied().ok_or_else(|| {
                Refusal::new(
                    RefusalCode::NoSuchNode,
                    format!("there is no node `{name}`"),
                    "`jnode` shows them",
                )
            })
        };
        names.iter().map(find).collect()
    }

    fn set_nodes(
        &mut self,
        now: Now,
        caller: &Caller,
        names: &[String],
        (admin, deadline): (NodeAdmin, Option<WallTime>),
        reason: &str,
        outcome: &mut Outcome,
    ) -> Reply {
        let ids = match self.find_nodes(names) {
            Ok(ids) => ids,
            Err(refusal) => return Reply::Refused(refusal),
        };
        let mut lines = Vec::new();
        for id in ids {
            let Some(node) = self.cluster.nodes.get(&id).cloned() else { continue };
            let record = self.admin_record(now, caller, &node.record, admin, reason, deadline);
            self.commit(Change::Node(Box::new(record)), outcome);
            if admin != NodeAdmin::Up {
                self.take_back_handed(id, outcome);
            }
            self.set_drain_timer(id);
            if admin == NodeAdmin::Up {
                self.breakers.resumed(id);
            }
            let jobs = self.jobs_on(id);
            let mut line = format!("{} {}", node.record.name, admin_word(admin, jobs.is_empty()));
            if admin == NodeAdmin::Drain && !jobs.is_empty() {
                let list: Vec<String> = jobs.iter().take(20).map(ToString::to_string).collect();
                line.push_str(&format!("; still there: {}", list.join(" ")));
            }
            lines.push(line);
        }
        Reply::Done { lines, warnings: Vec::new() }
    }

    fn confirm_dead(&mut self, now: Now, names: &[String], outcome: &mut Outcome) {
        for id in self.find_nodes(names).unwrap_or_default() {
            self.declare_dead(now, id, "the node was confirmed dead", outcome);
        }
    }

    /// One secret for all names: each of them is a token of its own under a hash that only the secret leads to.
    fn add_pool(
        &mut self,
        now: Now,
        names: &[String],
        ttl: Seconds,
        secret: ContentHash,
        replace: bool,
        outcome: &mut Outcome,
    ) -> Reply {
        if names.len() > NODES_ADDED_MAX || ttl > TOKEN_TTL_MAX {
            let text = format!("at most {NODES_ADDED_MAX} nodes and {} days", TOKEN_TTL_MAX.0 / 86_400);
            return refuse(RefusalCode::Limit, text, "");
        }
        let members: Vec<ContentHash> = names.iter().map(|name| pool_member(secret, name)).collect();
        let reply = self.add_nodes(now, names, ttl, &members, replace, outcome);
        if !matches!(reply, Reply::Refused(_)) {
            // The pool itself gives nothing; it is there so that a foreign name is told so.
            let (role, name, uid) = (Role::Node, String::new(), None);
            let pool = TokenRecord { hash: secret, role, name, uid, expires: now.wall.plus(ttl) };
            self.commit(Change::Token(pool), outcome);
        }
        reply
    }

    fn add_nodes(
        &mut self,
        now: Now,
        names: &[String],
        ttl: Seconds,
        secrets: &[ContentHash],
        replace: bool,
        outcome: &mut Outcome,
    ) -> Reply {
        for name in names {
            if !name_is_valid(name) {
                return refuse(RefusalCode::Invalid, format!("`{name}` can't be a node's name"), "");
            }
            if !replace && self.cluster.node_named(name).is_some_and(|node| node.record.instance.is_some()) {
                return refuse(
                    RefusalCode::Conflict,
                    format!("node {name} has joined already"),
                    "--replace gives it a new token",
                );
            }
        }
        self.drop_expired_tokens(now, outcome);
        let expires = now.wall.plus(ttl);
        for (name, hash) in names.iter().zip(secrets) {
            if self.cluster.node_named(name).is_none() {
                self.add_node(name, outcome);
            }
            let token = TokenRecord { hash: *hash, role: Role::Node, name: name.clone(), uid: None, expires };
            self.commit(Change::Token(token), outcome);
        }
        self.tokens_reply(expires)
    }

    fn add_node(&mut self, name: &str, outcome: &mut Outcome) {
        let id = NodeId(self.cluster.next_node.0.max(1));
        self.commit(Change::NextNode(NodeId(id.0 + 1)), outcome);
        let record = super::drain::new_node(id, name);
        self.commit(Change::Node(Box::new(record)), outcome);
    }

    pub(super) fn tokens_reply(&self, expires: crate::model::time::WallTime) -> Reply {
        Reply::Tokens {
            addresses: self.settings.addresses.clone(),
            cluster: self.settings.cluster.clone(),
            fingerprint: self.settings.fingerprint,
            expires,
        }
    }

    fn remove_nodes(&mut self, now: Now, names: &[String], outcome: &mut Outcome) -> Reply {
        let ids = match self.find_nodes(names) {
            Ok(ids) => ids,
            Err(refusal) => return Reply::Refused(refusal),
        };
        for id in &ids {
            let jobs: Vec<JobId> = self.jobs_on(*id);
            if let Some(job) = jobs.first() {
                let message = format!("job {job} still holds something on one of these nodes");
                return refuse(
                    RefusalCode::Conflict,
                    message,
                    "drain it first: `jnode drain NODE --reason R`",
                );
            }
            if let Some((task, _)) = self.cluster.abandoned_on(*id).next() {
                return refuse(
                    RefusalCode::Conflict,
                    format!("an attempt of job {} that was given up there is not known to be dead", task.job),
                    "once it is: `jnode down NODE --confirmed-dead`",
                );
            }
        }
        let mut lines = Vec::new();
        for (id, name) in ids.into_iter().zip(names) {
            self.commit(Change::NodeRemoved(id), outcome);
            self.revoke_node(now, name, outcome);
            let tokens = self.cluster.tokens.values();
            let tokens = tokens.filter(|token| token.role == Role::Node && token.name == *name);
            let tokens: Vec<ContentHash> = tokens.map(|token| token.hash).collect();
            for hash in tokens {
                self.commit(Change::TokenUsed(hash), outcome);
            }
            if let Some(session) = self.sessions.remove(&id) {
                let reason = "the node was removed from the cluster".to_owned();
                let close = super::Effect::Close { name: name.clone(), session: Some(session.id), reason };
                outcome.effects.push(close);
            }
            self.sights.remove(&id);
            lines.push(format!("{name} removed"));
        }
        Reply::Done { lines, warnings: Vec::new() }
    }

    fn set_partition(&mut self, settings: &PartitionSettings, outcome: &mut Outcome) -> Reply {
        let old = self.cluster.partitions.get(settings.name.as_str()).map(|old| (**old).clone());
        let is_new = old.is_none();
        if is_new && self.cluster.partitions.len() >= PARTITIONS_MAX {
            return refuse(RefusalCode::Limit, format!("{PARTITIONS_MAX} partitions are the most"), "");
        }
        let accounts = &self.cluster.accounting.accounts;
        let known = |name: &str| accounts.is_empty() || accounts.contains_key(name);
        let record = old.unwrap_or_else(|| new_partition(&settings.name));
        let record = match self.settled_partition(record, settings, &known) {
            Ok(record) => record,
            Err((key, refusal)) => return Reply::Refused(super::account_act::named(key, refusal)),
        };
        let line = format!("partition {} {}", record.name, if is_new { "made" } else { "changed" });
        if record.default {
            let others = self.cluster.partitions.values();
            let others: Vec<_> = others.filter(|p| p.default && p.name != record.name).cloned().collect();
            for other in others {
                let other = PartitionRecord { default: false, ..(*other).clone() };
                self.commit(Change::Partition(Box::new(other)), outcome);
            }
        }
        self.commit(Change::Partition(Box::new(record)), outcome);
        Reply::Done { lines: vec![line], warnings: Vec::new() }
    }

    /// A record with what is asked for; `known` says which accounts there are.
    pub(super) fn settled_partition(
        &self,
        mut record: PartitionRecord,
        settings: &PartitionSettings,
        known: &dyn Fn(&str) -> bool,
    ) -> Result<PartitionRecord, AtKey> {
        if !name_is_valid(&settings.name) {
            let message = format!("`{}` can't be a partition's name", settings.name);
            return Err(("", Refusal::new(RefusalCode::Invalid, message, "")));
        }
        if let Some(nodes) = &settings.nodes {
            let all = nodes.len() == 1 && nodes.first().is_some_and(|name| name == "ALL");
            if !all {
                self.find_nodes(nodes).map_err(|refusal| ("nodes", refusal))?;
            }
            let mut nodes = nodes.clone();
            nodes.sort_unstable();
            nodes.dedup();
            record.nodes = (!all).then_some(nodes);
        }
        record.default = settings.default.unwrap_or(record.default);
        record.state = settings.state.unwrap_or(record.state);
        record.max_time = settings.max_time.unwrap_or(record.max_time);
        record.default_time = settings.default_time.or(record.default_time);
        record.priority = settings.priority.unwrap_or(record.priority);
        if let Some(most) = settings.nodes_max {
            record.nodes_max = (most > 0).then_some(most);
        }
        record.policy = settings.policy.unwrap_or(record.policy);
        if let Some(accounts) = &settings.accounts {
            if let Some(name) = accounts.iter().find(|name| !known(name)) {
                let message = format!("there is no account `{name}`");
                let hint = "`jctld account list` shows them";
                return Err(("accounts", Refusal::new(RefusalCode::NoSuchAccount, message, hint)));
            }
            record.accounts.clone_from(accounts);
        }
        if let Some(bytes) = settings.default_memory_per_cpu_bytes {
            record.default_memory_per_cpu_bytes = (bytes > 0).then_some(bytes);
        }
        Ok(record)
    }

    fn remove_partition(&mut self, name: &str, outcome: &mut Outcome) -> Reply {
        if !self.cluster.partitions.contains_key(name) {
            let message = format!("there is no partition `{name}`");
            return refuse(RefusalCode::NoSuchPartition, message, "`jnode partition list` shows them");
        }
        let user = self.cluster.jobs.values().find(|job| {
            job.ended.is_none() && job.record.partitions.iter().any(|partition| partition == name)
        });
        if let Some(job) = user {
            let message = format!("job {} is in partition {name}", job.id());
            return refuse(
                RefusalCode::Conflict,
                message,
                "set it `state=closed` and wait, or cancel the jobs",
            );
        }
        self.commit(Change::PartitionRemoved(name.to_owned()), outcome);
        Reply::Done { lines: vec![format!("partition {name} removed")], warnings: Vec::new() }
    }
}

/// A partition of all nodes without limits.
pub fn new_partition(name: &str) -> PartitionRecord {
    PartitionRecord {
        name: name.to_owned(),
        nodes: None,
        default: false,
        state: PartitionState::Up,
        max_time: TimeLimit(None),
        default_time: None,
        default_memory_per_cpu_bytes: None,
        priority: 0,
        nodes_max: None,
        accounts: Vec::new(),
        policy: PartitionPolicy::default(),
    }
}

fn admin_word(admin: NodeAdmin, empty: bool) -> &'static str {
    match admin {
        NodeAdmin::Up => "resumed",
        NodeAdmin::Drain if empty => "drained",
        NodeAdmin::Drain => "draining",
        NodeAdmin::Down => "down",
    }
}

fn audit_words(act: &NodeAct) -> String {
    match act {
        NodeAct::Drain { reason, deadline: None, .. } => format!("drain: {reason}"),
        NodeAct::Drain { reason, deadline: Some(at), .. } => {
            format!("drain until {}: {reason}", at.unix_seconds())
        }
        NodeAct::Set { features, weight, partitions, .. } => {
            super::drain::set_words(features.as_deref(), *weight, partitions.as_deref())
        }
        NodeAct::Resume { .. } => "resume".to_owned(),
        NodeAct::Down { reason, confirmed_dead, .. } => {
            format!("down{}: {reason}", if *confirmed_dead { " (confirmed dead)" } else { "" })
        }
        NodeAct::Add { .. } | NodeAct::AddPool { .. } => "add nodes".to_owned(),
        NodeAct::Remove { .. } => "remove nodes".to_owned(),
        NodeAct::PartitionSet(settings) => {
            let policy = settings.policy.map_or(String::new(), |policy| format!(" policy={}", policy.name()));
            format!("set partition {}{policy}", settings.name)
        }
        NodeAct::PartitionRemove { name } => format!("remove partition {name}"),
    }
}

fn nodes_of(act: &NodeAct) -> Vec<String> {
    match act {
        NodeAct::Drain { nodes, .. }
        | NodeAct::Resume { nodes }
        | NodeAct::Down { nodes, .. }
        | NodeAct::Add { nodes, .. }
        | NodeAct::AddPool { nodes, .. }
        | NodeAct::Set { nodes, .. }
        | NodeAct::Remove { nodes } => nodes.clone(),
        NodeAct::PartitionSet(_) | NodeAct::PartitionRemove { .. } => Vec::new(),
    }
}
