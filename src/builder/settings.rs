//! The settings: each has an environment variable, so that `environment.sh` is the one place to configure,
//! and all but the mail URL a flag that beats it.

use std::{env, io, path::PathBuf};

use lettre::Address;

use super::{
    launcher::{command_line::CommandLine, launcher::Launcher},
    mail::letters::Letterhead,
    outbox::mail_url::MailUrl,
    process::workspace::WorkDir,
    secrets::SecretNames,
};
use crate::{
    forge::api::Api,
    git::GitBase,
    home::Home,
    host,
    queue::fields::is_address,
    size::{NotASize, Size},
    timeout::{NoTimeout, Timeout},
};

/// How the settings are given on the command line, as texts.
#[derive(Debug, Default, Clone, clap::Args)]
#[command(next_help_heading = "Settings (each also from the environment, see below)")]
pub struct SettingFlags {
    /// Where the shipped chunks clone from [AMP_CI_GIT_BASE]
    #[arg(long, value_name = "URL")]
    git_base: Option<String>,
    /// Sender of the letters [AMP_CI_MAIL_FROM]
    #[arg(long, value_name = "ADDRESS")]
    mail_from: Option<String>,
    /// Who hears when the committer cannot be written to, and of CI's own troubles [AMP_CI_MAIL_FALLBACK]
    #[arg(long, value_name = "ADDRESS")]
    mail_fallback: Option<String>,
    /// Write, too, when a branch succeeds again: yes or no [AMP_CI_MAIL_FIXED, default no]
    #[arg(long, value_name = "YES")]
    mail_fixed: Option<String>,
    /// Where builds get their fresh directories [AMP_CI_WORK_DIR]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<String>,
    /// Limit of one build: 90, 90s, 30m, 6h; 0 is none [AMP_CI_TIMEOUT, default 6h]
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Finished builds kept [AMP_CI_KEEP, default 500]
    #[arg(long, value_name = "N")]
    keep: Option<String>,
    /// Output kept per build: bytes, or K, M, G of 1024 [AMP_CI_LOG_LIMIT, default 16M]
    #[arg(long, value_name = "SIZE")]
    log_limit: Option<String>,
    /// Space that has to be free for a build to start [AMP_CI_MIN_FREE, default 100M]
    #[arg(long, value_name = "SIZE")]
    min_free: Option<String>,
    /// Patterns of names of variables whose values are recorded as *** [AMP_CI_MASK, default *_TOKEN *_PASSWORD *_SECRET]
    #[arg(long, value_name = "PATTERNS")]
    mask: Option<String>,
    /// Command line in front of every build, with {name} and {dir} for the entry and the build's directory
    /// [AMP_CI_LAUNCHER]
    #[arg(long, value_name = "COMMAND")]
    launcher: Option<String>,
    /// Takes away what a dead build may have left on the engine, such as `scancel --name={name}`
    /// [AMP_CI_LAUNCHER_CANCEL]
    #[arg(long, value_name = "COMMAND")]
    launcher_cancel: Option<String>,
    /// The forge's API, for check marks beside commits: what its address ends in says which forge it is
    /// [AMP_CI_FORGE_API, default GitHub's if --git-base is on github.com]
    #[arg(long, value_name = "URL")]
    forge_api: Option<String>,
    /// Where people see the builds, for links [AMP_CI_PAGE_URL]
    #[arg(long, value_name = "URL")]
    page_url: Option<String>,
    /// Build only the newest of the pushes that wait of a branch: yes or no [AMP_CI_NEWEST_ONLY, default no]
    #[arg(long, value_name = "YES")]
    newest_only: Option<String>,
    /// Look every ten minutes for pushes that never arrived: yes or no [AMP_CI_CATCH_UP, default no]
    #[arg(long, value_name = "YES")]
    catch_up: Option<String>,
}

/// The settings of one run, read at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For the shipped chunks.
    pub git_base: GitBase,
    /// Where mail goes.
    pub mail: MailUrl,
    /// Sender.
    pub mail_from: Address,
    /// Who hears when nobody else can.
    pub mail_fallback: Address,
    /// Whether anybody hears that a branch succeeds again.
    pub mail_fixed: bool,
    /// Parent of the workspaces, as configured.
    pub work_dir: PathBuf,
    /// Limit of one build.
    pub timeout: Timeout,
    /// Finished builds kept.
    pub keep: usize,
    /// Bytes of output kept per build.
    pub log_limit: u64,
    /// Bytes that have to be free, for home and workspaces, before a build starts.
    pub min_free: u64,
    /// Variables whose values no output shows.
    pub mask: SecretNames,
    /// What stands in front of a build.
    pub launcher: Option<Launcher>,
    /// Where builds are reported, given a token.
    pub forge: Option<Api>,
    /// Where people see the builds, without a slash at its end.
    pub page_url: Option<String>,
    /// Whether pushes that never arrived are looked for.
    pub catch_up: bool,
    /// Whether only the newest of the pushes that wait of a branch is built.
    pub newest_only: bool,
}

