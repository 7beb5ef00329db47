//! Every job's start second: against the table worked by hand, and against a second program.

mod reference;

use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::trace::{self, Dropped, LINE_BYTES_MAX};
use super::*;
use crate::sched::policy::{Order, POLICIES, Policy};

const TINY: &str = include_str!("../../../tests/traces/tiny.swf");

fn tiny() -> Trace {
    trace::read_text(Path::new("tiny.swf"), TINY.as_bytes(), None).unwrap()
}

#[test]
fn nine_jobs_start_as_worked_by_hand() {
    let trace = tiny();
    assert_eq!((trace.processors, trace.records, trace.dropped.total()), (5, 9, 0));
    for (names, starts) in [
        ("fcfs", [0, 0, 7, 10, 14, 14, 18, 28, 28]),
        ("sjf", [0, 0, 7, 10, 15, 19, 14, 14, 14]),
        ("easy", [0, 0, 7, 35, 39, 5, 10, 20, 10]),
        ("easy-sjbf", [0, 0, 7, 15, 19, 19, 5, 23, 10]),
        ("sjf-easy", [0, 0, 7, 15, 19, 20, 5, 19, 10]),
        ("saf-easy", [0, 0, 7, 15, 20, 19, 5, 19, 10]),
        ("wfp3-easy", [0, 0, 7, 35, 39, 5, 10, 20, 10]),
        ("conservative", [0, 0, 7, 15, 19, 19, 5, 23, 23]),
        ("easy++ easy++r", [0, 0, 7, 15, 19, 19, 5, 10, 10]),
        ("easy-clair", [0, 0, 7, 35, 10, 5, 14, 24, 14]),
        ("easy-sjbf-clair", [0, 0, 7, 15, 11, 19, 5, 10, 10]),
    ] {
        for name in names.split(' ') {
            let policy = Policy::named(name).unwrap();
            assert_eq!(simulate(&trace.jobs, trace.processors, policy).starts, starts, "{name}");
        }
    }
}

#[test]
fn figures_are_those_of_the_definition() {
    let trace = tiny();
    let outcome = simulate(&trace.jobs, trace.processors, Policy::named("easy").unwrap());
    let figures = Figures::of(&trace.jobs, trace.processors, &outcome.starts).unwrap();
    // Waits 0 0 6 33 35 0 5 12 1; slowdowns 1 1 1 3.7 3.9 1 1.5 1.3 1; area 2+21+9+16+12+60+20+2+1.
    assert_eq!((figures.jobs, figures.wait_p95, figures.wait_p99, figures.wait_max), (9, 35, 35, 35));
    assert!((figures.wait_mean - 92.0 / 9.0).abs() < 1e-12);
    assert!((figures.slowdown_mean - 15.4 / 9.0).abs() < 1e-12);
    assert_eq!((figures.makespan, outcome.backfilled), (43, 4));
    assert!((figures.utilisation - 143.0 / 215.0).abs() < 1e-12);
    assert_eq!(Figures::of(&[], 5, &[]), None);
}

