//! `build status`: everything, or all about one build.

use std::{
    io::{self, IsTerminal, Write},
    thread,
    time::Duration,
};

use clap::Args;
use jiff::Timestamp;

use super::{failure::Failure, page};
use crate::{
    home::Home,
    queue::EntryId,
    status::{
        Build, Document, Reader,
        build::BuildDocument,
        select::{NoBuild, select},
    },
};

/// What `build status` is given.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// All about one build: an id, an entry's name, latest, or repository[@branch] for its latest
    #[arg(value_name = "BUILD")]
    pub build: Option<String>,
    /// As JSON: the document that the page has at /status.json
    #[arg(long)]
    pub json: bool,
    /// Again whenever something changes, until it is interrupted
    #[arg(long)]
    pub watch: bool,
}

/// How often `--watch` looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Moves to the top of a terminal and clears it.
const CLEAR: &str = "\x1b[H\x1b[J";

pub fn run(home: &Home, arguments: &StatusArguments) -> Result<u8, Failure> {
    let mut reader = Reader::new(home);
    let id = arguments.build.as_deref().map(|word| select(home, word)).transpose()?;
    let is_terminal = io::stdout().is_terminal();
    let mut last_tag = None;
    loop {
        let look = reader.look(Timestamp::now());
        let tag = look.tag();
        // On a terminal times go on, whatever else happens.
        if last_tag.replace(tag) != Some(tag) || (is_terminal && !arguments.json) {
            let document = reader.complete(look);
            let code = show(home, arguments, &document, id.as_ref(), is_terminal)?;
            if !arguments.watch {
                return Ok(code);
            }
        }
        thread::sleep(PAUSE);
    }
}

fn show(
    home: &Home,
    arguments: &StatusArguments,
    document: &Document,
    id: Option<&EntryId>,
    is_terminal: bool,
) -> Result<u8, Failure> {
    let build = match id {
        Some(id) => {
            let found = Build::find(document, home, id);
            Some((id, found.ok_or_else(|| NoBuild::Unknown(id.to_string()))?))
        }
        None => None,
    };
    let mut text = Vec::new();
    if arguments.json {
        match &build {
            Some((_, build)) => {
                let document = BuildDocument { schema: 1, now: document.now, build: build.clone() };
                serde_json::to_writer(&mut text, &document).map_err(io::Error::from)?;
            }
            None => serde_json::to_writer(&mut text, document).map_err(io::Error::from)?,
        }
        text.push(b'\n');
    } else {
        if arguments.watch && is_terminal {
            text.extend(CLEAR.as_bytes());
        }
        let width = is_terminal.then(width);
        match &build {
            Some((id, build)) => page::build(&mut text, home, document, id, build)?,
            None => page::everything(&mut text, document, width)?,
        }
    }
    // Drops colours where nobody would see them, by NO_COLOR, CLICOLOR_FORCE, TERM and what stdout is.
    let mut stdout = anstream::AutoStream::auto(io::stdout());
    stdout.write_all(&text)?;
    stdout.flush()?;
    Ok(if build.is_some() { 0 } else { u8::from(!document.well) })
}

/// Columns of the terminal.
fn width() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into())).unwrap_or(80)
}
