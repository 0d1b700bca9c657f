//! Certificates and their authority, created by each test.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new([]).expect("names");
        // TLS takes two authorities with the same name for one.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and addresses, and its key.
    pub fn sign(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "signed");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// The files of a server: its certificate, its key, and the CA that it trusts.
pub struct Certificates {
    pub authority: Authority,
    folder: TempDir,
    paths: [String; 3],
}

impl Certificates {
    /// Creates the files for a server with these names, with a new authority.
    pub fn new(names: &[&str]) -> Certificates {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
        let (chain, key) = authority.sign(names);
        let paths = [("ca.pem", authority.pem()), ("server.pem", chain), ("server.key", key)]
            .map(|(name, pem)| write(folder.path(), name, &pem));
        Certificates { authority, folder, paths }
    }

    /// The authority's certificate, the server's, and its key.
    pub fn paths(&self) -> [&str; 3] {
        let [ca, chain, key] = &self.paths;
        [ca, chain, key]
    }

    /// Options for a TLS server on its chosen port that asks clients for no certificate.
    pub fn options(&self) -> Vec<&str> {
        let [ca, chain, key] = self.paths();
        let port = ["--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no"];
        let files = ["--tls-cert-file", chain, "--tls-key-file", key, "--tls-ca-cert-file", ca];
        [port, files].concat()
    }

    /// Writes another file next to them.
    pub fn write(&self, name: &str, pem: &str) -> String {
        write(self.folder.path(), name, pem)
    }
}

/// A self-signed certificate for these names, and its key, as files with this name.
pub fn self_signed(folder: &Path, name: &str, names: &[&str]) -> [String; 2] {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = made.signing_key.serialize_pem();
    [(format!("{name}.pem"), made.cert.pem()), (format!("{name}-key.pem"), key)]
        .map(|(name, pem)| write(folder, &name, &pem))
}

/// Replaces the file atomically, as certificate tools do: a reader sees the old file or the new one.
fn write(folder: &Path, name: &str, pem: &str) -> String {
    let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
    std::fs::write(&new, pem).expect("a file");
    std::fs::rename(&new, &path).expect("a name");
    path.to_str().expect("text").to_owned()
}
