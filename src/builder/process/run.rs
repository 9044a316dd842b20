//! One program from its start to its end: what starts it, what follows its output, what says how it ended.

use std::{
    cell::Cell,
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::Path,
    process::{Child, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open},
};

use super::{bell::Bell, cgroup::Cgroup, environment, mark::MARK, supervisor::Supervisor, tree::Tree};
use crate::{detached, error_chain::at, proc_table};

/// Takes output as it comes.
pub type Keep<'a> = dyn FnMut(Stream, &[u8]) -> io::Result<()> + 'a;

/// Between SIGTERM and SIGKILL, and between a launcher's verdict and SIGTERM.
pub const GRACE: Duration = Duration::from_secs(10);

/// Room in a pipe, so that a build that writes fast seldom waits for us.
const PIPE_SIZE: usize = 256 << 10;

/// What is to be started.
#[derive(Debug)]
pub struct ProcessSpec<'a> {
    /// argv.
    pub words: Vec<OsString>,
    /// Is its stderr a stream of its own? If not it goes where stdout goes, in order.
    pub errors_apart: bool,
    /// Where it runs.
    pub dir: &'a Path,
    /// What is added to the inherited environment.
    pub variables: &'a [(&'a str, &'a str)],
    /// What it and all its descendants are recognised by.
    pub mark: &'a str,
}

/// What comes out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Output,
    /// Its stderr, if that is apart.
    Errors,
}

/// A program that runs. Dropping it without following it to its end leaves the process alone.
#[derive(Debug)]
pub struct Running<'a> {
    supervisor: &'a Supervisor,
    child: Child,
    ended: OwnedFd,
    pipes: Vec<(Stream, OwnedFd)>,
    tree: Tree,
}

/// How its run was over.
#[derive(Debug, PartialEq, Eq)]
pub enum ProcessEnd {
    /// By itself.
    Exited(ExitStatus),
    /// By the kernel, because memory had run out.
    OutOfMemory(ExitStatus),
    /// By us, when its time was up.
    TimedOut(ExitStatus),
    /// By us, because we were told to stop.
    Stopped,
    /// By us, because nobody wants it any more.
    Cancelled(ExitStatus),
}

/// Starts the program: a process group of its own, no terminal, nothing on stdin, its output in a pipe.
pub fn start<'a>(supervisor: &'a Supervisor, spec: &ProcessSpec) -> io::Result<Running<'a>> {
    let (output, to_output) = pipe()?;
    let mut pipes = vec![(Stream::Output, output)];
    let to_errors = if spec.errors_apart {
        let (errors, to_errors) = pipe()?;
        pipes.push((Stream::Errors, errors));
        to_errors
    } else {
        to_output.try_clone()?
    };
    let cgroup = supervisor.cgroup(spec.mark);
    let enter = cgroup.iter().flat_map(Cgroup::enter);
    let mut words = enter.chain(spec.words.iter().cloned());
    let name = words.next().expect("a program has a name");
    let mut command = detached::command(&name);
    command
        .args(words)
        .current_dir(spec.dir)
        .env_clear()
        .envs(environment::inherited())
        .envs(spec.variables.iter().copied())
        .env(MARK, spec.mark)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(to_output)
        .stderr(to_errors);
    let child = supervisor
        .spawn(&mut command)
        .map_err(at(format_args!("cannot start {}", name.to_string_lossy())))?;
    // Our copies of the write ends go with it.
    drop(command);
    let pid = child.id().cast_signed();
    let ended = pipes[0].1.try_clone()?;
    let tree = Tree::new(spec.mark, proc_table::start(pid).map(|start| (pid, start)), cgroup);
    let mut running = Running { supervisor, child, ended, pipes, tree };
    let watched = Pid::from_raw(pid).ok_or(Errno::SRCH);
    match watched.and_then(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Ok(ended) => running.ended = ended,
        Err(errno) => {
            running.end_all()?;
            return Err(at("cannot watch a process")(errno.into()));
        }
    }
    Ok(running)
}

/// Its end to read from, which never keeps us waiting, and its end to write to.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let make = || {
        let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
        // Not granted past a user's share of pipe memory; a smaller pipe works as well.
        let _ = fcntl_setpipe_size(&read_end, PIPE_SIZE);
        rustix::io::ioctl_fionbio(&read_end, true)?;
        Ok((read_end, write_end))
    };
    make().map_err(|errno: Errno| at("cannot make a pipe")(errno.into()))
}

