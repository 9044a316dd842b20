//! The log: the lines of webhook 2.8, one write each, in a file or on standard error.
//!
//! The rest of the program says what happened with `tracing`'s macros. A field `request` is the id that
//! stands in brackets, `output` is a command's text, which may have several lines, and `dump` marks a line of
//! `-debug`. Whatever is said is made printable here, once for all.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd,
    path::Path,
    sync::OnceLock,
    time::Duration,
};

use jiff::Zoned;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer, layer},
    prelude::*,
    registry::LookupSpan,
};

use super::log_queue::LogQueue;
use crate::{log_file::LogFile, text, webhook::options::LogFormat};

static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Time for what was said last to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// From here on what the program says goes to the end of the file `path`, or to standard error if it is empty. A
/// log that cannot be written to later (disk full, nobody reads it) stops nothing.
pub fn start(path: &Path, format: LogFormat, level: LevelFilter) -> io::Result<()> {
    let left_out = match format {
        LogFormat::Text => |count| left_out(count).as_text(&Zoned::now()),
        LogFormat::Json => |count| left_out(count).as_json(&Zoned::now(), Level::WARN),
    };
    // With -debug whole requests are asked for, whoever sends them.
    let queue = QUEUE.get_or_init(|| LogQueue::new(left_out, level < LevelFilter::DEBUG));
    if path.as_os_str().is_empty() {
        // Not through std's own lock, which would be held for as long as nobody reads.
        let mut stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        queue.start(move |line| drop(stderr.write_all(line)))?;
    } else {
        let file = LogFile::open(path)?;
        queue.start(move |line| drop(file.make_writer().write_all(line)))?;
    }
    let lines = layer()
        .event_format(format)
        .with_writer(queue)
        .log_internal_errors(false)
        // Only this program's own words: a library's could hold anything.
        .with_filter(Targets::new().with_target(env!("CARGO_CRATE_NAME"), level));
    tracing_subscriber::registry().with(lines).try_init().map_err(io::Error::other)
}

/// Waits for the last lines, as long as somebody takes them.
pub fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.finish(LAST_LINES);
    }
}

fn left_out(count: u64) -> Line {
    let message = format!("{count} lines are left out here: more was said than the log takes");
    Line { message, ..Line::default() }
}

/// A line as the log has it, for what must be said though nothing is logged.
pub fn line(message: &str) -> String {
    Line { message: message.to_owned(), ..Line::default() }.as_text(&Zoned::now())
}

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'w> FormatFields<'w> + 'static> FormatEvent<S, N>
    for LogFormat
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut log: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let now = Zoned::now();
        log.write_str(&match self {
            Self::Text => line.as_text(&now),
            Self::Json => line.as_json(&now, *event.metadata().level()),
        })
    }
}

/// What one event says.
#[derive(Debug, Default)]
struct Line {
    message: String,
    request: Option<String>,
    output: Option<String>,
    dump: Option<&'static str>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            "request" => self.request = Some(value.to_owned()),
            "output" => self.output = Some(value.to_owned()),
            "dump" => self.dump = Some(if value == ">" { ">" } else { "<" }),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Line {
    fn as_text(&self, now: &Zoned) -> String {
        let mut line = String::with_capacity(64 + self.message.len());
        let request = self.request.as_deref().map(text::printable);
        if let Some(dump) = self.dump {
            // The line itself begins with a space, or is the bare one between head and body.
            let _ = write!(line, "{dump} [{}]", request.unwrap_or_default());
        } else {
            let _ = write!(line, "[webhook] {} ", now.strftime("%Y/%m/%d %H:%M:%S"));
            if let Some(request) = request {
                let _ = write!(line, "[{request}] ");
            }
        }
        line.push_str(&text::printable(&self.message));
        if let Some(output) = &self.output {
            push_output(&mut line, output);
        }
        line.push('\n');
        line
    }

    fn as_json(&self, now: &Zoned, level: tracing::Level) -> String {
        let mut object = Map::new();
        let mut set = |key: &str, value: &str| object.insert(key.to_owned(), Value::from(value));
        set("time", &now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string());
        set("level", &level.as_str().to_ascii_lowercase());
        if let Some(request) = &self.request {
            set("request", request);
        }
        if let Some(dump) = self.dump {
            set("dump", if dump == ">" { "request" } else { "answer" });
        }
        set(
            "message",
            self.message.strip_prefix(if self.dump.is_some() { " " } else { "" }).unwrap_or_default(),
        );
        if let Some(output) = &self.output {
            set("output", output);
        }
        let mut line = String::new();
        for c in Value::Object(object).to_string().chars() {
            // What JSON may carry raw, but no line of a log may.
            if text::is_unprintable(c) {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            } else {
                line.push(c);
            }
        }
        line + "\n"
    }
}

/// A command's output with its lines kept, as webhook 2.8 logs it. A line that looks like one of ours is moved
/// in by a tab, so that no output can forge one.
fn push_output(line: &mut String, output: &str) {
    for (at, part) in output.split_inclusive('\n').enumerate() {
        let text = part.trim_end_matches('\n').trim_end_matches('\r');
        let (part, end) = if part.ends_with('\n') { part.split_at(text.len()) } else { (part, "") };
        if at > 0 && ["[webhook] ", "> [", "< ["].iter().any(|start| part.starts_with(start)) {
            line.push('\t');
        }
        line.push_str(&text::printable(part));
        line.push_str(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-22T11:14:05.596[UTC]".parse().unwrap()
    }

    fn line_of(request: Option<&str>, message: &str, output: Option<&str>) -> Line {
        Line {
            message: message.to_owned(),
            request: request.map(str::to_owned),
            output: output.map(str::to_owned),
            dump: None,
        }
    }

    #[test]
    fn a_line_has_the_prefix_the_local_time_and_the_id() {
        assert_eq!(
            line_of(None, "starting", None).as_text(&now()),
            "[webhook] 2026/11/22 11:14:05 starting\n"
        );
        assert_eq!(
            line_of(Some("3f3e5e"), "a got matched", None).as_text(&now()),
            "[webhook] 2026/11/22 11:14:05 [3f3e5e] a got matched\n"
        );
    }

    #[test]
    fn what_comes_from_outside_stays_on_its_line() {
        assert_eq!(
            line_of(Some("x]\n[webhook]"), "a\r\nb\u{1b}", None).as_text(&now()),
            "[webhook] 2026/11/22 11:14:05 [x]\\n[webhook]] a\\r\\nb\\x1b\n"
        );
    }

    #[test]
    fn output_keeps_its_lines_but_cannot_forge_one() {
        let output = "a\nb\r\n\r\rc\n[webhook] 2026/11/22 x\n> [abc] GET\n  [webhook] \n\n";
        assert_eq!(
            line_of(None, "command output: ", Some(output)).as_text(&now()),
            "[webhook] 2026/11/22 11:14:05 command output: a\nb\r\n\\r\\rc\n\t[webhook] 2026/11/22 x\n\t> [abc] GET\n  [webhook] \n\n\n"
        );
    }

    #[test]
    fn a_json_line_is_one_object() {
        let line = line_of(Some("3f3e5e"), "command output: ", Some("a\n\"b\u{202e}"))
            .as_json(&now(), tracing::Level::INFO);
        assert_eq!(
            line,
            "{\"level\":\"info\",\"message\":\"command output: \",\"output\":\"a\\n\\\"b\\u202e\",\"request\":\"3f3e5e\",\
             \"time\":\"2026-11-22T11:14:05.596+00:00\"}\n"
        );
    }
}
