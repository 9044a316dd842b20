//! `build check`: looks at the whole installation without building, and says what is wrong and what to do.

use std::{
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::SystemTime,
};

use clap::Args;
use lettre::Address;

use super::failure::Failure;
use crate::{
    builder::{
        outbox::{
            delivery::Delivery,
            mail_server::MailServer,
            mail_url::MailUrl,
            outbox::{Contents, Outbox},
            smtp::Limits,
        },
        script::placeholder,
        settings::{SettingFlags, Settings},
        shipped,
    },
    error_chain::in_full,
    forge::{
        client::Client,
        reporter::Pauses,
        token::{NoToken, Token},
    },
    home::Home,
    queue::control::is_held,
};

#[derive(Args)]
pub struct CheckArguments {
    /// Send a test letter
    #[arg(long, value_name = "ADDRESS")]
    mail: Option<Address>,
    #[command(flatten)]
    settings: SettingFlags,
}

pub fn run(home: &Home, arguments: CheckArguments) -> Result<u8, Failure> {
    let settings = Settings::read(arguments.settings).map_err(Failure::usage)?;
    Ok(look(home, &settings, arguments.mail.as_ref()))
}

/// Prints a line per finding; 0 if nothing is wrong.
pub fn look(home: &Home, settings: &Settings, test_letter_to: Option<&Address>) -> u8 {
    let mut findings = Findings::default();
    findings.directories(home);
    Findings::settings(settings);
    findings.chunks(home);
    Findings::shipped(home);
    findings.programs(settings);
    findings.work_dir(home, settings);
    findings.mail(home, settings, test_letter_to);
    findings.forge(home, settings);
    match findings.wrong {
        0 => say("all is well"),
        1 => say("one thing is wrong"),
        wrong => say(&format!("{wrong} things are wrong")),
    }
    u8::from(findings.wrong != 0)
}

#[derive(Default)]
struct Findings {
    wrong: usize,
}

fn say(line: &str) {
    // Whoever closed the pipe has seen enough.
    let _ = writeln!(io::stdout(), "{line}");
}

fn ok(what: &str) {
    say(&format!("ok      {what}"));
}

fn note(what: &str) {
    say(&format!("note    {what}"));
}

impl Findings {
    fn wrong(&mut self, what: &str) {
        self.wrong += 1;
        say(&format!("WRONG   {what}"));
    }

    fn directories(&mut self, home: &Home) {
        let before = self.wrong;
        ok(&format!("home {}", home.dir().display()));
        for (dir, must_exist) in [
            (home.dir().to_path_buf(), true),
            (home.queue(), true),
            (home.builds(), false),
            (home.outbox(), false),
        ] {
            match dir.metadata() {
                Err(error) if must_exist || error.kind() != io::ErrorKind::NotFound => {
                    self.wrong(&format!("{}: {error}; make it, or give the right --home", dir.display()));
                }
                Err(_) => {}
                Ok(metadata) => self.owner_and_mode(&dir, &metadata),
            }
        }
        for log in [home.build_log(), home.dir().join("webhook.log")] {
            if let Ok(metadata) = log.metadata() {
                self.owner_and_mode(&log, &metadata);
            }
        }
        let environment = home.dir().join("environment.sh");
        match environment.metadata() {
            Ok(metadata) if metadata.mode() & 0o007 != 0 => {
                note("environment.sh holds the secret and others can read it: chmod 600 environment.sh");
            }
            Ok(_) => {}
            Err(_) => {
                note("there is no environment.sh: the settings are the defaults; see environment.sh-sample");
            }
        }
        if is_held(&home.queue()) {
            note("queue/hold exists: nothing is built until it is removed");
        }
        if self.wrong == before {
            ok("queue, builds, outbox and logs are ours");
        }
    }

    fn owner_and_mode(&mut self, path: &Path, metadata: &std::fs::Metadata) {
        let user = rustix::process::geteuid().as_raw();
        let owner = metadata.uid();
        if owner != user {
            self.wrong(&format!(
                "{} belongs to user {owner}, and this is user {user}: webhookd, queue_build and build run as one user (chown -R)",
                path.display()
            ));
        }
        if metadata.mode() & 0o002 != 0 {
            self.wrong(&format!("{} can be written by everybody: chmod o-w", path.display()));
        }
        if metadata.is_dir() && tempfile::tempfile_in(path).is_err() {
            self.wrong(&format!("{} cannot be written: is the disk full or read-only?", path.display()));
        }
    }

    fn settings(settings: &Settings) {
        let Settings { git_base, mail_from, mail_fallback, timeout, keep, log_limit, .. } = settings;
        ok(&format!(
            "settings: clones from {git_base}; mail from {mail_from}, fallback {mail_fallback}; limit {timeout}; \
             {keep} builds kept, {log_limit} bytes of output each"
        ));
    }

