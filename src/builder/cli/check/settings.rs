//! The settings, as this process has got them.

use std::env;

use super::findings::{Findings, ok};
use crate::builder::settings::{self, Settings};

pub fn look(findings: &mut Findings, settings: &Settings) {
    let Settings { git_base, mail_from, mail_fallback, timeout, keep, log_limit, .. } = settings;
    ok(&format!(
        "settings: clones from {git_base}; mail from {mail_from}, fallback {mail_fallback}; limit {timeout}; \
         {keep} builds kept, {log_limit} bytes of output each"
    ));
    for (name, nearest) in settings::unknown() {
        findings
            .wrong(&format!("{name} is no setting; the nearest one is {nearest}: mend it in environment.sh"));
    }
    secrets(findings);
}

/// A secret that is not what was meant refuses every push.
fn secrets(findings: &mut Findings) {
    for (name, value) in env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))) {
        if !name.starts_with("SECRET") {
            continue;
        }
        let Some(value) = value.to_str() else {
            findings.wrong(&format!("{name} is not UTF-8: no signature will ever match"));
            continue;
        };
        if value == "Your secret" {
            findings.wrong(&format!("{name} is still the sample's: set one of your own in environment.sh"));
        } else if value.trim() != value || value.chars().any(char::is_control) {
            findings.wrong(&format!(
                "{name} begins or ends with a blank or holds a control character, such as the end of a line from Windows, and \
                 no signature will match: mend environment.sh (sed -i 's/\\r$//' environment.sh)"
            ));
        }
    }
}
