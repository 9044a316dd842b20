//! The programs and the kernel that builds need.

use std::process::{Command, Stdio};

use super::findings::{Findings, ok};
use crate::{builder::settings::Settings, error_chain::in_full};

pub fn look(findings: &mut Findings, settings: &Settings) {
    programs(findings, settings);
    let ourselves = rustix::process::getpid();
    if let Err(error) = rustix::process::pidfd_open(ourselves, rustix::process::PidfdFlags::empty()) {
        findings.wrong(&format!(
            "pidfd_open(2): {error}; the ends of builds are seen by it: take Linux 5.3 or later, or a sandbox that allows it"
        ));
    }
}

fn programs(findings: &mut Findings, settings: &Settings) {
    let launcher = settings.launcher.as_ref();
    for program in ["/bin/bash", "git"].into_iter().chain(launcher.map(|_| "setpriv")) {
        let found = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match found {
            Ok(_) => ok(&format!("{program} is there")),
            Err(error) => {
                findings.wrong(&format!("{program}: {error}; install it, or mend PATH (cron's is short)"));
            }
        }
    }
    // These are not run: what `--version` means to them is theirs.
    for command in
        launcher.into_iter().flat_map(|launcher| [Some(&launcher.start), launcher.cancel.as_ref()]).flatten()
    {
        match command.look_up() {
            Ok(()) => ok(&format!("the launcher's {} is there", command.program())),
            Err(error) => {
                findings.wrong(&format!("{}; install it, or mend PATH (cron's is short)", in_full(&error)));
            }
        }
    }
}
