//! Starting a command and following it to its end.

use std::{
    env,
    ffi::{OsStr, OsString},
    future::pending,
    io,
    os::unix::{ffi::OsStringExt, process::ExitStatusExt},
    path::Path,
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
    process::{Child, Command},
    time::{Instant, sleep_until},
};

use super::{files::PassedFile, output::Output, process_tree::ProcessTree};
use crate::{
    detached,
    webhook::{
        go::syscall::{self, reason},
        hooks::{Hook, Inputs},
        memory::Reservation,
        shutdown::Shutdown,
    },
};

/// Time between the signal that asks and the one that does not.
const TERM_TO_KILL: Duration = Duration::from_secs(3);

/// A command that was started.
#[derive(Debug)]
pub struct CommandProcess {
    child: Child,
    /// Both its streams, if its output is wanted.
    output: Option<pipe::Receiver>,
}

/// How a command ended.
#[derive(Debug)]
pub struct CommandEnd {
    status: ExitStatus,
    /// Why it was ended by us, if it was.
    by_us: Option<String>,
}

impl CommandEnd {
    /// What went wrong; nothing if it did its work.
    pub fn failure(&self) -> Option<String> {
        if self.by_us.is_none() && self.status.success() {
            return None;
        }
        let end = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => {
                let core = if self.status.core_dumped() { " (core dumped)" } else { "" };
                format!("signal: {}{core}", syscall::signal_name(signal.unwrap_or_default()))
            }
        };
        Some(match &self.by_us {
            Some(why) => format!("{why}: {end}"),
            None => end,
        })
    }
}

/// When and why a command is ended before it ends by itself.
struct Termination {
    tree: ProcessTree,
    why: Option<String>,
    /// When the next step is due: the request to end, then the end.
    due: Option<Instant>,
}

impl Termination {
    fn ask(&mut self, why: impl Into<String>) {
        self.tree.signal(Signal::TERM);
        self.why = Some(why.into());
        self.due = Some(Instant::now() + TERM_TO_KILL);
    }

    fn force(&mut self) {
        self.tree.signal(Signal::KILL);
        self.due = None;
    }
}

impl CommandProcess {
    /// Starts `program` for `hook`. The text of an error is for the log.
    pub fn start(
        hook: &Hook,
        program: &Path,
        inputs: Inputs,
        room: Reservation,
        files: &[PassedFile],
        output_wanted: bool,
    ) -> Result<Self, String> {
        if inputs.environment.iter().any(|(name, value)| name.contains('\0') || value.contains(&0)) {
            return Err("exec: environment variable contains NUL".to_owned());
        }
        let mut command = command(hook, program, inputs.stdin.is_some());
        command.args(inputs.arguments.into_iter().map(OsString::from_vec));
        for (name, value) in inputs.environment {
            set_variable(&mut command, &name, &OsString::from_vec(value));
        }
        for file in files {
            set_variable(&mut command, &file.variable, file.path.as_os_str());
        }
        let output = output_wanted.then(|| one_pipe(&mut command)).transpose();
        let output = output.map_err(|error| format!("pipe: {}", reason(&error)))?;
        // The command holds our ends of the pipe; they are closed with it, here.
        let child = command.spawn();
        drop(command);
        let mut child = child.map_err(|error| why_not_started(&error, hook, program))?;
        if let (Some(bytes), Some(mut pipe)) = (inputs.stdin, child.stdin.take()) {
            // What the command was given is its own now, but for what it is still to read. If it does not read it, or
            // not to its end, it is none the worse.
            tokio::spawn(async move {
                let _ = pipe.write_all(&bytes).await;
                drop((bytes, room));
            });
        }
        Ok(Self { child, output })
    }

