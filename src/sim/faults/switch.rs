//! The controller's ends of connections and requests: what its shells do around the driver.

use std::collections::BTreeSet;

use super::controller::{Running, Waiter};
use super::links::{Message, Way};
use super::world::{Event, World};
use crate::controller::history;
use crate::core::submit::key_owner;
use crate::core::{Caller, Command, Found};
use crate::model::ids::{ContentHash, Uid};
use crate::store::tables::TablesError;
use crate::wire::client::{Refusal, RefusalCode, Reply, Request, Selector};
use crate::wire::codec::encode;
use crate::wire::node::{Act, Content, FromNode, ToNode};

/// As long as the controller waits for content to be found in the tables.
const CONTENT_PATIENCE_MICROS: u64 = 10_000_000;

impl World {
    /// Something arrives from a node.
    pub fn controller_hears(&mut self, id: u64, message: Message) {
        let life = self.controller.life;
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.controller.is_none() {
            return self.ghost_hears(id, message);
        }
        if !conn.controller_end || conn.controller != Some(life) || self.controller.up.is_none() {
            return;
        }
        match message {
            Message::Hello(hello) => {
                let name = self.nodes[conn.node].name.clone();
                self.note(format!("{name} says hello on {id}"));
                self.command(Command::Hello { name, hello }, Waiter::Hello(id));
            }
            Message::FromNode(message) => {
                conn.inbox.push_back(*message);
                self.drive(|world, up| {
                    world.read_next(up, id);
                    true
                });
            }
            _ => {}
        }
    }

    /// One after the other: the next message is read when what the last one led to is durable.
    pub fn read_next(&mut self, up: &mut Running, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (Some((node, session)), false) = (conn.session, conn.reading) else { return };
        if !conn.controller_end {
            return;
        }
        let Some(message) = conn.inbox.pop_front() else { return };
        conn.reading = true;
        let command = match message {
            FromNode::Report(report) => Command::Report { node, session, report: Box::new(report) },
            FromNode::Beat(beat) => Command::Beat { node, session, beat },
            FromNode::Refused(refused) => {
                self.note(format!("an order was refused: {}", refused.reason));
                Command::NodeRefused { node, session, refused }
            }
        };
        up.waiting.push_back((command, Waiter::Read(id)));
    }

    /// The controller's end notices that a connection is gone.
    pub fn controller_lost(&mut self, id: u64) {
        let life = self.controller.life;
        let Some(conn) = self.conns.get(&id) else { return };
        if conn.controller != Some(life) {
            return;
        }
        if let Some((node, session)) = conn.session {
            self.note(format!("session {session} of node {node} is gone"));
            self.command(Command::NodeGone { node, session }, Waiter::Nobody);
        }
    }

    /// The controller's process is gone, and with it its ends.
    pub fn cut_all_conns(&mut self) {
        let ids: Vec<u64> = self.conns.keys().copied().collect();
        for id in ids {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            if conn.controller.is_none() {
                continue;
            }
            conn.controller_end = false;
            conn.break_off();
            let wait = self.dice.between(1_000, 12_000_000);
            self.after(wait, Event::Lost { conn: id, way: Way::Down });
        }
    }

