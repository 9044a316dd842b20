//! The command line of `webhookd`: the flags of webhook 2.8, and ours.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum, builder::OsStringValueParser,
    builder::TypedValueParser,
};

use super::{client::TrustedProxies, go::flag};
use crate::{
    size::{NotASize, Size},
    timeout,
};

/// Waits for HTTP requests and runs the commands that a hooks file names for them.
#[derive(Debug, Parser)]
#[command(
    name = "webhookd",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    override_usage = "webhookd [FLAGS]",
    after_help = "\
Flags are written with one dash or two, `-port 9000` or `--port=9000`; a boolean flag takes its value only \
as in `-verbose=false`. The last one wins, but -hooks and -header add up. Everything after the first word \
that is no flag is ignored. A TIME is 90s, 500ms, 5m or 1h30m; a bare number means seconds.\n\n\
Under a socket unit of systemd it listens on the socket that it is handed, whatever the flags say.\n\n\
Signals: HUP and USR1 read the hooks files again; HUP also the certificate. A log file that was \
moved away is made anew. TERM and INT stop: no new connections, running commands get -grace-period.\n\n\
Exit codes: 0 stopped by a signal, 1 it could not start (bad hooks, port taken) or its last hook went away, \
2 usage.\n\n\
What a hooks file can say is in docs/hooks.md. Flags and hooks files are those of adnanh/webhook, and more; \
where webhookd differs from it on purpose is in docs/moving-over.md."
)]
// A command line is a bag of switches.
#[allow(clippy::struct_excessive_bools)]
pub struct Options {
    /// Hooks file, JSON or YAML whatever its name; give it several times to load several files
    #[arg(help_heading = "Hooks", long, value_name = "FILE", default_value = "hooks.json", action = ArgAction::Append, value_parser = path())]
    pub hooks: Vec<PathBuf>,
    /// Expand each hooks file as a Go template first: {{ getenv "SECRET" | js }}
    #[arg(help_heading = "Hooks", long)]
    pub template: bool,
    /// Watch the hooks files and load what changes; without it a HUP does
    #[arg(help_heading = "Hooks", long)]
    pub hotreload: bool,
    /// Load the hooks files, say what is wrong with them or what they define, and exit with 1 or 0
    #[arg(help_heading = "Hooks", long)]
    pub check: bool,
    /// Start although no hook could be loaded, as with -verbose
    #[arg(help_heading = "Hooks", long)]
    pub nopanic: bool,

    /// Address or host name to listen on; IPv6 in brackets. The default takes IPv6 connections too
    #[arg(help_heading = "Where it listens", long, value_name = "HOST", default_value = "0.0.0.0")]
    pub ip: String,
    /// Port to listen on; 0 takes a free one, and the log says which
    #[arg(help_heading = "Where it listens", long, value_name = "N", default_value = "9000", value_parser = flag::integer, allow_negative_numbers = true)]
    pub port: i64,
    /// Unix socket to listen on in place of host and port; a leading @ is an abstract one
    #[arg(help_heading = "Where it listens", long, value_name = "PATH", default_value = "", hide_default_value = true, value_parser = path())]
    pub socket: PathBuf,
    /// Hooks are at /PREFIX/ID
    #[arg(help_heading = "Where it listens", long, value_name = "PREFIX", default_value = "hooks")]
    pub urlprefix: String,
    /// Proxies whose X-Forwarded-For names the client: addresses and networks, and `unix` for whoever comes
    /// by the Unix socket, with commas between them
    #[arg(
        help_heading = "Where it listens",
        long,
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    pub trusted_proxies: TrustedProxies,

    /// Header of the answers of hooks and of the page at /, but not of 404 and 405; give it several times for
    /// several headers
    #[arg(help_heading = "What it answers", long, value_name = "NAME=VALUE", action = ArgAction::Append, value_parser = header)]
    pub header: Vec<(String, String)>,
    /// Methods that are taken for a hook which lists none, as in GET,POST; by default every method
    #[arg(
        help_heading = "What it answers",
        long,
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    pub http_methods: String,