/// Jobs that collide a lot. Times in units: of seconds, of what predictions grow by, and of what makes jobs old.
fn workload() -> impl Strategy<Value = (Vec<Job>, u32)> {
    let job = (0..60_i64, 1..40_i64, 1..40_i64, 0..4_i64, 1..=8_u32);
    let jobs = proptest::collection::vec(job, 1..60);
    (jobs, 1..=8_u32, prop_oneof![Just(1_i64), Just(50), Just(4_000)]).prop_map(
        |(drawn, processors, unit)| {
            let mut jobs: Vec<Job> = drawn
                .into_iter()
                .map(|(submit, run, request, user, width)| Job {
                    id: 0,
                    submit: submit * unit,
                    run: run.min(request) * unit,
                    request: request * unit,
                    user,
                    processors: width.min(processors),
                })
                .collect();
            jobs.sort_by_key(|job| job.submit);
            (jobs, processors)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_policy_starts_every_job_when_the_reference_does((jobs, processors) in workload()) {
        for policy in POLICIES.into_iter().filter(|policy| policy.order != Order::Smart) {
            let outcome = simulate(&jobs, processors, policy);
            let expected = reference::simulate(&jobs, processors, policy);
            prop_assert_eq!((outcome.starts, outcome.backfilled), expected, "{}", policy.name);
        }
    }
}

/// Records as traces have them: out of order, at the same second, without a request or a run time, longer than asked
/// for, wider than the machine, of users who are not known.
fn odd_trace() -> impl Strategy<Value = String> {
    let time = || prop_oneof![1 => Just(-1_i64), 1 => Just(0), 4 => 1..40_i64, 1 => 40..4_000_i64];
    let width = || prop_oneof![1 => Just(-1_i64), 1 => Just(0), 8 => 1..=7_i64];
    let drawn = (0..30_i64, -2..50_i64, time(), width(), width(), time(), -1..3_i64);
    proptest::collection::vec(drawn, 1..60).prop_map(|records| {
        let mut text = "; MaxProcs: 6\n".to_owned();
        for (id, submit, run, allocated, requested, request, user) in records {
            let line = record(id, submit, run, allocated, requested, request);
            text += &line.replace(" 1 7 -1 ", &format!(" 1 {user} -1 "));
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn odd_traces_start_as_the_reference_reads_and_starts_them(text in odd_trace()) {
        let trace = trace::read_text(Path::new("odd.swf"), text.as_bytes(), None).unwrap();
        let jobs = reference::read(&text, 6);
        prop_assert_eq!(&trace.jobs, &jobs);
        prop_assert_eq!(trace.records, jobs.len() as u64 + trace.dropped.total());
        for policy in POLICIES.into_iter().filter(|policy| policy.order != Order::Smart) {
            let outcome = simulate(&trace.jobs, trace.processors, policy);
            let expected = reference::simulate(&jobs, 6, policy);
            prop_assert_eq!((outcome.starts, outcome.backfilled), expected, "{}", policy.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every job starts, none before it was submitted, and never more at once than there are processors for.
    #[test]
    fn smart_starts_every_job_and_takes_no_more_than_there_is((jobs, processors) in workload()) {
        let starts = simulate(&jobs, processors, Policy::named("smart").unwrap()).starts;
        for (job, start) in jobs.iter().zip(&starts) {
            prop_assert!(*start >= job.submit);
            let beside = jobs.iter().zip(&starts).filter(|(other, from)| **from <= *start && *start < **from + other.run);
            prop_assert!(beside.map(|(other, _)| other.processors).sum::<u32>() <= processors);
        }
    }
}

fn read(text: &str) -> Result<Trace, String> {
    trace::read_text(Path::new("t.swf"), text.as_bytes(), None).map_err(|error| match error {
        TraceError::Line { line, what, .. } => format!("{line}: {what}"),
        other => other.to_string(),
    })
}

/// A record: number, submit, run, allocated, requested, request.
fn record(number: i64, submit: i64, run: i64, allocated: i64, requested: i64, request: i64) -> String {
    format!("{number} {submit} -1 {run} {allocated} -1 -1 {requested} {request} -1 1 7 -1 -1 -1 -1 -1 -1\n")
}

#[test]
fn records_are_sorted_dropped_and_cut() {
    let mut text = ";  MaxNodes: 4\n; MaxProcs: 10 (of 12)\n\n".to_owned();
    text += &record(9, 5, 1, 3, -1, 1);
    text += &record(3, 5, 20, 3, 2, 10).replace(' ', "\t  ").replace("20", "20.7");
    text += &record(4, 0, 1, -1, 0, 1);
    text += &record(5, 0, 0, -1, 11, 1);
    text += &record(6, -3, 0, 1, 1, 1);
    text += &record(7, -3, 1, 1, 1, -1);
    text += &record(8, -3, 1, 10, 10, 1);
    let trace = read(&text).unwrap();
    assert_eq!(trace.dropped, Dropped { no_processors: 1, too_wide: 1, no_run: 1, no_request: 1, early: 1 });
    let seen: Vec<_> = trace.jobs.iter().map(|job| (job.id, job.run, job.processors)).collect();
    assert_eq!((trace.processors, trace.records, trace.cut, seen), (10, 7, 1, vec![(3, 10, 2), (9, 1, 3)]));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_line() {
    assert_eq!(read("1 2 3\n"), Err("1: 3 fields where 18 are expected".into()));
    let bad = record(1, 0, 1, 1, 1, 1).replace(" 7 ", " seven ");
    let told = "2: field 12 is `seven`, which is no number of up to 1000000000000000";
    assert_eq!(read(&format!(";\n{bad}")), Err(told.into()));
    assert_eq!(read(&record(1, 0, 1, 1, 1, 1)), Err("the header has neither MaxProcs nor MaxNodes".into()));
    assert!(read(&format!("; MaxProcs: 0\n; MaxNodes: 1\n{}", record(1, 0, 1, 1, 1, 1))).is_ok());
    let long = |bytes: usize| read(&format!("; MaxProcs: 1\n;{}\n", "x".repeat(bytes - 1)));
    assert!(long(LINE_BYTES_MAX).is_ok());
    assert_eq!(long(LINE_BYTES_MAX + 1), Err(format!("2: longer than {LINE_BYTES_MAX} bytes")));
}

#[test]
fn packed_traces_are_read_by_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(TINY.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    std::fs::write(&file, &packed).unwrap();
    assert_eq!(trace::read(&file, None).unwrap(), tiny());
    std::fs::write(&file, include_bytes!("../../../tests/traces/tiny.swf.xz")).unwrap();
    assert_eq!(trace::read(&file, None).unwrap(), tiny());
    for torn in [&packed[..packed.len() / 2], &include_bytes!("../../../tests/traces/tiny.swf.xz")[..200]] {
        std::fs::write(&file, torn).unwrap();
        assert!(matches!(trace::read(&file, None), Err(TraceError::Unreadable { .. })));
    }
    assert!(matches!(trace::read(folder.path(), None), Err(TraceError::Unreadable { .. })));
}

#[test]
fn gaps_between_arrivals_are_scaled() {
    let mut trace = tiny();
    trace.jobs.iter_mut().for_each(|job| job.submit += 100);
    trace.scale_gaps(0.5);
    let submits: Vec<_> = trace.jobs.iter().map(|job| job.submit).collect();
    assert_eq!(submits, [100, 100, 100, 101, 102, 102, 102, 104, 104]);
}

#[test]
fn the_picture_shows_every_job_on_processors_that_were_free() {
    let trace = tiny();
    let starts = simulate(&trace.jobs, trace.processors, Policy::named("easy").unwrap()).starts;
    let picture = plot::svg("a < b", &trace.jobs, trace.processors, &starts);
    assert!(picture.contains("a &lt; b") && picture.ends_with("</svg>\n"));
    for job in 1..=9 {
        assert!(picture.contains(&format!("<title>job {job} ")), "job {job}");
    }
    // Five processors from second 0 to 43; what is drawn has the area of all jobs.
    let number = |line: &str, key: &str| -> f64 {
        line.split(&format!("{key}=\""))
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap()
            .parse()
            .unwrap()
    };
    let rects = picture.lines().filter(|line| line.contains("<title>"));
    let area: f64 = rects.map(|line| number(line, " width") * number(line, " height")).sum();
    assert!((area / (920.0 * 400.0) - 143.0 / 215.0).abs() < 1e-3, "{area}");
}
