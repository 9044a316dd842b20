//! This host and the account that we run under, as letters and records name them.

use std::env;

/// The host's name.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The account, as cron would address it.
pub fn account() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let passwd = fs_err::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_string())
        })
        .or_else(|| env::var("LOGNAME").ok())
        .unwrap_or_else(|| "root".to_string())
}
