//! Writes into a directory the manual pages of the programs and the completions for bash, zsh and fish, from the
//! definitions that the programs themselves read their command lines by: `manual DIR DATE`.
#![allow(clippy::unwrap_used, reason = "what cannot be written stops the package")]

use std::{env, fs, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [dir, date] = &arguments[..] else { panic!("usage: manual DIR DATE") };
    let dir = Path::new(dir);

    // Installed, the launcher `build` is called `amp-ci`.
    let build = amp_ci::build::Arguments::command().name("amp-ci").bin_name("amp-ci");
    let queue_build = amp_ci::queue_build::Arguments::command();
    let statusd = amp_ci::statusd::Arguments::command();
    let webhookd = amp_ci::webhook::Options::command();

    let mut with_verbs = build.clone();
    with_verbs.build();
    for verb in with_verbs.get_subcommands() {
        let name = verb.get_display_name().unwrap();
        write(dir, &format!("{name}.1"), &page(verb.clone(), "1", date));
    }
    write(dir, "amp-ci.1", &page(build.clone(), "1", date));
    write(dir, "queue_build.1", &page(queue_build.clone(), "1", date));
    write(dir, "amp-ci-statusd.8", &page(statusd.clone().name("amp-ci-statusd"), "8", date));
    write(dir, "webhookd.8", &page(webhookd.clone(), "8", date).replace(r"\fB\-\-", r"\fB\-"));

    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        for command in [&build, &queue_build, &statusd] {
            write(dir, &format!("{}.{shell}", command.get_name()), &completion(shell, command));
        }
        write(dir, &format!("webhookd.{shell}"), &with_one_dash(shell, &completion(shell, &webhookd)));
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

fn page(command: Command, section: &str, date: &str) -> String {
    let mut page = Vec::new();
    Man::new(command).section(section).date(date).source("amp_ci").render(&mut page).unwrap();
    // mandoc warns of breaks around an empty line.
    String::from_utf8(page).unwrap().replace(".br\n\n.br\n", ".sp\n").replace(".SH EXTRA", ".SH NOTES")
}

fn completion(shell: Shell, command: &Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command.clone(), command.get_name(), &mut script);
    String::from_utf8(script).unwrap()
}

/// `webhookd` has flags as Go's programs write them; the definition has them as clap can hold them.
fn with_one_dash(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => {
            script.replace(" --", " -").replace("\"--", "\"-").replace(" - \"${cur}\"", " -- \"${cur}\"")
        }
        // Stacked letters and long names with one dash exclude each other.
        Shell::Zsh => script.replace("'--", "'-").replace("'*--", "'*-").replace("=(-s ", "=("),
        Shell::Fish => script.replace(" -l ", " -o "),
        _ => unreachable!("three shells"),
    }
}
