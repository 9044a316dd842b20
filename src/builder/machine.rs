//! Is it the machine? That one entry has met a fault is no proof: that the same fails with something of our own is.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    fs::statvfs,
    io::Errno,
    process::{Resource, getrlimit},
};

use super::{builder::Builder, fault::Fault};
use crate::{durable, error_chain::at, size::Size};

/// What a build needs before it is claimed, and what can be seen without changing anything.
pub fn ready(builder: &Builder) -> Result<(), Fault> {
    // Without any chunk every push would be skipped, and nobody would hear: an unmounted file system, most likely.
    fs_err::read_dir(builder.home.scripts()).map_err(Fault::at("there are no chunks"))?;
    let work_dir = builder.work_dir()?.path().to_path_buf();
    [builder.home.builds(), work_dir].iter().try_for_each(|dir| {
        has_space(dir, builder.settings.min_free).map_err(|error| {
            // Looked at again and again: one that has gone is the same fault as one that never was.
            let is_there = dir.exists();
            let stage = if is_there { "there is too little space" } else { "there is no work directory" };
            Fault { stage, error }
        })
    })
}

/// What is wrong with the machine, if anything is: tried out, on files, a directory and a process of our own.
pub fn fault(builder: &Builder) -> Option<Fault> {
    ready(builder).and_then(|()| try_out(builder)).err()
}

fn try_out(builder: &Builder) -> Result<(), Fault> {
    may_write(builder.settings.log_limit).map_err(Fault::at("a build cannot be run"))?;
    let home = &builder.home;
    for dir in [home.builds(), home.queue(), home.outbox()] {
        durable::create_dir(&dir, 0o750)
            .and_then(|()| write_in(&dir))
            .map_err(Fault::at("the home cannot be used"))?;
    }
    let workspace = builder.work_dir()?.create("probe").map_err(Fault::at("no workspace can be made"))?;
    let written = write_in(workspace.path())
        .and_then(|()| start_a_process(builder))
        .and_then(|()| ask_the_engine(builder, workspace.path()));
    let removed = workspace.remove(&builder.supervisor);
    written.and(removed).map_err(Fault::at("a build cannot be run"))
}

/// As a record and a log are written.
fn write_in(dir: &Path) -> io::Result<()> {
    let mut file = durable::new_file(dir, 0o600)?;
    file.write_all(&[b'.'; 4096])?;
    file.as_file().sync_all()
}

fn start_a_process(builder: &Builder) -> io::Result<()> {
    let mut command = Command::new("true");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let status = builder.supervisor.run(&mut command).map_err(at("cannot start true"))?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("true ended with {status}"))) }
}

/// Its program is there, and it takes away what does not exist.
fn ask_the_engine(builder: &Builder, dir: &Path) -> io::Result<()> {
    let Some(launcher) = &builder.settings.launcher else { return Ok(()) };
    launcher.start.look_up()?;
    launcher.cancel("amp_ci-probe", dir, &builder.supervisor, &builder.mask())
}

/// `ulimit -f`: past it the kernel ends a write.
fn may_write(log_limit: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if limit < log_limit => {
            let what = format!(
                "files may have {} (ulimit -f), and AMP_CI_LOG_LIMIT is {}",
                Size(limit),
                Size(log_limit)
            );
            Err(at(what)(Errno::FBIG.into()))
        }
        _ => Ok(()),
    }
}

fn has_space(dir: &PathBuf, wanted: u64) -> io::Result<()> {
    let stat = statvfs(dir).map_err(|errno| at(dir.display())(errno.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free >= wanted {
        return Ok(());
    }
    let what =
        format!("{} are free in {}, and AMP_CI_MIN_FREE is {}", Size(free), dir.display(), Size(wanted));
    Err(at(what)(Errno::NOSPC.into()))
}
