//! The script that a launcher runs: it runs build.sh where the engine put it, and says in a last line what came out.

use std::{borrow::Cow, path::Path};

use super::verdict_line::Nonce;
use crate::{builder::script::compose, timeout::Timeout};

/// The copy of build.sh in the workspace, which is all that a node needs to see.
pub const SCRIPT: &str = ".amp_ci-build.sh";

/// The file beside it with the word that makes a verdict; gone before build.sh starts.
pub const SECRET: &str = ".amp_ci-secret";

/// The file beside it in which build.sh notes which chunk it has begun.
pub const PROGRESS: &str = ".amp_ci-progress";

/// The text of run.sh. It does not depend on any file but the workspace's: the launcher gets it as an argument.
pub fn text(nonce: &Nonce, workspace: &Path, limit: Timeout) -> String {
    let dir = shlex::try_quote(&workspace.to_string_lossy()).map(Cow::into_owned).unwrap_or_default();
    // In the foreground: a process group of its own would hide the build from engines that end a job by its group.
    let (limited, seconds) = match limit.0 {
        Some(limit) => {
            (format!("timeout --foreground --kill-after=10 {} ", limit.as_secs()), limit.as_secs())
        }
        None => (String::new(), u64::MAX >> 1),
    };
    format!(
        // One word or nothing: pasted behind `bash -c` without its quotes, a function is no command at all.
        "run() {{\n\
         exec 2>&1 </dev/null\n\
         say() {{ printf '\\n%s %s %s\\n' {nonce} \"$1\" \"$2\"; }}\n\
         cd {dir} && [ -r {SCRIPT} ] || {{ say unseen \"$(uname -n)\"; exit 125; }}\n\
         read -r secret <{SECRET} && rm {SECRET} || {{ say again \"$(uname -n)\"; exit 125; }}\n\
         # What bash remarks when build.sh is killed is no output of build.sh.\n\
         exec 2>/dev/null\n\
         SECONDS=0\n\
         export {variable}=$PWD/{PROGRESS}\n\
         {limited}/bin/bash {SCRIPT} 2>&1\n\
         rc=$?\n\
         # Whoever ended it from outside may be about to end this script too: then there is no verdict.\n\
         case $rc in 129 | 130 | 137 | 143) sleep 1 ;; esac\n\
         case $rc in 124 | 137) if [ $SECONDS -ge {seconds} ]; then say late \"$rc $secret\"; exit $rc; fi ;; esac\n\
         early=\n\
         if [ $rc = 0 ] && [ -f {PROGRESS} ]; then read -r -n 255 early <{PROGRESS}; fi\n\
         if [ -n \"$early\" ]; then say early \"$early $secret\"; exit $rc; fi\n\
         say exit \"$rc $secret\"\n\
         exit $rc\n\
         }}\n\
         run\n",
        variable = compose::PROGRESS,
    )
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use super::*;
    use crate::builder::launcher::verdict_line::{VerdictLine, VerdictReader};

    fn heard(output: &[u8], nonce: &Nonce, secret: &Nonce) -> (Vec<u8>, Option<VerdictLine>) {
        let mut passed = Vec::new();
        let mut pass_on = |bytes: &[u8]| {
            passed.extend_from_slice(bytes);
            Ok(())
        };
        let mut reader = VerdictReader::new(nonce, secret);
        reader.read(output, &mut pass_on).unwrap();
        let line = reader.finish(&mut pass_on).unwrap();
        (passed, line)
    }

    #[test]
    fn run_sh_says_how_build_sh_ended() {
        let dir = tempfile::tempdir().unwrap();
        let said = |build: &str, limit: Option<u64>, at: &Path| {
            fs_err::write(dir.path().join(SCRIPT), build).unwrap();
            let (nonce, secret) = (Nonce::random(), Nonce::random());
            fs_err::write(dir.path().join(SECRET), format!("{secret}\n")).unwrap();
            let text = super::text(&nonce, at, Timeout(limit.map(Duration::from_secs)));
            let output = Command::new("/bin/bash").args(["-c", &text]).output().unwrap();
            heard(&output.stdout, &nonce, &secret)
        };
        let said_here = |build: &str| said(build, Some(60), dir.path());
        assert_eq!(
            said_here("printf out; printf err >&2; exit 7"),
            (b"outerr".to_vec(), Some(VerdictLine::Exited(7)))
        );
        let early = said_here("echo checkout_repos >$AMP_CI_PROGRESS");
        assert_eq!(early.1, Some(VerdictLine::Early("checkout_repos".to_string())));
        assert_eq!(said_here("echo x >$AMP_CI_PROGRESS; exit 3").1, Some(VerdictLine::Exited(3)));
        assert_eq!(said_here(": >$AMP_CI_PROGRESS").1, Some(VerdictLine::Exited(0)));
        assert_eq!(said_here("exit 0").1, Some(VerdictLine::Exited(0)));
        assert_eq!(said_here("exit 255").1, Some(VerdictLine::Exited(255)));
        assert_eq!(said_here("exit 124").1, Some(VerdictLine::Exited(124)));
        assert_eq!(said_here("echo dying; kill -9 $$"), (b"dying\n".to_vec(), Some(VerdictLine::Exited(-9))));
        assert_eq!(said("exec sleep 100", Some(1), dir.path()).1, Some(VerdictLine::TimedOut(-15)));
        assert_eq!(said("exit 3", None, dir.path()).1, Some(VerdictLine::Exited(3)));
        assert!(matches!(said("exit 0", None, &dir.path().join("away")).1, Some(VerdictLine::Unseen(_))));
        // The directory is there, what belongs into it is not: another file system of the same name.
        let other = tempfile::tempdir().unwrap();
        assert!(matches!(said("exit 0", None, other.path()).1, Some(VerdictLine::Unseen(_))));
        // An engine that thinks it has to begin anew.
        fs_err::write(other.path().join(SCRIPT), "exit 0").unwrap();
        assert!(matches!(said("exit 0", None, other.path()).1, Some(VerdictLine::Again(_))));
    }
}
