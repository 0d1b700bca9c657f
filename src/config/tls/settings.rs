//! [`Settings`]: the settings of TLS, and the files that they name.

use std::path::PathBuf;

use rustls::RootCertStore;

use super::source::{Source, Stamp};
use crate::config::error::ConfigError;

/// Versions of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The settings of TLS that a user chose.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) has_system_roots: bool,
    pub(super) has_bundled_roots: bool,
    pub(super) authorities: Vec<Source>,
    /// The client certificate with its chain, and its key.
    pub(super) identity: Option<(Source, Source)>,
    pub(super) server_name: Option<String>,
    pub(super) version_min: TlsVersion,
    pub(super) is_unverified: bool,
}

impl Settings {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        self.authorities.iter().chain(identity).filter_map(Source::path)
    }

    pub(super) fn has_files(&self) -> bool {
        self.files().next().is_some()
    }

    /// The current metadata of the files.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        self.files().map(|path| Stamp::of(path)).collect()
    }

    /// Whether the CAs of the system are trusted: if they are requested, or no others are.
    pub(super) fn trusts_system(&self) -> bool {
        self.has_system_roots || (self.authorities.is_empty() && !self.has_bundled_roots)
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, ConfigError> {
        let mut roots = RootCertStore::empty();
        if self.trusts_system() && !self.is_unverified {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
                let problem =
                    "no system root certificates were found; install ca-certificates, or name a CA to trust";
                return Err(ConfigError::new("tls.roots", format!("{problem}: {}", why.join(", "))));
            }
        }
        #[cfg(feature = "tls-bundled-roots")]
        if self.has_bundled_roots {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for source in &self.authorities {
            for certificate in source.certificates(CA)? {
                roots.add(certificate).map_err(|error| source.wrong(CA, &error))?;
            }
        }
        Ok(roots)
    }
}

const CA: &str = "tls.ca";
