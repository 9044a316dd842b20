//! What the processes of a build are recognised by, wherever they went.

use crate::proc_table::{self, Process};

/// The variable that marks a build's processes; its value names home and build.
pub const MARK: &str = "AMP_CI_MARK";

/// A process with the marks that it carries.
#[derive(Debug)]
pub struct Marked {
    pub process: Process,
    /// Every variable [`MARK`] of the environment that it was started with.
    pub marks: Vec<Vec<u8>>,
    /// It may carry some that we may not see: another account's.
    pub hides: bool,
}

/// Every process that is not dead.
pub fn processes() -> Vec<Marked> {
    let is_mark = |variable: &Vec<u8>| {
        variable.strip_prefix(MARK.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
    };
    let look = |process: Process| {
        let variables = proc_table::environment(process.pid);
        let hides = variables.is_empty() && proc_table::hides(process.pid);
        Marked { process, marks: variables.into_iter().filter(is_mark).collect(), hides }
    };
    proc_table::processes().into_iter().map(look).collect()
}
