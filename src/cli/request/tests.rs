//! Requests from command lines, environments and scripts.

use std::os::unix::ffi::OsStringExt;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::understanding::HARMLESS_BYTES_MAX;
use super::*;
use crate::cli::error::ExitCode;
use crate::model::ids::JobId;
use crate::model::spec::{JOB_NAME_BYTES_MAX, MemoryRequest, Output, Parent, WorkDir};
use crate::model::time::{Seconds, TimeLimit, WallTime};

/// A process at noon, UTC, with no variables, in that directory.
pub(super) fn around(directory: &str) -> Surroundings {
    Surroundings {
        variables: Vec::new(),
        directory: directory.to_owned(),
        host: "login1".to_owned(),
        umask: 0o022,
        now: WallTime(1_795_262_400_000_000),
        zone: Some(TimeZone::UTC),
        stdin_is_terminal: true,
        cluster: None,
        login: |_| Ok(Vec::new()),
    }
}

fn submit(words: &[&str], around: &Surroundings, stdin: &str) -> Result<Prepared, CliError> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    match prepare(&words, around, &mut stdin.as_bytes())? {
        Asked::Submit(prepared) => Ok(*prepared),
        other => panic!("{other:?}"),
    }
}

fn one(words: &[&str]) -> JobSpec {
    let mut prepared = submit(words, &around("/home/ada"), "").unwrap();
    assert_eq!(prepared.jobs.len(), 1);
    prepared.jobs.remove(0).spec
}

fn piped(words: &[&str], script: &str) -> Result<Prepared, CliError> {
    submit(words, &Surroundings { stdin_is_terminal: false, ..around("/home/ada") }, script)
}

#[test]
fn the_smallest_request() {
    let prepared = submit(&["--wrap", "true"], &around("/home/ada"), "").unwrap();
    let spec = &prepared.jobs[0].spec;
    assert_eq!((spec.name.as_str(), spec.submit_host.as_str(), spec.umask), ("wrap", "login1", 0o022));
    assert_eq!(spec.work_dir, WorkDir::Path("/home/ada".into()));
    assert_eq!(spec.files.output, Output::Pattern("jsched-%j.out".into()));
    assert_eq!((spec.request.memory, spec.times.limit), (MemoryRequest::Default, None));
    let script = prepared.contents.iter().find(|(hash, _)| *hash == spec.script).unwrap();
    assert_eq!(script.1, b"#!/bin/sh\ntrue\n");
    assert!(prepared.contents.iter().any(|(hash, bytes)| *hash == spec.environment && bytes.is_empty()));
    assert_eq!((prepared.waiting, prepared.test_only, prepared.warnings.len()), (Waiting::No, false, 0));
}

#[test]
fn commands_are_arguments_and_need_no_quotes() {
    assert_eq!(one(&["--", &"é".repeat(200)]).name, "é".repeat(JOB_NAME_BYTES_MAX / 2));
    let spec = one(&["-n2", "--", "/bin/echo", "a b", "$HOME", "--wrap"]);
    assert_eq!(spec.name, "echo");
    assert_eq!(spec.arguments, ["/bin/echo", "a b", "$HOME", "--wrap"]);
    assert_eq!(spec.request.tasks, Some(2));
}

#[test]
fn values_are_understood() {
    let spec = one(&[
        "-c4",
        "--mem=4G",
        "-t",
        "1-12",
        "-b",
        "now+1h",
        "-d",
        "afterok:7",
        "-a",
        "0-9:3%2",
        "--signal=B:USR1@120",
        "-x",
        "n[1-2]",
        "-p",
        "long,main",
        "--retry=2",
        "--requeue=proof",
        "-D",
        "sub",
        "-e",
        "none",
        "--nice",
        "--wrap",
        "x",
    ]);
    assert_eq!((spec.request.cpus_per_task, spec.request.memory), (Some(4), MemoryRequest::PerNode(4 << 30)));
    assert_eq!(spec.times.limit, Some(TimeLimit(Some(Seconds(129_600)))));
    assert_eq!(spec.times.begin, Some(WallTime(1_795_266_000_000_000)));
    assert_eq!(spec.dependencies.conditions[0].parent, Parent::Job(JobId(7)));
    assert_eq!(spec.array.map(|array| (array.indexes.count(), array.limit)), Some((4, Some(2))));
    assert_eq!(spec.signal.map(|signal| signal.before), Some(Seconds(120)));
    assert_eq!(
        (spec.place.exclude, spec.place.partitions.len()),
        (vec!["n1".to_owned(), "n2".to_owned()], 2)
    );
    assert!(spec.restart.on.fail && spec.restart.retries == 2);
    assert_eq!(spec.work_dir, WorkDir::Path("/home/ada/sub".into()));
    assert_eq!(spec.files.output, Output::Pattern("jsched-%A_%a.out".into()));
    assert_eq!((spec.files.error, spec.nice), (Some(Output::Nothing), 100));
}

