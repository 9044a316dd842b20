//! The command line of `statusd`: shows in a browser what CI is doing. Writes nothing, starts nothing.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{Site, router, serve as serve_pages};
use crate::home::Home;

/// Show in a browser what CI is doing: what is red, runs, waits and came last, with live logs
///
/// It meets the other programs only in the home, where it reads queue/, builds/ and outbox/, and so can run as an
/// account that may only read.
#[derive(Parser)]
#[command(name = "statusd", version, after_help = AFTER_HELP)]
pub struct Arguments {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8197")]
    listen: SocketAddr,
    /// The page's address as people reach it, such as https://ci.example.edu; also the one name it answers to besides
    /// addresses and localhost
    #[arg(long, value_name = "URL", env = "AMP_CI_PAGE_URL", value_parser = url)]
    url: Option<String>,
    /// The installation's directory
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
The home is --home DIR, else $AMP_CI_HOME, else the nearest directory above this program that holds both scripts/ and \
queue/.

Exit codes: 0 stopped by a signal; 1 it could not serve; 2 usage.";

fn url(text: &str) -> Result<String, &'static str> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.trim_matches('/').is_empty() && !text.contains(['"', '<', '>', ' ', '@']) => {
            Ok(text.to_string())
        }
        _ => Err("is no address such as https://ci.example.edu"),
    }
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("statusd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let home = Home::find(arguments.home.as_deref())?;
    allow_descriptors();
    // One thread for the sockets and a few for the disk: what is served is small.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen)
            .await
            .with_context(|| format!("cannot listen on {}", arguments.listen))?;
        let mut stops = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let [terminate, interrupt, hangup] = &mut stops;
        eprintln!("statusd: serving {} on http://{}/", home.dir().display(), listener.local_addr()?);
        let router = router(Arc::new(Site::new(&home, arguments.url.as_deref())));
        let (Ok(terminate), Ok(interrupt), Ok(hangup)) = (terminate, interrupt, hangup) else {
            anyhow::bail!("signals cannot be received");
        };
        tokio::select! {
            () = serve_pages(listener, router) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok(())
    })
}

/// As many open files as are allowed at all: each client takes one.
fn allow_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
