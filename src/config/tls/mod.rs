//! [`Tls`]: whom to trust, who to be, and where the certificates for both come from.

mod context;
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
use self::source::{Source, Stamp};
use super::ConfigError;
use crate::proto::endpoint::TlsNames;

/// TLS to the server: whom to trust, and who to be.
///
/// By default a server is trusted if its certificate is valid for the configured host and was issued by one whom the
/// system trusts. A server that announces a move, `MOVING`, changes none of that: where it leads to is trusted if its
/// certificate is valid for the configured host, or for the name that was announced.
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
/// tls.reload()?;                                  // not needed: files that change are noticed
/// # Ok::<(), hitless::ConfigError>(())
/// ```
///
/// # Certificates that change
///
/// Files are read by [`Config::validate`](crate::Config::validate), and so by whatever starts a client. Before a
/// connection is made they are looked at again, at most once a second and on a thread of its own; those that have
/// changed are read again, for that connection and all later ones. Connections that exist keep what they began with.
/// If what is read is no good, what was read before stays in use, and the log says so once. [`Tls::reload`] does the
/// same at once. Roots of the system are read once only.
///
/// Clones share what was read, until a setting of one of them is changed.
#[derive(Clone)]
pub struct Tls {
    settings: Settings,
    shared: Arc<Shared>,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What a user said.
#[derive(Clone)]
struct Settings {
    has_system_roots: bool,
    has_bundled_roots: bool,
    authorities: Vec<Source>,
    /// A certificate, with those that vouch for it, and its key.
    identity: Option<(Source, Source)>,
    server_name: Option<String>,
    version_min: TlsVersion,
    is_unverified: bool,
}

/// What was read, which clones have in common.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Held while files are read, so that what was read last is what is used. No shard waits for it.
    reading: Mutex<()>,
    has_warned: AtomicBool,
}

#[derive(Default)]
struct State {
    context: Option<Arc<TlsContext>>,
    /// What the files looked like when they were last read, whether or not that was of any use.
    read: Vec<Stamp>,
    checked_at: Option<Instant>,
    is_checking: bool,
}

/// The right to look at files whether they have changed.
pub(crate) struct FileCheck(Tls);

impl FileCheck {
    /// Reads files that have changed since they were read last. It blocks.
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
    /// Verified against the certificates that the system trusts, TLS 1.2 or later, without a certificate of one's own.
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

    /// Trusts the certificates in this PEM file, instead of those that the system trusts; those of every further call,
    /// too.
    #[must_use]
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        self.with(|settings| settings.authorities.push(Source::File(path.into())))
    }

    /// Trusts these certificates, as PEM, instead of those that the system trusts; those of every further call, too.
    #[must_use]
    pub fn ca_pem(self, pem: impl AsRef<[u8]>) -> Self {
        self.with(|settings| settings.authorities.push(Source::memory(pem.as_ref())))
    }

    /// Trusts what the system trusts in addition to what else is said to be trusted. Without anything else it is the
    /// default.
    #[must_use]
    pub fn system_roots(self) -> Self {
        self.with(|settings| settings.has_system_roots = true)
    }

    /// Trusts Mozilla's certificates, as they were when this program was built, instead of those that the system
    /// trusts.
    #[cfg(feature = "tls-bundled-roots")]
    #[must_use]
    pub fn bundled_roots(self) -> Self {
        self.with(|settings| settings.has_bundled_roots = true)
    }

    /// Who to be, for servers that want to know (mutual TLS): a certificate, followed by those that vouch for it, and
    /// its private key, in PEM files. Encrypted keys are not read.
    #[must_use]
    pub fn client_certificate_files(self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let identity = (Source::File(chain.into()), Source::File(key.into()));
        self.with(|settings| settings.identity = Some(identity))
    }

    /// The same from memory.
    #[must_use]
    pub fn client_certificate_pem(self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        let identity = (Source::memory(chain.as_ref()), Source::memory(key.as_ref()));
        self.with(|settings| settings.identity = Some(identity))
    }

    /// The name, or the address, that every server is asked for and has to prove, whatever host is dialed.
    #[must_use]
    pub fn server_name(self, name: impl Into<String>) -> Self {
        self.with(|settings| settings.server_name = Some(name.into()))
    }

    /// The oldest version that is spoken ([`TlsVersion::Tls12`]).
    #[must_use]
    pub fn version_min(self, version: TlsVersion) -> Self {
        self.with(|settings| settings.version_min = version)
    }

    /// Trusts whoever answers. What is sent can be read, and changed, by anybody on the way. A client that starts like
    /// this says so in the log.
    #[must_use]
    pub fn danger_accept_any_certificate(self) -> Self {
        self.with(|settings| settings.is_unverified = true)
    }

    /// Reads every file again, on this thread: new connections go by what it finds, on all clients that were
    /// configured with a clone of this.
    ///
    /// # Errors
    /// Names the setting and the file that is wrong. What was read before stays in use.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let _reading = self.shared.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // What changes while it is read is read again.
        let stamps = self.settings.stamps();
        self.state().read = stamps;
        let context = Arc::new(TlsContext::read(&self.settings)?);
        self.state().context = Some(context);
        Ok(())
    }

    /// Reads what was not read yet, and what has changed.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let stamps = self.settings.stamps();
        let is_read = {
            let state = self.state();
            state.context.is_some() && state.read == stamps
        };
        if is_read { Ok(()) } else { self.reload() }
    }

    /// The right to look at the files, if there are any and it is time for that. Nobody else has it as long as it is
    /// kept: a file may take for ever to be read.
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
                tracing::info!(target: "hitless::shard", "certificates have changed and were read again")
            }
            Err(error) => tracing::warn!(
                target: "hitless::shard",
                %error,
                "certificates have changed, and what was read before stays in use"
            ),
        }
    }

    /// What connects to a server by these names, and the name to begin with.
    ///
    /// # Errors
    /// If a name is none that a certificate could be for, as text.
    pub(crate) fn connector(
        &self,
        names: &TlsNames,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
        let context = self.state().context.clone().ok_or("no certificates were read")?;
        if self.settings.is_unverified && !self.shared.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "hitless::shard",
                server = %names.asked,
                "certificates of servers are not verified, as `danger_accept_any_certificate` says"
            );
        }
        context.connector(names)
    }

    /// The name that the application gave.
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

impl Settings {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        self.authorities.iter().chain(identity).filter_map(Source::path)
    }

    fn has_files(&self) -> bool {
        self.files().next().is_some()
    }

    /// What the files look like now.
    fn stamps(&self) -> Vec<Stamp> {
        self.files().map(|path| Stamp::of(path)).collect()
    }
}

/// What is trusted and used, by name; never what is in it.
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

/// How often files are looked at, if connections are made as often.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
