//! strace(1): what a program asks of the kernel, and what happens when a request fails or is the last one.

use std::{
    collections::HashMap,
    fs,
    process::{Command, Output},
};

use super::{installation::Installation, need::or_skip};

/// Is it there, and allowed to trace?
pub fn is_there() -> bool {
    let missing = match Command::new("strace").args(["-o", "/dev/null", "true"]).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(format!("strace: {error}")),
    };
    or_skip("AMP_CI_REQUIRE_STRACE", missing.as_deref())
}

/// A call of the trace.
pub struct Call {
    pub name: String,
    /// Its line from the name on, with single blanks.
    pub text: String,
    /// The how-manieth of its name in its thread: that is what `when=` counts.
    pub number: usize,
}

/// The program under strace, with one `--inject` or none. What it starts runs untraced.
pub fn command(ci: &Installation, program: &str, inject: &str) -> Command {
    let mut command = ci.command("strace");
    command.args(["-f", "-b", "execve", "--signal=none", "-o"]).arg(ci.path("trace"));
    if !inject.is_empty() {
        command.arg(format!("--inject={inject}"));
    }
    command.arg(ci.command(program).get_program());
    command
}

/// Runs it to its end.
pub fn run(ci: &Installation, program: &str, arguments: &[&str], inject: &str) -> Output {
    command(ci, program, inject).args(arguments).output().unwrap()
}

/// What the last one of them asked for.
pub fn calls(ci: &Installation) -> Vec<Call> {
    let trace = fs::read(ci.path("trace")).unwrap();
    let mut counts = HashMap::new();
    String::from_utf8_lossy(&trace)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let thread = words.next()?.to_string();
            let text = words.collect::<Vec<_>>().join(" ");
            let name = text.split_once('(')?.0.to_string();
            let is_call = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            let count = counts.entry((thread, name.clone())).or_insert(0);
            *count += usize::from(is_call);
            is_call.then_some(Call { name, text, number: *count })
        })
        .collect()
}
