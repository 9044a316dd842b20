//! The forge that is told of builds.

use super::findings::{Findings, ok};
use crate::{
    builder::settings::Settings,
    error_chain::in_full,
    forge::{
        client::Client,
        reporter::Pauses,
        token::{NoToken, Token},
    },
    home::Home,
};

/// The token is tried, and not shown.
pub fn look(findings: &mut Findings, home: &Home, settings: &Settings) {
    let token = match Token::read(home) {
        Ok(token) => token,
        Err(NoToken::Missing) => return,
        Err(why) => return findings.wrong(&in_full(&why)),
    };
    let Some(api) = &settings.forge else {
        return findings
            .wrong("there is a forge-token, and no forge: AMP_CI_FORGE_API says where its API is");
    };
    let rights = match Client::new(Pauses::default().patience).rights(api, &token) {
        Ok(rights) => rights,
        Err(error) => {
            let why = token.hide_in(&in_full(&error));
            return findings.wrong(&format!("the forge at {} does not answer: {why}", api.url()));
        }
    };
    let more: Vec<&str> =
        rights.scopes.iter().map(String::as_str).filter(|scope| *scope != "repo:status").collect();
    if rights.refused {
        findings.wrong(&format!(
            "the forge at {} does not know the token: put a new one into forge-token",
            api.url()
        ));
    } else if more.is_empty() {
        ok(&format!("builds are reported to {}", api.url()));
    } else {
        findings.wrong(&format!(
            "forge-token may do more than set commit statuses ({}), and builds can read it: make one that may not",
            more.join(", ")
        ));
    }
}