/// A value that does not parse; names the variable, never shows the mail URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct SettingError {
    name: &'static str,
    problem: String,
}

impl SettingError {
    /// The variable.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// All that there are, those that only the scripts read included.
const NAMES: [&str; 19] = [
    "AMP_CI_CATCH_UP",
    "AMP_CI_FORGE_API",
    "AMP_CI_GIT_BASE",
    "AMP_CI_HOME",
    "AMP_CI_KEEP",
    "AMP_CI_LAUNCHER",
    "AMP_CI_LAUNCHER_CANCEL",
    "AMP_CI_LOG_LIMIT",
    "AMP_CI_MAIL_FALLBACK",
    "AMP_CI_MAIL_FIXED",
    "AMP_CI_MAIL_FROM",
    "AMP_CI_MASK",
    "AMP_CI_MIN_FREE",
    "AMP_CI_NEWEST_ONLY",
    "AMP_CI_PAGE",
    "AMP_CI_PAGE_URL",
    "AMP_CI_SMTP_URL",
    "AMP_CI_TIMEOUT",
    "AMP_CI_WORK_DIR",
];

/// What our environment has that is named like a setting and is none, each with the setting that is named most like it.
pub fn unknown() -> Vec<(String, &'static str)> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut unknown: Vec<_> = names
        .filter(|name| name.starts_with("AMP_CI_") && !NAMES.contains(&name.as_str()))
        .filter_map(|name| {
            let nearest = NAMES.into_iter().min_by_key(|known| strsim::levenshtein(&name, known))?;
            Some((name, nearest))
        })
        .collect();
    unknown.sort_unstable();
    unknown
}

/// How people hear of a setting that is not valid: by those of mail that are, and by the defaults of the others.
pub struct MailOfWhatIsValid {
    pub mail: MailUrl,
    pub from: Address,
    pub fallback: Address,
}

impl MailOfWhatIsValid {
    /// None if not even the defaults are.
    pub fn read(flags: SettingFlags) -> Option<Self> {
        Some(Self {
            mail: mail_url().ok().or_else(|| MailUrl::parse(MAIL_URL).ok())?,
            from: mail_from(flags.mail_from).ok().or_else(|| parse_address(&default_from()).ok())?,
            fallback: mail_fallback(flags.mail_fallback)
                .ok()
                .or_else(|| parse_address(&default_fallback()).ok())?,
        })
    }
}

impl Settings {
    /// The flags, else the environment, else the defaults. An empty value is an unset one.
    pub fn read(flags: SettingFlags) -> Result<Self, SettingError> {
        let mail = mail_url()?;
        let launcher = setting("AMP_CI_LAUNCHER", flags.launcher, "", parse_command_line)?;
        let cancel = setting("AMP_CI_LAUNCHER_CANCEL", flags.launcher_cancel, "", parse_command_line)?;
        let git_base = setting("AMP_CI_GIT_BASE", flags.git_base, GIT_BASE, GitBase::parse)?;
        let forge = setting("AMP_CI_FORGE_API", flags.forge_api, "", |text| {
            let given = Some(text).filter(|text| !text.is_empty());
            Api::new(given, git_base.url()).map_err(|error| error.to_string())
        })?;
        Ok(Self {
            mail,
            git_base,
            forge,
            page_url: setting("AMP_CI_PAGE_URL", flags.page_url, "", parse_page_url)?,
            newest_only: setting("AMP_CI_NEWEST_ONLY", flags.newest_only, "no", parse_switch)?,
            catch_up: setting("AMP_CI_CATCH_UP", flags.catch_up, "no", parse_switch)?,
            mail_from: mail_from(flags.mail_from)?,
            mail_fallback: mail_fallback(flags.mail_fallback)?,
            mail_fixed: setting("AMP_CI_MAIL_FIXED", flags.mail_fixed, "no", parse_switch)?,
            work_dir: setting("AMP_CI_WORK_DIR", flags.work_dir, &default_work_dir(), parse_absolute)?,
            timeout: setting("AMP_CI_TIMEOUT", flags.timeout, "6h", parse_timeout)?,
            keep: setting("AMP_CI_KEEP", flags.keep, "500", parse_count)?,
            log_limit: setting("AMP_CI_LOG_LIMIT", flags.log_limit, "16M", parse_size)?,
            min_free: setting("AMP_CI_MIN_FREE", flags.min_free, "100M", parse_size)?,
            mask: setting("AMP_CI_MASK", flags.mask, "*_TOKEN *_PASSWORD *_SECRET", SecretNames::parse)?,
            launcher: match (launcher, cancel) {
                (Some(start), cancel) => Some(Launcher { start, cancel }),
                (None, None) => None,
                (None, Some(_)) => {
                    let problem = "is set, but AMP_CI_LAUNCHER is not".to_string();
                    return Err(SettingError { name: "AMP_CI_LAUNCHER_CANCEL", problem });
                }
            },
        })
    }

