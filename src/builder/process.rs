//! Running a script: what starts it, what follows its output, what says how it ended.

use std::{
    cell::Cell,
    env,
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, retry_on_intr},
    pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
    process::{Pid, PidfdFlags, Signal, pidfd_open},
};

use super::{
    announce,
    drain::Ci,
    one_build,
    tree::{MARK, Tree},
};
use crate::{
    error_chain::at,
    queue::Claimed,
    records::{Record, RunningAttempt},
};

/// Takes output as it comes.
pub type Keep<'a> = dyn FnMut(Stream, &[u8]) -> io::Result<()> + 'a;

/// Between SIGTERM and SIGKILL, and between a launcher's verdict and SIGTERM.
pub const GRACE: Duration = Duration::from_secs(10);

/// Room in a pipe, so that a build that writes fast seldom waits for us.
const PIPE_SIZE: usize = 256 << 10;

/// Told once, seen by every build that runs: end now.
#[derive(Debug)]
pub struct Stop(OwnedFd);

/// One try of one build: what its process is started for.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// Everything around it.
    pub ci: &'a Ci,
    /// Where it is kept.
    pub record: &'a Record,
    /// What is asked for.
    pub entry: &'a Claimed,
    /// The fresh directory that it runs in.
    pub workspace: &'a Path,
    /// What the build adds to the inherited environment.
    pub variables: &'a [(&'a str, &'a str)],
    /// What is on record of this try.
    pub running: &'a RunningAttempt,
}

/// What is started for it.
#[derive(Debug)]
pub struct Program {
    /// argv.
    pub words: Vec<OsString>,
    /// Is its stderr a stream of its own? If not it goes where stdout goes, in order.
    pub errors_apart: bool,
}

/// What comes out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its stdout.
    Output,
    /// Its stderr, if that is apart.
    Errors,
}

/// A script that runs. Dropping it without following it to its end leaves the process alone.
#[derive(Debug)]
pub struct Running<'a> {
    ci: &'a Ci,
    child: Child,
    ended: OwnedFd,
    pipes: Vec<(Stream, OwnedFd)>,
    tree: Tree,
}

/// How a script's run was over.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// By us, when its time was up.
    TimedOut(ExitStatus),
    /// By us, because we were told to stop.
    Stopped,
}

impl Stop {
    /// Not told yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?))
    }

    /// Tells everybody.
    pub fn tell(&self) {
        let _ = retry_on_intr(|| rustix::io::write(&self.0, &1_u64.to_ne_bytes()));
    }

    /// Has it been told?
    pub fn is_told(&self) -> bool {
        let mut told = [PollFd::new(&self.0, PollFlags::IN)];
        retry_on_intr(|| poll(&mut told, Some(&Timespec::default()))).is_ok_and(|ready| ready > 0)
    }
}

/// Starts the program: a process group of its own, nothing on stdin, its output in a pipe.
pub fn start<'a>(task: &Task<'a>, program: &Program) -> io::Result<Running<'a>> {
    let Task { ci, record, entry, workspace, variables, running } = *task;
    let pipe = || pipe().map_err(|errno| at("cannot make a pipe")(errno.into()));
    let (output, to_output) = pipe()?;
    let mut pipes = vec![(Stream::Output, output)];
    let to_errors = if program.errors_apart {
        let (errors, to_errors) = pipe()?;
        pipes.push((Stream::Errors, errors));
        to_errors
    } else {
        to_output.try_clone()?
    };
    let mark = one_build::mark(ci, &entry.id);
    let (name, arguments) = program.words.split_first().expect("a program has a name");
    let mut command = Command::new(name);
    command
        .args(arguments)
        .current_dir(workspace)
        .env_clear()
        .envs(inherited_environment())
        .envs(variables.iter().copied())
        .env(MARK, &mark)
        .env("GIT_TERMINAL_PROMPT", "0")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(to_output)
        .stderr(to_errors);
    let child = ci
        .children
        .spawn(&mut command)
        .map_err(at(format_args!("cannot start {}", name.to_string_lossy())))?;
    // Our copies of the write ends go with it.
    drop(command);
    let pid = child.id();
    let ended = pipes[0].1.try_clone()?;
    let mut started = Running { ci, child, ended, pipes, tree: Tree::new(&mark, Some(pid.cast_signed())) };
    let watched = Pid::from_raw(pid.cast_signed()).ok_or(Errno::SRCH);
    match watched.and_then(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Ok(ended) => started.ended = ended,
        Err(error) => {
            started.end_all()?;
            return Err(at("cannot watch a process")(error.into()));
        }
    }
    announce::start(ci, entry, pid);
    // For people only; the try is counted already.
    let _ = record.set_running(&RunningAttempt { script_pid: Some(pid), ..running.clone() });
    Ok(started)
}

/// Its end to read from, which never keeps us waiting, and its end to write to.
fn pipe() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
    // Not granted past a user's share of pipe memory; a smaller pipe works as well.
    let _ = fcntl_setpipe_size(&read_end, PIPE_SIZE);
    rustix::io::ioctl_fionbio(&read_end, true)?;
    Ok((read_end, write_end))
}

