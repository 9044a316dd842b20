//! `AMP_CI_SMTP_URL`: where mail goes.

use std::path::PathBuf;

use super::smtp::Server;

/// Where mail goes. `Debug` shows no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailUrl {
    /// `smtp://` or `smtps://`.
    Smtp(Server),
    /// `file:///dir`: letters are written there as files.
    Directory(PathBuf),
}

impl MailUrl {
    /// An error says what is wrong, without the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => Ok(Self::Directory(path.into())),
            Some(_) => Err("file:// needs an absolute path".to_string()),
            None => Server::parse(text).map(Self::Smtp).map_err(|error| error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_url_that_does_not_parse_is_not_shown() {
        for bad in ["http://user:geheim@x", "smtps://user:geheim@ho st", "file://relative", "geheim"] {
            assert!(!MailUrl::parse(bad).unwrap_err().contains("geheim"), "{bad}");
        }
        for good in ["smtp://localhost:25", "smtps://user:pass@host", "smtp://host?tls=required"] {
            assert!(MailUrl::parse(good).is_ok(), "{good}");
        }
        assert_eq!(MailUrl::parse("file:///tmp/x"), Ok(MailUrl::Directory("/tmp/x".into())));
    }
}
