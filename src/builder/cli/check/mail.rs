//! The way out for letters, and who gets them.

use std::time::SystemTime;

use lettre::Address;

use super::findings::{Findings, note, ok};
use crate::{
    builder::{
        mail::recipient,
        outbox::{
            delivery::Delivery,
            mail_server::MailServer,
            mail_url::MailUrl,
            outbox::{Contents, Outbox},
            smtp::Limits,
        },
        settings::Settings,
    },
    error_chain::in_full,
    home::Home,
    regular_file,
    text::printable,
};

pub fn look(findings: &mut Findings, home: &Home, settings: &Settings, test_letter_to: Option<&Address>) {
    addresses(findings, home);
    let server = MailServer::new(&settings.mail, &settings.mail_from, Limits::default()).in_a_minute();
    let what = match &settings.mail {
        MailUrl::Directory(dir) => format!("letters are written to {}", dir.display()),
        MailUrl::Smtp(_) => "the mail server lets us in".to_string(),
    };
    match server.try_out() {
        Ok(()) => ok(&what),
        Err(why) => findings.wrong(&format!("mail: {why}; AMP_CI_SMTP_URL says where mail goes")),
    }
    let delivery =
        Delivery { outbox: Outbox::new(home.outbox()), server, letterhead: settings.letterhead(home) };
    let Contents { waiting, oldest, failed } = delivery.outbox.contents();
    if waiting > 0 {
        let hours = oldest.as_secs() / 3600;
        let what = format!("outbox/ holds {waiting} unsent, the oldest for {hours} h; build.log says why");
        if hours > 0 { findings.wrong(&what) } else { note(&what) }
    }
    if failed > 0 {
        findings.wrong(&format!(
            "outbox/failed/ holds {failed} that nobody took: read them, then remove them or move them back into outbox/"
        ));
    }
    let Some(address) = test_letter_to else { return };
    let letter = delivery.letterhead.test(address, SystemTime::now());
    match delivery.send_unstored(&letter) {
        Ok(()) => ok(&format!("a test letter to {address} was accepted")),
        Err(why) => findings.wrong(&format!("the test letter to {address} was not accepted: {why}")),
    }
}

fn addresses(findings: &mut Findings, home: &Home) {
    let text = match regular_file::read(&home.addresses()) {
        Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Ok(None) => return,
        Err(error) => return findings.wrong(&in_full(&error)),
    };
    for (number, line) in recipient::lines_that_are_none(&text) {
        findings.wrong(&format!(
            "addresses, line {number}, is none and helps nobody: '{}'; write a name, a blank and an address",
            printable(line)
        ));
    }
}
