//! Every schedule: the scheduler in a world that does what it decides, as the drain does it, and in which anything
//! happens at any time. A seed makes the scenario and the order in which it plays, so what fails once fails again.

mod scenario;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use scenario::Scenario;
use world::World;

/// Plays it from the first push to the account of all of them: how many steps that took, or what was broken.
fn play(scenario: &Scenario) -> Result<usize, String> {
    let played = catch_unwind(AssertUnwindSafe(|| World::new(scenario).play()));
    played.unwrap_or_else(|_| Err("a panic, see above".to_string()))
}

/// Without all that can be left out, and it still fails.
fn shrunk(mut scenario: Scenario) -> Scenario {
    let mut length = scenario.happenings.len().div_ceil(2);
    while length > 0 {
        let mut at = 0;
        while at < scenario.happenings.len() {
            let mut shorter = scenario.clone();
            let end = (at + length).min(shorter.happenings.len());
            shorter.happenings.drain(at..end);
            if play(&shorter).is_err() {
                scenario = shorter;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    scenario
}

/// Seeds one after the other until so many steps are taken.
fn take(steps: usize, first_seed: u64) {
    let (mut taken, mut seed) = (0, first_seed);
    while taken < steps {
        let scenario = Scenario::of(seed);
        taken += play(&scenario).unwrap_or_else(|_| fail(seed, scenario));
        seed += 1;
    }
}

fn fail(seed: u64, scenario: Scenario) -> ! {
    let scenario = shrunk(scenario);
    let why = play(&scenario).expect_err("it fails each time");
    let Scenario { threads, watched, newest_only, stays, happenings, .. } = scenario;
    let happenings: Vec<_> = happenings.iter().map(|happening| format!("{happening:?}")).collect();
    let happenings = happenings.join("\n");
    panic!(
        "seed {seed}, {threads} threads, watched: {watched}, newest only: {newest_only}, stays: {stays}: {why}, \
         after no more than\n{happenings}"
    )
}

#[test]
fn in_no_schedule_is_an_entry_lost_doubled_out_of_order_or_left_lying() {
    take(300_000, 0);
}

#[test]
#[ignore = "second tier"]
fn nor_in_any_of_three_million_steps() {
    take(3_000_000, 1 << 32);
}
