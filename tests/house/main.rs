//! Holds the floors of the house: reads every source file and refuses imports that run upward or in a circle,
//! clocks, sockets, files and chance in the pure rooms, `unsafe` outside the launcher, and files grown too long.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use source::{Name, Source, rust_files};

/// The floors from the roof down; the doors in `src/bin` stand above them all. Rooms of one floor may use each
/// other, though not in a circle.
const FLOORS: &[&[&str]] = &[
    &["cli", "client", "controller", "worker", "net", "pki", "sim"],
    &["store"],
    &["core", "commit", "session", "agent", "sched"],
    &["wire"],
    &["model"],
];

/// The rooms that only think: they are given the time and the bytes, and give back what to do.
const PURE: &[&str] = &["core", "commit", "session", "agent", "sched", "wire", "model"];

/// What no pure room may name: IO, clocks, chance, threads.
const IMPURE: &[&str] = &[
    "getrandom",
    "libc",
    "nix",
    "quinn",
    "rand",
    "rustls",
    "sled",
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
];

/// Single words that no pure room may use, wherever they come from. The hash tables iterate in a random order.
const IMPURE_WORDS: &[&str] = &["HashMap", "HashSet", "async", "await"];

/// The one folder of the house that may hold `unsafe`.
const UNSAFE_ROOM: &str = "src/worker/launch";

/// What stands in for functions of the C library, in tests alone: nothing else is in this crate, and nobody links it.
const UNSAFE_RECORDER: &str = "recorder/src";

/// The longest that a file may be, in lines.
const FILE_LINES_MAX: usize = 500;

/// Files that may be longer, each with its reason. Empty, and meant to stay so.
const LONG_FILES: &[&str] = &[];

#[test]
fn imports_run_downward() {
    let mut complaints = Vec::new();
    let sources = house();
    for source in &sources {
        complaints.extend(upward(source));
    }
    // What is in test builds alone makes no circle in the house: the simulator drives daemons' parts that its room is
    // otherwise used by.
    let tests: BTreeSet<&PathBuf> = sources.iter().flat_map(|source| &source.test_modules).collect();
    let built: Vec<&Source> = sources.iter().filter(|source| !is_test_module(source, &tests)).collect();
    complaints.extend(circles(&built));
    assert_none("imports that do not run downward", complaints);
}

#[test]
fn pure_rooms_only_think() {
    let sources = house();
    let tests: BTreeSet<&PathBuf> = sources.iter().flat_map(|source| &source.test_modules).collect();
    let complaints =
        sources.iter().filter(|source| !is_test_module(source, &tests)).flat_map(impure).collect();
    assert_none("things that a pure room may not know", complaints);
}

#[test]
fn only_the_store_knows_sled() {
    let mut complaints = Vec::new();
    for source in house().iter().filter(|source| room(&source.file) != Some("store")) {
        complaints.extend(found(source, |name| begins(name, "sled")));
    }
    assert_none("sled outside src/store", complaints);
}

#[test]
fn unsafe_stays_in_the_launcher() {
    let mut complaints = Vec::new();
    let apart = [UNSAFE_ROOM, UNSAFE_RECORDER];
    for source in all_code().iter().filter(|source| !apart.iter().any(|room| source.file.starts_with(room))) {
        complaints.extend(found(source, |name| name.segments == ["unsafe"]));
    }
    assert_none("unsafe code outside src/worker/launch and the recorder", complaints);
}

#[test]
fn files_stay_short() {
    let complaints = all_code()
        .iter()
        .filter(|source| {
            source.lines > FILE_LINES_MAX && !LONG_FILES.iter().any(|long| source.file == Path::new(long))
        })
        .map(|source| {
            format!("{}: {} lines of at most {FILE_LINES_MAX}", source.file.display(), source.lines)
        })
        .collect();
    assert_none("files that should be split", complaints);
}

/// Each rule must bite: a rule that reads nothing would pass for ever.
#[test]
fn the_rules_bite() {
    let bad = |file: &str, text: &str| Source::parse(Path::new(file), text);
    let count = |source: Source| (upward(&source).len(), impure(&source).len());

    assert_eq!(count(bad("src/model/a.rs", "use crate::{model::b, store::{Log, self}};")), (2, 0));
    assert_eq!(count(bad("src/wire/a/b.rs", "fn f() { super::super::super::net::dial() }")), (1, 0));
    assert_eq!(count(bad("src/wire/a.rs", "mod inner { use super::super::cli::x; }")), (0, 0));
    assert_eq!(count(bad("src/wire/a.rs", "mod inner { use super::super::super::cli::x; }")), (1, 0));
    assert_eq!(count(bad("src/core/a.rs", "use std::time::{Duration, Instant};")), (0, 1));
    assert_eq!(count(bad("src/core/a.rs", "use std::time; use std::time::*; use ::std::{fs, fmt};")), (0, 3));
    assert_eq!(
        count(bad(
            "src/core/a.rs",
            "const A: &str = \"tokio::spawn\"; // std::fs\n/// sled::open\nfn f() {}"
        )),
        (0, 0)
    );
    assert_eq!(
        count(bad("src/sched/a.rs", "fn f() -> HashMap<u8, u8> { println!(\"{:?}\", std::fs::read(x)) }")),
        (0, 2)
    );
    assert_eq!(count(bad("src/agent/a.rs", "async fn f() { g().await }")), (0, 2));
    assert_eq!(count(bad("src/agent/a.rs", "fn f() { jiff::Timestamp::now() }")), (0, 1));
    assert_eq!(
        count(bad("src/agent/a.rs", "#[cfg(test)] mod tests { use std::fs; } use std::net::IpAddr;")),
        (0, 1)
    );
    assert_eq!(count(bad("src/net/a.rs", "use std::fs; use tokio::net; use crate::store::Log;")), (0, 0));
    assert_eq!(count(bad("src/bin/jctld.rs", "use jsched::controller; use tokio::net;")), (0, 0));

    let circle = [bad("src/net/a.rs", "use crate::pki::A;"), bad("src/pki/a.rs", "use crate::net::A;")];
    assert_eq!(circles(&circle.iter().collect::<Vec<_>>()).len(), 1);
    assert_eq!(
        bad("src/core/mod.rs", "#[cfg(test)] mod invariants;").test_modules,
        [Path::new("src/core/invariants")]
    );
    assert_eq!(
        found(&bad("src/a.rs", "fn f() { unsafe { g() } }"), |name| name.segments == ["unsafe"]).len(),
        1
    );
}

