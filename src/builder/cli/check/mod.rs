//! `build check`: looks at the whole installation without building, and says what is wrong and what to do.

use clap::Args;
use lettre::Address;

use self::findings::{Findings, say};
use super::failure::Failure;
use crate::{
    builder::settings::{SettingFlags, Settings},
    home::Home,
};

mod chunks;
mod daemon;
mod findings;
mod forge;
mod home_dir;
mod mail;
mod programs;
mod queue;
mod settings;
mod work_dir;

#[derive(Args)]
pub struct CheckArguments {
    /// Send a test letter
    #[arg(long, value_name = "ADDRESS")]
    mail: Option<Address>,
    #[command(flatten)]
    settings: SettingFlags,
}

pub fn run(home: &Home, arguments: CheckArguments) -> Result<u8, Failure> {
    let settings = Settings::read(arguments.settings).map_err(Failure::usage)?;
    Ok(look(home, &settings, arguments.mail.as_ref()))
}

/// Prints a line per finding; 0 if nothing is wrong.
pub fn look(home: &Home, settings: &Settings, test_letter_to: Option<&Address>) -> u8 {
    let mut findings = Findings::default();
    home_dir::look(&mut findings, home, settings.min_free);
    settings::look(&mut findings, settings);
    chunks::look(&mut findings, home);
    chunks::shipped(home);
    programs::look(&mut findings, settings);
    work_dir::look(&mut findings, home, settings);
    daemon::look(&mut findings, home);
    queue::look(&mut findings, home);
    mail::look(&mut findings, home, settings, test_letter_to);
    forge::look(&mut findings, home, settings);
    match findings.how_many() {
        0 => say("all is well"),
        1 => say("one thing is wrong"),
        wrong => say(&format!("{wrong} things are wrong")),
    }
    u8::from(findings.how_many() != 0)
}
