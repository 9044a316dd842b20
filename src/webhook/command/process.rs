//! Starting a command and following it to its end.

use std::{
    env,
    ffi::{OsStr, OsString},
    future::pending,
    io,
    os::unix::{ffi::OsStringExt, process::ExitStatusExt},
    path::Path,
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

use super::{files::PassedFile, output::Output, tree::Tree};
use crate::webhook::{
    go::syscall::{self, reason},
    hooks::Hook,
    shutdown::Stop,
};

/// Time between the signal that asks and the one that does not.
const TERM_TO_KILL: Duration = Duration::from_secs(3);

/// What was started.
pub struct Process {
    child: Child,
    output: Option<pipe::Receiver>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    status: ExitStatus,
    /// Why it was ended by us, if it was.
    by_us: Option<String>,
}

impl Ended {
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

/// Starts `program` for `hook`, with both its streams in one pipe if its output is wanted.
pub fn start(
    hook: &Hook,
    program: &Path,
    arguments: Vec<Vec<u8>>,
    environment: Vec<(String, Vec<u8>)>,
    files: &[PassedFile],
    stdin: Option<Vec<u8>>,
    output_wanted: bool,
) -> Result<Process, String> {
    if environment.iter().any(|(name, value)| name.contains('\0') || value.contains(&0)) {
        return Err("exec: environment variable contains NUL".to_owned());
    }
    let mut command = Command::new(program);
    command
        .arg0(&hook.execute_command)
        .args(arguments.into_iter().map(OsString::from_vec))
        .process_group(0)
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
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
    for (name, value) in environment {
        set_variable(&mut command, &name, &OsString::from_vec(value));
    }
    for file in files {
        set_variable(&mut command, &file.variable, file.path.as_os_str());
    }
    let mut output = None;
    if output_wanted {
        let (reader, writer) = io::pipe().map_err(|error| format!("pipe: {}", reason(&error)))?;
        let second = writer.try_clone().map_err(|error| format!("pipe: {}", reason(&error)))?;
        command.stdout(writer).stderr(second);
        let reader = pipe::Receiver::from_owned_fd(reader.into());
        output = Some(reader.map_err(|error| format!("pipe: {}", reason(&error)))?);
    }
    // The command holds our ends of the pipe; they are closed with it, here.
    let child = command.spawn();
    drop(command);
    let mut child = child.map_err(|error| why_not_started(&error, hook, program))?;
    if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
        // A command that does not read it, or not to its end, is none the worse.
        tokio::spawn(async move { pipe.write_all(&bytes).await });
    }
    Ok(Process { child, output })
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

/// When and why a command is ended before it ends by itself.
struct Ending {
    tree: Tree,
    why: Option<String>,
    /// When the next step is due: the request to end, then the end.
    due: Option<Instant>,
}

impl Ending {
    fn ask(&mut self, why: String) {
        self.tree.signal(Signal::TERM);
        self.why = Some(why);
        self.due = Some(Instant::now() + TERM_TO_KILL);
    }

    fn force(&mut self) {
        self.tree.signal(Signal::KILL);
        self.due = None;
    }
}

impl Process {
    /// Takes the output as it comes until the command exits, or ends it: after `timeout`, when the client that
    /// reads along goes, when the daemon has to.
    pub async fn follow(
        mut self,
        output: &mut Output<'_>,
        timeout: Option<Duration>,
        stop: &mut Stop,
    ) -> io::Result<Ended> {
        let group = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let mut ending = Ending {
            tree: Tree::of(group.ok_or(io::ErrorKind::NotFound)?),
            why: None,
            due: timeout.map(|timeout| Instant::now() + timeout),
        };
        let mut chunk = Vec::with_capacity(8 * 1024);
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
                passed = output.pass_on() => if passed.is_err() {
                    output.drop_client();
                    if ending.why.is_none() {
                        ending.ask("the client went away".to_owned());
                    }
                },
                () = at(ending.due) => match timeout {
                    Some(timeout) if ending.why.is_none() => ending.ask(format!("command-timeout of {timeout:?}")),
                    _ => ending.force(),
                },
                () = stop.commands_end(), if ending.why.is_none() => ending.ask("the daemon stops".to_owned()),
            }
        };
        if ending.why.is_some() {
            // Its leader is gone; what of it heeded no signal goes too.
            ending.force();
        }
        self.take_rest(output, chunk).await;
        Ok(Ended { status, by_us: ending.why })
    }

    /// Takes what was in the pipe when the command exited. Whoever still holds it, a job left in the
    /// background, may write on, to nobody.
    async fn take_rest(&mut self, output: &mut Output<'_>, mut chunk: Vec<u8>) {
        let Some(mut pipe) = self.output.take() else { return };
        let mut left = rustix::io::ioctl_fionread(&pipe).unwrap_or(0);
        let mut open = true;
        while left > 0 && open {
            chunk.clear();
            match pipe.try_read_buf(&mut chunk) {
                Ok(read @ 1..) => {
                    left = left.saturating_sub(read as u64);
                    while !output.has_room() {
                        if output.pass_on().await.is_err() {
                            output.drop_client();
                        }
                    }
                    output.take(&chunk);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && pipe.readable().await.is_ok() => {}
                Ok(0) | Err(_) => open = false,
            }
        }
        while !output.has_room() {
            if output.pass_on().await.is_err() {
                output.drop_client();
            }
        }
        if open {
            tokio::spawn(async move { tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await });
        }
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
