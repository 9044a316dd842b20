//! The heads of a repository, as its server has them: `git ls-remote`, which nobody has to answer a question for.

use std::{
    env,
    io::{self, Read},
    process::Stdio,
    thread,
    time::Duration,
};

use crate::{
    detached,
    error_chain::at,
    git::{self, GitBase},
    queue::fields::{CommitId, GitRef, Repository},
};

/// Some hundred thousand heads.
const LONGEST_ANSWER: u64 = 64 << 20;

/// All heads of a repository below `base`; an error if that takes longer than `patience`. What is no ref or no commit as we know them is
/// left out.
pub fn heads(
    base: &GitBase,
    repository: &Repository,
    patience: Duration,
) -> io::Result<Vec<(GitRef, CommitId)>> {
    let mut command = detached::command("timeout");
    command
        // Its process group, and so what git has started, ends with it.
        .args(["--kill-after=5", &patience.as_secs_f64().to_string()])
        .args(["git", "ls-remote", "--heads", "--", &format!("{}/{repository}", base.url())])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("GIT_TERMINAL_PROMPT", "0");
    for (name, _) in env::vars_os().filter(|(name, _)| git::is_local(name)) {
        command.env_remove(name);
    }
    command.envs(base.credentials());
    for (name, value) in [
        ("GIT_ASKPASS", "true"),
        ("GIT_ALLOW_PROTOCOL", "https:ssh:file"),
        ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
    ] {
        if env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    let mut child = command.spawn().map_err(at("cannot start timeout(1)"))?;
    let (mut stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let words = thread::spawn(move || {
        let mut words = Vec::new();
        let _ = (&mut stderr).take(2000).read_to_end(&mut words);
        let _ = io::copy(&mut stderr, &mut io::sink());
        words
    });
    let mut answer = Vec::new();
    let read = (&mut stdout).take(LONGEST_ANSWER + 1).read_to_end(&mut answer);
    // Whoever still writes is ended by that.
    drop(stdout);
    let status = child.wait()?;
    let words = words.join().unwrap_or_default();
    read?;
    if answer.len() as u64 > LONGEST_ANSWER {
        return Err(io::Error::other(format!("the list of heads is longer than {LONGEST_ANSWER} bytes")));
    }
    match status.code() {
        Some(0) => Ok(parse(&answer)),
        Some(124) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", patience.as_secs())))
        }
        _ => {
            let words = String::from_utf8_lossy(&words);
            let words = words.trim_end().lines().last().unwrap_or("git said nothing").to_string();
            Err(io::Error::other(format!(
                "git ls-remote ended with {status}: {}",
                crate::text::printable(&words)
            )))
        }
    }
}

fn parse(answer: &[u8]) -> Vec<(GitRef, CommitId)> {
    let line = |line: &[u8]| {
        let (commit, git_ref) = std::str::from_utf8(line).ok()?.split_once('\t')?;
        Some((git_ref.parse().ok()?, commit.parse().ok()?))
    };
    answer.split(|byte| *byte == b'\n').filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_is_no_head_is_left_out() {
        let commit = "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997";
        let answer = format!(
            "{commit}\trefs/heads/main\n{commit}\tHEAD\nnonsense\n\n{commit}\trefs/heads/a..b\n{}\trefs/heads/x\n\u{fffd}",
            "0".repeat(40)
        );
        let heads = parse(answer.as_bytes());
        assert_eq!(heads.len(), 1);
        assert_eq!((heads[0].0.as_str(), heads[0].1.as_str()), ("refs/heads/main", commit));
    }
}