#[test]
fn command_line_over_environment_over_script() {
    let mut place = Surroundings { stdin_is_terminal: false, ..around("/home/ada") };
    place.variables =
        vec![(b"SBATCH_TIMELIMIT".to_vec(), b"20".to_vec()), (b"JSUBMIT_QOS".to_vec(), b"low".to_vec())];
    let script = "#!/bin/sh\n#SBATCH -t 10 -n 3 -q high\n#SBATCH -J night\n";
    let prepared = submit(&["-n5"], &place, script).unwrap();
    let spec = &prepared.jobs[0].spec;
    assert_eq!(spec.times.limit, Some(TimeLimit(Some(Seconds(1_200)))));
    assert_eq!((spec.request.tasks, spec.qos.as_str(), spec.name.as_str()), (Some(5), "low", "night"));
    let source = |name: &str| {
        prepared.jobs[0].fields.iter().find(|field| field.name == name).unwrap().source.to_string()
    };
    assert_eq!(source("time_seconds"), "SBATCH_TIMELIMIT");
    assert_eq!(source("job_name"), "standard input line 3");
}

#[test]
fn nothing_is_ignored_in_silence() {
    let script = "#!/bin/sh\n#SBATCH --gres=gpu:1 --mail-type=END\n#SBATCH -N 2\n#SBATCH --mail-type=FAIL\n";
    let error = piped(&[], script).unwrap_err();
    assert_eq!((error.code, error.word, error.place.line), (ExitCode::BadScript, "not_supported", Some(3)));
    let text = "jsubmit: not supported yet: --nodes=2 (standard input line 3)\n  nor: --gres=gpu:1 (standard input line 2)";
    assert_eq!(error.text("jsubmit"), text);
    let shown = piped(&["--test-only", "--json"], script).unwrap();
    let data = show::data(&shown);
    assert_eq!(data["request"]["nodes"], 2);
    assert_eq!(data["refused"][1]["line"], 2);
    assert_eq!(shown.jobs[0].spec.harmless, ["--mail-type=END", "--mail-type=FAIL"]);
    assert_eq!(shown.warnings, ["accepted, without effect here: --mail-type=END, --mail-type=FAIL"]);
    let alone = submit(&["--gres=gpu:1", "--wrap=x"], &around("/"), "").unwrap_err();
    assert_eq!(alone.text("jsubmit").lines().next(), Some("jsubmit: not supported yet: --gres=gpu:1"));
    assert_eq!(alone.code, ExitCode::BadScript);
    for none in
        ["--gres=none", "--gpus=0", "-N1-1", "-N1-4", "--contiguous", "--switches=1", "--ntasks-per-core=1"]
    {
        assert!(submit(&[none, "--wrap=x"], &around("/"), "").is_ok(), "{none}");
    }
    let refused = ["--threads-per-core=2", "--exclusive=user", "--checkpoint=x"];
    for refused in refused {
        assert_eq!(
            submit(&[refused, "--wrap=x"], &around("/"), "").unwrap_err().word,
            "not_supported",
            "{refused}"
        );
    }
    assert_eq!(
        submit(&["-n8", "--ntasks-per-node=4", "--wrap=x"], &around("/"), "").unwrap_err().word,
        "not_supported"
    );
}

#[test]
fn a_range_of_memory_asks_to_be_tried_again() {
    let restart = |args: &[&str]| {
        let prepared = submit(args, &around("/"), "").unwrap();
        let spec = &prepared.jobs[0].spec;
        (spec.request.memory, spec.restart.retries, spec.restart.on.oom, spec.restart.on.fail)
    };
    let range = MemoryRequest::Range(4 << 30, 16 << 30);
    assert_eq!(restart(&["--mem=4G..16G", "--wrap=x"]), (range, 3, true, false));
    assert_eq!(restart(&["--mem=4G..16G", "--retry=1", "--wrap=x"]), (range, 1, true, true));
    let wide = MemoryRequest::Range(1 << 20, 1 << 30);
    assert_eq!(restart(&["--mem=1M..1G", "--retry-on=timeout", "--wrap=x"]), (wide, 10, true, false));
    assert_eq!(restart(&["--mem=1G", "--wrap=x"]), (MemoryRequest::PerNode(1 << 30), 0, false, false));
}

