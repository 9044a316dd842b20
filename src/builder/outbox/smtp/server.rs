//! A mail server as a URL names it.

use std::path::PathBuf;

use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT, authentication::Credentials};
use percent_encoding::percent_decode_str;
use url::Url;

/// Where it listens, and on what terms it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name or address, an IPv6 one without brackets.
    pub host: String,
    /// The URL's, else that of the service.
    pub port: u16,
    /// When the connection is encrypted.
    pub tls: Tls,
    /// Certificates in PEM that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// Not shown by `Debug`.
    pub login: Option<Credentials>,
    /// What to call ourselves, if the URL says so.
    pub hello: Option<String>,
}

/// When the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// `smtp://`: by STARTTLS where the server offers it.
    WhereOffered,
    /// `smtp://...?tls=required`: by STARTTLS, or not at all.
    Required,
    /// `smtps://`: from the first byte.
    FromTheStart,
}

/// What is wrong with a URL. Says nothing of the URL itself, which can hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No mail URL at all.
    #[error("is neither an smtp://, an smtps:// nor a file:// URL, such as smtp://localhost:25")]
    NotMail,
    /// User and password.
    #[error("names a user without a password, or has one that is not UTF-8")]
    Login,
    /// The path.
    #[error("has a path that is no name to give in EHLO, such as smtp://host/ci.example.org")]
    Hello,
    /// What stands behind the question mark.
    #[error("has behind its ? something else than tls=required, tls=opportunistic or ca=/path/to/ca.pem")]
    Query,
}

impl Server {
    /// `smtp[s]://[user:password@]host[:port][/ehlo.name][?tls=required][&ca=/path/to/ca.pem]`
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text).map_err(|_| UrlError::NotMail)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UrlError::NotMail)?;
        let (mut tls, mut port) = match url.scheme() {
            "smtp" => (Tls::WhereOffered, SMTP_PORT),
            "smtps" => (Tls::FromTheStart, SUBMISSIONS_PORT),
            _ => return Err(UrlError::NotMail),
        };
        let mut ca = None;
        for (name, value) in url.query_pairs() {
            match (&*name, &*value) {
                ("tls", "required" | "opportunistic") if tls == Tls::FromTheStart => {}
                ("tls", "required") => (tls, port) = (Tls::Required, SUBMISSION_PORT),
                ("tls", "opportunistic") => port = SUBMISSION_PORT,
                ("ca", path) if path.starts_with('/') => ca = Some(PathBuf::from(path)),
                _ => return Err(UrlError::Query),
            }
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_string(),
            port: url.port().unwrap_or(port),
            tls,
            ca,
            login: login(&url)?,
            hello: hello(&url)?,
        })
    }
}

fn login(url: &Url) -> Result<Option<Credentials>, UrlError> {
    let decoded =
        |text| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| UrlError::Login);
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (_, None) => Err(UrlError::Login),
        (user, Some(password)) => Ok(Some(Credentials::new(decoded(user)?, decoded(password)?))),
    }
}

/// RFC 5321, 4.1.1.1: a domain or an address literal.
fn hello(url: &Url) -> Result<Option<String>, UrlError> {
    let name = url.path().trim_matches('/');
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    match name {
        "" => Ok(None),
        name if name.len() <= 255 && name.bytes().all(fits) => Ok(Some(name.to_string())),
        _ => Err(UrlError::Hello),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_on_what_terms() {
        for (url, host, port, tls) in [
            ("smtp://localhost", "localhost", 25, Tls::WhereOffered),
            ("smtp://localhost:2525", "localhost", 2525, Tls::WhereOffered),
            ("smtp://127.0.0.1:25", "127.0.0.1", 25, Tls::WhereOffered),
            ("smtp://[::1]:25", "::1", 25, Tls::WhereOffered),
            ("smtp://[::1]", "::1", 25, Tls::WhereOffered),
            ("smtp://host?tls=required", "host", 587, Tls::Required),
            ("smtp://host:25?tls=required", "host", 25, Tls::Required),
            ("smtp://host?tls=opportunistic", "host", 587, Tls::WhereOffered),
            ("smtps://host", "host", 465, Tls::FromTheStart),
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!((server.host.as_str(), server.port, server.tls), (host, port, tls), "{url}");
        }
    }

    #[test]
    fn it_may_name_a_login_a_name_and_an_authority() {
        let server = Server::parse("smtps://u%40x:p%2fw@host/ci.example.org?ca=/etc/ca.pem").unwrap();
        assert_eq!(server.login, Some(Credentials::new("u@x".to_string(), "p/w".to_string())));
        assert_eq!(server.hello.as_deref(), Some("ci.example.org"));
        assert_eq!(server.ca, Some(PathBuf::from("/etc/ca.pem")));
    }

    #[test]
    fn what_is_wrong_with_it_is_said_without_it() {
        for (url, error) in [
            ("http://user:geheim@host", UrlError::NotMail),
            ("smtps://user:geheim@ho st", UrlError::NotMail),
            ("smtp://", UrlError::NotMail),
            ("smtp://user@host", UrlError::Login),
            ("smtp://user:%ff@host", UrlError::Login),
            ("smtp://host/two/names", UrlError::Hello),
            ("smtp://host/a%0d%0aRSET", UrlError::Hello),
            ("smtp://host?tls=never", UrlError::Query),
            ("smtp://host?ca=relative.pem", UrlError::Query),
            ("smtp://host?verify=no", UrlError::Query),
        ] {
            assert_eq!(Server::parse(url), Err(error.clone()), "{url}");
            assert!(!error.to_string().contains("geheim"));
        }
        let debug = format!("{:?}", Server::parse("smtp://user:geheim@host").unwrap());
        assert!(!debug.contains("geheim"), "{debug}");
    }
}
