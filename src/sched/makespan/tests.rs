//! Against every plan there is, and in the large.

use proptest::prelude::*;

use super::*;

/// More than any of these small cases needs.
const STEPS: u64 = 2_000_000;

fn problem(times: &[u64], capacities: &[u64]) -> Problem {
    Problem { times: times.to_vec(), capacities: capacities.to_vec() }
}

/// The least makespan and the first plan that has it, by trying every plan that is not yet worse.
fn brute(problem: &Problem) -> Option<(u64, Vec<usize>)> {
    fn go(
        problem: &Problem,
        loads: &mut Vec<u64>,
        plan: &mut Vec<usize>,
        best: &mut Option<(u64, Vec<usize>)>,
    ) {
        let peak = loads.iter().copied().max().unwrap_or(0);
        if best.as_ref().is_some_and(|(least, _)| peak >= *least) {
            return;
        }
        let Some(time) = problem.times.get(plan.len()) else {
            *best = Some((peak, plan.clone()));
            return;
        };
        for node in 0..loads.len() {
            if loads[node] + time <= problem.capacities[node] {
                loads[node] += time;
                plan.push(node);
                go(problem, loads, plan, best);
                plan.pop();
                loads[node] -= time;
            }
        }
    }
    let mut best = None;
    go(problem, &mut vec![0; problem.capacities.len()], &mut Vec::new(), &mut best);
    best
}

#[test]
fn three_jobs_on_two_nodes() {
    let answer = plan(&problem(&[5, 2, 3], &[7, 5]), STEPS);
    assert_eq!((answer.status, answer.makespan, answer.bound), (Status::Optimal, Some(5), 5));
    assert_eq!((answer.gap(), answer.assignment), (Some(0.0), vec![0, 1, 1]));
}

#[test]
fn what_cannot_be_is_said_to_be_impossible() {
    for (times, capacities) in [
        (&[8][..], &[7, 7][..]),
        (&[5, 5, 5], &[7, 7]),
        (&[4, 4, 4], &[7, 7]),
        (&[1], &[]),
        (&[3, 3, 3], &[5, 5]),
    ] {
        let answer = plan(&problem(times, capacities), STEPS);
        assert_eq!((answer.status, answer.makespan), (Status::Infeasible, None), "{times:?} {capacities:?}");
    }
    let nothing = plan(&problem(&[], &[]), STEPS);
    assert_eq!((nothing.status, nothing.makespan, nothing.gap()), (Status::Optimal, Some(0), Some(0.0)));
}

#[test]
fn without_steps_nothing_is_claimed() {
    // Only a search tells that 4 4 4 do not fit into 7 and 7.
    assert_eq!(plan(&problem(&[4, 4, 4], &[7, 7]), 0).status, Status::Unknown);
}

#[test]
fn ten_thousand_jobs_come_within_a_thousandth_of_the_bound() {
    let mut dice = 88_172_645_463_325_252_u64;
    for longest in [100, 1_000, 10_000] {
        let mut draw = || {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            1 + dice % longest
        };
        let times: Vec<u64> = (0..10_000).map(|_| draw()).collect();
        let answer = plan(&problem(&times, &[u64::from(u32::MAX); 100]), 1_000_000);
        assert!(answer.gap().unwrap() <= 0.001, "{longest}: {:?} over {}", answer.makespan, answer.bound);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn small_cases_are_optimal_and_the_first_of_their_kind(
        times in proptest::collection::vec(1..40_u64, 0..=12),
        capacities in proptest::collection::vec(20..120_u64, 1..=4),
    ) {
        let problem = problem(&times, &capacities);
        let answer = plan(&problem, STEPS);
        match brute(&problem) {
            None => prop_assert_eq!(answer.status, Status::Infeasible),
            Some((least, first)) => {
                prop_assert_eq!((answer.status, answer.makespan), (Status::Optimal, Some(least)));
                prop_assert_eq!(answer.assignment, first);
            }
        }
    }

    #[test]
    fn whatever_was_not_proved_is_not_claimed(
        times in proptest::collection::vec(1..40_u64, 1..=9),
        capacities in proptest::collection::vec(20..120_u64, 1..=4),
        steps in prop_oneof![Just(0_u64), 1..60_u64],
    ) {
        let problem = problem(&times, &capacities);
        let answer = plan(&problem, steps);
        let best = brute(&problem).map(|(least, _)| least);
        match answer.status {
            Status::Optimal => prop_assert_eq!(answer.makespan, best),
            Status::Infeasible => prop_assert_eq!(best, None),
            Status::Unknown => prop_assert_eq!(answer.makespan, None),
            Status::Feasible => {
                prop_assert!(answer.makespan >= best && best.is_some_and(|best| best >= answer.bound));
            }
        }
        if let Some(makespan) = answer.makespan {
            let mut loads = vec![0; capacities.len()];
            times.iter().zip(&answer.assignment).for_each(|(time, node)| loads[*node] += time);
            prop_assert!(loads.iter().zip(&capacities).all(|(load, capacity)| load <= capacity));
            prop_assert_eq!(loads.iter().max().copied(), Some(makespan));
        }
    }
}
