//! Which forge, and how it wants to be told: URL, headers and body of one commit status, as its API is described.
//!
//! GitHub: REST "Create a commit status". Gitea and Forgejo: swagger `repoCreateStatus`. GitLab: "Set commit pipeline
//! status".

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use ureq::http::{Uri, header};

use super::{
    status::{State, Status},
    token::Token,
};
use crate::records::Outcome;

/// Whose API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    /// github.com, or GitHub Enterprise Server.
    GitHub,
    /// Gitea or Forgejo.
    Gitea,
    /// gitlab.com, or a GitLab of one's own.
    GitLab,
}

/// Where statuses are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Whose it is.
    pub forge: Forge,
    /// Without a slash at its end.
    url: String,
    /// What stands in front of a repository's name, encoded for a path: the owner; for GitLab all groups.
    owner: String,
}

/// One request, but for the token, which is nowhere but in the request that is sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Post {
    /// Where to.
    pub url: String,
    /// JSON.
    pub body: String,
}

/// Why there can be no API.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoApi {
    /// It would send the token in clear text, or is no address.
    #[error(
        "is no address such as https://api.github.com or https://git.example.org/api/v1 (https, unless it is this host's \
         loopback; no user, no query)"
    )]
    Url,
    /// Nobody knows whose repositories these are.
    #[error("is set, but AMP_CI_GIT_BASE names no owner of repositories")]
    Owner,
}

/// What may stand in a segment of a path as it is: RFC 3986, 2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Api {
    /// By the settings: `url` if one was given, else GitHub's where the repositories are cloned from github.com,
    /// else none.
    pub fn new(url: Option<&str>, git_base: &str) -> Result<Option<Self>, NoApi> {
        let (host, path) = host_and_path(git_base);
        let url = match url {
            Some(url) => url.trim_end_matches('/'),
            None if host.is_some_and(|host| host.eq_ignore_ascii_case("github.com")) => {
                "https://api.github.com"
            }
            None => return Ok(None),
        };
        if !is_safe(url) {
            return Err(NoApi::Url);
        }
        let forge = match url.rsplit_once("/api/") {
            Some((_, "v1")) => Forge::Gitea,
            Some((_, "v4")) => Forge::GitLab,
            _ => Forge::GitHub,
        };
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let of_forge = if forge == Forge::GitLab {
            &segments[..]
        } else {
            &segments[segments.len().saturating_sub(1)..]
        };
        if of_forge.is_empty() {
            return Err(NoApi::Owner);
        }
        let owner = of_forge
            .iter()
            .map(|segment| {
                let plain = percent_decode_str(segment).decode_utf8_lossy();
                utf8_percent_encode(&plain, SEGMENT).to_string()
            })
            .collect::<Vec<_>>()
            // GitLab takes the whole path as one segment.
            .join("%2F");
        Ok(Some(Self { forge, url: url.to_string(), owner }))
    }

    /// The address that requests begin with.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How this forge is told of `status`.
    pub fn post(&self, status: &Status) -> Post {
        let Self { forge, url, owner } = self;
        let (repository, commit) = (&status.repository, &status.commit_id);
        let url = match forge {
            Forge::GitHub | Forge::Gitea => format!("{url}/repos/{owner}/{repository}/statuses/{commit}"),
            Forge::GitLab => format!("{url}/projects/{owner}%2F{repository}/statuses/{commit}"),
        };
        Post { url, body: self.body(status) }
    }

    fn body(&self, status: &Status) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            state: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            target_url: Option<&'a str>,
            description: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            context: Option<&'static str>,
            /// GitLab's word for the context.
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none", rename = "ref")]
            git_ref: Option<&'a str>,
        }
        let is_gitlab = self.forge == Forge::GitLab;
        let body = Body {
            state: self.word(status.state),
            target_url: status.target_url.as_deref(),
            description: cut(&status.description),
            context: (!is_gitlab).then(|| status.context()),
            name: is_gitlab.then(|| status.context()),
            git_ref: is_gitlab.then(|| status.git_ref.branch()),
        };
        serde_json::to_string(&body).expect("strings are JSON")
    }

    /// A state in this forge's words.
    fn word(&self, state: State) -> &'static str {
        let is_gitlab = self.forge == Forge::GitLab;
        match state {
            State::Pending if is_gitlab => "running",
            State::Pending => "pending",
            State::Over(outcome) => match outcome {
                Outcome::Succeeded => "success",
                Outcome::Failed | Outcome::TimedOut | Outcome::Error if is_gitlab => "failed",
                Outcome::Failed | Outcome::TimedOut => "failure",
                Outcome::Cancelled | Outcome::Superseded | Outcome::Skipped if is_gitlab => "canceled",
                Outcome::Error | Outcome::Cancelled | Outcome::Superseded | Outcome::Skipped => "error",
            },
        }
    }

    /// The headers that every request to this forge has.
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self.forge {
            Forge::GitHub => {
                &[("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")]
            }
            Forge::Gitea | Forge::GitLab => &[("accept", "application/json")],
        }
    }

    /// The header that says who we are.
    pub fn authorization(&self, token: &Token) -> (&'static str, String) {
        match self.forge {
            Forge::GitHub => (header::AUTHORIZATION.as_str(), format!("Bearer {}", token.reveal())),
            Forge::Gitea => (header::AUTHORIZATION.as_str(), format!("token {}", token.reveal())),
            Forge::GitLab => ("private-token", token.reveal().to_string()),
        }
    }
}

