//! Isolation on one machine: bubblewrap as the launcher, as docs/scaling.md has it.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::support::{
    files::{names, temp_dir},
    installation::{Installation, Push},
    need::skip,
    wait::wait_until,
};

/// An installation whose builds run behind walls, and the home of the account that runs it, with a secret in it.
struct Walled {
    ci: Installation,
    home: TempDir,
}

impl Walled {
    fn building(build_packages: &str) -> Option<Self> {
        if !has_walls() {
            return None;
        }
        let home = temp_dir();
        fs::write(home.path().join("id_ed25519"), "a key").unwrap();
        let mut ci = Installation::building(build_packages);
        ci.set("HOME", &home.path().display().to_string());
        let installation = ci.home().display().to_string();
        ci.set("AMP_CI_LAUNCHER", &documented_launcher(&home.path().display().to_string(), &installation));
        Some(Self { ci, home })
    }

    fn build(&self) {
        self.ci.push(&Push::to("amp_mgms", "main"));
        self.ci.build(1);
    }
}

/// Can bubblewrap be used here?
pub fn has_walls() -> bool {
    let works = Command::new("bwrap").args(["--ro-bind", "/", "/", "--unshare-pid", "true"]).output();
    let missing = match works {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => format!("bwrap: {error}: apt-get install bubblewrap"),
    };
    skip("AMP_CI_REQUIRE_BWRAP", &missing);
    false
}

/// The line that docs/scaling.md tells people to put into environment.sh, as bash would read it there.
pub fn documented_launcher(home: &str, installation: &str) -> String {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scaling.md");
    let document = fs::read_to_string(document).unwrap();
    let begin = document.find("AMP_CI_LAUNCHER=\"bwrap ").expect("the document has it");
    let line = document[begin..].split("}\"\n").next().unwrap();
    let script = format!("{line}}}\"\nprintf %s \"$AMP_CI_LAUNCHER\"");
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("HOME", home)
        .env("AMP_CI_HOME", installation)
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

fn processes_named(needle: &str) -> usize {
    let command_line = |pid: String| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    names("/proc".as_ref())
        .into_iter()
        .filter(|pid| String::from_utf8_lossy(&command_line(pid.clone())).contains(needle))
        .count()
}

#[test]
fn exit_codes_come_through_the_walls() {
    for (ending, rc) in [("true", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", -9)] {
        let Some(walled) = Walled::building(ending) else { return };
        walled.build();
        assert_eq!(walled.ci.record().result["rc"], rc, "{ending}: {}", walled.ci.log());
    }
}

#[test]
fn a_build_writes_into_its_directory_and_nowhere_else() {
    let Some(walled) = Walled::building(
        "set +e
        echo mine >here && cat here
        for place in /etc /usr /var/tmp /srv; do touch $place/amp_ci-was-here 2>/dev/null && echo wrote $place; done
        touch /tmp/amp_ci-was-here ~/amp_ci-was-here && echo private places can be written
        ls -A ~
        cat ~/id_ed25519 \"$INSTALLATION\"/queue/lock && echo saw it
        true",
    ) else {
        return;
    };
    let mut walled = walled;
    let installation = walled.ci.home().display().to_string();
    walled.ci.set("INSTALLATION", &installation);
    walled.build();

    let output = walled.ci.record().output();
    assert_eq!(walled.ci.record().outcome(), "succeeded", "{output}");
    assert!(output.contains("\nmine\n") && output.contains("\nprivate places can be written\n"), "{output}");
    assert!(
        !output.contains("\nwrote ") && !output.contains("\nsaw it") && !output.contains("a key"),
        "{output}"
    );
    assert!(!walled.home.path().join("amp_ci-was-here").exists());
    assert!(!fs::exists("/tmp/amp_ci-was-here").unwrap());
}

/// A process that has shed all that it could be known by: its parent, its session, its environment.
const DAEMON: &str = "env -i setsid --fork sleep";

#[test]
fn no_daemon_survives_its_build() {
    let Some(walled) = Walled::building(&format!("{DAEMON} 7771.25")) else { return };
    walled.build();
    assert_eq!(walled.ci.record().outcome(), "succeeded");
    wait_until("the daemon is gone", || processes_named("7771.25") == 0);
}

#[test]
fn at_its_time_limit_nothing_of_it_is_left() {
    let Some(mut walled) = Walled::building(&format!("{DAEMON} 7772.25; sleep 7772.5")) else { return };
    walled.ci.set("AMP_CI_TIMEOUT", "1s");
    walled.build();
    assert_eq!(walled.ci.record().outcome(), "timed_out", "{}", walled.ci.log());
    wait_until("all is gone", || processes_named("7772.") == 0);
}

#[test]
fn when_build_is_killed_its_builds_are_gone_at_once() {
    let Some(walled) = Walled::building(&format!("{DAEMON} 7773.25; sleep 7773.5")) else { return };
    let id = walled.ci.push(&Push::to("amp_mgms", "main"));
    let mut build = walled.ci.start_build(1);
    wait_until("both run", || processes_named("7773.") == 2);
    build.signal("KILL");
    build.wait();
    // Without the walls they would live until the next `build`, the daemon beyond that.
    wait_until("all is gone", || processes_named("7773.") == 0);
    assert_eq!(walled.ci.entries(), [format!("build-{id}.lock")]);
}
