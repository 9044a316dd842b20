//! Why a verb ends early.

use std::{
    error::Error,
    io::{self, ErrorKind},
};

use crate::{error_chain::in_full, own_name::own_name, status::select::NoBuild};

/// Why a verb ends early.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    NoBuild(#[from] NoBuild),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    /// Says why, and what to exit with.
    pub fn exit_code(self) -> u8 {
        match self {
            // Whoever read has seen enough.
            Self::Io(error) if error.kind() == ErrorKind::BrokenPipe => 0,
            Self::NoBuild(error) => {
                match error.source() {
                    Some(source) => eprintln!("{}: {error}: {source}", own_name()),
                    None => eprintln!("{}: {error}", own_name()),
                }
                error.exit_code()
            }
            Self::Io(error) => {
                eprintln!("{}: {}", own_name(), in_full(&error));
                5
            }
        }
    }
}
