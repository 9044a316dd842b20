//! What a repository's server says of its refs: `git ls-remote`, which nobody has to answer a question for.

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

/// Some hundred thousand refs.
const LONGEST_ANSWER: u64 = 64 << 20;

/// All heads of a repository below `base`; an error if that takes longer than `patience`. What is no ref or no commit as
/// we know them is left out.
pub fn heads(
    base: &GitBase,
    repository: &Repository,
    patience: Duration,
) -> io::Result<Vec<(GitRef, CommitId)>> {
    Ok(parse_heads(&ask(base, repository, &["--heads"], &[], patience)?))
}

/// The commit of one ref, of the default branch if none is named; none if there is no such ref. As long as [`heads`].
pub fn tip(
    base: &GitBase,
    repository: &Repository,
    git_ref: Option<&GitRef>,
    patience: Duration,
) -> io::Result<Option<(GitRef, CommitId)>> {
    let answer = match git_ref {
        // A tag with words of its own is no commit; behind `^{}` is the one that it is of.
        Some(git_ref) => {
            let of_tag = format!("{git_ref}^{{}}");
            ask(base, repository, &[], &[git_ref.as_str(), &of_tag], patience)?
        }
        None => ask(base, repository, &["--symref"], &["HEAD"], patience)?,
    };
    Ok(parse_tip(&answer, git_ref))
}

/// What the server says to `git ls-remote OPTIONS URL REFS`.
fn ask(
    base: &GitBase,
    repository: &Repository,
    options: &[&str],
    refs: &[&str],
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let mut command = detached::command("timeout");
    command
        // Its process group, and so what git has started, ends with it.
        .args(["--kill-after=5", &patience.as_secs_f64().to_string()])
        .args(["git", "ls-remote"])
        .args(options)
        .args(["--", &format!("{}/{repository}", base.url())])
        .args(refs)
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
        return Err(io::Error::other(format!("the list of refs is longer than {LONGEST_ANSWER} bytes")));
    }
    match status.code() {
        Some(0) => Ok(answer),
        Some(124) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", patience.as_secs())))
        }
        _ => {
            let words = String::from_utf8_lossy(&words);
            Err(io::Error::other(format!("git ls-remote ended with {status}: {}", git::complaint(&words))))
        }
    }
}

/// `VALUE<TAB>NAME`.
fn lines(answer: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    answer.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()?.split_once('\t'))
}

fn parse_heads(answer: &[u8]) -> Vec<(GitRef, CommitId)> {
    lines(answer).filter_map(|(value, name)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
}

fn parse_tip(answer: &[u8], git_ref: Option<&GitRef>) -> Option<(GitRef, CommitId)> {
    let commit =
        |of: &str| lines(answer).filter(|(_, name)| *name == of).find_map(|(value, _)| value.parse().ok());
    if let Some(git_ref) = git_ref {
        let commit = commit(&format!("{git_ref}^{{}}")).or_else(|| commit(git_ref.as_str()))?;
        return Some((git_ref.clone(), commit));
    }
    // `ref: refs/heads/main<TAB>HEAD`, and the same name with the commit.
    let branch =
        lines(answer).find_map(|(value, name)| value.strip_prefix("ref: ").filter(|_| name == "HEAD"))?;
    Some((branch.parse().ok()?, commit("HEAD")?))
}

#[cfg(test)]
mod tests {
    use super::{parse_heads, parse_tip};

    #[test]
    fn what_is_no_head_is_left_out() {
        let commit = "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997";
        let answer = format!(
            "{commit}\trefs/heads/main\n{commit}\tHEAD\nnonsense\n\n{commit}\trefs/heads/a..b\n{}\trefs/heads/x\n\u{fffd}",
            "0".repeat(40)
        );
        let heads = parse_heads(answer.as_bytes());
        assert_eq!(heads.len(), 1);
        assert_eq!((heads[0].0.as_str(), heads[0].1.as_str()), ("refs/heads/main", commit));
    }

    #[test]
    fn the_tip_is_that_of_the_very_ref_and_of_a_tag_the_commit_behind_it() {
        let (tag, commit) = ("1".repeat(40), "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997");
        let answer = format!(
            "{tag}\trefs/heads/x/refs/heads/main\n{commit}\trefs/heads/main\n{tag}\trefs/tags/v1\n{commit}\trefs/tags/v1^{{}}\n"
        );
        for (git_ref, found) in
            [("refs/heads/main", Some(commit)), ("refs/tags/v1", Some(commit)), ("refs/heads/x", None)]
        {
            let tip = parse_tip(answer.as_bytes(), Some(&git_ref.parse().unwrap()));
            assert_eq!(
                tip.as_ref().map(|tip| (tip.0.as_str(), tip.1.as_str())),
                found.map(|found| (git_ref, found))
            );
        }
    }

    #[test]
    fn the_default_branch_is_what_head_says() {
        let commit = "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997";
        let answer = format!("ref: refs/heads/trunk\tHEAD\n{commit}\tHEAD\n");
        let tip = parse_tip(answer.as_bytes(), None).unwrap();
        assert_eq!((tip.0.as_str(), tip.1.as_str()), ("refs/heads/trunk", commit));
        for none in ["", &format!("{commit}\tHEAD\n"), "ref: refs/heads/trunk\tHEAD\n"] {
            assert!(parse_tip(none.as_bytes(), None).is_none(), "{none}");
        }
    }
}
