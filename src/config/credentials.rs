//! [`CredentialsProvider`]: credentials that change while the process runs.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::proto::connection::Credentials;

/// Hands out what to log in with: the contents of a file, a token that expires, a secret from a vault.
///
/// It is asked anew for each connection that is made, and may block: it runs on a thread of its own, beside the dial,
/// and whoever waits for it stops waiting at the connect timeout. What is expensive to get should be remembered in
/// there. Closures are providers, see [`Config::credentials`](crate::Config::credentials).
pub trait CredentialsProvider: Send + Sync {
    /// What to log in with now.
    ///
    /// # Errors
    /// Why there is nothing to log in with. Its text ends up in errors and logs: it must not hold a secret.
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

/// The application's own, if it gave one.
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
