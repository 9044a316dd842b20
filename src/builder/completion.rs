//! What is left to do once the final word on a build is on record. Doing it again changes nothing.

use std::io;

use super::{
    after,
    builder::Builder,
    fault::Fault,
    machine,
    mail::{
        letters::{self, Told},
        recipient,
    },
};
use crate::{
    error_chain::in_full,
    queue::{BuildRequest, Cancel, EntryId, Retry},
    records::{BuildResult, Outcome, Record},
    regular_file,
};

/// A build that is over, and all that is told of it: known to us, and not only to a directory that builds can write in.
#[derive(Debug)]
pub struct Ended<'a> {
    pub id: &'a EntryId,
    pub request: &'a BuildRequest,
    pub result: &'a BuildResult,
    /// The excerpt of its output, if anybody is shown it.
    pub output: &'a str,
    /// Has anybody been told that it had begun?
    pub has_begun: bool,
}

impl Ended<'_> {
    /// Its record cannot take the result. Unless that is the machine's fault, it gets a new one; and if even that is not
    /// to be had, the entry is told of and goes to `bad/`.
    pub fn commit_anew(
        &self,
        builder: &Builder,
        record: &Record,
        request: &[u8],
        fault: &Fault,
    ) -> Result<(), Fault> {
        if let Some(fault) = machine::fault(builder) {
            return Err(fault);
        }
        if record.commit(self.result).is_ok() {
            return Ok(());
        }
        tracing::warn!("{}: {fault}; it gets a new record", self.id);
        let remade = record.remake(request).and_then(|()| record.commit(self.result));
        remade
            .or_else(|error| {
                tracing::error!("{}: {}; it goes to queue/bad/", self.id, in_full(&error));
                self.tell(builder, record)?;
                builder.reject_claimed(self.id, &fault.to_string())
            })
            .map_err(Fault::at("the result of a build cannot be recorded"))
    }

    /// Letters and status, then the entry: after this the build is over in every respect but that they may wait.
    pub fn complete(&self, builder: &Builder, record: &Record) -> io::Result<()> {
        self.tell(builder, record)?;
        if let Err(error) = record.clear_running() {
            // It says nothing beside the result.
            tracing::debug!("{}", in_full(&error));
        }
        for cleared in
            [Retry::clear(&builder.home.queue(), self.id), Cancel::clear(&builder.home.queue(), self.id)]
        {
            if let Err(error) = cleared {
                // Without its entry it asks for nothing.
                tracing::warn!("{}", in_full(&error));
            }
        }
        builder.lock.finish(self.id)
    }

    /// The same, once more if need be: what one call was refused may be granted to the next. What cannot be told of even
    /// so goes to `bad/`, unless that is the machine's fault.
    pub fn complete_in_any_case(&self, builder: &Builder, record: &Record) -> Result<(), Fault> {
        if self.complete(builder, record).is_ok() {
            return Ok(());
        }
        if let Some(fault) = machine::fault(builder) {
            return Err(fault);
        }
        self.complete(builder, record)
            .or_else(|error| {
                let why = format!("it is over, and cannot be told of: {}", in_full(&error));
                builder.reject_claimed(self.id, &why)
            })
            .map_err(Fault::at("a finished build cannot be told of"))
    }

    /// Letters and status.
    pub fn tell(&self, builder: &Builder, record: &Record) -> io::Result<()> {
        let Self { id, request, result, output, has_begun } = self;
        if letters::are_due(result.outcome) {
            let head = &builder.letterhead;
            let to = recipient::of(request, &addresses(builder), &head.fallback);
            for letter in head.build_failed(id, request, result, output, &record.output(), &to) {
                builder.outbox.put(&letter)?;
            }
        }
        if builder.settings.mail_fixed && result.outcome == Outcome::Succeeded {
            self.tell_of_mending(builder, record)?;
        }
        builder.statuses.finished(id, request, result, *has_begun)?;
        after::intend(builder, id, request, result)
    }

    /// Letters to who has mended the branch, and to who had broken it.
    fn tell_of_mending(&self, builder: &Builder, record: &Record) -> io::Result<()> {
        let Some(since) = &self.result.red_since else { return Ok(()) };
        let head = &builder.letterhead;
        let addresses = addresses(builder);
        let told = |id, request| Told { id, request, to: recipient::of(request, &addresses, &head.fallback) };
        // Its record may be gone by now.
        let broken_by = builder.record(since).request().ok();
        let broke = broken_by.as_ref().map(|request| told(since, request));
        let (mending, date) = (told(self.id, self.request), self.result.finished.into());
        let letters = head.mended(&mending, since, broke.as_ref(), &record.output(), date);
        letters.iter().try_for_each(|letter| builder.outbox.put(letter))
    }
}

/// The text of the file `addresses`.
fn addresses(builder: &Builder) -> String {
    let text = regular_file::read(&builder.home.addresses()).unwrap_or_else(|error| {
        tracing::warn!("{}: the fallback gets the letter", in_full(&error));
        None
    });
    String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
}