/// Where to go on after a redirect, if that may be given the token: same scheme, same host, same port.
pub fn redirected(from: &str, location: &str) -> Option<String> {
    let from: Uri = from.parse().ok()?;
    let to: Uri = location.parse().ok()?;
    if to.authority().is_none() && location.starts_with('/') {
        return Some(format!("{}://{}{location}", from.scheme_str()?, from.authority()?));
    }
    let place = |uri: &Uri| {
        let scheme = uri.scheme_str()?.to_string();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some((scheme, uri.host()?.to_ascii_lowercase(), port))
    };
    let has_user = to.authority().is_some_and(|authority| authority.as_str().contains('@'));
    (!has_user && place(&from)? == place(&to)?).then(|| location.to_string())
}

/// May a token be sent there?
fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let Some((host, authority)) = uri.host().zip(uri.authority()) else { return false };
    let is_loopback = || {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    };
    let is_private = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(),
        _ => false,
    };
    is_private && !authority.as_str().contains('@') && !url.contains(['?', '#', '%'])
}

/// Host and path of what git clones from: a URL, or `user@host:path` as ssh has it. A plain path has no host.
fn host_and_path(git_base: &str) -> (Option<&str>, &str) {
    let after_user = |text: &'_ str| text.rsplit_once('@').map_or(0, |(user, _)| user.len() + 1);
    if let Some((_, rest)) = git_base.split_once("://") {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = &authority[after_user(authority)..];
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        return ((!host.is_empty()).then_some(host), path);
    }
    match git_base.split_once(':') {
        Some((host, path)) if !host.contains('/') => (Some(&host[after_user(host)..]), path),
        _ => (None, git_base),
    }
}

