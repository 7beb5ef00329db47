//! How many trivial tasks a second one supervisor runs; printed, not asserted. `cargo test --release -- --ignored`.

use std::collections::VecDeque;
use std::time::Instant;

use jsched::model::spec::Output;
use jsched::wire::supervisor::*;

use crate::node::*;

#[test]
#[ignore = "a measurement"]
fn rate_of_true() {
    for (output, slots) in [(None, 2), (None, 4), (Some("out-%a"), 4)] {
        let mut node = Node::start();
        let mut job = node.job("");
        job.script = b"#!/bin/true\n".to_vec();
        job.files.output = output.map_or(Output::Nothing, |pattern| Output::Pattern(pattern.into()));
        let count = 10_000;
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
        println!("{slots} slots, output {output:?}: {rate:.0} tasks/s");
        node.finish();
    }
}
