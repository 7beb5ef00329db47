//! Batch scripts in the forms that people write, and what `jsubmit --test-only --json` understands of them. The
//! expected answers stand beside the scripts; `JSCHED_BLESS=1` writes them anew, to be read before they are kept.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use jsched::cli::request::{Asked, Surroundings, prepare, show};
use jsched::model::time::WallTime;
use serde_json::{Map, Value, json};

const BLESS: &str = "JSCHED_BLESS";

/// 2026-11-22 12:00 UTC.
const NOON: WallTime = WallTime(1_795_348_800_000_000);

#[test]
fn scripts_are_understood_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let (mut wrong, mut expected) = (Vec::new(), BTreeSet::new());
    for script in names(&folder, "sh") {
        let answer =
            format!("{:#}\n", understood(&folder, &script)).replace(&*folder.to_string_lossy(), "$DIR");
        let golden = folder.join(&script).with_extension("json");
        if std::env::var_os(BLESS).is_some() {
            fs::write(&golden, &answer).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != answer {
            wrong.push(format!("{script}:\n{answer}"));
        }
        expected.insert(golden.file_name().unwrap().to_string_lossy().into_owned());
    }
    assert!(expected.len() >= 50, "samples are missing");
    assert_eq!(names(&folder, "json").into_iter().collect::<BTreeSet<_>>(), expected);
    assert!(wrong.is_empty(), "understood otherwise than expected:\n{}", wrong.join("\n"));
}

fn names(folder: &Path, extension: &str) -> Vec<String> {
    let files =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = files.filter(|name| name.ends_with(&format!(".{extension}"))).collect();
    names.sort();
    names
}

/// The exit code, and what was said rather than left to defaults; of `smallest.sh` the defaults, too.
fn understood(folder: &Path, script: &str) -> Value {
    let around = Surroundings {
        variables: vec![(b"PATH".to_vec(), b"/usr/bin:/bin".to_vec())],
        directory: folder.to_string_lossy().into_owned(),
        host: "login1".to_owned(),
        umask: 0o022,
        now: NOON,
        zone: Some(TimeZone::UTC),
        stdin_is_terminal: true,
        cluster: Some("here".to_owned()),
        login: |_| Ok(Vec::new()),
    };
    let words = ["--test-only", "--json", script].map(Into::into);
    match prepare(&words, &around, &mut std::io::empty()) {
        Ok(Asked::Submit(prepared)) => {
            let data = show::data(&prepared);
            let said =
                |(key, _): &(&String, &Value)| data["sources"].get(key).is_some() && *key != "test_only";
            let request: Map<String, Value> = match script {
                "smallest.sh" => data["request"].as_object().unwrap().clone(),
                _ => data["request"]
                    .as_object()
                    .unwrap()
                    .iter()
                    .filter(said)
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect(),
            };
            let refused: Vec<Value> = data["refused"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| json!(format!("{} line {}", r["option"], r["line"])))
                .collect();
            json!({"exit": 0, "request": request, "refused": refused, "warnings": prepared.warnings})
        }
        Ok(other) => panic!("{script}: {other:?}"),
        Err(error) => {
            json!({"exit": error.code.number(), "says": error.text("jsubmit").lines().collect::<Vec<_>>()})
        }
    }
}
