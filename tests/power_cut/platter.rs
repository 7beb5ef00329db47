//! What is on a disk after the power has gone: the record of a process's changes, played over what was there before,
//! with only that kept for certain which was synced.
//!
//! Strict: the bytes and the length of a file are durable by a sync of that file that began after they were written, its
//! name by a sync of its folder. Everything else is kept, lost, kept up to some change, or kept here and there, and then
//! writes are torn by sectors. Each file and each folder has a fate of its own.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::evidence::Dice;

/// A sector is written as a whole or not at all, in bytes.
const SECTOR: usize = 512;
/// Holes are made of zeros in pieces of this size.
const PIECE: usize = 64 * 1024;

/// What may become of what was not synced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mercy {
    /// Anything.
    Random,
    /// All of it goes.
    None,
}

/// Files and folders, and what of them is durable.
#[derive(Default)]
pub struct Platter {
    nodes: Vec<Node>,
    handles: HashMap<u32, usize>,
    syncs: HashMap<u64, (usize, u64)>,
    /// Changes so far.
    changes: u64,
}

enum Node {
    File { durable: Vec<u8>, pending: Vec<(u64, Change)> },
    Folder { durable: Names, current: Names, pending: Vec<(u64, Entry)> },
}

type Names = BTreeMap<String, usize>;
/// Names that a change gives and takes.
type Entry = Vec<(String, Option<usize>)>;

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
    Allocate(usize),
}

/// Paths, and what the files hold; folders hold nothing.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

impl Platter {
    /// A disk on which all of this is durable.
    pub fn of(tree: &Tree) -> Platter {
        let mut platter = Platter { nodes: vec![folder()], ..Platter::default() };
        for (path, content) in tree {
            let node = match content {
                Some(bytes) => Node::File { durable: bytes.clone(), pending: Vec::new() },
                None => folder(),
            };
            platter.nodes.push(node);
            let number = platter.nodes.len() - 1;
            let (parent, name) = platter.place(path);
            if let Node::Folder { durable, current, .. } = &mut platter.nodes[parent] {
                durable.insert(name.clone(), number);
                current.insert(name, number);
            }
        }
        platter
    }

    /// Plays a whole record; an entry that a kill has cut short did not happen.
    pub fn play(&mut self, record: &[u8]) {
        let mut rest = record;
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some((entry, behind)) = behind.split_at_checked(length) else { return };
            self.step(entry);
            rest = behind;
        }
    }

    fn step(&mut self, entry: &[u8]) {
        let number = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap());
        let handle = u32::from_le_bytes(entry[1..5].try_into().unwrap());
        let (one, two) = (number(5), number(13));
        let length = usize::from(u16::from_le_bytes(entry[21..23].try_into().unwrap()));
        let path = String::from_utf8(entry[23..23 + length].to_vec()).unwrap();
        let rest = &entry[23 + length..];
        let name = || String::from_utf8(rest.to_vec()).unwrap();
        self.changes += 1;
        match entry[0] {
            1 => self.open(handle, &path, one != 0, two != 0),
            2 => self.change(handle, Change::Write(one as usize, rest.to_vec())),
            3 => self.change(handle, Change::Truncate(one as usize)),
            4 => self.change(handle, Change::Allocate((one + two) as usize)),
            5 => self.rename(&path, &name()),
            6 => self.rename_in(&path, None),
            7 => {
                self.nodes.push(folder());
                self.rename_in(&path, Some(self.nodes.len() - 1));
            }
            8 => self.rename_in(&name(), self.find(&path)),
            9 => {
                self.syncs.insert(one, (self.handles[&handle], self.changes));
            }
            10 => {
                let (node, until) = self.syncs[&one];
                self.nodes[node].settle(until);
            }
            other => panic!("an entry of kind {other}"),
        }
    }

    fn open(&mut self, handle: u32, path: &str, makes: bool, empties: bool) {
        let node = match self.find(path) {
            Some(node) => {
                if empties && let Node::File { pending, .. } = &mut self.nodes[node] {
                    pending.push((self.changes, Change::Truncate(0)));
                }
                node
            }
            None => {
                assert!(makes, "{path} was opened and is not known");
                self.nodes.push(Node::File { durable: Vec::new(), pending: Vec::new() });
                self.rename_in(path, Some(self.nodes.len() - 1));
                self.nodes.len() - 1
            }
        };
        self.handles.insert(handle, node);
    }

    fn change(&mut self, handle: u32, change: Change) {
        let node = self.handles[&handle];
        let Node::File { pending, .. } = &mut self.nodes[node] else { panic!("a folder was written") };
        pending.push((self.changes, change));
    }

    fn rename(&mut self, from: &str, to: &str) {
        let node = self.find(from);
        let ((old, old_name), (new, new_name)) = (self.place(from), self.place(to));
        if old == new {
            self.nodes[old].enter(self.changes, vec![(old_name, None), (new_name, node)]);
        } else {
            self.rename_in(to, node);
            self.rename_in(from, None);
        }
    }

    /// Gives a name to something, or takes it.
    fn rename_in(&mut self, path: &str, node: Option<usize>) {
        let (parent, name) = self.place(path);
        self.nodes[parent].enter(self.changes, vec![(name, node)]);
    }

    fn find(&self, path: &str) -> Option<usize> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(0, |at, part| match &self.nodes[at] {
            Node::Folder { current, .. } => current.get(part).copied(),
            Node::File { .. } => None,
        })
    }

    fn place(&self, path: &str) -> (usize, String) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.find(parent).unwrap_or_else(|| panic!("the folder of {path} is not known"));
        (parent, name.to_owned())
    }

    /// Everything as the process saw it.
    pub fn seen(&self) -> Tree {
        let all = |count: usize| vec![Part::Whole; count];
        self.tree(&mut |count| all(count))
    }

    /// What is left.
    pub fn cut(&self, dice: &mut Dice, mercy: Mercy) -> Tree {
        self.tree(&mut |count| match (mercy, dice.below(5)) {
            (Mercy::None, _) | (_, 0) => vec![Part::Lost; count],
            (_, 1) => vec![Part::Whole; count],
            (_, 2) => {
                let kept = dice.below(count as u64 + 1) as usize;
                (0..count).map(|at| if at < kept { Part::Whole } else { Part::Lost }).collect()
            }
            _ => (0..count)
                .map(|_| match dice.below(4) {
                    0 => Part::Lost,
                    1 => Part::Torn(dice.below(1 << 62)),
                    _ => Part::Whole,
                })
                .collect(),
        })
    }

    fn tree(&self, fate: &mut dyn FnMut(usize) -> Vec<Part>) -> Tree {
        let mut tree = Tree::new();
        self.walk(0, "", &mut tree, fate);
        tree
    }

    fn walk(&self, folder: usize, path: &str, tree: &mut Tree, fate: &mut dyn FnMut(usize) -> Vec<Part>) {
        let Node::Folder { durable, pending, .. } = &self.nodes[folder] else { return };
        let mut names = durable.clone();
        let parts = fate(pending.len());
        for ((_, entry), part) in pending.iter().zip(parts) {
            // A change of names is never torn.
            if !matches!(part, Part::Lost) {
                apply_names(&mut names, entry);
            }
        }
        for (name, node) in names {
            let inner = if path.is_empty() { name } else { format!("{path}/{name}") };
            match &self.nodes[node] {
                Node::Folder { .. } => {
                    tree.insert(inner.clone(), None);
                    self.walk(node, &inner, tree, fate);
                }
                Node::File { durable, pending } => {
                    let mut bytes = durable.clone();
                    let parts = fate(pending.len());
                    for ((_, change), part) in pending.iter().zip(parts) {
                        apply(&mut bytes, change, part);
                    }
                    tree.insert(inner, Some(bytes));
                }
            }
        }
    }
}

