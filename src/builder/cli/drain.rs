//! No verb: one pass over the queue.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, mpsc::channel},
};

use anyhow::Context;
use clap::Args;
use lettre::Address;
use signal_hook::consts::SIGXFSZ;

use super::{check, failure::Failure, lock, signals};
use crate::{
    builder::{
        builder::Builder,
        drain::{self, Pace},
        fault::Fault,
        fault_log::FaultLog,
        log,
        mail::letters::Letterhead,
        original::refuse_beside_the_original,
        outbox::{delivery::Delivery, mail_server::MailServer, outbox::Outbox, smtp::Limits},
        process::supervisor::Supervisor,
        scheduler::DrainExit,
        settings::{self, MailOfWhatIsValid, SettingFlags, Settings},
    },
    durable,
    home::Home,
    host,
    queue::{DrainLock, control},
    records::{DrainState, drain_state},
    regular_file,
    text::printable,
};

#[derive(Args)]
pub struct DrainArguments {
    /// Builds that run at the same time; those of one repository and branch never do
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    threads: u16,
    /// Stay when there is nothing left to do, so that a push starts at once; ends when it is idle and this program or
    /// environment.sh has become another, for cron or the service manager to start it again
    #[arg(long)]
    stay: bool,
    /// Write every script and the output of every build to build.log
    #[arg(long)]
    debug: bool,
    /// The same as the verb check
    #[arg(long)]
    check: bool,
    /// With --check: send a test letter
    #[arg(long, value_name = "ADDRESS", requires = "check")]
    mail: Option<Address>,
    /// Why environment.sh cannot be used, from the launcher
    #[arg(long, value_name = "WHY", hide = true)]
    unusable_settings: Option<String>,
    #[command(flatten)]
    settings: SettingFlags,
}

pub fn run(home: Home, arguments: DrainArguments) -> Result<u8, Failure> {
    if let Some(why) = arguments.unusable_settings {
        if !arguments.check {
            tell_where_nobody_looks("environment.sh", &why, &home, arguments.settings);
        }
        return Ok(1);
    }
    if arguments.check {
        let settings = Settings::read(arguments.settings).map_err(Failure::usage)?;
        return Ok(check::look(&home, &settings, arguments.mail.as_ref()));
    }
    let settings = Settings::read(arguments.settings.clone()).map_err(|error| {
        tell_where_nobody_looks(error.name(), &error.to_string(), &home, arguments.settings);
        Failure::usage(error)
    })?;
    let pace = Pace { threads: arguments.threads.into(), stays: arguments.stay };
    Ok(drain_queue(home, settings, pace, arguments.debug)?)
}

