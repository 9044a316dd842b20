//! `build init`: makes a home apart from the checkout, or brings one up to date without touching what is the site's.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;

use super::failure::Failure;
use crate::{
    builder::shipped::{self, Installed, Shipped},
    durable,
    home::Home,
};

#[derive(Args)]
pub struct InitArguments {
    /// The home: made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where start_webhook.sh and the programs are; the script `build` says so by itself
    #[arg(long, value_name = "DIR")]
    checkout: PathBuf,
}

/// In the order in which they are made: what has `queue/` is a home.
const DIRECTORIES: [&str; 5] = ["queue", "builds", "outbox", "mirrors", "scripts"];

pub fn run(arguments: &InitArguments) -> Result<u8, Failure> {
    let checkout =
        arguments.checkout.canonicalize().with_context(|| arguments.checkout.display().to_string())?;
    let dir = std::path::absolute(&arguments.dir)?;
    // Not those above it: there may be a typing mistake in them.
    durable::create_dir(&dir, 0o750)?;
    let home = Home::find(Some(&dir))?;
    home.refuse_others()?;
    refuse_what_is_no_home(home.dir(), &checkout)?;
    // A home without copies is one that grew before there were any: what it lacks, it lacks on purpose.
    let is_new = shipped::has_copies(home.dir()) || !home.scripts().exists();
    shipped::make_copies(home.dir())?;
    for name in DIRECTORIES {
        durable::create_dir(&home.dir().join(name), 0o750)?;
    }
    let Some(checkout) = checkout.to_str() else {
        return Err(anyhow::anyhow!("the checkout's path is not UTF-8").into());
    };
    for file in shipped::FILES.iter().chain(&shipped::launchers(checkout)) {
        let installed = file.install(home.dir(), is_new)?;
        if let Some(line) = line(file, installed, home.dir()) {
            say(&line);
        }
    }
    say(&format!("{} is a home: its settings are in {0}/environment.sh", home.dir().display()));
    Ok(0)
}

fn refuse_what_is_no_home(dir: &Path, checkout: &Path) -> anyhow::Result<()> {
    if dir == checkout {
        bail!(
            "{} is the checkout, and a home of its own without this: name another directory",
            dir.display()
        );
    }
    let mut entries = fs_err::read_dir(dir)?;
    let is_home = dir.join("queue").is_dir() || shipped::has_copies(dir);
    if entries.next().is_some() && !is_home {
        bail!("{} is neither empty nor a home: name a new directory", dir.display());
    }
    Ok(())
}

/// What a person has to know of it.
fn line(Shipped { name, .. }: &Shipped, installed: Installed, home: &Path) -> Option<String> {
    let copy = home.join(".shipped").join(name);
    Some(match installed {
        Installed::Made => format!("made      {name}"),
        Installed::Replaced => format!("replaced  {name}, which was as it had been shipped"),
        Installed::KeptBesideNewer => {
            format!("kept      {name} as you have it; what is new: diff {0}.before {0}", copy.display())
        }
        Installed::Current | Installed::Kept => return None,
    })
}

fn say(line: &str) {
    // Whoever closed the pipe has seen enough.
    let _ = writeln!(io::stdout(), "{line}");
}