/// `build`'s own environment without secrets and settings: PATH, proxies, JAVA_HOME and the like remain.
pub fn inherited_environment() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| {
        let name = name.as_encoded_bytes();
        !name.starts_with(b"SECRET") && !name.starts_with(b"AMP_CI_")
    })
}

impl Running<'_> {
    /// Follows the script to its end: its output goes to `keep` as it comes, and when it is over nothing of
    /// it is left. The deadline may become known while it runs. An error is ours (the output cannot be kept);
    /// the script has been ended then.
    pub fn follow(mut self, keep: &mut Keep, deadline: &Cell<Option<Instant>>) -> io::Result<Ended> {
        let followed = self.until_over(keep, deadline);
        let status = self.end_all();
        // What was in the pipes when the last writer went.
        let rest = self.copy(keep);
        let ended = followed?;
        rest?;
        let status = status?;
        Ok(match ended {
            Why::Itself => Ended::Exited(status),
            Why::Deadline => Ended::TimedOut(status),
            Why::Stop => Ended::Stopped,
        })
    }

    /// Until the script's process has ended, or all of it has after a SIGTERM, or its grace is used up.
    fn until_over(&mut self, keep: &mut Keep, deadline: &Cell<Option<Instant>>) -> io::Result<Why> {
        let why = loop {
            match self.wait(deadline.get(), Some(&self.ci.stop))? {
                Woken::Output => self.copy(keep)?,
                Woken::Over => return Ok(Why::Itself),
                Woken::Late => break Why::Deadline,
                Woken::Told => break Why::Stop,
            }
        };
        self.tree.signal(&self.ci.children, Signal::TERM);
        let grace = Instant::now() + GRACE;
        loop {
            match self.wait(Some(grace), None)? {
                Woken::Output => self.copy(keep)?,
                Woken::Over => break,
                Woken::Late | Woken::Told => return Ok(why),
            }
        }
        // The rest has its grace too.
        while Instant::now() < grace && self.tree.is_alive(&self.ci.children) {
            thread::sleep(Duration::from_millis(20));
            self.copy(keep)?;
            self.ci.children.orphans();
        }
        Ok(why)
    }

    fn wait(&self, deadline: Option<Instant>, stop: Option<&Stop>) -> io::Result<Woken> {
        let no_more = PollFlags::HUP | PollFlags::ERR;
        let wake = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![wake(self.ended.as_fd())];
        fds.extend(self.pipes.iter().map(|(_, pipe)| wake(pipe.as_fd())));
        fds.extend(stop.map(|stop| wake(stop.0.as_fd())));
        loop {
            let timeout = deadline.map(|deadline| {
                let left = deadline.saturating_duration_since(Instant::now());
                Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
            });
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(Woken::Late),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let ended = !fds[0].revents().is_empty();
            let (pipes, stop) = fds[1..].split_at_mut(self.pipes.len());
            let told = stop.iter().any(|stop| !stop.revents().is_empty());
            // Output last: a build that never stops writing must not keep us from the rest.
            if ended {
                return Ok(Woken::Over);
            }
            if told {
                return Ok(Woken::Told);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Woken::Late);
            }
            if pipes.iter().any(|pipe| pipe.revents().contains(PollFlags::IN)) {
                return Ok(Woken::Output);
            }
            for pipe in pipes.iter_mut().filter(|pipe| pipe.revents().intersects(no_more)) {
                // All writers have closed it, the script runs on: nothing more to read.
                *pipe = PollFd::new(&self.ended, PollFlags::empty());
            }
        }
    }

    /// Copies what is in the pipes.
    fn copy(&self, keep: &mut Keep) -> io::Result<()> {
        let mut piece = Vec::with_capacity(64 << 10);
        for (stream, pipe) in &self.pipes {
            // A build that writes for ever must not keep us from looking at the clock.
            for _ in 0..16 {
                piece.clear();
                match rustix::io::read(pipe, rustix::buffer::spare_capacity(&mut piece)) {
                    Ok(0) | Err(Errno::AGAIN) => break,
                    Ok(_) => keep(*stream, &piece)?,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Ends what is left of the build, at once, and takes the script's status.
    fn end_all(&mut self) -> io::Result<ExitStatus> {
        let children = &self.ci.children;
        // While its leader is not waited for, the group's number cannot be anybody else's.
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let status = self.child.wait();
        children.forget(&self.child);
        // Whoever lost its parent has become our child. No such child: nothing to walk.
        if !children.orphans().is_empty() && !self.tree.kill(children) {
            tracing::error!(
                "processes of a build do not end on SIGKILL; `ps -eo pid,stat,wchan,cmd` shows them"
            );
        }
        status
    }
}

/// Why a build is being ended.
#[derive(Debug, PartialEq, Eq)]
enum Why {
    Itself,
    Deadline,
    Stop,
}

/// What there is to do.
#[derive(Debug)]
enum Woken {
    Output,
    Over,
    Late,
    Told,
}
