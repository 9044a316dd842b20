//! Processes: those that a test starts, and all that there are.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{
    files::names,
    wait::{until, wait_until},
};

/// A program that runs; killed when dropped.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    pub fn signal(&self, signal: &str) {
        signal_to(signal, self.pid());
    }

    /// How it ended, if it has.
    pub fn is_over(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().map(code)
    }

    /// Waits for its end: the exit code, or minus the signal.
    pub fn wait(&mut self) -> i32 {
        code(until("build ends", || self.0.try_wait().unwrap()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap()
}

/// Waits until the kernel shows this program among the arguments of a process: at its start it shows none for a moment.
pub fn wait_for_name(pid: i32, program: &str) {
    wait_until(&format!("{program} is an argument of {pid}"), || {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument.ends_with(program.as_bytes()))
    });
}

/// Sends this one, or the group of this number with a minus, a signal.
pub fn signal_to(signal: &str, target: i32) {
    let signal = match signal {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "HUP" => Signal::HUP,
        "QUIT" => Signal::QUIT,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        other => panic!("{other} is not in the list"),
    };
    // By ourselves, who are there to be looked at: `build` asks who has sent a signal.
    let process = Pid::from_raw(target.abs()).unwrap();
    let sent = if target < 0 { kill_process_group(process, signal) } else { kill_process(process, signal) };
    sent.unwrap();
}

/// The command lines of the processes, zombies apart, for which `is_meant` holds, with their numbers.
pub fn processes(is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let line = |pid: &str| fs::read(format!("/proc/{pid}/cmdline")).ok();
    names(Path::new("/proc"))
        .into_iter()
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|pid| Some((String::from_utf8_lossy(&line(&pid)?).replace('\0', " "), pid)))
        .filter(|(line, _)| is_meant(line))
        .map(|(line, pid)| format!("{pid} {line}"))
        .collect()
}

/// Is there a process of this number that is no zombie?
pub fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}

/// The most memory that a process ever had, in kibibytes; none if it is over.
pub fn peak_kib(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.parse().ok()
}
