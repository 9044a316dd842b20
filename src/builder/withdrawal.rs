//! An entry that waits and is not built: it gets its final record all the same.

use std::io;

use jiff::Timestamp;

use super::{announce, builder::Builder, completion::Ended, fault::Fault, scheduler::Withdrawal};
use crate::{
    host,
    queue::{Cancel, Claimed, EntryId, EntryState, Retry},
    records::{BuildResult, Record, Requested, Verdict},
};

/// Records it, if it waits; false if it is to be built all the same. A cancel file that names nothing which waits or runs goes.
pub fn withdraw(builder: &Builder, id: &EntryId, why: &Withdrawal) -> io::Result<bool> {
    let (queue, record) = (builder.home.queue(), builder.record(id));
    if *why == Withdrawal::Cancelled && Cancel::of(&queue, id).is_none() {
        // It is wanted again, or this was seen to before.
        return Ok(true);
    }
    if record.is_final() || !builder.lock.claim(id)? {
        if *why == Withdrawal::Cancelled && !builder.lock.path_of_claimed(id).exists() {
            tracing::info!("{id} cannot be cancelled: no build of that name waits or runs");
            Cancel::clear(&queue, id)?;
        }
        return Ok(true);
    }
    let withdrawn = record_claimed(builder, id, why, &record);
    if withdrawn.is_err() && !record.is_final() {
        // Whoever looks next finds it, and why it is not to be built.
        builder.lock.put_back(id)?;
    }
    withdrawn
}

fn record_claimed(builder: &Builder, id: &EntryId, why: &Withdrawal, record: &Record) -> io::Result<bool> {
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
    let cancel = Cancel::of(&builder.home.queue(), id);
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
    // A build can wreck its record; what lies beside its entry tells as well.
    let has_begun = record.script().exists() || Retry::of(&builder.home.queue(), id).is_some();
    let ended = Ended { id, request: &request, result, output: "", has_begun };
    let begun = record.begin(&builder.lock.path_of_claimed(id), &bytes);
    if let Err(error) = begun.and_then(|()| record.commit(result)) {
        let fault = Fault { stage: "what is not built cannot be recorded", error };
        ended.commit_anew(builder, record, &bytes, &fault).map_err(|fault| fault.error)?;
    }
    announce::end(&Claimed { id: id.clone(), request: request.clone(), bytes }, result, "");
    ended.complete(builder, record)?;
    Ok(true)
}
