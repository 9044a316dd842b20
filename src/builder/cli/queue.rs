//! `build queue`: the tip of a branch as a new entry.

use std::{
    io::{self, Write},
    str::FromStr,
    time::Duration,
};

use anyhow::anyhow;
use clap::Args;

use super::failure::Failure;
use crate::{
    asker,
    builder::settings::{SettingFlags, Settings},
    error_chain::at,
    forge::ls_remote,
    home::Home,
    queue::{
        BuildRequest, EntryId, Origin, enqueue,
        fields::{CommitterEmail, CommitterName, GitRef, InvalidField, Repository, full_ref},
        origin::Why,
    },
    text::printable,
};

/// For the server's answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct QueueArguments {
    /// A repository, and its branch if that is not the default one; a tag by its full name, repository@refs/tags/v1
    #[arg(value_name = "REPOSITORY[@BRANCH]")]
    what: Wanted,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Clone)]
struct Wanted {
    repository: Repository,
    /// Else the default branch.
    git_ref: Option<GitRef>,
}

impl FromStr for Wanted {
    type Err = InvalidField;

    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let Some((repository, branch)) = text.split_once('@') else {
            return Ok(Self { repository: text.parse()?, git_ref: None });
        };
        Ok(Self { repository: repository.parse()?, git_ref: Some(full_ref(branch).parse()?) })
    }
}

pub fn run(home: &Home, QueueArguments { what, settings }: QueueArguments) -> Result<u8, Failure> {
    let settings = Settings::read(settings).map_err(Failure::usage)?;
    let Wanted { repository, git_ref } = what;
    let tip = ls_remote::tip(&settings.git_base, &repository, git_ref.as_ref(), PATIENCE)
        .map_err(at(format_args!("{repository} could not be asked for its branches")))?;
    let Some((git_ref, commit_id)) = tip else {
        let error = match git_ref {
            Some(git_ref) => anyhow!("{repository} has no {}", printable(git_ref.as_str())),
            None => anyhow!("{repository} has no default branch: name one, {repository}@BRANCH"),
        };
        return Err(Failure { code: 4, error });
    };
    let request = BuildRequest {
        repository,
        git_ref,
        commit_id,
        committer_name: CommitterName::from(asker::name().as_str()),
        committer_email: CommitterEmail::default(),
    };
    let origin = Origin { why: Why::Queue, rerun_of: None, by: asker::by() };
    say_queued(&enqueue::enqueue_with(home, &request, &origin)?, &request);
    Ok(0)
}

/// What has become an entry.
pub fn say_queued(id: &EntryId, request: &BuildRequest) {
    let BuildRequest { repository, git_ref, commit_id, .. } = request;
    let git_ref = printable(git_ref.as_str());
    // Whoever closed the pipe has seen enough.
    let _ = writeln!(io::stdout(), "queued build-{id}: {repository} {git_ref} {commit_id}");
}
