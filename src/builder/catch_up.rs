//! Looking for pushes that never arrived, while the queue is drained.
//!
//! In a process of its own, `build catch-up --scheduled`: git may take its time, and is no build's.

use std::{
    io,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use super::builder::Builder;
use crate::{error_chain::in_full, forge::catch_up};

/// How often it is looked whether the process is over.
const LOOK: Duration = Duration::from_millis(50);

pub type Errand = Box<dyn FnOnce() + Send>;

/// The thread that starts the process when it is time.
#[derive(Debug)]
pub struct CatchUp {
    /// None if nobody wants it.
    errands: Option<Sender<Errand>>,
    look: Arc<Mutex<Look>>,
}

/// The look that is going on.
#[derive(Debug, Default)]
struct Look {
    process: Option<Child>,
    /// The drain is over: none is begun any more.
    is_over: bool,
}

impl CatchUp {
    pub fn start(builder: &Arc<Builder>) -> io::Result<Self> {
        let look = Arc::default();
        if !builder.settings.catch_up {
            return Ok(Self { errands: None, look });
        }
        let (errands, received) = channel();
        let (builder, running) = (Arc::clone(builder), Arc::clone(&look));
        thread::Builder::new()
            .name("catch-up".to_string())
            .spawn(move || work(&builder, &running, &received))?;
        Ok(Self { errands: Some(errands), look })
    }

    /// Calls what it is given when no look is due or going on.
    pub fn when_idle(&self) -> impl FnOnce(Errand) + Send + use<> {
        let errands = self.errands.clone();
        move |tell| match errands {
            Some(errands) => _ = errands.send(tell),
            None => tell(),
        }
    }

    /// Ends a look that is going on. What it has started is left to us then.
    pub fn end(&self) {
        let mut look = lock(&self.look);
        look.is_over = true;
        if let Some(mut process) = look.process.take() {
            let _ = process.kill().and_then(|()| process.wait());
        }
    }
}

fn work(builder: &Builder, running: &Mutex<Look>, errands: &Receiver<Errand>) {
    loop {
        if catch_up::is_due(&builder.home)
            && let Err(error) = look(builder, running)
        {
            tracing::warn!("missed pushes are not looked for: {}", in_full(&error));
        }
        match errands.recv_timeout(catch_up::INTERVAL) {
            Ok(tell) => tell(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn look(builder: &Builder, running: &Mutex<Look>) -> io::Result<()> {
    // By this name also after an upgrade has replaced the file.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["catch-up", "--scheduled", "--home"])
        .arg(builder.home.dir())
        // Everybody can read a command line, and it may hold a password.
        .env("AMP_CI_GIT_BASE", builder.settings.git_base.as_given())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    {
        let mut running = lock(running);
        if running.is_over {
            return Ok(());
        }
        running.process = Some(builder.supervisor.spawn(&mut command)?);
    }
    while !is_over(builder, running)? {
        thread::sleep(LOOK);
    }
    Ok(())
}

fn is_over(builder: &Builder, running: &Mutex<Look>) -> io::Result<bool> {
    // Whoever ends it takes it away.
    let mut running = lock(running);
    let Some(child) = &mut running.process else { return Ok(true) };
    let is_over = child.try_wait()?.is_some();
    if is_over {
        builder.supervisor.forget(child);
        running.process = None;
    }
    Ok(is_over)
}

fn lock(look: &Mutex<Look>) -> MutexGuard<'_, Look> {
    look.lock().unwrap_or_else(PoisonError::into_inner)
}
