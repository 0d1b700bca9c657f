//! [`Tls`]: the trusted CAs, the client certificate, and the files that hold them.

mod context;
mod settings;
mod source;
mod verifier;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use self::context::TlsContext;
use self::settings::Settings;
pub use self::settings::TlsVersion;
use self::source::{Source, Stamp};
use super::error::ConfigError;
use crate::proto::endpoint::TlsNames;

/// TLS to the server: the CAs to trust, and the client certificate.
///
/// By default a server is trusted if its certificate is valid for the configured host and was issued by a CA that the
/// system trusts. An announced move (`MOVING`) does not weaken this: the target is trusted if its certificate is valid for
/// the configured host, or for the announced name.
///
/// ```no_run
/// use hitless::Config;
/// use hitless::net::Tls;
///
/// let tls = Tls::new()
///     .ca_file("/etc/redis/ca.pem")
///     .client_certificate_files("/etc/redis/client.pem", "/etc/redis/client.key");
/// let config = Config::from_url("redis://db.example.com:6380")?.tls(tls.clone());
/// # config.validate()?;
/// tls.reload()?;                                  // optional: changed files are detected
/// # Ok::<(), hitless::ConfigError>(())
/// ```
///
/// # Certificates that change
///
/// [`Config::validate`](crate::Config::validate) reads the files, and so does every function that starts a client. Before a
/// connection is made, a separate thread checks the files for changes, at most once a second. Changed files are read again,
/// for that connection and all later ones. Existing connections keep their certificates. If a changed file is malformed, the
/// earlier content stays in use, and the log reports it once. [`Tls::reload`] reads the files at once. The CAs of the system
/// are read once.
///
/// Clones share the content of the files, until you change a setting of one of them.
#[derive(Clone)]
pub struct Tls {
    settings: Settings,
    shared: Arc<Shared>,
}

/// The content of the files, which clones share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Held while files are read, so that the latest content is used. No shard waits for this lock.
    reading: Mutex<()>,
    has_warned: AtomicBool,
}

#[derive(Default)]
struct State {
    context: Option<Arc<TlsContext>>,
    /// The metadata of the files when they were last read, whether or not that succeeded.
    read: Vec<Stamp>,
    checked_at: Option<Instant>,
    is_checking: bool,
}

/// The exclusive right to check the files for changes. Dropping it ends the check.
pub(crate) struct FileCheck(Tls);

impl FileCheck {
    /// Reads the files again if one has changed. Blocks.
    pub(crate) fn reload_changed_files(self) {
        self.0.reload_changed_files();
    }
}

impl Drop for FileCheck {
    fn drop(&mut self) {
        self.0.state().is_checking = false;
    }
}

impl Default for Tls {
    fn default() -> Self {
        Tls::new()
    }
}

impl Tls {
    /// TLS 1.2 or later, trusting the CAs of the system, without a client certificate.
    pub fn new() -> Self {
        let settings = Settings {
            has_system_roots: false,
            has_bundled_roots: false,
            authorities: Vec::new(),
            identity: None,
            server_name: None,
            version_min: TlsVersion::Tls12,
            is_unverified: false,
        };
        Tls { settings, shared: Arc::default() }
    }

