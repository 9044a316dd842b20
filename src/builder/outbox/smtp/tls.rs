//! TLS towards a mail server.

use std::{io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::wire::Wire;

/// Whom the server may be.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// Whoever answers: against listeners, where the alternative is no encryption at all (RFC 7435).
    Anybody,
    /// Who has a certificate for its name, of the system's authorities or this file's.
    Certified(Option<&'a Path>),
}

/// Shakes hands.
pub fn encrypt(wire: Wire, host: &str, trust: Trust) -> io::Result<StreamOwned<ClientConnection, Wire>> {
    let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
    let mut stream = StreamOwned {
        conn: ClientConnection::new(Arc::new(config(trust)?), name).map_err(io::Error::other)?,
        sock: wire,
    };
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn config(trust: Trust) -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = match trust {
        Trust::Anybody => config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        Trust::Certified(ca) => config.with_root_certificates(roots(ca)?),
    };
    Ok(config.with_no_client_auth())
}

fn roots(ca: Option<&Path>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let bytes = fs_err::read(path)?;
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(io::Error::other)?;
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(io::Error::other(format!("{} holds no certificate in PEM", path.display())));
        }
    }
    Ok(roots)
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
