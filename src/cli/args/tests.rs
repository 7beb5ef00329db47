//! Definitions and what they refuse.

use super::jcancel::JCancel;
use super::jctld::JCtld;
use super::jnode::JNode;
use super::jqueue::{JQueue, Verb};
use super::*;
use crate::cli::error::ExitCode;
use crate::model::ids::JobId;
use crate::model::parse::selector::JobSelector;

fn read<T: Definition + std::fmt::Debug>(line: &str) -> Result<T, CliError> {
    let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    match parse::<T>(&words)? {
        Parsed::Run(parsed) => Ok(parsed),
        Parsed::Show(text) => Err(CliError::new(ExitCode::Done, "shown", text)),
    }
}

fn word<T: Definition + std::fmt::Debug>(line: &str) -> &'static str {
    read::<T>(line).map_or_else(|error| error.word, |_| "fine")
}

#[test]
fn the_definitions_hold_together() {
    for command in crate::cli::commands() {
        command.debug_assert();
    }
}

#[test]
fn help_stands_alone() {
    assert_eq!(word::<JQueue>("-h"), "shown");
    assert_eq!(word::<JQueue>("--help"), "shown");
    assert_eq!(word::<JQueue>("show -h"), "shown");
    assert_eq!(word::<JQueue>("--version"), "shown");
    for beside in ["-h -l", "-u ada -h", "-lh", "-hl"] {
        assert_eq!(word::<JQueue>(beside), "help_beside_options", "{beside}");
    }
    let error = read::<JQueue>("-h -o name").unwrap_err();
    assert_eq!(error.code, ExitCode::Usage);
    assert!(error.text("jqueue").contains("did you mean `--no-header`?"));
}

#[test]
fn usage_errors_are_64_and_say_what_to_do() {
    for (line, expected) in [
        ("--gers", "unknown_option"),
        ("frobnicate", "unknown_verb"),
        ("-t nope", "malformed_value"),
        ("show 1x", "malformed_value"),
        ("show", "no_selector"),
        ("hold", "no_selector"),
        ("set 123", "missing_argument"),
        ("set 123 colour=red", "unknown_key"),
        ("set time=1h", "no_selector"),
        ("wait 1 --timeout 1x", "malformed_value"),
        ("-t bad requeue 123", "misplaced_option"),
    ] {
        let error = read::<JQueue>(line).unwrap_err();
        assert_eq!((error.word, error.code), (expected, ExitCode::Usage), "{line}: {error:?}");
        assert!(error.hint.is_some() || expected == "malformed_value", "{line}: {error:?}");
    }
    assert_eq!(word::<JCancel>(""), "no_selector");
    assert_eq!(word::<JCancel>("-b 1"), "missing_argument");
    assert_eq!(word::<JCtld>(""), "missing_verb");
    assert_eq!(word::<JCtld>("user"), "missing_verb");
    assert_eq!(word::<JNode>("drain n1"), "missing_argument");
    assert_eq!(word::<JNode>("show n[1-999999999]"), "malformed_value");
}

#[test]
fn verbs_to_come_say_so() {
    for error in [read::<JCtld>("ca rotate").unwrap_err(), read::<JNode>("reserve list").unwrap_err()] {
        assert_eq!((error.word, error.code), ("not_supported", ExitCode::BadScript));
    }
    let help = JCtld::definition().render_long_help().to_string();
    assert!(help.contains("(not supported yet)"), "{help}");
    let refused = jrun::run(&[OsString::from("hostname")]).unwrap_err();
    assert_eq!(refused.code.number(), 65);
    assert!(jrun::run(&[OsString::from("--help")]).is_ok());
}

#[test]
fn jobs_and_filters_are_understood() {
    let JQueue { verb: Some(Verb::Requeue { act, .. }), .. } =
        read("requeue 123 5_[1-3],name:x -t bad --dry-run").unwrap()
    else {
        panic!()
    };
    assert!(act.dry_run && act.selection.filters.states.is_some());
    let jobs = act.selection.jobs();
    assert_eq!(jobs.len(), 3);
    assert_eq!(jobs[0], JobSelector::Job(JobId(123)));
    let JQueue { verb: Some(Verb::Log(log)), .. } = read("log last -n 5 -f").unwrap() else { panic!() };
    assert_eq!((log.lines, log.follow), (Some(5), true));
    let list: JQueue = read("-u ada,bob -n x -S -time --json").unwrap();
    assert_eq!((list.list.filters.user.len(), list.general.json), (2, true));
    let (jobs, settings) = Verb::set_words(&["1".into(), "name:a=b".into(), "mem=8G".into()]).unwrap();
    assert_eq!((jobs.len(), settings.len()), (2, 1));
    let cancel: JCancel = read("--me -s USR1 -b").unwrap();
    assert_eq!(cancel.signal, Some(10));
}
