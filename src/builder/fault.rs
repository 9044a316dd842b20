//! A fault of the machine: a build could not be run or recorded, and it is not the build's doing.

use std::{fmt, io};

use rustix::io::Errno;

use crate::error_chain::{errno, in_full};

#[derive(Debug)]
pub struct Fault {
    /// What we were at: the same for every entry that meets this fault.
    pub stage: &'static str,
    /// What the system says, with names and all.
    pub error: io::Error,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, in_full(&self.error))
    }
}

impl Fault {
    /// To be used with `map_err`.
    pub fn at(stage: &'static str) -> impl Fn(io::Error) -> Fault {
        move |error| Fault { stage, error }
    }

    /// By what it is recognised the next time. What concerns the machine as a whole is one fault, wherever it
    /// is met; of anything else it matters what we were at.
    pub fn key(&self) -> String {
        let errno = errno(&self.error);
        let cause =
            errno.map_or_else(|| self.error.kind().to_string(), |errno| io::Error::from(errno).to_string());
        match errno {
            Some(
                Errno::NOSPC
                | Errno::DQUOT
                | Errno::ROFS
                | Errno::IO
                | Errno::MFILE
                | Errno::NFILE
                | Errno::AGAIN
                | Errno::NOMEM,
            ) => cause,
            // Told in words of ours, which name what it was: what we were at is what stays the same.
            None if self.error.kind() == io::ErrorKind::Other => self.stage.to_string(),
            _ => format!("{}: {cause}", self.stage),
        }
    }
}
