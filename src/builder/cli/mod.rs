//! The command line of `build`: a verb, or none, which drains the queue.

use std::{path::PathBuf, process::ExitCode};

use clap::{
    ArgMatches, CommandFactory, FromArgMatches, Id, Parser, Subcommand, error::ErrorKind, parser::ValueSource,
};

use self::{
    cancel::CancelArguments, catch_up::CatchUpArguments, check::CheckArguments, drain::DrainArguments,
    failure::Failure, hold::HoldArguments, init::InitArguments, queue::QueueArguments, rerun::RerunArguments,
};
use crate::{
    home::{Home, HomeError},
    own_name::own_name,
    status::terminal::{self, LogArguments, StatusArguments, WaitArguments},
};

mod cancel;
mod catch_up;
mod check;
mod drain;
mod failure;
mod hold;
mod init;
mod lock;
mod queue;
mod rerun;
mod signals;

/// Build what waits in queue/, oldest first, and write to the committer of what fails
///
/// Made for cron: `* * * * * /path/to/amp_ci/build --threads 2`. A second one leaves at once and silently; one
/// that runs takes new requests as they come, and exits when nothing waits or runs. What it does is in
/// build.log, what came out in builds/.
#[derive(Parser)]
#[command(name = "build", bin_name = "build", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The installation's directory
    #[arg(long, value_name = "DIR", global = true)]
    home: Option<PathBuf>,
    #[command(flatten)]
    drain: DrainArguments,
}

#[derive(Subcommand)]
enum Verb {
    /// What runs, waits, came last and is red, and whether CI itself is well
    ///
    /// Exit codes: 0 CI is well, 1 it is not, 2 usage or several candidates, 4 no such build.
    Status(StatusArguments),
    /// The output of one build
    ///
    /// Exit codes: 0 shown, 2 usage or several candidates, 4 no such build; with --follow as `wait`.
    Log(LogArguments),
    /// Wait until a build is over
    ///
    /// Exit codes: 0 succeeded; 1 failed, timed out or error; 2 usage or several candidates; 3 cancelled, superseded or
    /// skipped; 4 no such build; 5 it could not be found out.
    Wait(WaitArguments),
    /// Build something again: the same request as a new entry
    ///
    /// By hand: cp builds/ID/request.json queue/build-$(date +%s.%N). The record says whose rerun it is and who asked;
    /// the letter goes to the same committer. For what its branch is, a rerun stands where the first build of its request
    /// stands: the old success of a branch that is red, run again, mends nothing. Exit codes: 0 it is queued, 1 it cannot be,
    /// 2 usage or several candidates, 3 it still waits to be built, 4 no such build.
    Rerun(RerunArguments),
    /// Build the tip of a branch as it is now, as if it had just been pushed
    ///
    /// For a first build, or a nightly one by cron. Nobody gets a letter at an address of their own: the fallback does.
    /// Exit codes: 0 it is queued, 1 the repository could not be asked, or the entry not be stored, 2 usage, or a bad
    /// setting, 4 no such branch.
    Queue(QueueArguments),
    /// Begin nothing new until `unhold`; what runs goes on, and pushes are queued
    ///
    /// By hand: touch queue/hold. `status` and the page show who holds it, since when and why. Exit codes: 0 it is held
    /// from now on, 1 not, 2 usage, 3 it is held already, and by whom.
    Hold(HoldArguments),
    /// Build again what waits
    ///
    /// By hand: rm queue/hold. Exit codes: 0 nothing holds the queue, 1 it is still held, 2 usage.
    Unhold,
    /// End a build, or never begin it
    ///
    /// What waits is recorded as cancelled; what runs is ended as at its limit. The drain acts at once, also while the queue
    /// is held; without one the next does. Nobody gets a letter. Exit codes: 0 asked, 2 usage or several candidates, 3 over
    /// already, 4 no such build.
    Cancel(CancelArguments),
    /// Look at the installation, say what is wrong and what to do
    ///
    /// Exit codes: 0 all is well, 1 something is wrong, 2 usage, or a bad setting.
    Check(CheckArguments),
    /// Queue the heads that the forge has and nobody here knows: pushes that never arrived
    ///
    /// Looks twice, ten seconds apart, if anything is missing. Exit codes: 0 done, 1 a repository could not be asked,
    /// 2 usage, or a bad setting.
    CatchUp(CatchUpArguments),
    /// Make a home apart from the checkout, or bring one up to date
    ///
    /// Scripts, hooks.json and environment.sh are there for a site to edit, rename and remove: only what is still as an
    /// earlier version shipped it, by the copies in .shipped/, is replaced. Exit codes: 0 done, 1 not, 2 usage.
    Init(InitArguments),
}

