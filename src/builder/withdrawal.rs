//! An entry that waits and is not built: it gets its final record all the same.

use std::io;

use jiff::Timestamp;

use super::{announce, builder::Builder, completion::Ended, scheduler::Withdrawal};
use crate::{
    host,
    queue::{Cancel, Claimed, EntryId, EntryState},
    records::{BuildResult, Requested, Verdict},
};

/// Records it, if it waits; false if it is to be built all the same. A cancel file that names nothing which waits or runs goes.
pub fn withdraw(builder: &Builder, id: &EntryId, why: &Withdrawal) -> io::Result<bool> {
    let (queue, record) = (builder.home.queue(), builder.record(id));
    if record.is_final() || !builder.lock.claim(id)? {
        if *why == Withdrawal::Cancelled && !builder.lock.path_of_claimed(id).exists() {
            tracing::info!("{id} cannot be cancelled: no build of that name waits or runs");
            Cancel::clear(&queue, id)?;
        }
        return Ok(true);
    }
    let EntryState::Request(request, bytes) = builder.lock.read_claimed(id)? else {
        // What is no request is looked at in its turn, and goes to bad/.
        return builder.lock.put_back(id);
    };
    if let Withdrawal::Repeats(of) = why
        && Requested::read(&builder.home).has_before(of, &request)
    {
        builder.lock.put_back(id)?;
        return Ok(false);
    }
    let cancel = Cancel::of(&queue, id);
    let verdict = match why {
        Withdrawal::Cancelled => Verdict::Cancelled(None, cancel.clone().unwrap_or_default().words()),
        Withdrawal::Superseded(by) | Withdrawal::Repeats(by) => Verdict::Superseded(by.clone()),
    };
    let before = record.running();
    let attempts = before.as_ref().map_or(0, |before| before.attempt);
    let mut result = BuildResult {
        by: cancel.and_then(|cancel| cancel.by),
        ..BuildResult::new(&verdict, Timestamp::now(), 0.0, attempts, host::name())
    };
    builder.history.enter(&builder.home, id, &request, &bytes, &mut result);
    let result = &result;
    record.begin(&builder.lock.path_of_claimed(id), &bytes)?;
    record.commit(result)?;
    let entry = &Claimed { id: id.clone(), request, bytes };
    announce::end(entry, result, "");
    let has_begun = record.script().exists();
    Ended { id, request: &entry.request, result, output: "", has_begun }.complete(builder, &record)?;
    Ok(true)
}
