//! Who sits at the terminal and asks for something: what a verb writes down for those who read it later.

use std::{
    env, fs,
    io::{IsTerminal, stderr, stdin, stdout},
};

use crate::{host, text::printable};

/// The name of whoever asks: who has become the home's owner by sudo(8), else our account.
pub fn name() -> String {
    let before_sudo = env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    before_sudo.map_or_else(host::account, |name| printable(&name).into_owned())
}

/// `user@host` of whoever asks.
pub fn by() -> String {
    format!("{}@{}", name(), host::name())
}

/// The terminal that was asked at, such as `/dev/pts/3`; none under cron.
pub fn terminal() -> Option<String> {
    let descriptors = [(stdin().is_terminal(), 0), (stderr().is_terminal(), 2), (stdout().is_terminal(), 1)];
    let (_, descriptor) = descriptors.into_iter().find(|(is_terminal, _)| *is_terminal)?;
    let path = fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    Some(printable(&path.to_string_lossy()).into_owned())
}
