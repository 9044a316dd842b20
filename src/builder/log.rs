//! build.log: one line per event in the Python original's format, and what belongs to it indented below.
//!
//!     2026-11-22 11:14:05,596 [INFO    ] (drain.rs:65:11176)  Submitting ...

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal},
    path::Path,
    process,
};

use jiff::Zoned;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    filter::filter_fn,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer, layer},
    prelude::*,
    registry::LookupSpan,
};

use crate::{log_file::LogFile, text::printable};

/// The target of events that a person at a terminal sees too.
pub const PROGRESS: &str = "progress";

/// Opens the log and makes it the place where events go. An error is a log that cannot be used.
pub fn start(path: &Path, debug: bool) -> io::Result<()> {
    let most = if debug { Level::DEBUG } else { Level::INFO };
    let is_progress = |event: &Metadata| event.target() == PROGRESS;
    let is_ours = move |event: &Metadata| is_progress(event) || event.target().starts_with("amp_ci");
    let is_logged = move |event: &Metadata| is_ours(event) && *event.level() <= most;
    let is_shown =
        move |event: &Metadata| is_logged(event) && (is_progress(event) || *event.level() <= Level::WARN);
    let log = layer()
        .event_format(Entry)
        .with_writer(LogFile::open(path)?)
        .log_internal_errors(false)
        .with_filter(filter_fn(is_logged).with_max_level_hint(most));
    let terminal = io::stderr().is_terminal().then(|| {
        layer()
            .event_format(FirstLine)
            .with_writer(io::stderr)
            .log_internal_errors(false)
            .with_filter(filter_fn(is_shown).with_max_level_hint(most))
    });
    tracing_subscriber::registry().with(log).with(terminal).try_init().map_err(io::Error::other)
}

/// Does the log show everything? Asked this way, since `tracing::enabled!` before an event would hide that from layers
/// which have filters of their own.
pub fn shows_all() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

/// An event as build.log has it.
struct Entry;

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'w> FormatFields<'w> + 'static> FormatEvent<S, N>
    for Entry
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut log: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        write!(
            log,
            "{} [{:<8}] ({}:{}:{})  {}",
            Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f"),
            metadata.level().as_str().replace("WARN", "WARNING"),
            metadata.file().and_then(|file| file.rsplit('/').next()).unwrap_or("?"),
            metadata.line().unwrap_or(0),
            process::id(),
            lines(&message(event)),
        )
    }
}

/// An event as a person at a terminal sees it.
struct FirstLine;

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'w> FormatFields<'w> + 'static> FormatEvent<S, N>
    for FirstLine
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut terminal: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writeln!(terminal, "{}", printable(message(event).lines().next().unwrap_or_default()))
    }
}

/// The text as the log shows it: the first line behind the prefix, all others indented, so that none can be
/// taken for an entry.
fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 64);
    for (number, line) in text.strip_suffix('\n').unwrap_or(text).split('\n').enumerate() {
        let indent = if number == 0 { "" } else { "    " };
        let _ = writeln!(shown, "{indent}{}", printable(line));
    }
    shown
}

fn message(event: &Event<'_>) -> String {
    let mut message = Message::default();
    event.record(&mut message);
    message.0
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn no_output_can_forge_an_entry() {
        let forged = "failed\n2026-11-22 11:14:05,596 [INFO    ] x\n\u{1b}[2K\r2026\n";
        assert_eq!(lines(forged), "failed\n    2026-11-22 11:14:05,596 [INFO    ] x\n    \\x1b[2K\\r2026\n");
    }
}