    /// Log what happens to standard error; without it nothing is logged
    #[arg(help_heading = "Log", long)]
    pub verbose: bool,
    /// Log requests and answers in full too; implies -verbose
    #[arg(help_heading = "Log", long)]
    pub debug: bool,
    /// Log to the end of this file instead; implies -verbose
    #[arg(help_heading = "Log", long, value_name = "FILE", default_value = "", hide_default_value = true, value_parser = path())]
    pub logfile: PathBuf,
    /// Lines for people, or one JSON object per line
    #[arg(help_heading = "Log", long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Take the id of a request from its X-Request-Id header if it has one
    #[arg(help_heading = "Log", long)]
    pub x_request_id: bool,
    /// Cut that id to so many bytes; by default it is not cut
    #[arg(help_heading = "Log", long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = flag::integer, allow_negative_numbers = true)]
    pub x_request_id_limit: i64,

    /// Serve HTTPS, and nothing else
    #[arg(help_heading = "TLS", long)]
    pub secure: bool,
    /// Certificate chain, PEM
    #[arg(help_heading = "TLS", long, value_name = "FILE", default_value = "cert.pem", value_parser = path())]
    pub cert: PathBuf,
    /// Its private key, PEM
    #[arg(help_heading = "TLS", long, value_name = "FILE", default_value = "key.pem", value_parser = path())]
    pub key: PathBuf,
    /// Oldest version of TLS that is spoken: 1.2 or 1.3
    #[arg(help_heading = "TLS", long, value_name = "VERSION", default_value = "1.2")]
    pub tls_min_version: String,
    /// Cipher suites of TLS 1.2, with commas between them; by default all
    #[arg(help_heading = "TLS", long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub cipher_suites: String,
    /// Print the names of the cipher suites and exit
    #[arg(help_heading = "TLS", long)]
    pub list_cipher_suites: bool,

    /// Largest request body, in bytes or as 10K, 25M, 1G; a larger one is answered 413
    #[arg(help_heading = "Limits", long, value_name = "SIZE", default_value = "25M", value_parser = size)]
    pub max_body_size: usize,
    /// Time a client has for the head of a request, and to keep an idle connection; 0 is no limit
    #[arg(help_heading = "Limits", long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub header_timeout: Duration,
    /// Time a client has for the body of a request, after which it is answered 408, and may take nothing of an
    /// answer, after which it is let go; 0 is no limit
    #[arg(help_heading = "Limits", long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub body_timeout: Duration,
    /// Commands that run at a time, of all hooks together; 0 is no limit
    #[arg(help_heading = "Limits", long, value_name = "N", default_value = "100", value_parser = count)]
    pub max_concurrency: u32,
    /// Requests that may wait for a place under -max-concurrency; further ones are answered 503
    #[arg(help_heading = "Limits", long, value_name = "N", default_value = "10000", value_parser = count)]
    pub max_waiting: u32,
    /// Accepted and without effect: a multipart body stays in memory, under -max-body-size
    #[arg(help_heading = "Limits", long, value_name = "BYTES", default_value = "1048576", value_parser = flag::integer, allow_negative_numbers = true)]
    pub max_multipart_mem: i64,

    /// Write the process id to this file, and remove it at the end; while it names a process that lives, no
    /// second daemon starts
    #[arg(help_heading = "Process", long, value_name = "FILE", default_value = "", hide_default_value = true, value_parser = path())]
    pub pidfile: PathBuf,
    /// Become the user of this number once the port is open; needs -setgid
    #[arg(help_heading = "Process", long, value_name = "UID", default_value = "0", hide_default_value = true, value_parser = flag::integer, allow_negative_numbers = true)]
    pub setuid: i64,
    /// Become the group of this number once the port is open; needs -setuid
    #[arg(help_heading = "Process", long, value_name = "GID", default_value = "0", hide_default_value = true, value_parser = flag::integer, allow_negative_numbers = true)]
    pub setgid: i64,
    /// Time that running commands have when the daemon is stopped, before they are ended
    #[arg(help_heading = "Process", long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub grace_period: Duration,
    /// Print the version and exit
    #[arg(help_heading = "Process", long)]
    pub version: bool,
    /// Print this help and exit
    #[arg(help_heading = "Process", long, action = ArgAction::SetTrue)]
    help: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `[webhook] 2026/11/22 11:14:05 [3f3e5e] ...`
    Text,
    /// An object per line.
    Json,
}

