//! Waiting for a condition: nowhere else does a test wait, but by the clock of what it tests.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a condition may take before the test is given up: only a hang takes so long.
pub const DEADLINE: Duration = Duration::from_secs(240);

/// Waits until `look` finds something.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(look).unwrap_or_else(|| panic!("waited in vain: {what}"))
}

/// The same for who goes on after a hang: nothing is found then.
pub fn within<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        let found = look();
        if found.is_some() || begun.elapsed() >= DEADLINE {
            return found;
        }
        thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_millis(10));
    }
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}