    /// Trusts the CAs in this PEM file instead of those of the system. Further calls add CAs.
    #[must_use]
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        self.with(|settings| settings.authorities.push(Source::File(path.into())))
    }

    /// Trusts these CAs, as PEM, instead of those of the system. Further calls add CAs.
    #[must_use]
    pub fn ca_pem(self, pem: impl AsRef<[u8]>) -> Self {
        self.with(|settings| settings.authorities.push(Source::memory(pem.as_ref())))
    }

    /// Trusts the CAs of the system in addition to the configured ones. Without configured CAs this is the default.
    #[must_use]
    pub fn system_roots(self) -> Self {
        self.with(|settings| settings.has_system_roots = true)
    }

    /// Trusts Mozilla's CAs, as they were when this program was built, instead of those of the system.
    #[cfg(feature = "tls-bundled-roots")]
    #[must_use]
    pub fn bundled_roots(self) -> Self {
        self.with(|settings| settings.has_bundled_roots = true)
    }

    /// The client certificate for servers that require one (mutual TLS). `chain` is a PEM file with the certificate followed
    /// by its chain, and `key` a PEM file with its private key. Encrypted keys are not supported.
    #[must_use]
    pub fn client_certificate_files(self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let identity = (Source::File(chain.into()), Source::File(key.into()));
        self.with(|settings| settings.identity = Some(identity))
    }

    /// Like [`Tls::client_certificate_files`], from memory.
    #[must_use]
    pub fn client_certificate_pem(self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        let identity = (Source::memory(chain.as_ref()), Source::memory(key.as_ref()));
        self.with(|settings| settings.identity = Some(identity))
    }

    /// The name or the address that the certificate of every server must be valid for, whichever host is dialed.
    #[must_use]
    pub fn server_name(self, name: impl Into<String>) -> Self {
        self.with(|settings| settings.server_name = Some(name.into()))
    }

    /// The oldest accepted version ([`TlsVersion::Tls12`]).
    #[must_use]
    pub fn version_min(self, version: TlsVersion) -> Self {
        self.with(|settings| settings.version_min = version)
    }

    /// Skips the verification of certificates. Anyone on the path can then read and modify the traffic. The client logs a
    /// warning when it starts.
    #[must_use]
    pub fn danger_accept_any_certificate(self) -> Self {
        self.with(|settings| settings.is_unverified = true)
    }

    /// Reads all files again, on this thread. New connections use the new content, on all clients that were configured with
    /// a clone of this value.
    ///
    /// # Errors
    /// Names the setting and the file that is wrong. The earlier content stays in use.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let _reading = self.shared.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // The metadata is taken first: a file that changes while it is read is read again at the next check.
        let stamps = self.settings.stamps();
        self.state().read = stamps;
        let context = Arc::new(TlsContext::read(&self.settings)?);
        self.state().context = Some(context);
        Ok(())
    }

    /// Reads the files, unless they are read and unchanged.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let stamps = self.settings.stamps();
        let is_read = {
            let state = self.state();
            state.context.is_some() && state.read == stamps
        };
        if is_read { Ok(()) } else { self.reload() }
    }

    /// Begins a check of the files, if there are files and the last check is long enough ago. There is at most one check at
    /// a time, because reading a file may block without a limit.
    pub(crate) fn begin_file_check(&self, now: Instant) -> Option<FileCheck> {
        if !self.settings.has_files() {
            return None;
        }
        let mut state = self.state();
        let is_late = |checked_at| now.duration_since(checked_at) >= CHECK_INTERVAL;
        if state.is_checking || !state.checked_at.is_none_or(is_late) {
            return None;
        }
        (state.is_checking, state.checked_at) = (true, Some(now));
        Some(FileCheck(self.clone()))
    }

    fn reload_changed_files(&self) {
        if self.state().read == self.settings.stamps() {
            return;
        }
        match self.reload() {
            Ok(()) => {
                tracing::info!(target: "hitless::shard", "read changed certificates")
            }
            Err(error) => tracing::warn!(
                target: "hitless::shard",
                %error,
                "cannot use the changed certificates; the earlier ones stay in use"
            ),
        }
    }

    /// The configuration for a connection with these names, and the name to ask the server for.
    ///
    /// # Errors
    /// If no certificate can be valid for a name, as text.
    pub(crate) fn connector(
        &self,
        names: &TlsNames,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
        let context = self.state().context.clone().ok_or("no certificates were read")?;
        if self.settings.is_unverified && !self.shared.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "hitless::shard",
                server = %names.asked,
                "certificates of servers are not verified, because `danger_accept_any_certificate` is set"
            );
        }
        context.connector(names)
    }

    /// The server name that the application has set.
    pub(crate) fn explicit_name(&self) -> Option<&str> {
        self.settings.server_name.as_deref()
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.shared = Arc::default();
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of the trusted CAs and of the client certificate, never their content.
impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        f.write_str(match settings.version_min {
            TlsVersion::Tls12 => "1.2 or later",
            TlsVersion::Tls13 => "1.3 or later",
        })?;
        if settings.is_unverified {
            f.write_str(", certificates are NOT verified")?;
        } else {
            let system = settings.trusts_system().then(|| "the system's roots".to_owned());
            let bundled = settings.has_bundled_roots.then(|| "bundled roots".to_owned());
            let own = settings.authorities.iter().map(Source::to_string);
            let trusted: Vec<String> = system.into_iter().chain(bundled).chain(own).collect();
            write!(f, ", trusts {}", trusted.join(" and "))?;
        }
        if let Some((chain, _)) = &settings.identity {
            write!(f, ", client certificate {chain}")?;
        }
        if let Some(name) = &settings.server_name {
            write!(f, ", server name {name}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({self})")
    }
}

/// The shortest time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
