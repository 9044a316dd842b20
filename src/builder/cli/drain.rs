//! No verb: one pass over the queue.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    thread,
};

use anyhow::Context;
use clap::Args;
use lettre::Address;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{check, failure::Failure};
use crate::{
    builder::{
        builder::Builder,
        drain,
        fault::Fault,
        fault_log::FaultLog,
        log,
        original::refuse_beside_the_original,
        outbox::{delivery::Delivery, mail_server::MailServer, outbox::Outbox, smtp::Limits},
        process::supervisor::Supervisor,
        scheduler::{DrainExit, Event},
        settings::{SettingFlags, Settings},
    },
    durable,
    home::Home,
    queue::DrainLock,
};

#[derive(Args)]
pub struct DrainArguments {
    /// Builds that run at the same time; those of one repository and branch never do
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    threads: u16,
    /// Write every script and the output of every build to build.log
    #[arg(long)]
    debug: bool,
    /// The same as the verb check
    #[arg(long)]
    check: bool,
    /// With --check: send a test letter
    #[arg(long, value_name = "ADDRESS", requires = "check")]
    mail: Option<Address>,
    #[command(flatten)]
    settings: SettingFlags,
}

pub fn run(home: Home, arguments: DrainArguments) -> Result<u8, Failure> {
    let settings = Settings::read(arguments.settings).map_err(Failure::usage)?;
    if arguments.check {
        return Ok(check::look(&home, &settings, arguments.mail.as_ref()));
    }
    Ok(drain_once(home, settings, arguments.threads.into(), arguments.debug)?)
}

fn drain_once(home: Home, settings: Settings, threads: usize, debug: bool) -> anyhow::Result<u8> {
    refuse_beside_the_original(&home.queue())?;
    let Some(lock) = DrainLock::lock(&home.queue()).context("the queue cannot be used")? else {
        return Ok(0);
    };
    let server = MailServer::new(&settings.mail, &settings.mail_from, Limits::default());
    let (outbox, letterhead) = (Outbox::new(home.outbox()), settings.letterhead(&home));
    let delivery = Delivery { outbox: outbox.clone(), server, letterhead: letterhead.clone() };
    let log = log::start(&home.build_log(), debug);
    let mut faults = FaultLog::recall(&home, delivery.clone(), &lock, log.is_ok());
    let usable = log.and_then(|()| faults.show()).and_then(|()| durable::create_dir(&home.builds(), 0o750));
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
    let begun = watch_signals(tell.clone())
        .and_then(|()| drain::run(&builder, &mut faults, delivery.clone(), threads, (tell, told)));
    match begun {
        Ok(DrainExit::Drained | DrainExit::Held) => Ok(0),
        Ok(DrainExit::Faulty) => Ok(1),
        Ok(DrainExit::Signalled(signal)) => Ok(u8::try_from(128 + signal)?),
        Err(error) => {
            faults.tell(&Fault { stage: "build cannot start", error }, &builder.lock);
            delivery.pass();
            Ok(1)
        }
    }
}

/// Makes an event of the first signal.
fn watch_signals(tell: Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    thread::Builder::new().name("signals".to_string()).spawn(move || {
        let mut signals = signals.forever();
        if let Some(signal) = signals.next() {
            let _ = tell.send(Event::Signal(signal));
        }
        // A second one is meant: what is left, the next build ends.
        if let Some(signal) = signals.next() {
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}
