//! [`CredentialsProvider`]: credentials that change while the process runs.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::proto::connection::Credentials;

/// Provides credentials: the contents of a file, a token that expires, a secret from a vault.
///
/// The client asks it again for each new connection. It may block: it runs on a thread of its own while the connection is
/// dialed, and the client waits for it until the connect timeout. If credentials are expensive to get, cache them in the
/// provider. Closures are providers, see [`Config::credentials`](crate::Config::credentials).
pub trait CredentialsProvider: Send + Sync {
    /// Returns the current credentials.
    ///
    /// # Errors
    /// Why there are no credentials. Its text ends up in errors and logs, so it must not hold a secret.
    fn credentials(&self) -> Result<Credentials, Box<dyn Error + Send + Sync>>;
}

impl<F> CredentialsProvider for F
where
    F: Fn() -> Result<Credentials, Box<dyn Error + Send + Sync>> + Send + Sync,
{
    fn credentials(&self) -> Result<Credentials, Box<dyn Error + Send + Sync>> {
        self()
    }
}

/// The provider of the application, if it has set one.
#[derive(Clone, Default)]
pub(crate) struct Provider(Option<Arc<dyn CredentialsProvider>>);

impl Provider {
    pub(super) fn new(provider: impl CredentialsProvider + 'static) -> Self {
        Provider(Some(Arc::new(provider)))
    }

    pub(crate) fn get(&self) -> Option<&Arc<dyn CredentialsProvider>> {
        self.0.as_ref()
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Provider(set)" } else { "Provider(none)" })
    }
}
