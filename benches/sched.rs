//! How long the scheduler takes: 100,000 pending jobs of many shapes on 10,000 nodes, of which half are busy.
//!
//! `cargo bench --bench sched`. Prints; asserts nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsched::model::ids::{JobId, NodeId};
use jsched::model::resources::Resources;
use jsched::model::time::{Seconds, WallTime};
use jsched::sched::{
    Demand, Held, MemoryDemand, Note, PartitionId, Rank, Release, Scheduler, ShareId, Supply,
};

const NODES: u32 = 10_000;
const PENDING: u64 = 100_000;
const GIB: u64 = 1 << 30;
const ROUNDS: usize = 2_000;

fn main() {
    let mut dice = Dice(7);
    let mut scheduler = Scheduler::new();
    let mut now = WallTime(1_000_000_000);
    for node in 0..NODES {
        scheduler.note(Note::Node { node: NodeId(node), supply: Some(supply()) });
    }
    let filling: Vec<Demand> =
        (1..=u64::from(NODES) * 2).map(|job| demand(job, 1_000_000, &mut dice)).collect();
    for demand in filling {
        scheduler.note(Note::Job { job: demand.rank.job, demand: Some(demand) });
    }
    let begin = Instant::now();
    let mut running = Vec::new();
    let plan = scheduler.plan(now, u64::MAX);
    show("empty cluster filled", begin.elapsed(), &format!("{} places", plan.places.len()));
    running.extend(plan.places.iter().map(|place| (place.job, place.node)));

    let waiting: Vec<Demand> =
        (0..PENDING).map(|at| demand(1_000_000 + at, (at % 997) as i64, &mut dice)).collect();
    let begin = Instant::now();
    for demand in waiting {
        scheduler.note(Note::Job { job: demand.rank.job, demand: Some(demand) });
    }
    show("100,000 notes of new jobs", begin.elapsed(), "");
    let begin = Instant::now();
    let plan = scheduler.plan(now, u64::MAX);
    let told = format!(
        "{} places, {} reservations, {} steps",
        plan.places.len(),
        plan.reservations.len(),
        plan.steps
    );
    show("full pass, all jobs fresh", begin.elapsed(), &told);
    running.extend(plan.places.iter().map(|place| (place.job, place.node)));

    for node in 0..NODES {
        let supply =
            Supply { version: 1, total: Resources { tmp_bytes: 101 * GIB, ..supply().total }, ..supply() };
        scheduler.note(Note::Node { node: NodeId(node), supply: Some(supply) });
    }
    let begin = Instant::now();
    let plan = scheduler.plan(now, u64::MAX);
    show("full pass, all nodes changed", begin.elapsed(), &format!("{} steps", plan.steps));

    let mut ends = Vec::new();
    let mut placed = 0;
    for _ in 0..ROUNDS {
        now = now.plus(Seconds(1));
        let (job, node) = running.swap_remove(dice.below(running.len() as u64) as usize);
        let begin = Instant::now();
        scheduler.note(Note::Held { job, node, held: None });
        let plan = scheduler.plan(now, u64::MAX);
        ends.push(begin.elapsed());
        placed += plan.places.len();
        running.extend(plan.places.iter().map(|place| (place.job, place.node)));
    }
    spread("one end, planned", ends, &format!("{placed} places"));

    let mut submits = Vec::new();
    for at in 0..ROUNDS as u64 {
        now = now.plus(Seconds(1));
        let demand = demand(5_000_000 + at, dice.below(2_000) as i64, &mut dice);
        let begin = Instant::now();
        scheduler.note(Note::Job { job: demand.rank.job, demand: Some(demand) });
        scheduler.plan(now, u64::MAX);
        submits.push(begin.elapsed());
    }
    spread("one submission, planned", submits, "");
    let begin = Instant::now();
    let explanation = scheduler.explain(JobId(1_050_000), now);
    show("explain one job", begin.elapsed(), explanation.reason.word());
    singles();
}

/// One-node jobs on 5,000 nodes, each planned and confirmed by itself.
fn singles() {
    let mut dice = Dice(11);
    let mut scheduler = Scheduler::new();
    for node in 0..5_000 {
        scheduler.note(Note::Node { node: NodeId(node), supply: Some(supply()) });
    }
    scheduler.plan(WallTime(0), u64::MAX);
    let begin = Instant::now();
    let jobs = 20_000;
    for job in 1..=jobs {
        let demand = Demand { cpus: 1 + dice.below(4) as u32, ..demand(job, 0, &mut dice) };
        scheduler.note(Note::Job { job: JobId(job), demand: Some(demand.clone()) });
        for place in scheduler.plan(WallTime(0), u64::MAX).places {
            let end = demand.limit.map(|limit| WallTime(0).plus(limit));
            let releases = vec![Release { end, slots: 1 }];
            let held = Held { slots: 1, charge: place.charge, releases, ..Held::default() };
            scheduler.note(Note::Held { job: place.job, node: place.node, held: Some(held) });
            scheduler.note(Note::Job { job: place.job, demand: None });
        }
    }
    let rate = jobs as f64 / begin.elapsed().as_secs_f64();
    show("20,000 jobs one by one on 5,000 nodes", begin.elapsed(), &format!("{rate:.0} a second"));
}

fn supply() -> Supply {
    Supply {
        total: Resources { cpus: 32, memory_bytes: 128 * GIB, tmp_bytes: 100 * GIB },
        accepts: true,
        partitions: vec![PartitionId(0)],
        weight: 1,
        version: 0,
    }
}

fn demand(job: u64, priority: i64, dice: &mut Dice) -> Demand {
    let memory = match dice.below(3) {
        0 => MemoryDemand::Share,
        _ => MemoryDemand::Fixed(dice.below(64) * GIB + dice.below(1_000)),
    };
    let cpus = 1 + dice.below(32) as u32;
    Demand {
        rank: Rank { tier: 0, priority, order: 0, submit: job, job: JobId(job) },
        cpus,
        memory,
        tmp_bytes: dice.below(4) * GIB,
        exclusive: dice.below(50) == 0,
        slots: 1,
        limit: (dice.below(20) > 0).then(|| Seconds(60 + dice.below(100_000))),
        begin: None,
        latest_end: None,
        latest_start: None,
        partitions: Arc::from([PartitionId(0)]),
        only: None,
        except: Arc::from([]),
        refills: false,
        strict: false,
        planned: false,
        caps: Arc::from([]),
        ages_from: None,
        share: ShareId(0),
        counted_cpus: cpus,
        version: 0,
    }
}

fn show(what: &str, took: Duration, more: &str) {
    println!("{what:<40} {:>10.3} ms   {more}", took.as_secs_f64() * 1e3);
}

fn spread(what: &str, mut took: Vec<Duration>, more: &str) {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "{what:<40} {:>10.3} ms   p90 {:.3}, p99 {:.3}, most {:.3} ms   {more}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

/// A plain generator of numbers (splitmix64), so that each run does the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