const AFTER_HELP: &str = "\
Exit codes: 0 nothing left to do, or another build is at it; 1 CI itself could not work (build.log and mail to the \
fallback say why); 2 usage, or a bad setting; 128 + N after signal N, with the builds that ran put back. A failed \
build is no error of build.

The home is --home DIR, else $AMP_CI_HOME, else the nearest directory above this program that holds both scripts/ and \
queue/. Every setting is also an environment variable, named in brackets; the launcher `build` reads them from \
environment.sh in the home. Where mail goes is AMP_CI_SMTP_URL alone (default smtp://localhost:25; smtps://user:pass@host; \
smtp://host?tls=required; file:///dir writes .eml files).

`kill PID` of build puts its builds back.";

/// Does what the command line says.
pub fn run() -> ExitCode {
    let command = Arguments::command().name(own_name()).bin_name(own_name());
    let matches = command.clone().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let (Some(verb), Some(flag)) = (matches.subcommand_name(), flag_of_the_drain(&matches)) {
        let why =
            format!("'--{}' is a flag of the drain, or has to stand behind '{verb}'", flag.replace('_', "-"));
        command.clone().error(ErrorKind::ArgumentConflict, why).exit();
    }
    carry_out(arguments).map_or_else(Failure::tell, ExitCode::from)
}

fn carry_out(Arguments { verb, home, drain }: Arguments) -> Result<u8, Failure> {
    let home = Home::find(home.as_deref());
    let unknown = |error| Failure { code: 5, error: anyhow::Error::from(error) };
    match verb {
        None => drain::run(ours(home)?, drain),
        Some(Verb::Check(verb)) => check::run(&ours(home)?, verb),
        Some(Verb::Cancel(verb)) => cancel::run(&ours(home)?, &verb),
        Some(Verb::CatchUp(verb)) => catch_up::run(&ours(home)?, verb),
        Some(Verb::Rerun(verb)) => rerun::run(&ours(home)?, &verb),
        Some(Verb::Queue(verb)) => queue::run(&ours(home)?, verb),
        Some(Verb::Hold(verb)) => hold::hold(&ours(home)?, &verb),
        Some(Verb::Unhold) => hold::unhold(&ours(home)?),
        Some(Verb::Init(verb)) => init::run(&verb),
        Some(Verb::Status(verb)) => Ok(terminal::status(&home.map_err(unknown)?, &verb)),
        Some(Verb::Log(verb)) => Ok(terminal::log(&home.map_err(unknown)?, &verb)),
        Some(Verb::Wait(verb)) => Ok(terminal::wait(&home.map_err(unknown)?, &verb)),
    }
}

/// Only its owner acts in a home.
fn ours(home: Result<Home, HomeError>) -> Result<Home, HomeError> {
    let home = home?;
    home.refuse_others()?;
    Ok(home)
}

/// The drain's flags are no verb's, and a verb's own stand behind it.
fn flag_of_the_drain(matches: &ArgMatches) -> Option<&str> {
    let is_given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    matches.ids().map(Id::as_str).filter(|id| *id != "home").find(is_given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_flag_before_a_verb_that_is_not_its_own_is_found() {
        for (line, flag) in [
            (&["build", "--home", "/x", "check"][..], None),
            (&["build", "check", "--git-base", "x"], None),
            (&["build", "--threads", "2", "status"], Some("threads")),
            (&["build", "--git-base", "x", "check"], Some("git_base")),
        ] {
            let matches = Arguments::command().get_matches_from(line);
            assert_eq!(flag_of_the_drain(&matches), flag, "{line:?}");
        }
    }

    #[test]
    fn a_word_that_is_no_verb_never_drains() {
        for word in ["", "chek", "drain", "help"] {
            assert!(Arguments::command().try_get_matches_from(["build", word]).is_err(), "{word}");
        }
    }
}
