//! `AMP_CI_SMTP_URL`: where mail goes.

use std::{fmt, path::PathBuf};

/// Where mail goes. Holds a password, maybe: shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub enum MailUrl {
    /// `smtp://` or `smtps://`, as lettre reads it.
    Smtp(String),
    /// `file:///dir`: letters are written there as files.
    Directory(PathBuf),
}

impl fmt::Debug for MailUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailUrl(..)")
    }
}

impl MailUrl {
    /// An error says what is wrong, without the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file://") {
            return Some(path)
                .filter(|path| path.starts_with('/'))
                .map(|path| Self::Directory(path.into()))
                .ok_or("file:// needs an absolute path".to_string());
        }
        if !text.starts_with("smtp://") && !text.starts_with("smtps://") {
            return Err("is neither an smtp://, an smtps:// nor a file:// URL".to_string());
        }
        match lettre::SmtpTransport::from_url(text) {
            Ok(_) => Ok(Self::Smtp(text.to_string())),
            Err(_) => {
                Err("is not a mail URL such as smtp://localhost:25 or smtps://user:pass@host".to_string())
            }
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
