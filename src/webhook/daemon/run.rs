//! `webhookd` from its first step to its last.

use std::{pin::pin, process::ExitCode, sync::Arc};

use anyhow::Context;
use tokio::runtime::{self, Runtime};
use tracing::{error, info};
use tracing_subscriber::filter::LevelFilter;

use super::{
    check, init, log,
    pid_file::PidFile,
    privileges,
    signals::{self, Signal, Signals},
};
use crate::{
    text::printable,
    webhook::{
        net::{BoundSocket, ConnectionSlots, Tls, cipher_suites},
        options::Options,
        serving::{HookTable, Server, Service, Watcher},
        shutdown,
    },
};

/// Connections at a time, if there are descriptors for them.
const CONNECTIONS: u64 = 4096;

/// Runs the daemon, or what else the command line asks for.
pub fn run(options: &Options) -> ExitCode {
    let ended = start(options);
    log::finish();
    match ended {
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
    if init::is_needed() {
        return init::run();
    }
    if (options.setuid == 0) != (options.setgid == 0) {
        println!("error: setuid and setgid options must be used together");
        return Ok(ExitCode::FAILURE);
    }

    // The port is opened by whom we are, the log by whom we become, and no thread exists before that.
    let listener = BoundSocket::open(options);
    if options.setuid != 0 {
        privileges::drop_to(options.setuid, options.setgid).context("error dropping privileges")?;
    }
    let level = match (options.debug, is_verbose(options)) {
        (true, _) => LevelFilter::DEBUG,
        (false, true) => LevelFilter::INFO,
        (false, false) => LevelFilter::OFF,
    };
    log::start(&options.logfile, options.log_format, level)
        .with_context(|| format!("error opening log file {}", options.logfile.display()))?;
    let served = listener.and_then(|listener| serve(options, listener));
    if let (Err(error), true) = (&served, is_verbose(options)) {
        error!("{error:#}");
        if options.logfile.as_os_str().is_empty() {
            return Ok(ExitCode::FAILURE);
        }
    }
    served
}

fn is_verbose(options: &Options) -> bool {
    options.verbose || options.debug || !options.logfile.as_os_str().is_empty()
}

fn serve(options: &Options, listener: BoundSocket) -> anyhow::Result<ExitCode> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let Some(daemon) = Daemon::set_up(options, listener, &runtime)? else { return Ok(ExitCode::FAILURE) };
    let end = runtime.block_on(daemon.run())?;
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

/// A daemon that can serve.
struct Daemon<'o> {
    options: &'o Options,
    listener: BoundSocket,
    signals: Signals,
    tls: Option<Arc<Tls>>,
    watcher: Option<Watcher>,
    hooks: HookTable,
    may_be_empty: bool,
    _pid_file: Option<PidFile>,
}

/// Why serving ended.
enum End {
    Signal,
    /// The last hook went away, and nobody said that this is all right.
    NoHooks,
}

impl<'o> Daemon<'o> {
    /// None, and it has been said why, if there are no hooks and nobody said that this is all right.
    fn set_up(
        options: &'o Options,
        listener: BoundSocket,
        runtime: &Runtime,
    ) -> anyhow::Result<Option<Self>> {
        let _entered = runtime.enter();
        // Before the pid file, because that is where a signal's sender may know us from.
        signals::ignore_alone()?;
        let signals = Signals::new()?;
        let pid_file = (!options.pidfile.as_os_str().is_empty()).then(|| PidFile::create(&options.pidfile));
        let pid_file = pid_file.transpose().context("Error creating pidfile")?;
        info!("version {} starting", env!("CARGO_PKG_VERSION"));
        // What is done already is said where webhook 2.8 says it.
        info!("setting up os signal watcher");
        info!("os signal watcher ready");
        if is_verbose(options) {
            std::panic::set_hook(Box::new(|panic| error!("panic: {panic}")));
        }
        let tls = options.secure.then(|| Tls::load(options)).transpose()?.map(Arc::new);
        let watcher = options.hotreload.then(|| Watcher::new(&options.hooks));
        let (hooks, faults) = HookTable::load(&options.hooks, options.template)?;
        let may_be_empty = is_verbose(options) || options.nopanic;
        if hooks.is_empty() && !may_be_empty {
            println!("{}", no_hooks("start"));
            for fault in &faults {
                println!("{}", printable(fault));
            }
            return Ok(None);
        }
        Ok(Some(Self { options, listener, signals, tls, watcher, hooks, may_be_empty, _pid_file: pid_file }))
    }

    /// Serves until a signal or the loss of the last hook ends it.
    async fn run(mut self) -> anyhow::Result<End> {
        let options = self.options;
        let (sender, shutdown) = shutdown::channel();
        let address = self.address();
        let listener = self.listener.into_listener()?;
        let service = Arc::new(Service::new(options, self.hooks));
        let server = Arc::new(Server {
            service: Arc::clone(&service),
            tls: self.tls.clone(),
            slots: Arc::new(ConnectionSlots::beside(options.max_concurrency, CONNECTIONS)),
            header_time: options.header_timeout,
            write_time: options.body_timeout,
        });
        info!("serving hooks on {address}/{{id}}");
        let accepting = tokio::spawn(server.run(listener, shutdown));
        let mut watching = pin!(async {
            match self.watcher {
                Some(watcher) => watcher.run(&service.hooks, self.may_be_empty).await,
                None => std::future::pending().await,
            }
        });
        let end = loop {
            let signal = tokio::select! {
                signal = self.signals.next() => signal,
                gone = watching.as_mut() => {
                    break gone.map(|()| End::NoHooks).context("error watching hooks files")?;
                }
            };
            match signal {
                Signal::HangUp => renew_certificate(self.tls.as_deref()),
                Signal::Reload => {}
                Signal::Stop => break End::Signal,
            }
            service.hooks.reload_all();
        };
        sender.shut_down(options.grace_period, self.signals.stop_again()).await;
        let _ = accepting.await;
        Ok(end)
    }

    /// What the paths of hooks follow.
    fn address(&self) -> String {
        let scheme = if self.options.secure { "https" } else { "http" };
        let prefix = match self.options.urlprefix.as_str() {
            "" => String::new(),
            prefix => format!("/{prefix}"),
        };
        format!("{scheme}://{}{prefix}", self.listener)
    }
}

fn renew_certificate(tls: Option<&Tls>) {
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
