//! Programs that are started as if nobody had started us: without our terminal, and with the signals that we were told to
//! ignore.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::process::CommandExt,
    process::Command,
    sync::LazyLock,
};

use rustix::process::Signal;

/// A program that would ask somebody at a terminal waits for ever, so it gets none. Where we have none a process group is
/// enough: it is cheaper by an exec.
static HAS_TERMINAL: LazyLock<bool> = LazyLock::new(|| File::open("/dev/tty").is_ok());

/// Is there a terminal to be kept from?
pub fn has_terminal() -> bool {
    *HAS_TERMINAL
}

/// nohup(1), and a shell's `&`, have us ignore signals, and whoever is started inherits that.
static IGNORES_SIGNALS: LazyLock<bool> = LazyLock::new(|| ignored_signals().next().is_some());

/// The numbers of the signals that we were told to ignore.
pub fn ignored_signals() -> impl Iterator<Item = i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status);
    // std ignores SIGPIPE for us, and gives children the default. Those from 32 on are glibc's own business.
    (1..32).filter(move |signal| *signal != Signal::PIPE.as_raw() && ignored >> (signal - 1) & 1 == 1)
}

/// The program in a process group of its own, which is a session where there is a terminal to be kept from.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let signals: &[&str] = if *IGNORES_SIGNALS { &["env", "--default-signal"] } else { &[] };
    let session: &[&str] = if *HAS_TERMINAL { &["setsid"] } else { &[] };
    let mut words = signals.iter().chain(session).map(OsStr::new).chain([program.as_ref()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    if !*HAS_TERMINAL {
        // For the leader of a group setsid(1) would fork: its process would not be the program's.
        command.process_group(0);
    }
    command
}

/// proc_pid_status(5): a bit for each signal, the first for number 1.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::ignored;

    #[test]
    fn the_ignored_signals_are_read_as_the_kernel_writes_them() {
        assert_eq!(ignored("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001006\n"), 0x1006);
        assert_eq!(ignored("Name:\tx\n"), 0);
    }
}