    /// The configured parent of the workspaces, resolved and found safe.
    pub fn open_work_dir(&self, home_id: &str) -> io::Result<WorkDir> {
        WorkDir::open(&self.work_dir, format!("amp_ci-{home_id}-"))
    }

    pub fn letterhead(&self, home: &Home) -> Letterhead {
        Letterhead {
            from: self.mail_from.clone(),
            fallback: self.mail_fallback.clone(),
            host: host::name(),
            home: home.dir().to_path_buf(),
        }
    }
}

const GIT_BASE: &str = "https://github.com/AudiovisualMetadataPlatform";

const MAIL_URL: &str = "smtp://localhost:25";

fn mail_url() -> Result<MailUrl, SettingError> {
    setting("AMP_CI_SMTP_URL", None, MAIL_URL, |text| {
        // What is wrong may be said, the value may not: it can hold a password.
        MailUrl::parse(text).map_err(|why| format!("{why} (the value is not shown)"))
    })
}

fn mail_from(flag: Option<String>) -> Result<Address, SettingError> {
    setting("AMP_CI_MAIL_FROM", flag, &default_from(), parse_address)
}

fn mail_fallback(flag: Option<String>) -> Result<Address, SettingError> {
    setting("AMP_CI_MAIL_FALLBACK", flag, &default_fallback(), parse_address)
}

fn default_from() -> String {
    format!("amp_ci@{}", mail_name())
}

fn default_fallback() -> String {
    format!("{}@{}", host::account(), mail_name())
}

fn setting<T>(
    name: &'static str,
    flag: Option<String>,
    default: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, SettingError> {
    let given = match flag {
        Some(flag) => Some(flag),
        None => match env::var(name) {
            Ok(text) => Some(text),
            Err(env::VarError::NotPresent) => None,
            Err(env::VarError::NotUnicode(_)) => {
                return Err(SettingError { name, problem: "is not UTF-8".to_string() });
            }
        },
    };
    let given = given.filter(|text| !text.is_empty());
    parse(given.as_deref().unwrap_or(default)).map_err(|problem| SettingError { name, problem })
}

/// Empty is none.
fn parse_page_url(text: &str) -> Result<Option<String>, String> {
    let is_url = |text: &str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty()) && text.bytes().all(|b| b.is_ascii_graphic())
    };
    match text.trim_end_matches('/') {
        "" => Ok(None),
        url if is_url(url) => Ok(Some(url.to_string())),
        _ => Err(format!("'{}' is no address such as https://ci.example.edu", crate::text::printable(text))),
    }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("'{}' is neither yes nor no", crate::text::printable(text))),
    }
}

/// Empty is none.
fn parse_command_line(text: &str) -> Result<Option<CommandLine>, String> {
    if text.is_empty() { Ok(None) } else { CommandLine::parse(text).map(Some) }
}

fn parse_address(text: &str) -> Result<Address, String> {
    let plain = is_address(text).then(|| text.parse().ok()).flatten();
    plain.ok_or_else(|| {
        format!("'{}' is not a plain mail address such as ci@example.org", crate::text::printable(text))
    })
}

fn parse_absolute(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(PathBuf::from(text))
    } else {
        Err(format!("'{text}' is not an absolute path"))
    }
}

fn parse_timeout(text: &str) -> Result<Timeout, String> {
    text.parse().map_err(|error: NoTimeout| error.to_string())
}

/// At least a byte, and no more than any disk holds.
fn parse_size(text: &str) -> Result<u64, String> {
    let size: Size = text.parse().map_err(|error: NotASize| error.to_string())?;
    Some(size.0)
        .filter(|size| (1..=1 << 50).contains(size))
        .ok_or_else(|| format!("'{text}' is out of range"))
}

fn parse_count(text: &str) -> Result<usize, String> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten().ok_or_else(|| format!("'{text}' is not a number of builds"))
}

/// What a bare local part is completed with: /etc/mailname as Debian's mail servers have it, else the host's name.
fn mail_name() -> String {
    let mailname = fs_err::read_to_string("/etc/mailname").unwrap_or_default();
    [mailname.trim(), &host::name()]
        .into_iter()
        .find(|name| is_address(&format!("x@{name}")))
        .unwrap_or("localhost")
        .to_string()
}

fn default_work_dir() -> String {
    let scratch = "/srv/scratch";
    let writable =
        rustix::fs::access(scratch, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    if writable && std::path::Path::new(scratch).is_dir() {
        return scratch.to_string();
    }
    env::temp_dir().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_sample_is_known() {
        let sample = include_str!("../../environment.sh-sample");
        for line in sample.lines().filter_map(|line| line.trim_start_matches('#').split_once("='")) {
            assert!(!line.0.starts_with("AMP_CI_") || NAMES.contains(&line.0), "{}", line.0);
        }
    }
}
