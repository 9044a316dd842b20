//! Every letter that anybody gets, as a function of what it tells: written twice, it is the same letter.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use lettre::Address;

use super::{
    letter::{Draft, Letter},
    recipient::Recipient,
};
use crate::{
    queue::{BuildRequest, EntryId},
    records::{BuildResult, Cause, Outcome},
    text::printable,
};

/// How a letter that tells of a refused one begins its name: with that one's words, and with no words at all.
pub const QUOTING: &str = "failed-";
pub const WORDLESS: &str = "refused-";

/// Where letters come from, and where those go that are for nobody else.
#[derive(Debug, Clone)]
pub struct Letterhead {
    pub from: Address,
    pub fallback: Address,
    /// This host's name.
    pub host: String,
    pub home: PathBuf,
}

/// Does anybody get a letter about a build that came out so?
pub fn are_due(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed | Outcome::TimedOut | Outcome::Error)
}

/// A build that a letter speaks of, and who hears of it.
#[derive(Debug)]
pub struct Told<'a> {
    pub id: &'a EntryId,
    pub request: &'a BuildRequest,
    pub to: Recipient,
}

impl Letterhead {
    /// A branch that was red since the build `since` has been mended by another: who did that is told, and who had broken
    /// it, if their push is known and that is somebody else.
    pub fn mended(
        &self,
        mending: &Told,
        since: &EntryId,
        broke: Option<&Told>,
        log: &Path,
        date: SystemTime,
    ) -> Vec<Letter> {
        let Told { id, request, .. } = mending;
        let branch = printable(request.git_ref.as_str());
        let build = format!("{} commit {} in the branch {branch}", request.repository, request.commit_id);
        let letter = |kind: &str, told: &Told, words: &str| {
            let text = format!(
                "Greetings and salutations {}!\n\n{words}\n\nWith warmest regards,\nAMP CI\n\n\
                 Build:  {id}\nBranch: {branch}\nLog:    {} on {}\nYou get this because {}.\n",
                told.request.committer_name.as_str(),
                log.display(),
                self.host,
                told.to.why,
            );
            let subject = format!("AMP build fixed for {}/{}", request.repository, request.commit_id);
            let draft = self.draft(format!("{id}.{kind}"), subject, text, date);
            Draft { to: &told.to.address, build: Some(id), ..draft }.seal()
        };
        let since = broke.map_or_else(
            || format!("the build {since}"),
            |broke| {
                let name = printable(broke.request.committer_name.as_str());
                format!("the build {since} of commit {}, pushed by {name}", broke.request.commit_id)
            },
        );
        let words = format!(
            "The build for {build} has succeeded.\n\nThe branch had failed since {since}. Thank you."
        );
        let mut letters = vec![letter("fixed", mending, &words)];
        let is_another = |told: &&Told| {
            let (one, other): (&str, &str) = (told.to.address.as_ref(), mending.to.address.as_ref());
            !one.eq_ignore_ascii_case(other)
        };
        if let Some(broke) = broke.filter(is_another) {
            let words = format!(
                "The branch that had failed since your push of commit {} succeeds again.\n\n\
                 The build for {build}, pushed by {}, has mended it.",
                broke.request.commit_id,
                printable(request.committer_name.as_str()),
            );
            letters.push(letter("broke", broke, &words));
        }
        letters
    }

    /// What the committer, `to`, is told of a finished build, whose whole output is in `log`; of an error the fallback gets a copy, unless it has heard
    /// of the engine's failure before.
    pub fn build_failed(
        &self,
        id: &EntryId,
        request: &BuildRequest,
        result: &BuildResult,
        output: &str,
        log: &Path,
        to: &Recipient,
    ) -> Vec<Letter> {
        let letter = |stem: String, to, why: &str| {
            let draft = Draft {
                stem,
                from: &self.from,
                to,
                subject: format!("AMP build failed for {}/{}", request.repository, request.commit_id),
                text: format!(
                    "{}\nBuild:  {id}\nBranch: {}\nLog:    {} on {}\nYou get this because {why}.\n",
                    build_failed(request, result, output),
                    printable(request.git_ref.as_str()),
                    log.display(),
                    self.host,
                ),
                build: Some(id),
                date: result.finished.into(),
            };
            draft.seal()
        };
        let mut letters = vec![letter(id.to_string(), &to.address, &to.why)];
        if result.outcome == Outcome::Error && result.cause != Some(Cause::Engine) {
            let why = "an error is for you to look at: you are AMP_CI_MAIL_FALLBACK";
            letters.push(letter(format!("{id}.ci"), &self.fallback, why));
        }
        letters
    }

