//! Who gets the letter about a build.

use lettre::Address;

use crate::{
    queue::{BuildRequest, fields::is_address},
    text::printable,
};

/// Who gets it, and why they: goes on after "You get this because".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub address: Address,
    pub why: String,
}

/// The lines of `addresses` that name nobody, with their numbers from 1.
pub fn lines_that_are_none(addresses: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_none = |line: &str| {
        let line = line.trim();
        let names_somebody =
            line.rsplit_once(char::is_whitespace).is_some_and(|(_, address)| is_address(address));
        !line.is_empty() && !line.starts_with('#') && !names_somebody
    };
    addresses.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(move |(_, line)| is_none(line))
}

/// The committer; if they cannot be written to, what `addresses` (the text of that file) says; else the fallback.
pub fn of(request: &BuildRequest, addresses: &str, fallback: &Address) -> Recipient {
    let own = request.committer_email.as_str();
    if !own.is_empty()
        && !own.to_ascii_lowercase().ends_with("@users.noreply.github.com")
        && let Ok(address) = own.parse()
    {
        return Recipient { address, why: "the push has your address".to_string() };
    }
    let known = addresses.lines().map(str::trim).filter(|line| !line.starts_with('#')).find_map(|line| {
        let (name, address) = line.rsplit_once(char::is_whitespace)?;
        let matches = name.trim().eq_ignore_ascii_case(request.committer_name.as_str().trim());
        if matches && is_address(address) { address.parse().ok() } else { None }
    });
    let name = printable(request.committer_name.as_str());
    if let Some(address) = known {
        return Recipient { address, why: format!("the file addresses has your address for {name}") };
    }
    let why = format!("{name} pushed it without an address to write to, and you are AMP_CI_MAIL_FALLBACK");
    Recipient { address: fallback.clone(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_written_to_is_looked_up_by_name_and_else_the_fallback_hears() {
        let addresses = "# name address\nAna Lee ana@lab.example\nbob  no-address\n";
        for (name, email, expected) in [
            ("Ana Lee", "ana@home.example", "ana@home.example"),
            ("ANA LEE", "", "ana@lab.example"),
            ("Ana Lee", "1+ana@users.noreply.GitHub.com", "ana@lab.example"),
            ("bob", "", "ops@ci.example"),
            ("Eve", "", "ops@ci.example"),
        ] {
            let request: BuildRequest = serde_json::from_value(serde_json::json!({
                "repository": "r", "ref": "refs/heads/main", "commit_id": "a".repeat(40),
                "committer_name": name, "committer_email": email,
            }))
            .unwrap();
            let fallback = "ops@ci.example".parse().unwrap();
            assert_eq!(of(&request, addresses, &fallback).address.to_string(), expected, "{name} {email}");
        }
    }
}
