//! Scenario files: commands in, transcript out. `JSCHED_REWRITE=1` writes the transcript that is found.
//!
//! A line that begins with `> ` is a command, what follows is what it printed. Every command ends with the jobs as
//! they then are, one a line, unless nothing changed.

use std::fmt::Write;

use super::model::{World, caller};
use crate::core::Command;
use crate::core::job::Job;
use crate::core::tests_spec::spec;
use crate::core::tie::Held;
use crate::model::ids::{Epoch, Incarnation, JobId, NodeId};
use crate::model::spec::{Dependency, DependencyKind, LostPolicy, Parent, RetryOn};
use crate::model::state::State;
use crate::model::time::Seconds;
use crate::wire::client::{Reply, Verb};

#[test]
fn scenarios_of_the_core() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/core");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let expected = std::fs::read_to_string(&file).unwrap();
        let found = play(&expected);
        if std::env::var_os("JSCHED_REWRITE").is_some() {
            std::fs::write(&file, &found).unwrap();
        } else {
            assert_eq!(found, expected, "{}", file.display());
        }
    }
}

fn play(text: &str) -> String {
    let mut transcript = String::new();
    let mut world: Option<World> = None;
    let mut before = String::new();
    for line in text.lines().filter(|line| line.starts_with("> ") || line.starts_with('#')) {
        transcript.push_str(line);
        transcript.push('\n');
        let Some(command) = line.strip_prefix("> ") else { continue };
        let words: Vec<&str> = command.split_whitespace().collect();
        if words[0] == "nodes" {
            let cpus: Vec<u32> = words[1..].iter().map(|word| word.parse().unwrap()).collect();
            world = Some(World::new(&cpus));
            continue;
        }
        let world = world.as_mut().unwrap();
        if let Some(said) = act(world, &words) {
            writeln!(transcript, "{said}").unwrap();
        }
        let after: String = world.core.cluster().jobs.values().map(|job| describe(job)).collect();
        if after != before {
            transcript.push_str(&after);
        }
        before = after;
    }
    if let Some(world) = world {
        world.check_replay();
    }
    transcript
}

fn act(world: &mut World, words: &[&str]) -> Option<String> {
    let number = |at: usize| words.get(at).map_or(1, |word| word.parse::<u64>().unwrap_or(1));
    let node = NodeId(number(1) as u32);
    let reply = match words[0] {
        "submit" => world.submit(read_spec(&words[1..])),
        "cancel" => world.act(Verb::Cancel { reason: String::new() }, JobId(number(1)), states(words)),
        "requeue" => world.act(Verb::Requeue, JobId(number(1)), states(words)),
        "requeue-dependents" => {
            let verb = Verb::RequeueWith { settings: None, dependents: true };
            world.act(verb, JobId(number(1)), states(words))
        }
        "first" => world.act(Verb::First, JobId(number(1)), Vec::new()),
        "hold" => world.act(Verb::Hold, JobId(number(1)), states(words)),
        "release" => world.act(Verb::Release, JobId(number(1)), states(words)),
        "plan" => {
            world.plan();
            return None;
        }
        "start" => {
            world.start(node, number(2) as usize);
            return None;
        }
        "end" => {
            world.end(node, number(2) as usize, words.get(3).map_or(0, |word| word.parse().unwrap()));
            return None;
        }
        "come" | "go" => {
            let held = if words[0] == "come" { Held::Here } else { Held::Gone(Seconds(number(2) - 1)) };
            let command = Command::Tie { caller: caller(), jobs: vec![JobId(number(1))], held };
            world.apply(command);
            return None;
        }
        "office" => {
            let (incarnation, epoch) = (Incarnation([7; 16]), Epoch(number(1)));
            world.apply(Command::Office { incarnation, epoch });
            return None;
        }
        "reboot" => {
            world.reboot(node);
            return None;
        }
        "pass" => {
            let span = Seconds(number(1));
            world.now.wall = world.now.wall.plus(span);
            world.now.boot = world.now.boot.plus(span);
            world.apply(Command::Tick);
            return None;
        }
        other => panic!("no such command: {other}"),
    };
    match reply {
        Reply::Submitted { jobs, .. } => Some(format!("submitted {}", jobs[0])),
        Reply::Acted { lines } => {
            let said =
                lines.iter().map(|line| format!("{}: {} -> {} {}", line.id, line.old, line.new, line.note));
            Some(said.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n"))
        }
        Reply::Refused(refusal) => Some(format!("refused ({}): {}", refusal.code.word(), refusal.message)),
        other => Some(format!("{other:?}")),
    }
}

fn states(words: &[&str]) -> Vec<State> {
    match words.get(2) {
        Some(&"bad") => State::ALL.into_iter().filter(|state| state.is_bad()).collect(),
        _ => Vec::new(),
    }
}

fn read_spec(words: &[&str]) -> crate::model::spec::JobSpec {
    let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let cpus = value("cpus").map_or(1, |text| text.parse().unwrap());
    let mut made = spec(cpus, value("limit").map(|text| text.parse().unwrap()), value("array"));
    made.hold = words.contains(&"hold");
    made.tied = words.contains(&"tied");
    if words.contains(&"no-requeue") {
        made.restart.lost = LostPolicy::Never;
    }
    if let Some(retries) = value("retry") {
        made.restart.retries = retries.parse().unwrap();
        made.restart.on = RetryOn { fail: true, ..RetryOn::default() };
    }
    for (key, kind) in [
        ("afterok", DependencyKind::AfterOk),
        ("afternotok", DependencyKind::AfterNotOk),
        ("afterany", DependencyKind::AfterAny),
        ("after", DependencyKind::After),
        ("aftercorr", DependencyKind::AfterCorrelated),
    ] {
        if let Some(parent) = value(key) {
            let parent = Parent::Job(JobId(parent.parse().unwrap()));
            made.dependencies.conditions.push(Dependency { kind, parent, delay: Seconds(0) });
        }
    }
    if words.contains(&"singleton") {
        let (kind, parent) = (DependencyKind::Singleton, Parent::Nobody);
        made.dependencies.conditions.push(Dependency { kind, parent, delay: Seconds(0) });
    }
    made
}

fn describe(job: &Job) -> String {
    let mut line = format!("  {}:", job.id());
    for state in State::ALL {
        let count = job.tasks.counted(state);
        if count > 0 {
            write!(line, " {count} {}", state.word()).unwrap();
        }
    }
    let attempts: Vec<String> =
        job.exceptions.iter().map(|(ordinal, e)| format!("{ordinal} after {}", e.attempts)).collect();
    if !attempts.is_empty() {
        write!(line, "; attempts: {}", attempts.join(", ")).unwrap();
    }
    line.push('\n');
    line
}