    /// The launcher came to no verdict on a build. `words` is the end of what it said of itself, `log` where all is.
    pub fn no_verdict(
        &self,
        id: &EntryId,
        request: &BuildRequest,
        why: &str,
        words: &str,
        log: &Path,
        date: SystemTime,
    ) -> Letter {
        let said = if words.is_empty() {
            "The launcher said nothing of itself.\n".to_string()
        } else {
            let words: Vec<String> = words.lines().map(|line| format!("    {}", printable(line))).collect();
            format!(
                "What the launcher said of itself:\n\n{}\n\nAll of it is in {}.\n",
                words.join("\n"),
                log.display()
            )
        };
        let text = format!(
            "The build {id} of {} commit {} in the branch {} came to no verdict on {}:\n\n    {why}\n\n\
             It is tried three times at most before the committer is told that it could not be run.\n\n{said}",
            request.repository,
            request.commit_id,
            printable(request.git_ref.as_str()),
            self.host,
        );
        let subject = format!(
            "AMP CI: the launcher came to no verdict on {}/{}",
            request.repository, request.commit_id
        );
        Draft { build: Some(id), ..self.draft(format!("{id}.ci"), subject, text, date) }.seal()
    }

    /// An entry was moved to `queue/bad/` under this name.
    pub fn bad_entry(&self, name: &str, why: &str, date: SystemTime) -> Letter {
        let subject = format!("AMP CI: {name} is no request that can be built");
        let text = format!(
            "queue/{name} in {} on {} was moved to queue/bad/:\n\n    {}\n\nNothing of it was built. Mended, it can \
             be moved back into queue/.\n",
            self.home.display(),
            self.host,
            printable(why),
        );
        self.draft(format!("bad-{name}"), subject, text, date).seal()
    }

    /// A fault of the machine; `key` is what it is recognised by the next time.
    pub fn fault(&self, fault: &str, key: &str, date: SystemTime) -> Letter {
        let subject = format!("AMP CI cannot build on {}: {key}", self.host);
        let text = format!(
            "amp_ci in {} on {} has met a fault of the machine:\n\n    {}\n\n\
             What this keeps from being built stays in the queue. As long as it lasts, every start of build tries \
             again and says nothing more; when it is mended, all goes on by itself. `build --check` looks at the whole \
             installation.\n",
            self.home.display(),
            self.host,
            printable(fault),
        );
        self.draft(format!("trouble-{}", EntryId::at(date)), subject, text, date).seal()
    }

    /// What builds have left and nobody can end or remove, a line for each.
    pub fn left_over(&self, lines: &[String], date: SystemTime) -> Letter {
        let subject = format!("AMP CI on {}: what builds have left cannot be ended or removed", self.host);
        let listed: Vec<String> = lines.iter().map(|line| format!("* {}", printable(line))).collect();
        let text = format!(
            "Builds of amp_ci in {} on {} have left what this account can neither end nor remove:\n\n{}\n\n\
             All other builds go on. queue/left-over.json has the list; `build check` shows what is left of it. As long as \
             anything is, this is said again each day.\n",
            self.home.display(),
            self.host,
            listed.join("\n"),
        );
        self.draft(format!("trouble-{}", EntryId::at(date)), subject, text, date).seal()
    }

    /// A letter that nobody will take; quotes it.
    pub fn undeliverable(&self, stem: &str, to: &str, message: &[u8], why: &str, date: SystemTime) -> Letter {
        let quoted = String::from_utf8_lossy(message).replace("\r\n", "\n").replace('\n', "\n> ");
        let subject = format!("AMP CI could not deliver a letter to {to}");
        let text = format!("This letter was refused:\n\n{}\n\n> {quoted}\n", printable(why));
        self.draft(format!("{QUOTING}{stem}"), subject, text, date).seal()
    }

