//! What is left to do once the final word on a build is on record. Doing it again changes nothing.

use std::io::{self, ErrorKind};

use super::{
    after, announce,
    builder::Builder,
    mail::{letters, recipient},
};
use crate::{
    error_chain::in_full,
    queue::{Claimed, EntryId},
    records::{BuildResult, Record, excerpt},
};

/// Says it in the log, and completes.
pub fn announce_and_complete(
    builder: &Builder,
    record: &Record,
    entry: &Claimed,
    result: &BuildResult,
) -> io::Result<()> {
    announce::end(record, entry, result);
    complete(builder, record, &entry.id, result)
}

/// Letters and status, then the entry: after this the build is over in every respect but that they may wait.
pub fn complete(builder: &Builder, record: &Record, id: &EntryId, result: &BuildResult) -> io::Result<()> {
    let request = record.request()?;
    if letters::are_due(result.outcome) {
        let head = &builder.letterhead;
        let to = recipient::of(&request, &addresses(builder), &head.fallback);
        for letter in head.build_failed(id, &request, result, &excerpt::read(record)?, &record.output(), &to)
        {
            builder.outbox.put(&letter)?;
        }
    }
    // In the file's absence nothing has begun, and nobody was told that it had.
    let has_begun = record.script().exists();
    builder.statuses.finished(id, &request, result, has_begun)?;
    after::intend(builder, id, &request, result)?;
    record.clear_running()?;
    builder.lock.finish(id)
}

/// The text of the file `addresses`.
fn addresses(builder: &Builder) -> String {
    match fs_err::read(builder.home.addresses()) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!("{}: the fallback gets the letter", in_full(&error));
            }
            String::new()
        }
    }
}
