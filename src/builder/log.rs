//! build.log: one line per event in the Python original's format, and what belongs to it indented below.
//!
//!     2026-11-22 11:14:05,596 [INFO    ] (drain.rs:65:11176)  Submitting ...

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, IsTerminal, Write as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use jiff::Zoned;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// The target of events that a person at a terminal sees too.
pub const PROGRESS: &str = "progress";

/// Opens the log and makes it the place where events go. An error is a log that cannot be used.
pub fn start(path: &Path, debug: bool) -> io::Result<()> {
    let log = BuildLog {
        path: path.to_path_buf(),
        file: Mutex::new(open(path)?),
        most: if debug { Level::DEBUG } else { Level::INFO },
        terminal: io::stderr().is_terminal(),
    };
    tracing_subscriber::registry().with(log).try_init().map_err(io::Error::other)
}

struct BuildLog {
    path: PathBuf,
    file: Mutex<File>,
    most: Level,
    terminal: bool,
}

fn open(path: &Path) -> io::Result<File> {
    Ok(fs_err::OpenOptions::new().append(true).create(true).open(path)?.into_file())
}

impl<S: Subscriber> Layer<S> for BuildLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let ours = metadata.target() == PROGRESS || metadata.target().starts_with("amp_ci");
        if !ours || *metadata.level() > self.most {
            return;
        }
        let mut message = Message::default();
        event.record(&mut message);
        let source = metadata.file().and_then(|file| file.rsplit('/').next()).unwrap_or("?");
        let line = format!(
            "{} [{:<8}] ({source}:{}:{})  {}",
            Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f"),
            metadata.level().as_str().replace("WARN", "WARNING"),
            metadata.line().unwrap_or(0),
            std::process::id(),
            lines(&message.0),
        );
        self.append(&line);
        if self.terminal && (metadata.target() == PROGRESS || *metadata.level() <= Level::WARN) {
            let first = message.0.lines().next().unwrap_or_default();
            let _ = writeln!(io::stderr(), "{}", crate::text::printable(first));
        }
    }
}

impl BuildLog {
    /// One write, into the file that has the name now: logs are rotated by renaming.
    fn append(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let named = self.path.metadata().map(identity).ok();
        if (named.is_none() || named != file.metadata().map(identity).ok())
            && let Ok(new) = open(&self.path)
        {
            *file = new;
        }
        // A log that cannot be written stops no build.
        let _ = file.write_all(line.as_bytes());
    }
}

/// The text as the log shows it: the first line behind the prefix, all others indented, so that none can be
/// taken for an entry.
fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 64);
    for (number, line) in text.strip_suffix('\n').unwrap_or(text).split('\n').enumerate() {
        let indent = if number == 0 { "" } else { "    " };
        let _ = writeln!(shown, "{indent}{}", crate::text::printable(line));
    }
    shown
}

/// The message of an event.
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
