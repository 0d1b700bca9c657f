//! [`TlsContext`]: the configurations of rustls, built from the certificates that were read last.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};

use super::settings::{Settings, TlsVersion};
use super::verifier::{AcceptAny, EitherName};
use crate::config::error::ConfigError;
use crate::proto::endpoint::TlsNames;

/// The configurations for all new connections, until the files are read again.
pub(super) struct TlsContext {
    /// Verifies the one name that the client asks for.
    strict: Arc<ClientConfig>,
    /// The base of [`EitherName`]; `None` if certificates are not verified.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    /// The configurations for servers that may prove a second name. Each has sessions of its own: a session that was verified
    /// for one pair of names must not be resumed for another pair.
    either: Mutex<Vec<(TlsNames, Arc<ClientConfig>)>>,
}

impl TlsContext {
    /// Reads all files. Blocks.
    pub(super) fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let wrong = |setting, error: rustls::Error| ConfigError::new(setting, error.to_string());
        if let Some(name) = &settings.server_name {
            let parsed = ServerName::try_from(name.strip_suffix('.').unwrap_or(name));
            parsed.map_err(|error| ConfigError::new("tls.server_name", format!("{name:?}: {error}")))?;
        }
        let provider = Arc::new(provider());
        let versions = match settings.version_min {
            TlsVersion::Tls12 => vec![&TLS13, &TLS12],
            TlsVersion::Tls13 => vec![&TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| wrong("tls.version_min", error))?;
        // The CAs are read even if they are not used, so that a malformed file is always reported.
        let roots = settings.roots()?;
        let (verifier, used): (_, Arc<dyn ServerCertVerifier>) = if settings.is_unverified {
            (None, Arc::new(AcceptAny(provider)))
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| ConfigError::new("tls.roots", error.to_string()))?;
            (Some(verifier.clone()), verifier)
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(used);
        let strict = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.certificates(CLIENT_CERTIFICATE)?, key.key("tls.client_key")?)
                .map_err(|error| chain.wrong(CLIENT_CERTIFICATE, &error))?,
        };
        Ok(TlsContext { strict: Arc::new(strict), verifier, either: Mutex::default() })
    }

    pub(super) fn connector(
        &self,
        names: &TlsNames,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
        let asked = server_name(&names.asked)?;
        let (Some(or), Some(verifier)) = (&names.or, &self.verifier) else {
            return Ok((self.strict.clone(), asked));
        };
        let mut either = self.either.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = either.iter().find(|(known, _)| known == names) {
            return Ok((config.clone(), asked));
        }
        let mut config = ClientConfig::clone(&self.strict);
        let verifier = EitherName { inner: verifier.clone(), or: server_name(or)? };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let config = Arc::new(config);
        if either.len() >= EITHER_MAX {
            either.clear();
        }
        either.push((names.clone(), config.clone()));
        Ok((config, asked))
    }
}

#[cfg(test)]
impl TlsContext {
    pub(super) fn pairs(&self) -> usize {
        self.either.lock().unwrap().len()
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("no certificate can be valid for the name {name:?}"))
}

/// The provider is explicit, because a process may have no default provider, or several.
fn provider() -> CryptoProvider {
    #[cfg(feature = "tls-aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "tls-aws-lc-rs"))]
    return rustls::crypto::ring::default_provider();
}

const CLIENT_CERTIFICATE: &str = "tls.client_certificate";
/// How many pairs of names are kept. The bound is needed because servers choose the second name.
const EITHER_MAX: usize = 64;
/// How many sessions are kept for each pair of names.
const SESSIONS_MAX: usize = 32;