    /// A letter to the fallback that nobody will take. Quotes nothing, because its words may be the reason.
    pub fn undeliverable_to_fallback(&self, stem: &str, outbox: &Path, date: SystemTime) -> Letter {
        let quoted = stem.strip_prefix(QUOTING).map_or_else(String::new, |quoted| {
            format!("It was to tell you that outbox/failed/{quoted}.eml was refused.\n\n")
        });
        let text = format!(
            "A letter to you was refused:\n\n    {}/failed/{stem}.eml on {}\n\n{quoted}\
             Its words are left out here, because they may be the reason. build.log has the mail server's.\n",
            outbox.display(),
            self.host,
        );
        let subject = "AMP CI could not deliver a letter to you".to_string();
        self.draft(format!("{WORDLESS}{stem}"), subject, text, date).seal()
    }

    /// The forge does not know its token, or it cannot be used. All reports wait.
    pub fn token_refused(&self, why: &str, date: SystemTime) -> Letter {
        let subject = "AMP CI: the forge's token is refused".to_string();
        let text = format!(
            "amp_ci in {} on {} cannot report to the forge what comes of builds:\n\n    {}\n\n\
             The reports wait in outbox/ and go out as soon as the file forge-token holds a token that the forge \
             takes. Builds and letters go on. `build check` tries the token.\n",
            self.home.display(),
            self.host,
            printable(why),
        );
        self.draft(format!("forge-token-{}", EntryId::at(date)), subject, text, date).seal()
    }

    /// The forge will never take the report on a build.
    pub fn report_refused(
        &self,
        id: &EntryId,
        repository: &str,
        commit: &str,
        why: &str,
        date: SystemTime,
    ) -> Letter {
        let subject = format!("AMP CI: the forge does not take the report on {repository}/{commit}");
        let text = format!(
            "The report on the build {id} of {repository} commit {commit} was refused:\n\n    {}\n\n\
             It is in outbox/failed/ in {} on {}. Further reports on {repository} that are refused for the same reason \
             go there without a letter, as long as one of them lies there.\n",
            printable(why),
            self.home.display(),
            self.host,
        );
        Draft { build: Some(id), ..self.draft(format!("{id}.forge"), subject, text, date) }.seal()
    }

    /// `scripts/after` will not be run for this build any more.
    pub fn after_given_up(&self, id: &EntryId, why: &str, date: SystemTime) -> Letter {
        let subject = format!("AMP CI on {}: scripts/after is not run for the build {id}", self.host);
        let text = format!(
            "scripts/after of amp_ci in {} on {} is given up for the build {id}:\n\n    {}\n\n\
             The build and its letters are not touched by that. builds/{id}/after.log has what it printed last.\n",
            self.home.display(),
            self.host,
            printable(why),
        );
        self.draft(format!("{id}.after"), subject, text, date).seal()
    }

    /// What `build check --mail` sends.
    pub fn test(&self, to: &Address, date: SystemTime) -> Letter {
        let subject = format!("AMP CI test letter from {}", self.host);
        let text = format!("amp_ci in {} on {} can send mail.\n", self.home.display(), self.host);
        Draft { to, ..self.draft(format!("test-{}", EntryId::at(date)), subject, text, date) }.seal()
    }

    /// To the fallback.
    fn draft(&self, stem: String, subject: String, text: String, date: SystemTime) -> Draft<'_> {
        Draft { stem, from: &self.from, to: &self.fallback, subject, text, build: None, date }
    }
}

/// In the original's words.
fn build_failed(request: &BuildRequest, result: &BuildResult, output: &str) -> String {
    let came_out = match (result.rc, result.reason.as_deref()) {
        (Some(rc), Some(reason)) => format!("was {reason}, returned an rc of {rc}"),
        (Some(rc), None) => format!("returned an rc of {rc}"),
        (None, reason) => format!("could not be run ({})", reason.unwrap_or("no reason on record")),
    };
    let newline = if output.is_empty() || output.ends_with('\n') { "" } else { "\n" };
    format!(
        "Greetings and salutations {}!\n\n\
         Hopefully this email finds you well.\n\n\
         The build for {} commit {} in the branch {} has failed.\n\n\
         The script {came_out} and produced the following output:\n\
         ----------------------------------\n\
         {output}{newline}\
         ----------------------------------\n\n\
         Sorry about that.\n\n\
         With warmest regards,\n\
         AMP CI\n",
        request.committer_name.as_str(),
        request.repository,
        request.commit_id,
        printable(request.git_ref.as_str()),
    )
}

#[cfg(test)]
mod tests;