/// All sources of the library and its doors.
fn house() -> Vec<Source> {
    read(&["src"])
}

/// The house and everything around it.
fn all_code() -> Vec<Source> {
    read(&["src", "xtask/src", "recorder/src", "tests", "benches", "examples"])
}

fn read(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = folders.iter().flat_map(|folder| rust_files(root, folder));
    let sources: Vec<Source> = files.map(|file| Source::read(root, &file)).collect();
    assert!(!sources.is_empty(), "no sources below {}", root.display());
    sources
}

/// The room of a file: the first folder or file name below `src`; none for `src/lib.rs` and the doors.
fn room(file: &Path) -> Option<&str> {
    let first = file.strip_prefix("src").ok()?.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "bin" | "main")).then_some(name)
}

/// The room of this crate that a path leads into.
fn target(name: &Name) -> Option<&str> {
    match name.segments.as_slice() {
        [root, room, ..] if root == "crate" || root == "jsched" => Some(room),
        _ => None,
    }
}

/// The number of a room's floor, from the roof down.
fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

fn upward(source: &Source) -> Vec<String> {
    let Some(room) = room(&source.file) else { return Vec::new() };
    let Some(own) = floor(room) else {
        return vec![format!("{}: the room `{room}` stands on no floor", source.file.display())];
    };
    found(source, |name| target(name).and_then(floor).is_some_and(|floor| floor < own))
}

/// Rooms that use each other, directly or around the corner, in code that is not for tests.
fn circles(sources: &[&Source]) -> Vec<String> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        let Some(from) = room(&source.file) else { continue };
        for to in source.names.iter().filter(|name| !name.in_test).filter_map(target) {
            if to != from && floor(to).is_some() {
                uses.entry(from).or_default().insert(to);
            }
        }
    }
    // Whoever uses nothing that is left stands at the bottom and is taken away; a circle stays.
    loop {
        let left: Vec<&str> = uses.keys().copied().collect();
        uses.values_mut().for_each(|targets| targets.retain(|target| left.contains(target)));
        uses.retain(|_, targets| !targets.is_empty());
        if uses.len() == left.len() {
            break;
        }
    }
    if uses.is_empty() { Vec::new() } else { vec![format!("a circle among the rooms {uses:?}")] }
}

fn impure(source: &Source) -> Vec<String> {
    if !room(&source.file).is_some_and(|room| PURE.contains(&room)) {
        return Vec::new();
    }
    found(source, |name| {
        let asks_the_time = ["jiff", "time", "chrono"].iter().any(|clock| begins(name, clock))
            && name.segments.iter().any(|segment| segment.starts_with("now"));
        let last = name.segments.last().map_or("", String::as_str);
        !name.in_test
            && (asks_the_time
                || IMPURE.iter().any(|impure| begins(name, impure) || brings_in(name, impure))
                || IMPURE_WORDS.iter().any(|word| name.segments.iter().any(|segment| segment == word))
                || (last == "*" && name.segments.join("::") == "std::collections::*"))
    })
}

/// The path is `prefix` or lies below it.
fn begins(name: &Name, prefix: &str) -> bool {
    let mut segments = name.segments.iter();
    prefix.split("::").all(|wanted| segments.next().is_some_and(|segment| segment == wanted))
}

/// The path is a module above `item`, named as a whole or by a glob, through which the item could be reached.
fn brings_in(name: &Name, item: &str) -> bool {
    let path = name.segments.join("::");
    let module = path.strip_suffix("::*").unwrap_or(&path);
    name.segments.len() > 1 && item.starts_with(&format!("{module}::"))
}

fn is_test_module(source: &Source, tests: &BTreeSet<&PathBuf>) -> bool {
    source.file.ancestors().any(|path| tests.contains(&path.with_extension("")))
}

fn found(source: &Source, wrong: impl Fn(&Name) -> bool) -> Vec<String> {
    let names = source.names.iter().filter(|name| wrong(name));
    names
        .map(|name| format!("{}:{}: {}", source.file.display(), name.line, name.segments.join("::")))
        .collect()
}

fn assert_none(what: &str, complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{what}:\n  {}", complaints.join("\n  "));
}