#[test]
fn every_bad_input_has_its_word_and_its_code() {
    let table: [(&[&str], &str, u8); 17] = [
        (&[], "no_script", 64),
        (&["--"], "no_script", 64),
        (&["--gers=1", "x"], "unknown_option", 64),
        (&["--time=1x", "--wrap=x"], "malformed_value", 64),
        (&["--time=99999999-99", "--wrap=x"], "malformed_value", 64),
        (&["-h", "-n1", "--wrap=x"], "help_beside_options", 64),
        (&["--wrap=x", "job.sh"], "unwanted_word", 64),
        (&["--mem=1G", "--mem-per-cpu=1G", "--wrap=x"], "contradiction", 64),
        (&["--key=a b", "--wrap=x"], "malformed_value", 64),
        (&["--key", &"k".repeat(KEY_BYTES_MAX + 1), "--wrap=x"], "malformed_value", 64),
        (&["-a", "5-1", "--wrap=x"], "malformed_value", 64),
        (&["-w", "n[1-999999999]", "--wrap=x"], "malformed_value", 64),
        (&["-A", "a/b", "--wrap=x"], "malformed_value", 64),
        (&["-n1000000", "-c2", "--wrap=x"], "too_many_cpus", 64),
        (&["/nowhere/job.sh"], "no_such_file", 1),
        (&["/"], "unreadable", 1),
        (&["/bin/sh"], "program_as_script", 65),
    ];
    for (words, word, code) in table {
        let error = submit(words, &around("/home/ada"), "").unwrap_err();
        assert_eq!((error.word, error.code.number()), (word, code), "{words:?}: {error:?}");
    }
    let bad = OsString::from_vec(vec![0xff]);
    assert_eq!(prepare(&[bad], &around("/"), &mut &b""[..]).unwrap_err().word, "not_text");
}

#[test]
fn what_changes_nothing_is_kept_up_to_a_limit() {
    let script =
        |bytes: usize| format!("#!/bin/sh\n#SBATCH --hint={}\n", "x".repeat(bytes - "--hint=".len()));
    assert!(piped(&[], &script(HARMLESS_BYTES_MAX)).is_ok());
    assert_eq!(piped(&[], &script(HARMLESS_BYTES_MAX + 1)).unwrap_err().place.line, Some(2));
}

#[test]
fn help_and_version() {
    let asked = |word: &str| prepare(&[OsString::from(word)], &around("/"), &mut &b""[..]).unwrap();
    assert!(matches!(asked("-h"), Asked::Help));
    assert!(matches!(asked("--help"), Asked::Help));
    assert!(matches!(asked("-V"), Asked::Version));
}

#[test]
fn many_jobs_of_one_file() {
    let file = "{\"command\":\"./a\",\"label\":\"a\",\"time\":10}\n\n{\"command\":[\"b\",\"x y\"],\"dependency\":\"afterok:@a\",\"cpus_per_task\":2,\"hold\":true}\n";
    let prepared = piped(&["--jobs", "-", "-p", "long"], file).unwrap();
    assert!(prepared.many && prepared.jobs.len() == 2);
    let (a, b) = (&prepared.jobs[0], &prepared.jobs[1]);
    assert_eq!((a.label.as_deref(), a.spec.times.limit), (Some("a"), Some(TimeLimit(Some(Seconds(600))))));
    assert_eq!(b.spec.dependencies.conditions[0].parent, Parent::Batch(0));
    assert!(b.spec.hold && b.spec.request.cpus_per_task == Some(2));
    assert_eq!(b.spec.arguments, ["b", "x y"]);
    assert!(prepared.jobs.iter().all(|job| job.spec.place.partitions == ["long"]));
    for (line, word) in [
        ("nonsense", "malformed_line"),
        ("{\"command\":\"x\",\"gers\":1}", "unknown_option"),
        ("{\"time\":1}", "no_script"),
        ("{\"command\":\"x\",\"dependency\":\"afterok:@z\"}", "malformed_value"),
        ("{\"command\":\"x\",\"label\":\"a\"}", "label_twice"),
        ("{\"command\":\"x\",\"time\":true}", "malformed_value"),
        ("{\"command\":\"x\",\"wrap\":\"y\"}", "misplaced_option"),
        ("{\"command\":\"x\",\"gpus\":1}", "not_supported"),
    ] {
        let error =
            piped(&["--jobs=-"], &format!("{{\"command\":\"x\",\"label\":\"a\"}}\n{line}\n")).unwrap_err();
        assert_eq!(
            (error.word, error.code.number(), error.place.line),
            (word, 65, Some(2)),
            "{line}: {error:?}"
        );
    }
}

