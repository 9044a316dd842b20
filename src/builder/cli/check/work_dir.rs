//! The directory in which builds run.

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::findings::{Findings, ok};
use crate::{
    builder::{process::workspace::WorkDir, settings::Settings},
    error_chain::in_full,
    home::Home,
};

pub fn look(findings: &mut Findings, home: &Home, settings: &Settings) {
    match settings.open_work_dir(&home.tag()) {
        Err(error) => findings.wrong(&format!("{}; AMP_CI_WORK_DIR names another", in_full(&error))),
        Ok(work_dir) if tempfile::tempdir_in(work_dir.path()).is_err() => {
            findings.wrong(&format!(
                "no directory can be made in {}: is it full or read-only?",
                work_dir.path().display()
            ));
        }
        Ok(work_dir) => {
            can_be_used(findings, &work_dir);
            left_over(findings, home, &work_dir);
            room(findings, work_dir.path(), settings.min_free);
            ok(&format!("builds run below {}", work_dir.path().display()));
        }
    }
}

fn can_be_used(findings: &mut Findings, work_dir: &WorkDir) {
    if statvfs(work_dir.path()).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        findings.wrong(&format!(
            "{} is mounted noexec, and no build can run what it has built: AMP_CI_WORK_DIR names another",
            work_dir.path().display()
        ));
    }
}

/// Is there as much room as a build needs?
pub fn room(findings: &mut Findings, dir: &Path, needed: u64) {
    let Ok(found) = statvfs(dir) else { return };
    if found.f_bavail.saturating_mul(found.f_frsize) < needed {
        findings.wrong(&format!(
            "there is less room in {} than AMP_CI_MIN_FREE ({} MiB): nothing is built until some is freed",
            dir.display(),
            needed >> 20
        ));
    }
    if found.f_files > 0 && found.f_favail == 0 {
        findings.wrong(&format!("no more files can be made in {}: it is out of inodes", dir.display()));
    }
}

/// What no build runs in any more, and could not be removed.
fn left_over(findings: &mut Findings, home: &Home, work_dir: &WorkDir) {
    let claims = fs_err::read_dir(home.queue()).into_iter().flatten().flatten();
    let running: Vec<String> = claims
        .filter_map(|entry| {
            Some(entry.file_name().to_str()?.strip_prefix("build-")?.strip_suffix(".lock")?.to_string())
        })
        .collect();
    for (id, path) in work_dir.workspaces() {
        if !running.contains(&id) {
            findings.wrong(&format!(
                "{} is left of a build that is over, and could not be removed: see whose files are in it, then remove it",
                path.display()
            ));
        }
    }
}
