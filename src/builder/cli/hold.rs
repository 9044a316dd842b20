//! `build hold` and `build unhold`: the file `queue/hold`, with who made it and why.

use std::io::{self, Write};

use anyhow::anyhow;
use clap::Args;
use jiff::Timestamp;

use super::failure::Failure;
use crate::{asker, home::Home, own_name::own_name, queue::control, text::printable};

#[derive(Args)]
pub struct HoldArguments {
    /// Why, for everybody who looks
    #[arg(value_name = "REASON")]
    reason: Vec<String>,
}

pub fn hold(home: &Home, HoldArguments { reason }: &HoldArguments) -> Result<u8, Failure> {
    let terminal = asker::terminal().map_or_else(String::new, |terminal| format!(" at {terminal}"));
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let mut line = format!("{}{terminal}, {now}", asker::by());
    let reason = reason.join(" ");
    if !reason.is_empty() {
        line = format!("{line}: {}", printable(&reason));
    }
    if control::hold(&home.queue(), &line)? {
        say(&format!("nothing new is built until `{} unhold`; pushes go on being queued", own_name()));
        return Ok(0);
    }
    let said = control::said(&home.queue())?.filter(|said| !said.is_empty());
    let said = said.unwrap_or_else(|| "by somebody who does not say why".to_string());
    Err(Failure { code: 3, error: anyhow!("the queue is held already: {}", printable(&said)) })
}

pub fn unhold(home: &Home) -> Result<u8, Failure> {
    let was_held = control::unhold(&home.queue())?;
    say(if was_held { "what waits is built again" } else { "nothing held the queue" });
    Ok(0)
}

fn say(line: &str) {
    // Whoever closed the pipe has seen enough.
    let _ = writeln!(io::stdout(), "{line}");
}