#[test]
fn the_most_jobs_of_one_call() {
    let line = "{\"command\":\"x\"}\n";
    assert_eq!(piped(&["--jobs=-"], &line.repeat(JOBS_MAX)).unwrap().jobs.len(), JOBS_MAX);
    assert_eq!(piped(&["--jobs=-"], &line.repeat(JOBS_MAX + 1)).unwrap_err().word, "too_many_jobs");
    let fill = |bytes: usize| format!("{line}{}", " ".repeat(bytes - line.len()));
    assert!(piped(&["--jobs=-"], &fill(JOBS_BYTES_MAX)).is_ok());
    assert_eq!(piped(&["--jobs=-"], &fill(JOBS_BYTES_MAX + 1)).unwrap_err().word, "jobs_too_large");
}

#[test]
fn a_task_for_each_line() {
    let prepared = submit(&["--each-line", "-", "--wrap=x"], &around("/"), "a\nb\nc").unwrap();
    let array = prepared.jobs[0].spec.array.as_ref().unwrap();
    assert_eq!(array.indexes.count(), 3);
    assert!(
        prepared.contents.iter().any(|(hash, bytes)| Some(*hash) == array.lines && bytes == b"a\nb\nc\n")
    );
    let some = submit(&["--each-line=-", "-a", "2-3%1", "--wrap=x"], &around("/"), "a\nb\nc").unwrap();
    assert_eq!(some.jobs[0].spec.array.as_ref().unwrap().limit, Some(1));
    for bad in ["0-2", "4"] {
        let error = submit(&["--each-line=-", "-a", bad, "--wrap=x"], &around("/"), "a\nb\nc").unwrap_err();
        assert_eq!(error.word, "no_such_line");
    }
}

#[test]
fn a_login_shell_says_its_environment() {
    let mut place = around("/");
    place.variables =
        vec![(b"SHELL".to_vec(), b"/bin/sh".to_vec()), (b"HOME".to_vec(), b"/nonexistent".to_vec())];
    let variables = login::environment(&place).unwrap();
    assert!(variables.contains(&(b"HOME".to_vec(), b"/nonexistent".to_vec())), "{variables:?}");
    place.variables[0].1 = b"/nonexistent/shell".to_vec();
    assert_eq!(login::environment(&place).unwrap_err().word, "login_shell_failed");
}

#[test]
fn this_process_has_surroundings() {
    let place = Surroundings::of_this_process().unwrap();
    assert!(place.directory.starts_with('/') && place.now > WallTime(0) && place.umask <= 0o777);
}

fn an_option() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = crate::cli::options::all()
        .filter(|option| option.long != "get-user-env")
        .map(|option| option.long)
        .collect();
    let value = prop_oneof![
        "[0-9]{1,12}",
        "[0-9]{1,3}[-:][0-9]{1,3}(:[0-9]{2})?",
        "[a-z,:%=@\\[\\]-]{0,10}",
        "\\PC{0,8}",
        "(afterok|after|name):[0-9_+\\[\\]]{0,8}",
        "now[+-][0-9]{1,4}[a-z]{0,5}",
    ];
    (prop::sample::select(names), value).prop_map(|(name, value)| format!("--{name}={value}"))
}

proptest! {
    #[test]
    fn no_request_is_too_strange(words in prop::collection::vec(an_option(), 0..6), stray in "\\PC{0,6}", script in "(#SBATCH \\PC{0,20}\n){0,3}") {
        let script = format!("#!/bin/sh\n{script}");
        let all: Vec<OsString> = words.iter().map(OsString::from).collect();
        let place = Surroundings { stdin_is_terminal: false, ..around("/nonexistent") };
        if let Err(error) = prepare(&all, &place, &mut script.as_bytes()) {
            let escaped = !error.text("jsubmit").contains('\u{1b}');
            prop_assert!(escaped && !error.message.is_empty());
        }
        let quoted: Vec<String> = words.iter().map(|word| format!("#JSUB '{}'", word.replace(['\\', '\''], ""))).collect();
        let script = format!("#!/bin/sh\n{}\n{stray}", quoted.join("\n"));
        let _ = prepare(&[], &place, &mut script.as_bytes());
    }

    #[test]
    fn no_line_of_jobs_is_too_strange(line in "\\PC{0,20}", key in "[a-z_-]{1,14}", value in "[0-9a-z:\",\\[\\]{}-]{0,12}") {
        let place = around("/nonexistent");
        for text in [line, format!("{{\"command\":\"x\",\"{key}\":{value}}}"), format!("{{\"command\":\"x\",\"{key}\":\"{value}\"}}")] {
            let _ = prepare(&["--jobs=-".into()], &place, &mut text.as_bytes());
        }
    }
}
