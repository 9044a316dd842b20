//! HTTPS: the certificate, which can be replaced while connections are served, and what is spoken.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, bail, ensure};
use rustls::{
    ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::io::AsyncWriteExt;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::stream::Stream;
use crate::webhook::options::Options;

/// The first byte of a TLS connection.
const HANDSHAKE: u8 = 22;

/// Suites that webhook 2.8 knows and no current library speaks.
const GONE: [&str; 8] = [
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

/// What the daemon speaks, with the certificate of the moment.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    suites: Vec<SupportedCipherSuite>,
    versions: Vec<&'static SupportedProtocolVersion>,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub fn load(options: &Options) -> anyhow::Result<Self> {
        let mut versions = versions(&options.tls_min_version)?;
        let suites = chosen(&options.cipher_suites)?;
        if !suites.iter().any(|suite| suite.tls13().is_none()) {
            versions.retain(|version| **version != TLS12);
        }
        let config = RwLock::new(config(&options.cert, &options.key, &suites, &versions)?);
        Ok(Self { certificate: options.cert.clone(), key: options.key.clone(), suites, versions, config })
    }

    /// Reads certificate and key again; if they are no good the old ones stay.
    pub fn reload(&self) -> anyhow::Result<()> {
        let fresh = config(&self.certificate, &self.key, &self.suites, &self.versions)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Shakes hands. Somebody who speaks plain HTTP is told so.
    pub async fn accept(&self, mut stream: Stream) -> std::io::Result<TlsStream<Stream>> {
        if stream.socket.first_byte().await?.is_some_and(|byte| byte != HANDSHAKE) {
            let answer = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
            stream.write_all(answer).await?;
            stream.shutdown().await?;
            return Err(std::io::Error::other("client sent something else than TLS"));
        }
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }
}

/// The names of all suites that are spoken at `minimum` or later.
pub fn cipher_suites(minimum: &str) -> anyhow::Result<Vec<String>> {
    let only_newest = match minimum {
        "1.3" => true,
        "" | "1.0" | "1.1" | "1.2" => false,
        other => bail!("error: unknown minimum TLS version: {other}"),
    };
    let suites = ring::ALL_CIPHER_SUITES.iter().filter(|suite| !only_newest || suite.tls13().is_some());
    Ok(suites.map(name).collect())
}

fn versions(minimum: &str) -> anyhow::Result<Vec<&'static SupportedProtocolVersion>> {
    match minimum {
        "" | "1.2" => Ok(vec![&TLS12, &TLS13]),
        "1.3" => Ok(vec![&TLS13]),
        "1.0" | "1.1" => bail!(
            "error: -tls-min-version {minimum}: TLS 1.0 and 1.1 are broken and not spoken here; use 1.2 or 1.3"
        ),
        other => bail!("error: unknown minimum TLS version: {other}"),
    }
}

/// The suites of `list`; those of TLS 1.3 are always among them.
fn chosen(list: &str) -> anyhow::Result<Vec<SupportedCipherSuite>> {
    let mut suites = ring::ALL_CIPHER_SUITES.to_vec();
    if list.is_empty() {
        return Ok(suites);
    }
    let wanted: Vec<&str> = list.split(',').collect();
    for wanted in &wanted {
        ensure!(
            !GONE.contains(wanted),
            "error: -cipher-suites: {wanted} is not spoken here (no forward secrecy, or CBC); \
             -list-cipher-suites prints what is"
        );
        let known = suites.iter().any(|suite| name(suite) == *wanted);
        ensure!(known, "error: unknown cipher suite: {wanted}");
    }
    suites.retain(|suite| suite.tls13().is_some() || wanted.contains(&name(suite).as_str()));
    Ok(suites)
}

/// As Go and IANA write it.
fn name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1)
}

fn config(
    certificate: &Path,
    key: &Path,
    suites: &[SupportedCipherSuite],
    versions: &[&'static SupportedProtocolVersion],
) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| certificate.display().to_string())?;
    ensure!(!chain.is_empty(), "{}: no certificate in it", certificate.display());
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
    let provider = CryptoProvider { cipher_suites: suites.to_vec(), ..ring::default_provider() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {}", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_of_go() {
        let all = cipher_suites("1.2").unwrap();
        assert!(all.contains(&"TLS_AES_128_GCM_SHA256".to_owned()));
        assert!(all.contains(&"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256".to_owned()));
        assert!(cipher_suites("1.3").unwrap().iter().all(|name| !name.contains("ECDHE")));
        assert!(cipher_suites("3").is_err());
    }

    #[test]
    fn a_suite_is_chosen_by_name_and_those_of_tls_1_3_stay() {
        let suites = chosen("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256").unwrap();
        assert_eq!(suites.iter().filter(|suite| suite.tls13().is_none()).count(), 1);
        assert_eq!(suites.len(), 4);
        for wrong in ["FOO", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, FOO", GONE[0]] {
            assert!(chosen(wrong).is_err(), "{wrong}");
        }
    }
}