impl Running<'_> {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was started, in ticks since boot.
    pub fn start(&self) -> Option<u64> {
        self.tree.start()
    }

    /// Follows the script to its end: its output goes to `keep` as it comes, and when it is over nothing of
    /// it is left. The deadline may become known while it runs, and `cancel` ring. An error is ours (the output cannot be kept);
    /// the script has been ended then.
    pub fn follow(
        mut self,
        keep: &mut Keep,
        deadline: &Cell<Option<Instant>>,
        cancel: Option<&Bell>,
    ) -> io::Result<ProcessEnd> {
        let followed = self.until_over(keep, deadline, cancel);
        let status = self.end_all();
        // What was in the pipes when the last writer went.
        let rest = self.copy(keep);
        let ended = followed?;
        rest?;
        let (status, ran_out_of_memory) = status?;
        Ok(match ended {
            // One that outlives the end of a part of it, has its own verdict.
            StopReason::Itself if ran_out_of_memory && status.signal() == Some(Signal::KILL.as_raw()) => {
                ProcessEnd::OutOfMemory(status)
            }
            StopReason::Itself => ProcessEnd::Exited(status),
            StopReason::Deadline => ProcessEnd::TimedOut(status),
            StopReason::Told => ProcessEnd::Stopped,
            StopReason::Cancelled => ProcessEnd::Cancelled(status),
        })
    }

    /// Until the script's process has ended, or all of it has after a SIGTERM, or its grace is used up.
    fn until_over(
        &mut self,
        keep: &mut Keep,
        deadline: &Cell<Option<Instant>>,
        cancel: Option<&Bell>,
    ) -> io::Result<StopReason> {
        let bells: Vec<&Bell> = std::iter::once(self.supervisor.stop_bell()).chain(cancel).collect();
        let why = loop {
            match self.wait(deadline.get(), &bells)? {
                Wakeup::Output => self.copy(keep)?,
                Wakeup::Ended => return Ok(StopReason::Itself),
                Wakeup::Late => break StopReason::Deadline,
                Wakeup::Told if self.supervisor.is_stopped() => break StopReason::Told,
                Wakeup::Told => break StopReason::Cancelled,
            }
        };
        self.tree.signal(self.supervisor, Signal::TERM);
        let grace = Instant::now() + GRACE;
        loop {
            match self.wait(Some(grace), &[])? {
                Wakeup::Output => self.copy(keep)?,
                Wakeup::Ended => break,
                Wakeup::Late | Wakeup::Told => return Ok(why),
            }
        }
        // The rest has its grace too.
        while Instant::now() < grace && self.tree.is_alive(self.supervisor) {
            thread::sleep(Duration::from_millis(20));
            self.copy(keep)?;
            self.supervisor.orphans();
        }
        Ok(why)
    }

    fn wait(&self, deadline: Option<Instant>, bells: &[&Bell]) -> io::Result<Wakeup> {
        let no_more = PollFlags::HUP | PollFlags::ERR;
        let wake = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![wake(self.ended.as_fd())];
        fds.extend(self.pipes.iter().map(|(_, pipe)| wake(pipe.as_fd())));
        fds.extend(bells.iter().map(|bell| wake(bell.as_fd())));
        loop {
            let timeout = deadline.map(|deadline| {
                let left = deadline.saturating_duration_since(Instant::now());
                Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
            });
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(Wakeup::Late),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let ended = !fds[0].revents().is_empty();
            let (pipes, bells) = fds[1..].split_at_mut(self.pipes.len());
            let told = bells.iter().any(|bell| !bell.revents().is_empty());
            // Output last: a build that never stops writing must not keep us from the rest.
            if ended {
                return Ok(Wakeup::Ended);
            }
            if told {
                return Ok(Wakeup::Told);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Wakeup::Late);
            }
            if pipes.iter().any(|pipe| pipe.revents().contains(PollFlags::IN)) {
                return Ok(Wakeup::Output);
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

    /// Ends what is left of the build, at once, and takes the script's status, and whether memory ran out.
    fn end_all(&mut self) -> io::Result<(ExitStatus, bool)> {
        let supervisor = self.supervisor;
        // While its leader is not waited for, the group's number cannot be anybody else's.
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed())
            && kill_process_group(group, Signal::KILL).is_err()
        {
            // Not yet the leader of one: setsid(1) has only just been started.
            let _ = kill_process(group, Signal::KILL);
        }
        let status = self.child.wait();
        supervisor.forget(&self.child);
        let ran_out_of_memory = self.tree.ran_out_of_memory();
        self.tree.end(supervisor);
        Ok((status?, ran_out_of_memory))
    }
}

/// Why it is being ended, or that it was not.
#[derive(Debug, PartialEq, Eq)]
enum StopReason {
    Itself,
    Deadline,
    Told,
    Cancelled,
}

/// What there is to do.
#[derive(Debug)]
enum Wakeup {
    Output,
    Ended,
    Late,
    Told,
}
