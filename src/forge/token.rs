//! The forge's token: a file that only its owner can read, read at each use, shown nowhere.

use std::{
    fmt,
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
};

use fs_err::{OpenOptions, os::unix::fs::OpenOptionsExt};
use rustix::fs::OFlags;

use crate::home::Home;

/// No token is longer.
const LONGEST: u64 = 4096;

/// What lets us in.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    version: String,
}

/// Why there is no token to use.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// There is no such file: nothing is reported.
    #[error("there is no forge-token")]
    Missing,
    /// Others can read it, or it is not ours.
    #[error("forge-token has mode {0:03o}, and others could read it: chmod 600 forge-token")]
    Mode(u32),
    /// It is no file of ours.
    #[error(
        "forge-token belongs to user {0}, and nobody knows who wrote it: chown it to the user that runs build"
    )]
    Owner(u32),
    /// It does not hold one word.
    #[error(
        "forge-token does not hold a token: one line of visible ASCII, at most 4096 bytes (it is not shown)"
    )]
    Malformed,
    /// The system does not let us read it.
    #[error("{}", crate::error_chain::in_full(.0))]
    Unreadable(io::Error),
}

impl Token {
    /// Reads `forge-token` in the home.
    pub fn read(home: &Home) -> Result<Self, NoToken> {
        // A FIFO is no token, and nobody waits for its writer.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(home.forge_token()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(NoToken::Missing),
            file => file.map_err(NoToken::Unreadable)?.into_file(),
        };
        let metadata = file.metadata().map_err(NoToken::Unreadable)?;
        let owner = metadata.uid();
        if owner != 0 && owner != rustix::process::geteuid().as_raw() {
            return Err(NoToken::Owner(owner));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(NoToken::Mode(metadata.mode() & 0o777));
        }
        let mut text = String::new();
        file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => NoToken::Malformed,
            _ => NoToken::Unreadable(error),
        })?;
        let text = text.trim_end().to_string();
        let is_word =
            !text.is_empty() && text.len() as u64 <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic());
        if !metadata.is_file() || !is_word {
            return Err(NoToken::Malformed);
        }
        let version = format!("{}-{}.{:09}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { text, version })
    }

    /// The token itself: for the one header that it is meant for.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Another one whenever the file has been written or replaced; tells nothing of the token.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `text`, which came from outside, without the token.
    pub fn hide_in(&self, text: &str) -> String {
        text.replace(&self.text, "***")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