    /// Something for a node; it leaves in its turn.
    pub fn queue_out(&mut self, id: u64, message: ToNode) {
        if let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.controller_end) {
            conn.outbox.push_back(message);
            self.flush_within(id, 1);
        }
    }

    fn flush_within(&mut self, id: u64, wait: u64) {
        if let Some(conn) = self.conns.get_mut(&id)
            && !conn.flush_is_due
        {
            conn.flush_is_due = true;
            self.after(wait, Event::Flush { conn: id });
        }
    }

    /// Sends what waits. A launch goes with the content that its job's body names, and waits for it.
    pub fn flush(&mut self, id: u64) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.flush_is_due = false;
        }
        let Some(up) = self.controller.up.take() else { return };
        while let Some(mut message) = self.conns.get_mut(&id).and_then(|conn| conn.outbox.pop_front()) {
            let now = self.now;
            let missing = attach(&up, &mut message).err();
            let Some(conn) = self.conns.get_mut(&id) else { break };
            let Some(Missing(hash)) = missing else {
                conn.waits_since = None;
                self.send(id, Way::Down, Message::ToNode(Box::new(message)));
                continue;
            };
            conn.outbox.push_front(message);
            if now - *conn.waits_since.get_or_insert(now) > CONTENT_PATIENCE_MICROS {
                self.fail(format!("content {hash} of a job that is to be launched is nowhere"));
            }
            self.flush_within(id, 5_000);
            break;
        }
        self.controller.up = Some(up);
    }

    /// A request reaches the controller, or a reply its client.
    pub fn on_post(&mut self, message: Message) {
        match message {
            Message::Request { client, request } => self.on_request(client, *request),
            Message::Reply { client, key, reply } => self.on_reply(client, &key, *reply),
            _ => {}
        }
    }

    fn on_request(&mut self, client: usize, request: Request) {
        let caller = self.clients[client].caller_for(&request);
        let key = key_of(&request);
        self.drive(|world, up| {
            if matches!(request, Request::Submit(_)) && up.is_nearly_full() {
                let refusal = Refusal::new(RefusalCode::NoRoom, "nearly full", "");
                let reply = Box::new(Reply::Refused(refusal));
                world.post(client, Message::Reply { client, key, reply });
                return true;
            }
            let found = match look_up(up, &caller, &request) {
                Ok(found) => found,
                Err(error) => {
                    world.fail(format!("the tables can't be read: {error}"));
                    return true;
                }
            };
            if let (Request::Submit(submit), Some(uid)) = (&request, caller.identity.uid) {
                for content in &submit.contents {
                    up.cache.insert((uid, content.hash), content.bytes.clone());
                }
            }
            if world.controller_may_die("a command was read") {
                return false;
            }
            let command = Command::Client { caller, request: Box::new(request), found: Box::new(found) };
            up.waiting.push_back((command, Waiter::Client { client, key }));
            true
        });
    }
}

/// Content that is not in the tables yet and was pushed out of memory.
struct Missing(ContentHash);

fn attach(up: &Running, message: &mut ToNode) -> Result<(), Missing> {
    let ToNode::Order(order) = message else { return Ok(()) };
    let Act::Launch(launch) = &mut order.act else { return Ok(()) };
    let Some(body) = &launch.body else { return Ok(()) };
    let hashes: BTreeSet<ContentHash> =
        [body.script, body.environment].into_iter().chain(body.lines).collect();
    let mut contents = Vec::new();
    for hash in hashes {
        let bytes = content(up, body.uid, hash).ok_or(Missing(hash))?;
        contents.push(Content { hash, bytes });
    }
    launch.contents = contents;
    Ok(())
}

fn content(up: &Running, owner: Uid, hash: ContentHash) -> Option<Vec<u8>> {
    if let Some(bytes) = up.cache.get(&(owner, hash)) {
        return Some(bytes.clone());
    }
    history::content(&*up.reader, owner, hash).ok()??
}

fn look_up(up: &Running, caller: &Caller, request: &Request) -> Result<Found, TablesError> {
    let mut found = Found::default();
    let tables = &*up.reader;
    match request {
        Request::Submit(submit) => {
            found.request_hash = encode(request).ok().map(|bytes| ContentHash::of(&bytes));
            found.key = history::answer(tables, &key_owner(caller), &submit.key)?;
            let Some(uid) = caller.identity.uid else { return Ok(found) };
            for content in &submit.contents {
                if history::content(tables, uid, content.hash)?.is_some() {
                    found.contents.insert(content.hash);
                }
            }
            for spec in &submit.specs {
                for condition in &spec.dependencies.conditions {
                    if let crate::model::spec::Parent::Job(id) = condition.parent
                        && let Some(job) = history::owner_of(tables, id)?
                    {
                        found.jobs.insert(job.id(), job.into());
                    }
                }
            }
        }
        Request::Act(act) => {
            found.request_hash = encode(request).ok().map(|bytes| ContentHash::of(&bytes));
            found.key = history::answer(tables, &key_owner(caller), &act.key)?;
            for selector in &act.selection.selectors {
                if let Selector::Number(id) = selector
                    && let Some(job) = history::owner_of(tables, *id)?
                {
                    found.jobs.insert(job.id(), job.into());
                }
            }
        }
        _ => {}
    }
    Ok(found)
}

/// The key of a request; those without one get none.
pub fn key_of(request: &Request) -> String {
    match request {
        Request::Submit(submit) => submit.key.clone(),
        Request::Act(act) => act.key.clone(),
        _ => String::new(),
    }
}