/// What becomes of one change.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Lost,
    /// Some of its sectors: which, by these bits, again and again.
    Torn(u64),
}

impl Node {
    fn enter(&mut self, change: u64, entry: Entry) {
        let Node::Folder { current, pending, .. } = self else { panic!("a file has no names in it") };
        apply_names(current, &entry);
        pending.push((change, entry));
    }

    /// Changes before `until` are durable.
    fn settle(&mut self, until: u64) {
        match self {
            Node::File { durable, pending } => {
                let count = pending.iter().take_while(|(change, _)| *change < until).count();
                for (_, change) in pending.drain(..count) {
                    apply(durable, &change, Part::Whole);
                }
            }
            Node::Folder { durable, pending, .. } => {
                let count = pending.iter().take_while(|(change, _)| *change < until).count();
                pending.drain(..count).for_each(|(_, entry)| apply_names(durable, &entry));
            }
        }
    }
}

fn folder() -> Node {
    Node::Folder { durable: Names::new(), current: Names::new(), pending: Vec::new() }
}

fn apply_names(names: &mut Names, entry: &Entry) {
    for (name, node) in entry {
        match node {
            Some(node) => drop(names.insert(name.clone(), *node)),
            None => drop(names.remove(name)),
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change, part: Part) {
    let bits = match part {
        Part::Lost => return,
        Part::Whole => u64::MAX,
        Part::Torn(bits) => bits,
    };
    match change {
        Change::Truncate(length) => bytes.resize(*length, 0),
        Change::Allocate(end) => bytes.resize(bytes.len().max(*end), 0),
        Change::Write(from, written) => {
            let end = from + written.len();
            bytes.resize(bytes.len().max(end), 0);
            if bits == u64::MAX {
                bytes[*from..end].copy_from_slice(written);
                return;
            }
            let mut at = *from;
            while at < end {
                let next = ((at / SECTOR + 1) * SECTOR).min(end);
                if bits >> (at / SECTOR % 61) & 1 == 1 {
                    bytes[at..next].copy_from_slice(&written[at - from..next - from]);
                }
                at = next;
            }
        }
    }
}

/// Reads everything below a folder.
pub fn read(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![String::new()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner)).unwrap() {
            let entry = entry.unwrap();
            let name = String::from_utf8(entry.file_name().as_bytes().to_vec()).unwrap();
            let path = if inner.is_empty() { name } else { format!("{inner}/{name}") };
            if entry.file_type().unwrap().is_dir() {
                tree.insert(path.clone(), None);
                folders.push(path);
            } else {
                let bytes = fs::read(entry.path()).unwrap();
                tree.insert(path, Some(bytes));
            }
        }
    }
    tree
}

/// Makes a folder that holds this, in place of what is there. Zeros are holes.
pub fn write(folder: &Path, tree: &Tree) {
    fs::remove_dir_all(folder).unwrap();
    fs::create_dir(folder).unwrap();
    for (path, content) in tree {
        let Some(bytes) = content else {
            fs::create_dir(folder.join(path)).unwrap();
            continue;
        };
        let file = fs::File::create(folder.join(path)).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        for (at, piece) in bytes.chunks(PIECE).enumerate() {
            if piece != &[0; PIECE][..piece.len()] {
                file.write_all_at(piece, (at * PIECE) as u64).unwrap();
            }
        }
    }
}
