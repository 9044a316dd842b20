//! `webhookd` from its first step to its last.

use std::{io, process::ExitCode, sync::Arc};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::filter::LevelFilter;

use super::{
    check,
    log::{self, Destination},
    pid_file::PidFile,
    privileges,
};
use crate::{
    text::printable,
    webhook::{
        net::{Opened, Tls, cipher_suites},
        options::Options,
        serving::{Hooks, Server, Service, Watcher, connections},
        shutdown,
    },
};

/// Runs the daemon, or what else the command line asks for.
pub fn run(options: &Options) -> ExitCode {
    match start(options) {
        Ok(code) => code,
        Err(error) => {
            eprint!("{}", log::line(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options) -> anyhow::Result<ExitCode> {
    if options.version {
        println!("webhookd version {}", env!("CARGO_PKG_VERSION"));
        return Ok(ExitCode::SUCCESS);
    }
    if options.list_cipher_suites {
        cipher_suites(&options.tls_min_version)?.iter().for_each(|suite| println!("{suite}"));
        return Ok(ExitCode::SUCCESS);
    }
    if options.check {
        return Ok(check::run(options));
    }
    if (options.setuid == 0) != (options.setgid == 0) {
        println!("error: setuid and setgid options must be used together");
        return Ok(ExitCode::FAILURE);
    }

    // The port is opened by whom we are, the log by whom we become, and no thread exists before that.
    let listener = Opened::open(options);
    if options.setuid != 0 {
        privileges::drop_to(options.setuid, options.setgid).context("error dropping privileges")?;
    }
    let destination = Arc::new(
        Destination::open(&options.logfile)
            .with_context(|| format!("error opening log file {}", options.logfile.display()))?,
    );
    let verbose = options.verbose || options.debug || !options.logfile.as_os_str().is_empty();
    let level = match (options.debug, verbose) {
        (true, _) => LevelFilter::DEBUG,
        (false, true) => LevelFilter::INFO,
        (false, false) => LevelFilter::OFF,
    };
    log::install(Arc::clone(&destination), options.log_format, level);
    let served = listener.and_then(|listener| serve(options, listener, &destination, verbose));
    if let (Err(error), true) = (&served, verbose) {
        error!("{error:#}");
        if options.logfile.as_os_str().is_empty() {
            return Ok(ExitCode::FAILURE);
        }
    }
    served
}

/// Why serving ended.
enum End {
    Signal,
    /// The last hook went away, and nobody said that this is all right.
    NoHooks,
}

fn serve(
    options: &Options,
    listener: Opened,
    destination: &Destination,
    verbose: bool,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let entered = runtime.enter();
    // Before the pid file, because that is where a signal's sender may know us from.
    let mut signals = Signals::new()?;
    let _pid_file = if options.pidfile.as_os_str().is_empty() {
        None
    } else {
        Some(PidFile::create(&options.pidfile).context("Error creating pidfile")?)
    };
    info!("version {} starting", env!("CARGO_PKG_VERSION"));
    // What is done already is said where the peer says it.
    info!("setting up os signal watcher");
    info!("os signal watcher ready");
    if verbose {
        std::panic::set_hook(Box::new(|panic| error!("panic: {panic}")));
    }
    let tls = if options.secure { Some(Arc::new(Tls::load(options)?)) } else { None };
    let watcher = if options.hotreload { Some(Watcher::new(&options.hooks)?) } else { None };
    let (hooks, faults) = Hooks::load(&options.hooks, options.template)?;
    let may_be_empty = verbose || options.nopanic;
    if hooks.is_empty() && !may_be_empty {
        println!("{}", no_hooks("start"));
        for fault in faults {
            println!("{}", printable(&fault));
        }
        return Ok(ExitCode::FAILURE);
    }
    drop(entered);

    let end = runtime.block_on(async {
        let (stopper, until_stop) = shutdown::channel();
        let scheme = if options.secure { "https" } else { "http" };
        let address = format!("{scheme}://{listener}{}", prefix(&options.urlprefix));
        let listener = listener.into_listener()?;
        let service = Arc::new(Service::new(options, hooks));
        let server = Arc::new(Server {
            service: Arc::clone(&service),
            tls: tls.clone(),
            connections: Arc::new(connections(options.max_concurrency)),
            header_time: options.header_timeout,
        });
        info!("serving hooks on {address}/{{id}}");
        let accepting = tokio::spawn(server.run(listener, until_stop));
        let watching = async {
            match watcher {
                Some(watcher) => watcher.run(&service.hooks, may_be_empty).await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            () = signals.until_stopped(|reopen| {
                if reopen {
                    renew(destination, tls.as_deref());
                }
                service.hooks.reload_all();
            }) => End::Signal,
            gone = watching => gone.map(|()| End::NoHooks).context("error watching hooks files")?,
        };
        stopper.stop(options.grace_period, signals.stop_again()).await;
        let _ = accepting.await;
        anyhow::Ok(end)
    })?;
    // Only jobs that commands left in the background are still read from; they may write on to nobody.
    runtime.shutdown_background();
    Ok(match end {
        End::Signal => ExitCode::SUCCESS,
        End::NoHooks => {
            println!("{}", no_hooks("run"));
            ExitCode::FAILURE
        }
    })
}

fn prefix(urlprefix: &str) -> String {
    if urlprefix.is_empty() { String::new() } else { format!("/{urlprefix}") }
}

/// What SIGHUP does besides reading the hooks files again.
fn renew(destination: &Destination, tls: Option<&Tls>) {
    if let Err(error) = destination.reopen() {
        error!("error opening log file anew, writing on to the old one: {error}");
    }
    if let Some(Err(error)) = tls.map(Tls::reload) {
        error!("error reloading the certificate, the old one stays: {error:#}");
    }
}

fn no_hooks(to: &str) -> String {
    let text = format!(
        "couldn't load any hooks from file! webhookd does not {to} without hooks, unless -nopanic or -verbose is given"
    );
    log::line(&text).trim_end().to_owned()
}

/// The signals that mean something.
struct Signals {
    hang_up: Signal,
    user: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Calls `reload` for each signal that asks for it, and returns at one that says stop.
    async fn until_stopped(&mut self, mut reload: impl FnMut(bool)) {
        loop {
            let (name, reopen) = tokio::select! {
                _ = self.hang_up.recv() => ("HUP", true),
                _ = self.user.recv() => ("USR1", false),
                _ = self.terminate.recv() => return info!("caught terminated signal; exiting"),
                _ = self.interrupt.recv() => return info!("caught interrupt signal; exiting"),
            };
            info!("caught {name} signal");
            reload(reopen);
        }
    }

    /// Waits for somebody who is in a hurry.
    async fn stop_again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
