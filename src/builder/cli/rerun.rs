//! `build rerun`: the request of a build as a new entry.

use clap::Args;

use super::{failure::Failure, queue::say_queued};
use crate::{
    asker,
    error_chain::at,
    home::Home,
    queue::{Origin, enqueue, origin::Why},
    records::Record,
    status::select,
};

#[derive(Args)]
pub struct RerunArguments {
    /// An id, an entry's name, latest, or repository[@branch] for its latest
    #[arg(value_name = "BUILD")]
    build: String,
}

pub fn run(home: &Home, RerunArguments { build }: &RerunArguments) -> Result<u8, Failure> {
    let id = select::select(home, build)
        .map_err(|error| Failure { code: error.exit_code(), error: error.into() })?;
    if home.queue().join(id.waiting()).symlink_metadata().is_ok() {
        let error = anyhow::anyhow!("{id} still waits to be built: there is nothing yet to run again");
        return Err(Failure { code: 3, error });
    }
    let record = Record::of(home, &id);
    let read = record.request_bytes().and_then(|bytes| Ok((record.request()?, bytes)));
    let (request, bytes) =
        read.map_err(at(format_args!("{id} cannot be built again, its request is not on record")))?;
    // It takes the place of the push that it was all about.
    let original = Origin::of_entry(&bytes).and_then(|origin| origin.rerun_of).unwrap_or(id);
    let origin = Origin { why: Why::Rerun, rerun_of: Some(original), by: asker::by() };
    say_queued(&enqueue::enqueue_with(home, &request, &origin)?, &request);
    Ok(0)
}
