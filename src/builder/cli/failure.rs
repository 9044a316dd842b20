//! Why a verb could not be carried out, and the exit code that says so.

use std::process::ExitCode;

use crate::{builder::settings::SettingError, own_name::own_name};

pub struct Failure {
    pub code: u8,
    pub error: anyhow::Error,
}

impl Failure {
    pub fn usage(error: SettingError) -> Self {
        Self { code: 2, error: error.into() }
    }

    pub fn tell(self) -> ExitCode {
        eprintln!("{}: {:#}", own_name(), self.error);
        ExitCode::from(self.code)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: 1, error: error.into() }
    }
}
