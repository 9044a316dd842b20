//! Signatures of the raw body: HMACs, checked in constant time on bytes. What a right one would have been
//! is never made text.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

/// The key of a signature. It does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret may be empty: then no signature is right and asking is an error.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The hash an HMAC is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `payload-hmac-sha1`.
    Sha1,
    /// `payload-hmac-sha256`.
    Sha256,
    /// `payload-hmac-sha512`.
    Sha512,
}

/// Why no signature was right. Only what the client sent is quoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("signature validation {0} can not be empty")]
    NoSecret(&'static str),
    #[error("invalid payload signatures [{0}]")]
    Wrong(String),
    #[error("invalid payload signatures [{0}] on empty payload")]
    WrongOnEmpty(String),
    #[error("invalid payload signature {0}")]
    WrongOne(String),
}

impl Algorithm {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Sha1 => b"sha1=",
            Self::Sha256 => b"sha256=",
            Self::Sha512 => b"sha512=",
        }
    }

    /// The words of webhook 2.8 about the old names of these rules, its colon included.
    pub fn deprecation(self) -> &'static str {
        match self {
            Self::Sha1 => "warn: use of deprecated option payload-hash-sha1; use payload-hmac-sha1 instead",
            Self::Sha256 => {
                "warn: use of deprecated option payload-hash-sha256: use payload-hmac-sha256 instead"
            }
            Self::Sha512 => {
                "warn: use of deprecated option payload-hash-sha512: use payload-hmac-sha512 instead"
            }
        }
    }

    /// Is any of the signatures in `claimed` the HMAC of `body`?
    pub fn check(self, secret: &Secret, body: &[u8], claimed: &[u8]) -> Result<(), SignatureError> {
        if secret.is_empty() {
            return Err(SignatureError::NoSecret("secret"));
        }
        let key = secret.0.as_bytes();
        let right = match self {
            Self::Sha1 => self.any_is(digest::<Hmac<Sha1>>(key, &[body]).as_ref(), claimed),
            Self::Sha256 => self.any_is(digest::<Hmac<Sha256>>(key, &[body]).as_ref(), claimed),
            Self::Sha512 => self.any_is(digest::<Hmac<Sha512>>(key, &[body]).as_ref(), claimed),
        };
        if right {
            return Ok(());
        }
        let received = self.candidates(claimed).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        Err(match body {
            [] => SignatureError::WrongOnEmpty(received),
            _ => SignatureError::Wrong(received),
        })
    }

    fn any_is(self, digest: &[u8], claimed: &[u8]) -> bool {
        self.candidates(claimed).any(|candidate| is_hex_of(candidate, digest))
    }

    /// One signature, with or without prefix; or a list with commas, of which only those count that have
    /// the prefix, without a space before it.
    fn candidates(self, claimed: &[u8]) -> impl Iterator<Item = &[u8]> {
        let list = claimed.contains(&b',');
        claimed.split(|byte| *byte == b',').filter_map(move |part| match part.strip_prefix(self.prefix()) {
            None if list => None,
            None => Some(part),
            stripped => stripped,
        })
    }
}

/// `scalr-signature`: a plain HMAC-SHA1 of the parts.
pub fn check_sha1(secret: &Secret, parts: &[&[u8]], claimed: &[u8]) -> Result<(), SignatureError> {
    if secret.is_empty() {
        return Err(SignatureError::NoSecret("signing key"));
    }
    if is_hex_of(claimed, digest::<Hmac<Sha1>>(secret.0.as_bytes(), parts).as_ref()) {
        return Ok(());
    }
    Err(SignatureError::WrongOne(String::from_utf8_lossy(claimed).into_owned()))
}

fn digest<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> impl AsRef<[u8]> + use<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes()
}

/// Is `text` the lower-case hex of `digest`? Takes the same time wherever they differ.
fn is_hex_of(text: &[u8], digest: &[u8]) -> bool {
    let mut bytes = [0; 64];
    let lower_case = !text.iter().any(u8::is_ascii_uppercase);
    bytes.get_mut(..digest.len()).is_some_and(|bytes| {
        lower_case && hex::decode_to_slice(text, bytes).is_ok() && bool::from((*bytes).ct_eq(digest))
    })
}