/// Why there are no options to start with.
#[derive(Debug)]
pub enum NoOptions {
    /// Help was asked for; this is it.
    Help(String),
    /// The command line is wrong; this says how.
    Usage(String),
}

impl Options {
    /// Reads the words after the program's name.
    pub fn read(words: &[OsString]) -> Result<Self, NoOptions> {
        let usage = |error: &dyn std::fmt::Display| {
            NoOptions::Usage(format!(
                "{error}\nUsage: webhookd [FLAGS]\nFor the flags, try 'webhookd -help'."
            ))
        };
        let mut command = Self::command();
        let words = flag::words_for_clap(&command, words).map_err(|error| usage(&error))?;
        let program = OsString::from("webhookd");
        let matches = command
            .try_get_matches_from_mut(std::iter::once(program).chain(words))
            .map_err(|error| usage(&error.to_string().lines().next().unwrap_or_default()))?;
        let options = Self::from_arg_matches(&matches).map_err(|error| usage(&error))?;
        if options.help {
            return Err(NoOptions::Help(command.render_help().to_string()));
        }
        Ok(options)
    }
}

/// A path, which may be empty: that switches off what it would be for.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("header flag must be in name=value format")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn count(text: &str) -> Result<u32, String> {
    u32::try_from(flag::integer(text)?).map_err(|_| "not a count".to_owned())
}

fn size(text: &str) -> Result<usize, String> {
    let Size(bytes) = text.parse().map_err(|error: NotASize| error.to_string())?;
    usize::try_from(bytes).map_err(|_| "too large".to_owned())
}

fn time(text: &str) -> Result<Duration, &'static str> {
    timeout::duration(text).ok_or("not a time such as 30s or 5m")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Options {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        Options::read(&words).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn without_flags_everything_has_the_default_of_webhook() {
        let options = read(&[]);
        assert_eq!((options.ip.as_str(), options.port), ("0.0.0.0", 9000));
        assert_eq!(options.hooks, [PathBuf::from("hooks.json")]);
        assert_eq!(options.urlprefix, "hooks");
        assert_eq!(options.tls_min_version, "1.2");
        assert_eq!(options.cert, PathBuf::from("cert.pem"));
        assert_eq!(options.max_multipart_mem, 1 << 20);
        assert_eq!(options.max_body_size, 25 << 20);
        assert_eq!(options.logfile, PathBuf::new());
        assert!(
            !(options.verbose || options.debug || options.secure || options.hotreload || options.nopanic)
        );
    }

    #[test]
    fn scalars_are_overridden_and_lists_accumulate() {
        let options = read(&[
            "-port",
            "1",
            "-port=0x10",
            "-hooks",
            "a",
            "--hooks=b",
            "-header",
            "a=b=c",
            "-header=x=",
            "-logfile",
            "",
        ]);
        assert_eq!(options.port, 16);
        assert_eq!(options.hooks, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(options.header, [("a".into(), "b=c".into()), ("x".into(), String::new())]);
        assert_eq!(options.logfile, PathBuf::new());
    }

    #[test]
    fn an_empty_hooks_file_name_is_kept() {
        assert_eq!(read(&["-hooks", ""]).hooks, [PathBuf::new()]);
    }

    #[test]
    fn a_wrong_value_is_a_usage_error_that_names_the_flag() {
        for line in
            [&["-port", "abc"][..], &["-header", "foo"], &["-max-body-size", "x"], &["-trusted-proxies", "x"]]
        {
            let words: Vec<OsString> = line.iter().map(OsString::from).collect();
            let Err(NoOptions::Usage(text)) = Options::read(&words) else { panic!("{line:?}") };
            assert!(text.contains(&line[0][1..]), "{text}");
        }
    }
}
