//! What git is told of us: from where to fetch and as whom, and nothing of a repository that is not its own.

use std::{borrow::Cow, ffi::OsStr, fmt};

use percent_encoding::percent_decode_str;

use crate::text::printable;

/// What tells git of some repository of its own: `git rev-parse --local-env-vars`. Somebody may have started us from
/// a hook.
const LOCAL: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
];

/// Would git take this variable for something about its repository?
pub fn is_local(variable: &OsStr) -> bool {
    variable.to_str().is_some_and(|name| {
        // What GIT_CONFIG_COUNT counts.
        LOCAL.contains(&name) || name.starts_with("GIT_CONFIG_KEY_") || name.starts_with("GIT_CONFIG_VALUE_")
    })
}

/// The line of what git said that tells why it failed.
pub fn complaint(said: &str) -> Cow<'_, str> {
    let mut lines = said.lines().rev();
    let fatal = lines.clone().find(|line| line.starts_with("fatal: "));
    printable(fatal.or_else(|| lines.find(|line| !line.trim().is_empty())).unwrap_or("git said nothing"))
}

/// `AMP_CI_GIT_BASE`: what stands before each repository's name in its URL. Only git gets to know as whom we fetch, and
/// only for URLs that begin so. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct GitBase {
    /// Without user information, without a slash at its end.
    url: String,
    user: Option<User>,
    /// As somebody has set it.
    given: String,
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    name: String,
    password: Option<String>,
}

impl GitBase {
    /// User information is taken out of http(s) URLs; ssh needs its user. An error does not show what could be a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('-') || text.chars().any(char::is_control) {
            return Err(format!("'{}' is no URL or path to clone from", printable(&without_user(text))));
        }
        let given = text.trim_end_matches('/').to_string();
        let Some((scheme, user, rest)) = parts(&given) else {
            return Ok(Self { url: given.clone(), user: None, given });
        };
        let (name, password) = match user.split_once(':') {
            Some((name, password)) => (decoded(name)?, Some(decoded(password)?)),
            None => (decoded(user)?, None),
        };
        Ok(Self { url: format!("{scheme}{rest}"), user: Some(User { name, password }), given })
    }

    /// For everybody to see.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// With the password.
    pub fn as_given(&self) -> &str {
        &self.given
    }

    /// What nobody should read anywhere.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let secret = |user: &'_ User| user.password.is_none() || user.password.as_deref() == Some("");
        let user = self.user.as_ref();
        // A token may stand in the user's place.
        let name = user.filter(|user| secret(user)).map(|user| user.name.as_str());
        let written = parts(&self.given).and_then(|(_, user, _)| user.split_once(':')).map(|(_, text)| text);
        name.into_iter().chain(user.and_then(|user| user.password.as_deref())).chain(written)
    }

    /// The variables that tell git as whom to fetch (git-config(1), gitcredentials(7)); to be set where [`is_local`]
    /// ones are not. With a password ours is the only helper, as it is with a URL that has one.
    pub fn credentials(&self) -> Vec<(&'static str, String)> {
        let Some(User { name, password }) = &self.user else { return Vec::new() };
        let key = |what: &str| format!("credential.{}.{what}", self.url);
        let Some(password) = password else {
            return vec![
                ("GIT_CONFIG_COUNT", "1".to_string()),
                ("GIT_CONFIG_KEY_0", key("username")),
                ("GIT_CONFIG_VALUE_0", name.clone()),
            ];
        };
        let line = |text: String| shlex::try_quote(&text).map_or_else(|_| String::new(), Cow::into_owned);
        let (name, password) = (line(format!("username={name}")), line(format!("password={password}")));
        vec![
            ("GIT_CONFIG_COUNT", "2".to_string()),
            ("GIT_CONFIG_KEY_0", key("helper")),
            ("GIT_CONFIG_VALUE_0", String::new()),
            ("GIT_CONFIG_KEY_1", key("helper")),
            ("GIT_CONFIG_VALUE_1", format!("!f() {{ printf '%s\\n' {name} {password}; }}; f")),
        ]
    }
}

/// For everybody to see.
impl fmt::Display for GitBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for GitBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitBase({:?})", self.url)
    }
}

/// Scheme, user information and the rest of an http(s) URL that has some. The last `@` counts: then none is left.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_at(url.find("://")? + 3);
    if !["http://", "https://"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let (authority, _) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let at = authority.rfind('@')?;
    Some((scheme, &rest[..at], &rest[at + 1..]))
}

fn without_user(text: &str) -> String {
    parts(text).map_or_else(|| text.to_string(), |(scheme, _, rest)| format!("{scheme}{rest}"))
}

/// As git decodes it; a line break would be a line of the helper's answer.
fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "its user or password is not UTF-8")?;
    if decoded.chars().any(char::is_control) {
        return Err("its user or password has a control character in it".to_string());
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_git_calls_local_is_local() {
        let output = Command::new("git").args(["rev-parse", "--local-env-vars"]).output().unwrap();
        for name in String::from_utf8(output.stdout).unwrap().lines() {
            assert!(is_local(OsStr::new(name)), "{name}");
        }
        assert!(is_local(OsStr::new("GIT_CONFIG_KEY_0")) && !is_local(OsStr::new("GIT_SSH_COMMAND")));
    }

    #[test]
    fn user_information_is_taken_out_of_http_urls_alone() {
        for (given, url, secrets) in [
            ("https://host/org/", "https://host/org", &[][..]),
            (
                "https://ci:t0p%2Fsecret@host:8443/org",
                "https://host:8443/org",
                &["t0p/secret", "t0p%2Fsecret"],
            ),
            ("HTTP://ci:p@ss@host", "HTTP://host", &["p@ss", "p@ss"]),
            ("https://token@host/a@b", "https://host/a@b", &["token"]),
            ("https://token:@host", "https://host", &["token", "", ""]),
            ("https://host/@x", "https://host/@x", &[]),
            ("ssh://git@host/org", "ssh://git@host/org", &[]),
            ("git@host:org", "git@host:org", &[]),
            ("/srv/git", "/srv/git", &[]),
        ] {
            let base = GitBase::parse(given).unwrap();
            assert_eq!(base.url(), url);
            assert_eq!(base.secrets().collect::<Vec<_>>(), secrets, "{given}");
            assert!(!format!("{base:?}").contains("secret"));
        }
    }

    #[test]
    fn what_is_no_base_is_refused_without_its_password() {
        for bad in
            ["-x", "https://ci:geheim@host/\u{7}", "https://ci:geheim%0a@host", "https://ci:geheim%ff@host"]
        {
            assert!(!GitBase::parse(bad).unwrap_err().contains("geheim"), "{bad}");
        }
    }

    /// What git would send to a URL below the base.
    fn filled(base: &str, path: &str) -> String {
        let base = GitBase::parse(base).unwrap();
        let script = "printf 'protocol=https\\nhost=host\\npath=%s\\n\\n' \"$1\" | git -c credential.useHttpPath=true credential fill";
        let output = Command::new("bash")
            .args(["-c", script, "-", path])
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .envs(base.credentials())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn git_gets_what_the_url_had_and_for_urls_below_it_alone() {
        let odd = filled("https://ci:a'b%20\"$x\\%40@host/org", "org/repo");
        assert!(odd.ends_with("\nusername=ci\npassword=a'b \"$x\\@\n"), "{odd}");
        let token = filled("https://token@host/org", "org/repo");
        assert!(token.ends_with("\nusername=token\npassword=\n"), "{token}");
        let other = filled("https://ci:geheim@host/org", "other/repo");
        assert!(!other.contains("geheim"), "{other}");
    }
}
