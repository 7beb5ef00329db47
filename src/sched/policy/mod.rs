//! Which waiting job starts next: the policies by name, as a pure machine over processors and seconds.

mod conservative;
mod easy;
mod history;
pub mod machine;
mod ordered;
mod smart;
mod waits;

/// In which order the waiting stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    Fcfs,
    /// The shortest estimate first.
    Sjf,
    /// The smallest area, estimate times processors, first.
    Saf,
    /// The largest `(wait / estimate)^3 * processors` first, at each pass anew.
    Wfp3,
    /// The largest wait over expected run time first, the late before all: see `smart`.
    Smart,
}

/// What may overtake the first that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backfill {
    /// Nothing.
    None,
    /// What does not delay the first, in the order of the queue.
    Easy,
    /// What does not delay the first, the shortest first.
    EasyShortest,
    /// What delays nobody ahead.
    Conservative,
}

/// What a job is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// What it asks for.
    Request,
    /// What it will take; a bound on what prediction can bring, for traces alone.
    Actual,
    /// The mean of the user's last two; when exceeded, it grows in steps.
    PredictGrowing,
    /// The mean of the user's last two; when exceeded, it becomes the request.
    PredictOrRequest,
}

/// How it is decided which waiting job starts next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// As users write it.
    pub name: &'static str,
    /// In which order the waiting stand.
    pub order: Order,
    /// After so many seconds of waiting a job stands before all that have waited less; `None`: never.
    pub aged_after: Option<i64>,
    /// What may overtake the first.
    pub backfill: Backfill,
    /// What is believed of run times.
    pub estimate: Estimate,
}

/// The age, 20 h, of Lelong, Reis and Trystram (2017).
const T20H: Option<i64> = Some(72_000);

const fn policy(name: &'static str, order: Order, backfill: Backfill, estimate: Estimate) -> Policy {
    Policy { name, order, aged_after: None, backfill, estimate }
}

const fn aged(policy: Policy) -> Policy {
    Policy { aged_after: T20H, ..policy }
}

/// First come, first served; what does not delay the first may overtake.
pub const EASY: Policy = policy("easy", Order::Fcfs, Backfill::Easy, Estimate::Request);

/// All policies.
pub const POLICIES: [Policy; 16] = [
    policy("fcfs", Order::Fcfs, Backfill::None, Estimate::Request),
    policy("sjf", Order::Sjf, Backfill::None, Estimate::Request),
    EASY,
    policy("easy-sjbf", Order::Fcfs, Backfill::EasyShortest, Estimate::Request),
    policy("sjf-easy", Order::Sjf, Backfill::Easy, Estimate::Request),
    policy("saf-easy", Order::Saf, Backfill::Easy, Estimate::Request),
    policy("wfp3-easy", Order::Wfp3, Backfill::Easy, Estimate::Request),
    aged(policy("sjf-easy-t20h", Order::Sjf, Backfill::Easy, Estimate::Request)),
    aged(policy("saf-easy-t20h", Order::Saf, Backfill::Easy, Estimate::Request)),
    policy("conservative", Order::Fcfs, Backfill::Conservative, Estimate::Request),
    policy("easy++", Order::Fcfs, Backfill::EasyShortest, Estimate::PredictGrowing),
    policy("easy++r", Order::Fcfs, Backfill::EasyShortest, Estimate::PredictOrRequest),
    policy("easy-clair", Order::Fcfs, Backfill::Easy, Estimate::Actual),
    policy("easy-sjbf-clair", Order::Fcfs, Backfill::EasyShortest, Estimate::Actual),
    policy("smart", Order::Smart, Backfill::Easy, Estimate::Request),
    policy("conservative-clair", Order::Fcfs, Backfill::Conservative, Estimate::Actual),
];

impl Policy {
    /// The policy of that name.
    pub fn named(name: &str) -> Option<Policy> {
        POLICIES.iter().find(|policy| policy.name == name).copied()
    }
}