/// GitHub refuses a longer description; the others show no more.
const LONGEST_DESCRIPTION: usize = 140;

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST_DESCRIPTION {
        return text.to_string();
    }
    text.chars().take(LONGEST_DESCRIPTION - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(url: &str, git_base: &str) -> Api {
        Api::new((!url.is_empty()).then_some(url), git_base).unwrap().expect(git_base)
    }

    fn status(state: State) -> Status {
        serde_json::from_value(serde_json::json!({
            "repository": "amp_mgms", "ref": "refs/heads/a/b", "commit_id": "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997",
            "state": "pending", "description": "building", "target_url": "https://ci.example.edu/builds/1.5",
            "since": "2026-11-26T07:00:00Z",
        }))
        .map(|status: Status| Status { state, ..status })
        .unwrap()
    }

    #[test]
    fn the_forge_is_known_by_the_end_of_its_address_and_the_owner_by_where_one_clones_from() {
        for (url, git_base, forge, post) in [
            ("", "https://github.com/Org", Forge::GitHub, "https://api.github.com/repos/Org/"),
            ("", "https://u:p@github.com/Org/", Forge::GitHub, "https://api.github.com/repos/Org/"),
            ("", "git@github.com:Org", Forge::GitHub, "https://api.github.com/repos/Org/"),
            ("", "ssh://git@GitHub.com:22/Org", Forge::GitHub, "https://api.github.com/repos/Org/"),
            ("https://g.x/api/v3/", "https://g.x/Org", Forge::GitHub, "https://g.x/api/v3/repos/Org/"),
            ("https://g.x/odd", "https://g.x/Org", Forge::GitHub, "https://g.x/odd/repos/Org/"),
            (
                "https://g.x/sub/api/v1",
                "https://g.x/sub/Org",
                Forge::Gitea,
                "https://g.x/sub/api/v1/repos/Org/",
            ),
            (
                "https://l.x/api/v4",
                "https://l.x/a/b c",
                Forge::GitLab,
                "https://l.x/api/v4/projects/a%2Fb%20c%2F",
            ),
            ("https://l.x/api/v4", "git@l.x:a/b", Forge::GitLab, "https://l.x/api/v4/projects/a%2Fb%2F"),
            (
                "http://127.0.0.1:8/api/v1",
                "/srv/git/Org",
                Forge::Gitea,
                "http://127.0.0.1:8/api/v1/repos/Org/",
            ),
            (
                "http://[::1]:8/api/v1",
                "file:///srv/git/Org",
                Forge::Gitea,
                "http://[::1]:8/api/v1/repos/Org/",
            ),
        ] {
            let api = api(url, git_base);
            assert_eq!(api.forge, forge, "{git_base}");
            let sent = api.post(&status(State::Pending));
            let rest = sent.url.strip_prefix(post).unwrap_or_else(|| panic!("{} is not {post}", sent.url));
            assert_eq!(rest, "amp_mgms/statuses/84ce5aeb5cbfe12bf72096f34d93c9f5d148e997");
        }
        for git_base in ["https://git.example.org/Org", "/srv/git", "https://github.com.evil.org/Org"] {
            assert_eq!(Api::new(None, git_base), Ok(None), "{git_base}");
        }
        assert_eq!(Api::new(Some("https://g.x/api/v1"), "https://g.x/"), Err(NoApi::Owner));
    }

    #[test]
    fn no_token_goes_out_in_clear_text() {
        for bad in [
            "http://git.example.org/api/v1",
            "http://localhost.example.org/api/v1",
            "http://127.0.0.1@evil.org/api/v1",
            "https://user:password@git.example.org/api/v1",
            "ftp://127.0.0.1/",
            "git.example.org/api/v1",
            "/api/v1",
            "https://",
            "https://x/api/v1?y",
            "",
        ] {
            assert_eq!(Api::new(Some(bad), "https://g.x/Org"), Err(NoApi::Url), "{bad}");
        }
    }

    #[test]
    fn each_forge_gets_its_own_words() {
        let bodies = |url: &str| {
            let api = api(url, "https://g.x/Org");
            [
                State::Pending,
                State::Over(Outcome::Succeeded),
                State::Over(Outcome::TimedOut),
                State::Over(Outcome::Error),
                State::Over(Outcome::Superseded),
            ]
            .map(|state| serde_json::from_str::<serde_json::Value>(&api.post(&status(state)).body).unwrap())
        };
        let github = bodies("https://g.x/api/v3");
        assert_eq!(
            github.each_ref().map(|body| body["state"].as_str().unwrap()),
            ["pending", "success", "failure", "error", "error"]
        );
        assert_eq!(
            github[0],
            serde_json::json!({
                "state": "pending", "target_url": "https://ci.example.edu/builds/1.5", "description": "building",
                "context": "amp_ci",
            })
        );
        assert_eq!(bodies("https://g.x/api/v1"), github);
        let gitlab = bodies("https://g.x/api/v4");
        assert_eq!(
            gitlab.each_ref().map(|body| body["state"].as_str().unwrap()),
            ["running", "success", "failed", "failed", "canceled"]
        );
        assert_eq!(
            gitlab[0],
            serde_json::json!({
                "state": "running", "target_url": "https://ci.example.edu/builds/1.5", "description": "building",
                "name": "amp_ci", "ref": "a/b",
            })
        );
    }

    #[test]
    fn a_description_is_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(140)), "é".repeat(140));
        let long = cut(&"😀".repeat(141));
        assert_eq!(long.chars().count(), 140);
        assert!(long.ends_with("😀…"));
    }

    #[test]
    fn a_redirect_is_followed_only_where_the_token_may_go() {
        let from = "https://api.github.com/repos/o/r/statuses/x";
        assert_eq!(
            redirected(from, "/repositories/1/statuses/x").unwrap(),
            "https://api.github.com/repositories/1/statuses/x"
        );
        for good in ["https://api.github.com/repositories/1", "https://API.github.com:443/repositories/1"] {
            assert_eq!(redirected(from, good).as_deref(), Some(good));
        }
        for bad in [
            "http://api.github.com/repositories/1",
            "https://api.github.com:8443/x",
            "https://evil.org/x",
            "https://api.github.com@evil.org/x",
            "https://token@api.github.com/x",
            "https://api.github.com.evil.org/x",
            "relative",
            "",
            "\u{0}",
        ] {
            assert_eq!(redirected(from, bad), None, "{bad}");
        }
        assert_eq!(redirected(from, "//evil.org/x").as_deref(), Some("https://api.github.com//evil.org/x"));
    }
}