fn drain_queue(home: Home, settings: Settings, pace: Pace, debug: bool) -> anyhow::Result<u8> {
    // Past a limit of file sizes (`ulimit -f`) a write fails, as on a full disk, instead of ending us.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    refuse_beside_the_original(&home.queue())?;
    let Some((lock, displaced)) = lock::take(&home).context("the queue cannot be used")? else {
        let drain: Option<DrainState> = regular_file::json(&home.queue().join(drain_state::FILE_NAME));
        let pid = drain.and_then(|drain| drain.pid);
        say_to_person(|| another_is_at_work(pid));
        if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
            lock::let_go_on(&home, pid)?;
        }
        return Ok(0);
    };
    // Where it cannot be written down, it is as it would be.
    let _ = home.keep_tag();
    let server = MailServer::new(&settings.mail, &settings.mail_from, Limits::default());
    let (outbox, letterhead) = (Outbox::new(home.outbox()), settings.letterhead(&home));
    let delivery = Delivery { outbox: outbox.clone(), server, letterhead: letterhead.clone() };
    let log = log::start(&home.build_log(), debug);
    let mut faults = FaultLog::recall(&home, delivery.clone(), &lock, log.is_ok());
    if let Some(pid) = displaced {
        tracing::warn!(
            "process {pid}, which a build has left, had the lock on queue/.drain: there is another file now"
        );
    }
    warn_of_unknown_settings(&home);
    // For people only.
    let _ = faults.show();
    let usable = log.and_then(|()| durable::create_dir(&home.builds(), 0o750));
    let supervisor = match usable.and_then(|()| Supervisor::new()) {
        Ok(supervisor) => supervisor,
        Err(error) => {
            faults.tell(&Fault { stage: "the home cannot be used", error }, &lock);
            delivery.pass();
            return Ok(1);
        }
    };
    let builder = Arc::new(Builder::new(home, settings, lock, supervisor, outbox, letterhead));
    let (tell, told) = channel();
    let begun = signals::watch(tell.clone(), Arc::clone(&builder))
        .and_then(|()| drain::run(&builder, &mut faults, delivery.clone(), pace, (tell, told)));
    match begun {
        Ok(DrainExit::Drained) => Ok(0),
        Ok(DrainExit::Held) => {
            say_to_person(|| held(&builder.home));
            Ok(0)
        }
        Ok(DrainExit::Faulty) => {
            say_to_person(|| faults.standing().join("; "));
            Ok(1)
        }
        Ok(DrainExit::Signalled(signal)) => Ok(u8::try_from(128 + signal)?),
        Err(error) => {
            faults.tell(&Fault { stage: "build cannot start", error }, &builder.lock);
            delivery.pass();
            Ok(1)
        }
    }
}

/// Why nothing happens, to who sits there and waits for it; cron would mail it each minute.
fn say_to_person(line: impl FnOnce() -> String) {
    if io::stdout().is_terminal() {
        let _ = writeln!(io::stdout(), "build: {}", line());
    }
}

fn another_is_at_work(pid: Option<u32>) -> String {
    let which = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
    format!("another build{which} is at work here; `build status` shows what it does")
}

fn held(home: &Home) -> String {
    let said = control::said(&home.queue()).ok().flatten().filter(|said| !said.is_empty());
    let said = said.map_or_else(String::new, |said| format!(" ({})", printable(&said)));
    format!("nothing new is begun: the queue is held{said}; `build unhold` lets it go on")
}

/// Says in build.log and to the fallback, once, what keeps everything from being built, unless somebody at a terminal sees it
/// anyway. If another `build` is at work, its settings were good, and the next one tells.
fn tell_where_nobody_looks(what: &'static str, why: &str, home: &Home, flags: SettingFlags) {
    if io::stderr().is_terminal() {
        return;
    }
    let Some(MailOfWhatIsValid { mail, from, fallback }) = MailOfWhatIsValid::read(flags) else { return };
    let Ok(Some(lock)) = DrainLock::lock(&home.queue()) else { return };
    let letterhead = Letterhead { from, fallback, host: host::name(), home: home.dir().to_path_buf() };
    let server = MailServer::new(&mail, &letterhead.from, Limits::default());
    let delivery = Delivery { outbox: Outbox::new(home.outbox()), server, letterhead };
    let is_logged = log::start(&home.build_log(), false).is_ok();
    let mut faults = FaultLog::recall(home, delivery.clone(), &lock, is_logged);
    let error = io::Error::new(io::ErrorKind::InvalidInput, why);
    faults.tell(&Fault { stage: what, error }, &lock);
    delivery.pass();
}

/// An unknown name is often a known one with a typing mistake in it, and then does nothing.
fn warn_of_unknown_settings(home: &Home) {
    let unknown = settings::unknown();
    // Not each minute: only where something is about to be built otherwise than somebody has meant.
    let waits = |entry: io::Result<fs_err::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("build-"))
    };
    if !unknown.is_empty() && fs_err::read_dir(home.queue()).is_ok_and(|mut entries| entries.any(waits)) {
        for (name, nearest) in unknown {
            tracing::warn!("{name} is no setting; the nearest one is {nearest}");
        }
    }
}