    /// Takes the output as it comes until the command exits, or ends it: after `timeout`, when the client that
    /// reads along goes, when the daemon has to.
    pub async fn follow(
        mut self,
        output: &mut Output,
        timeout: Option<Duration>,
        shutdown: &mut Shutdown,
    ) -> io::Result<CommandEnd> {
        let group = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let mut termination = Termination {
            tree: ProcessTree::of(group.ok_or(io::ErrorKind::NotFound)?),
            why: None,
            due: timeout.map(|timeout| Instant::now() + timeout),
        };
        let mut chunk = Vec::with_capacity(8 * 1024);
        let mut ending = pin!(shutdown.ending());
        let status = loop {
            let has_room = output.has_room();
            tokio::select! {
                status = self.child.wait() => break status?,
                read = read(self.output.as_mut(), &mut chunk), if has_room => match read {
                    Ok(1..) => {
                        output.take(&chunk);
                        chunk.clear();
                    }
                    Ok(0) | Err(_) => self.output = None,
                },
                passed = output.pass_on() => if passed.is_err() && termination.why.is_none() {
                    termination.ask("the client went away");
                },
                () = at(termination.due) => match timeout {
                    Some(timeout) if termination.why.is_none() => {
                        termination.ask(format!("command-timeout of {timeout:?}"));
                    }
                    _ => termination.force(),
                },
                () = ending.as_mut(), if termination.why.is_none() => termination.ask("the daemon stops"),
            }
        };
        if termination.why.is_some() {
            // Its leader is gone; what of it heeded no signal goes too.
            termination.force();
        }
        self.take_rest(output, chunk).await;
        Ok(CommandEnd { status, by_us: termination.why })
    }

    /// Takes what was in the pipe when the command exited. Whoever still holds it, a job left in the
    /// background, may write on, to nobody.
    async fn take_rest(&mut self, output: &mut Output, mut chunk: Vec<u8>) {
        let Some(mut pipe) = self.output.take() else { return };
        let mut left = rustix::io::ioctl_fionread(&pipe).unwrap_or(0);
        let mut open = true;
        while left > 0 && open {
            chunk.clear();
            match pipe.try_read_buf(&mut chunk) {
                Ok(read @ 1..) => {
                    left = left.saturating_sub(read as u64);
                    output.make_room().await;
                    output.take(&chunk);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && pipe.readable().await.is_ok() => {}
                Ok(0) | Err(_) => open = false,
            }
        }
        output.make_room().await;
        if open {
            tokio::spawn(async move { tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await });
        }
    }
}

/// The command without what it is given.
fn command(hook: &Hook, program: &Path, has_stdin: bool) -> Command {
    let mut command = if detached::has_terminal() {
        // Not as the leader of a group: then setsid(1) would fork, and its process would not be the program's.
        let mut command = Command::new("setsid");
        command.arg(program);
        command
    } else {
        let mut command = Command::new(program);
        command.arg0(&hook.execute_command).process_group(0);
        command
    };
    command
        .stdin(if has_stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Set by systemd for us, not for those we start; the crate that reads its siblings leaves it. Asked first,
    // because a command without changes to its environment is cheaper to start.
    if env::var_os("LISTEN_FDNAMES").is_some() {
        command.env_remove("LISTEN_FDNAMES");
    }
    if !hook.working_directory.is_empty() {
        command.current_dir(&hook.working_directory);
    }
    command
}

/// Both streams in one pipe, so that what comes through them stays in order.
fn one_pipe(command: &mut Command) -> io::Result<pipe::Receiver> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    pipe::Receiver::from_owned_fd(reader.into())
}

/// A name is not checked: an `=` in it just shifts where the value begins.
fn set_variable(command: &mut Command, name: &str, value: &OsStr) {
    match name.split_once('=') {
        None => command.env(name, value),
        Some((name, rest)) => {
            let mut whole = OsString::from(format!("{rest}="));
            whole.push(value);
            command.env(name, whole)
        }
    };
}

fn why_not_started(error: &io::Error, hook: &Hook, program: &Path) -> String {
    let dir = Path::new(&hook.working_directory);
    let no_dir = if hook.working_directory.is_empty() { None } else { std::fs::metadata(dir).err() };
    match no_dir {
        Some(error) => format!("chdir {}: {}", dir.display(), reason(&error)),
        // A NUL in an argument never reaches the kernel.
        None if error.kind() == io::ErrorKind::InvalidInput => {
            format!("fork/exec {}: invalid argument", program.display())
        }
        None => format!("fork/exec {}: {}", program.display(), reason(error)),
    }
}

async fn read(pipe: Option<&mut pipe::Receiver>, chunk: &mut Vec<u8>) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read_buf(chunk).await,
        None => pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
