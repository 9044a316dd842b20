//! `build catch-up`: queues the heads that the forge has and nobody here knows.

use std::io::{self, Write};

use clap::Args;

use super::failure::Failure;
use crate::{
    builder::{
        log,
        settings::{SettingFlags, Settings},
    },
    forge::catch_up::{self, CaughtUp, Head, How, Pauses},
    home::Home,
    own_name::own_name,
};

#[derive(Args)]
pub struct CatchUpArguments {
    /// Queue nothing: say what would be
    #[arg(long)]
    dry_run: bool,
    /// As build does it by itself: one look, and only build.log hears
    #[arg(long, hide = true, conflicts_with = "dry_run")]
    scheduled: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub fn run(home: &Home, arguments: CatchUpArguments) -> Result<u8, Failure> {
    let settings = Settings::read(arguments.settings).map_err(Failure::usage)?;
    let how = match (arguments.dry_run, arguments.scheduled) {
        (true, _) => How::Dry,
        (_, true) => How::Once,
        _ => How::Twice,
    };
    if how == How::Once {
        log::start(&home.build_log(), false)?;
    }
    let Some(found) = catch_up::run(home, &settings.git_base, how, &Pauses::default())? else {
        if how != How::Once {
            eprintln!("{}: another catch-up is at it", own_name());
        }
        return Ok(0);
    };
    match how {
        How::Once => log_it(&found),
        How::Twice | How::Dry => say_it(&found, how),
    }
    Ok(u8::from(!found.look.failed.is_empty()))
}

fn log_it(found: &CaughtUp) {
    for (id, head) in &found.queued {
        tracing::info!("build-{id} is queued, its push never arrived: {}", shown(head));
    }
    for (repository, why) in &found.look.failed {
        // Once, and not every ten minutes.
        if !found.failed_before.contains_key(repository) {
            tracing::warn!("missed pushes of {repository} are not found: {why}");
        }
    }
}

fn say_it(found: &CaughtUp, how: How) {
    let say = |line: String| {
        // Whoever closed the pipe has seen enough.
        let _ = writeln!(io::stdout(), "{line}");
    };
    for (id, head) in &found.queued {
        say(format!("queued build-{id}: {}", shown(head)));
    }
    for head in &found.look.unknown {
        let what =
            if how == How::Dry { "would be queued" } else { "has only just come, the next look decides" };
        say(format!("{what}: {}", shown(head)));
    }
    for (repository, why) in &found.look.failed {
        eprintln!("{}: {repository} could not be asked: {why}", own_name());
    }
    if found.queued.is_empty() && found.look.unknown.is_empty() && found.look.failed.is_empty() {
        say("nothing is missing".to_string());
    }
}

fn shown(head: &Head) -> String {
    let Head { repository, git_ref, commit_id } = head;
    format!("{repository} {} {commit_id}", crate::text::printable(git_ref.as_str()))
}
