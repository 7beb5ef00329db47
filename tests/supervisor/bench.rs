//! How many trivial tasks a second one supervisor runs; printed, not asserted. `cargo test --release -- --ignored`.

use std::collections::VecDeque;
use std::time::Instant;

use jsched::model::spec::Output;
use jsched::wire::supervisor::*;

use crate::node::*;

#[test]
#[ignore = "a measurement"]
fn rate_of_true() {
    let (since, bare) = (Instant::now(), 1_000);
    for _ in 0..bare {
        assert!(std::process::Command::new("/bin/true").env_clear().status().unwrap().success());
    }
    println!("bare, one after the other: {:.0} processes/s", f64::from(bare) / since.elapsed().as_secs_f64());
    for (output, slots) in [(None, 2), (None, 4), (Some("out-%a"), 4)] {
        let mut node = Node::start();
        let mut job = node.job("");
        job.script = b"#!/bin/true\n".to_vec();
        job.files.output = output.map_or(Output::Nothing, |pattern| Output::Pattern(pattern.into()));
        let count = 5_000;
        let job = as_array(job, count, slots);
        let mut left: VecDeque<TaskRun> = (0..count).map(array_run).collect();
        node.send(ToSupervisor::Job(Box::new(job)));
        let since = Instant::now();
        node.send(ToSupervisor::Run { tasks: left.drain(..500).collect() });
        let mut ended = 0;
        while ended < count {
            let message = node.link.as_mut().unwrap().receive().unwrap().unwrap();
            if let FromSupervisor::Reports { reports } = message {
                ended += reports.len() as u32;
                let up_to = reports.last().unwrap().number;
                node.send(ToSupervisor::Acknowledge { up_to });
                let more: Vec<TaskRun> = left.drain(..reports.len().min(left.len())).collect();
                node.send(ToSupervisor::Run { tasks: more });
            }
        }
        let rate = f64::from(count) / since.elapsed().as_secs_f64();
        let [own, children] = cpu_us(node.process.as_ref().unwrap().id(), count);
        println!(
            "{slots} slots, output {output:?}: {rate:.0} tasks/s; cpu us a task: supervisor {own}, jobs {children}"
        );
        node.finish();
    }
}

/// Processor time of a process, and of the children that it has reaped, for each of `count` tasks.
fn cpu_us(pid: u32, count: u32) -> [u64; 2] {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks: Vec<u64> = stat.split(' ').skip(13).take(4).map(|field| field.parse().unwrap()).collect();
    let each = |ticks: u64| ticks * 10_000 / u64::from(count);
    [each(ticks[0] + ticks[1]), each(ticks[2] + ticks[3])]
}