    fn chunks(&mut self, home: &Home) {
        let entries = match fs_err::read_dir(home.scripts()) {
            Ok(entries) => entries,
            Err(error) => return self.wrong(&format!("{}; the chunks belong there", in_full(&error))),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| {
                ["checkout_repos", "build_packages", "distribute_"]
                    .iter()
                    .any(|chunk| name.starts_with(chunk))
            })
            .collect();
        names.sort_unstable();
        if names.is_empty() {
            return self.wrong("scripts/ holds no chunk (checkout_repos, build_packages, distribute_<branch>): every build is skipped");
        }
        for chunk in ["checkout_repos", "build_packages"] {
            if !names.iter().any(|name| name.starts_with(chunk)) {
                self.wrong(&format!(
                    "scripts/ holds neither {chunk} nor any {chunk}_<branch>: no build can run"
                ));
            }
        }
        for name in &names {
            let path = home.scripts().join(name);
            if path.metadata().is_ok_and(|metadata| metadata.mode() & 0o002 != 0) {
                self.wrong(&format!("scripts/{name} can be written by everybody, and is run: chmod o-w"));
            }
            match fs_err::read(path) {
                Err(error) => self.wrong(&in_full(&error)),
                Ok(chunk) => {
                    for word in placeholder::mistyped(&chunk) {
                        self.wrong(&format!(
                            "scripts/{name}: {word} is no placeholder, bash will see it as it is: mend it, or write {{{word}}} if it is meant"
                        ));
                    }
                }
            }
        }
        ok(&format!("chunks: {}", names.join(", ")));
    }

    fn shipped(home: &Home) {
        let newer = shipped::FILES.iter().filter(|file| file.is_newer_than_in(home.dir()));
        let names: Vec<&str> = newer.map(|file| file.name).collect();
        if !names.is_empty() {
            note(&format!(
                "this version ships newer files than this home has: {}; `build init {}` takes over what was not edited, \
                 and shows what is new in the rest",
                names.join(", "),
                home.dir().display()
            ));
        }
    }

    fn programs(&mut self, settings: &Settings) {
        let launcher = settings.launcher.as_ref();
        for program in ["/bin/bash", "git"].into_iter().chain(launcher.map(|_| "setpriv")) {
            let found = Command::new(program)
                .arg("--version")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            match found {
                Ok(_) => ok(&format!("{program} is there")),
                Err(error) => {
                    self.wrong(&format!("{program}: {error}; install it, or mend PATH (cron's is short)"));
                }
            }
        }
        // These are not run: what `--version` means to them is theirs.
        for command in launcher
            .into_iter()
            .flat_map(|launcher| [Some(&launcher.start), launcher.cancel.as_ref()])
            .flatten()
        {
            match command.look_up() {
                Ok(()) => ok(&format!("the launcher's {} is there", command.program())),
                Err(error) => {
                    self.wrong(&format!("{}; install it, or mend PATH (cron's is short)", in_full(&error)));
                }
            }
        }
    }

    fn work_dir(&mut self, home: &Home, settings: &Settings) {
        match settings.open_work_dir(home) {
            Err(error) => self.wrong(&format!("{}; AMP_CI_WORK_DIR names another", in_full(&error))),
            Ok(work_dir) if tempfile::tempdir_in(work_dir.path()).is_err() => {
                self.wrong(&format!(
                    "no directory can be made in {}: is it full or read-only?",
                    work_dir.path().display()
                ));
            }
            Ok(work_dir) => ok(&format!("builds run below {}", work_dir.path().display())),
        }
    }

    fn mail(&mut self, home: &Home, settings: &Settings, test_letter_to: Option<&Address>) {
        let server = MailServer::new(&settings.mail, &settings.mail_from, Limits::default()).in_a_minute();
        let what = match &settings.mail {
            MailUrl::Directory(dir) => format!("letters are written to {}", dir.display()),
            MailUrl::Smtp(_) => "the mail server lets us in".to_string(),
        };
        match server.try_out() {
            Ok(()) => ok(&what),
            Err(why) => self.wrong(&format!("mail: {why}; AMP_CI_SMTP_URL says where mail goes")),
        }
        let delivery =
            Delivery { outbox: Outbox::new(home.outbox()), server, letterhead: settings.letterhead(home) };
        let Contents { waiting, oldest, failed } = delivery.outbox.contents();
        if waiting > 0 {
            let hours = oldest.as_secs() / 3600;
            let what =
                format!("outbox/ holds {waiting} unsent, the oldest for {hours} h; build.log says why");
            if hours > 0 { self.wrong(&what) } else { note(&what) }
        }
        if failed > 0 {
            self.wrong(&format!(
                "outbox/failed/ holds {failed} that nobody took: read them, then remove them or move them back into outbox/"
            ));
        }
        let Some(address) = test_letter_to else { return };
        let letter = delivery.letterhead.test(address, SystemTime::now());
        match delivery.send_unstored(&letter) {
            Ok(()) => ok(&format!("a test letter to {address} was accepted")),
            Err(why) => self.wrong(&format!("the test letter to {address} was not accepted: {why}")),
        }
    }
    /// The token is tried, and not shown.
    fn forge(&mut self, home: &Home, settings: &Settings) {
        let token = match Token::read(home) {
            Ok(token) => token,
            Err(NoToken::Missing) => return,
            Err(why) => return self.wrong(&in_full(&why)),
        };
        let Some(api) = &settings.forge else {
            return self
                .wrong("there is a forge-token, and no forge: AMP_CI_FORGE_API says where its API is");
        };
        let rights = match Client::new(Pauses::default().patience).rights(api, &token) {
            Ok(rights) => rights,
            Err(error) => {
                let why = token.hide_in(&in_full(&error));
                return self.wrong(&format!("the forge at {} does not answer: {why}", api.url()));
            }
        };
        let more: Vec<&str> =
            rights.scopes.iter().map(String::as_str).filter(|scope| *scope != "repo:status").collect();
        if rights.refused {
            self.wrong(&format!(
                "the forge at {} does not know the token: put a new one into forge-token",
                api.url()
            ));
        } else if more.is_empty() {
            ok(&format!("builds are reported to {}", api.url()));
        } else {
            self.wrong(&format!(
                "forge-token may do more than set commit statuses ({}), and builds can read it: make one that may not",
                more.join(", ")
            ));
        }
    }
}
