//! `build`: one pass over the queue, `--threads N` builds at a time; made to be started by cron every minute.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
};

use amp_ci::{
    builder::{
        check,
        drain::{self, Ci, Event, Over},
        log,
        original::refuse_beside_the_original,
        outbox::Outbox,
        process::Stop,
        settings::{SettingFlags, Settings},
        tree::Children,
        trouble::{Fault, Troubles},
    },
    durable,
    home::Home,
    queue::DrainLock,
    status::terminal::{self, LogArguments, StatusArguments, WaitArguments},
};
use anyhow::Context;
use clap::{Parser, Subcommand};
use lettre::Address;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// Build what waits in queue/, oldest first, and write to the committer of what fails
///
/// Made for cron: `* * * * * /path/to/amp_ci/build --threads 2`. A second one leaves at once and silently; one
/// that runs takes new requests as they come, and exits when nothing waits or runs. What it does is in
/// build.log, what came out in builds/.
#[derive(Parser)]
#[command(name = "build", bin_name = "build", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Builds that run at the same time; those of one repository and branch never do
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    threads: u16,
    /// The installation's directory
    #[arg(long, value_name = "DIR", global = true)]
    home: Option<PathBuf>,
    /// Write every script and the output of every build to build.log
    #[arg(long)]
    debug: bool,
    /// Build nothing: look at the installation, say what is wrong and what to do
    #[arg(long)]
    check: bool,
    /// With --check: send a test letter
    #[arg(long, value_name = "ADDRESS", requires = "check")]
    mail: Option<Address>,
    #[command(flatten)]
    settings: SettingFlags,
}

/// What only looks.
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
}

const AFTER_HELP: &str = "\
Exit codes: 0 nothing left to do, or another build is at it; 1 CI itself could not work (build.log and mail to the \
fallback say why); 2 usage, or a bad setting; 128 + N after signal N, with the builds that ran put back. A failed \
build is no error of build.

The home is --home DIR, else $AMP_CI_HOME, else the nearest directory above this program that holds both scripts/ and \
queue/. Every setting is also an environment variable, named in brackets; the launcher `build` reads them from \
environment.sh in the home. Where mail goes is AMP_CI_SMTP_URL alone (default smtp://localhost:25; smtps://user:pass@host; \
smtp://host?tls=required; file:///dir writes .eml files).

By hand: `touch queue/hold` pauses; `cp builds/ID/request.json queue/build-$(date +%s.%N)` builds again; `kill PID` of \
build puts its builds back.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(verb) = &arguments.verb {
        return look(verb, arguments.home.as_deref());
    }
    let settings = match Settings::read(arguments.settings) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("build: {error}");
            return ExitCode::from(2);
        }
    };
    let done = Home::find(arguments.home.as_deref()).map_err(anyhow::Error::from).and_then(|home| {
        if arguments.check {
            return Ok(u8::from(!check::run(&home, &settings, arguments.mail.as_ref())));
        }
        build(home, settings, arguments.threads.into(), arguments.debug)
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("build: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads no setting and takes no lock.
fn look(verb: &Verb, home: Option<&Path>) -> ExitCode {
    let home = match Home::find(home) {
        Ok(home) => home,
        Err(error) => {
            eprintln!("build: {error}");
            return ExitCode::from(5);
        }
    };
    ExitCode::from(match verb {
        Verb::Status(arguments) => terminal::status(&home, arguments),
        Verb::Log(arguments) => terminal::log(&home, arguments),
        Verb::Wait(arguments) => terminal::wait(&home, arguments),
    })
}

fn build(home: Home, settings: Settings, threads: usize, debug: bool) -> anyhow::Result<u8> {
    refuse_beside_the_original(&home.queue())?;
    let Some(drain) = DrainLock::lock(&home.queue()).context("the queue cannot be used")? else {
        return Ok(0);
    };
    let outbox =
        Outbox::new(&home, &settings).map_err(|_| anyhow::anyhow!("AMP_CI_SMTP_URL: cannot be used"))?;
    let log = log::start(&home.build_log(), debug);
    let mut troubles = Troubles::recall(&home, &settings, &drain, log.is_ok());
    let usable = log.and_then(|()| troubles.show()).and_then(|()| durable::create_dir(&home.builds(), 0o777));
    let stop = match usable.and_then(|()| Stop::new()) {
        Ok(stop) => stop,
        Err(error) => {
            troubles.tell(&Fault { stage: "the home cannot be used", error }, &drain, &outbox);
            outbox.pass();
            return Ok(1);
        }
    };
    let ci = Arc::new(Ci::new(home, settings, drain, outbox, stop));
    match drain_queue(&ci, &mut troubles, threads) {
        Ok(Over::Drained) => Ok(0),
        Ok(Over::Faulty) => Ok(1),
        Ok(Over::Signalled(signal)) => Ok(u8::try_from(128 + signal)?),
        Err(error) => {
            troubles.tell(&Fault { stage: "build cannot start", error }, &ci.drain, &ci.outbox);
            ci.outbox.pass();
            Ok(1)
        }
    }
}

/// With signals as events; an error is that nothing could be begun.
fn drain_queue(ci: &Arc<Ci>, troubles: &mut Troubles, threads: usize) -> io::Result<Over> {
    Children::adopt_orphans()?;
    let (tell, told) = drain::events();
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let first = tell.clone();
    thread::Builder::new().name("signals".to_string()).spawn(move || {
        let mut signals = signals.forever();
        if let Some(signal) = signals.next() {
            let _ = first.send(Event::Signal(signal));
        }
        // A second one is meant: what is left, the next build ends.
        if let Some(signal) = signals.next() {
            std::process::exit(128 + signal);
        }
    })?;
    drain::run(ci, troubles, threads, (tell, told))
}
