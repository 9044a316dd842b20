//! What no output of a build may show, wherever it comes from.

use std::{env, fmt};

use percent_encoding::percent_decode_str;

use super::process::mask::Mask;
use crate::{forge::token::Token, git::GitBase, home::Home, text::printable};

/// `AMP_CI_MASK`: patterns of names of variables whose values are secret. `*` is any text, `?` any character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretNames(Vec<String>);

impl SecretNames {
    /// Patterns with blanks between them; an error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b"_*?".contains(&byte);
        match text.split_ascii_whitespace().find(|pattern| !pattern.bytes().all(may_be)) {
            Some(bad) => Err(format!("'{}' is no pattern of a variable's name", printable(bad))),
            None => Ok(Self(text.split_ascii_whitespace().map(str::to_string).collect())),
        }
    }

    /// What signs the pushes is secret whatever the setting.
    fn hold(&self, name: &str) -> bool {
        name.starts_with("SECRET")
            || self.0.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', others)), _) => (0..=name.len()).any(|skipped| matches(others, &name[skipped..])),
        (Some((one, others)), Some((first, rest))) => (*one == b'?' || one == first) && matches(others, rest),
        _ => false,
    }
}

/// Those that stay as they are while `build` runs. `Debug` shows none.
pub struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Of our environment and the settings.
    pub fn known(names: &SecretNames, git_base: &GitBase) -> Self {
        let chosen = env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| names.hold(name)));
        let mut secrets: Vec<Vec<u8>> = chosen.map(|(_, value)| value.into_encoded_bytes()).collect();
        secrets.extend(git_base.secrets().map(|secret| secret.as_bytes().to_vec()));
        secrets.extend(mail_passwords());
        Self(secrets)
    }

    /// All of them, as they are now: the forge's token is read at each use.
    pub fn mask(&self, home: &Home) -> Mask {
        let token = Token::read(home).ok();
        Mask::new(self.0.iter().map(Vec::as_slice).chain(token.iter().map(|token| token.reveal().as_bytes())))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// Of `AMP_CI_SMTP_URL`, as it is written there and as the server gets it.
fn mail_passwords() -> Vec<Vec<u8>> {
    let url = env::var("AMP_CI_SMTP_URL").ok().and_then(|url| url::Url::parse(&url).ok());
    let Some(password) = url.as_ref().and_then(url::Url::password) else { return Vec::new() };
    vec![password.as_bytes().to_vec(), percent_decode_str(password).collect()]
}

#[cfg(test)]
mod tests {
    use super::SecretNames;

    #[test]
    fn names_are_chosen_by_patterns_and_the_secret_always() {
        let names = SecretNames::parse("*_TOKEN  A?C_*\tPLAIN").unwrap();
        for secret in ["GITHUB_TOKEN", "_TOKEN", "ABC_", "AXC_D", "PLAIN", "SECRET", "SECRET_OLD"] {
            assert!(names.hold(secret), "{secret}");
        }
        for other in ["TOKEN", "GITHUB_TOKENS", "AC_D", "XPLAIN", "PATH", "MY_SECRET"] {
            assert!(!names.hold(other), "{other}");
        }
        assert!(SecretNames::parse("*_TOKEN, X").is_err());
    }
}
