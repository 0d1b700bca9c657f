//! TLS of a listener: its certificate, and its demand for client certificates.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion, version};

/// TLS of an endpoint: its certificate and key, and whether clients need a certificate.
///
/// It supports TLS 1.2 and 1.3 with the cipher suites of ring. Clones share the certificates and the key.
#[derive(Clone)]
pub struct ServerTls {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    /// The CAs of client certificates; `None` demands no client certificate.
    client_roots: Option<Arc<RootCertStore>>,
    versions: &'static [&'static SupportedProtocolVersion],
    built: Arc<ServerConfig>,
}

impl ServerTls {
    /// Uses the certificate at the head of `chain`, the intermediate certificates behind it, and the private key, all as
    /// PEM.
    ///
    /// # Errors
    ///
    /// If the certificate or the key is missing, or if the key does not belong to the certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> io::Result<Self> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| invalid("private key", error))?;
        let key = Arc::new(key);
        let versions = rustls::ALL_VERSIONS;
        let built = build(&chain, &key, None, versions)?;
        Ok(Self { chain, key, client_roots: None, versions, built })
    }

    /// As [`ServerTls::from_pem`], with files.
    ///
    /// # Errors
    ///
    /// If a file cannot be read (the message names it), and as for [`ServerTls::from_pem`].
    pub fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_pem(&read(chain.as_ref())?, &read(key.as_ref())?)
    }

    /// Demands a client certificate that is signed by one of the CAs in `ca`, as PEM: mutual TLS.
    ///
    /// # Errors
    ///
    /// If `ca` has no certificate that can be a root.
    pub fn require_client_certificate(mut self, ca: &[u8]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| invalid("CA certificate", error))?;
        }
        self.client_roots = Some(Arc::new(roots));
        self.rebuilt()
    }

    /// Supports TLS 1.2 only, for tests of clients that demand a newer version.
    ///
    /// # Errors
    ///
    /// None in practice, because ring supports TLS 1.2.
    pub fn tls12_only(mut self) -> io::Result<Self> {
        self.versions = TLS12_ONLY;
        self.rebuilt()
    }

    fn rebuilt(mut self) -> io::Result<Self> {
        self.built = build(&self.chain, &self.key, self.client_roots.clone(), self.versions)?;
        Ok(self)
    }

    /// The TLS state of a connection that was just accepted.
    pub(super) fn accept(&self) -> io::Result<ServerConnection> {
        ServerConnection::new(Arc::clone(&self.built)).map_err(|error| invalid("TLS connection", error))
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls")
            .field("certificates", &self.chain.len())
            .field("requires_client_certificate", &self.client_roots.is_some())
            .finish_non_exhaustive()
    }
}

fn build(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    client_roots: Option<Arc<RootCertStore>>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<Arc<ServerConfig>> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let verifier = match client_roots {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(roots) => WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| invalid("CA certificate", error))?,
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| invalid("TLS versions", error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(|error| invalid("certificate and key", error))?;
    Ok(Arc::new(config))
}

pub(super) fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| invalid("certificate", error))?;
    match all.is_empty() {
        true => Err(invalid("certificate", "the PEM contains no certificate")),
        false => Ok(all),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display())))
}

pub(super) fn invalid(what: &str, error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {error}"))
}

const TLS12_ONLY: &[&SupportedProtocolVersion] = &[&version::TLS12];

#[cfg(test)]
mod tests {
    use super::*;

    fn certified() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_needs_its_own_key() {
        let ((chain, key), (other, other_key)) = (certified(), certified());
        assert!(ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).is_ok());
        let refused = |chain: &str, key: &str, why: &str| {
            let error = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect_err(why).to_string();
            assert!(error.contains(why) && !error.contains("PRIVATE"), "{error}");
        };
        refused(&chain, &other_key, "certificate and key");
        refused(&other, &chain, "private key");
        refused(&key, &key, "the PEM contains no certificate");
        refused("", &key, "the PEM contains no certificate");
        refused("-----BEGIN CERTIFICATE-----\nAA\n", &key, "certificate");
    }

    #[test]
    fn debug_output_does_not_contain_the_key() {
        let (chain, key) = certified();
        let tls = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("TLS");
        let tls = tls.require_client_certificate(chain.as_bytes()).expect("a root");
        let shown = format!("{tls:?}");
        assert_eq!(shown, "ServerTls { certificates: 1, requires_client_certificate: true, .. }");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = ServerTls::from_files("/nonexistent/a.pem", "/nonexistent/b.pem").expect_err("no file");
        assert!(error.to_string().contains("/nonexistent/a.pem"), "{error}");
    }
}
