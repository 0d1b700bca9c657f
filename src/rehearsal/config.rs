//! The settings of a [`Server`](super::Server).

use std::num::NonZeroUsize;

/// How a [`Server`](super::Server) behaves.
#[derive(Clone)]
pub struct ServerConfig {
    /// The password of user `default`. Clients must authenticate with it first; `None` needs no authentication.
    /// Default: `None`.
    pub password: Option<String>,
    /// The number of databases. Default: 16.
    pub databases: NonZeroUsize,
    /// The seed of the choices of `SPOP`, `SRANDMEMBER` and `RANDOMKEY`. The same seed and the same commands give the
    /// same replies. Default: 0.
    pub seed: u64,
    /// Whether the server is a proxy: it forwards requests to a real Redis instead of executing them, see
    /// [`Server::upstream_output`](super::Server::upstream_output). Default: `false`.
    pub upstream: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { password: None, databases: DATABASES, seed: 0, upstream: false }
    }
}

impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("databases", &self.databases)
            .field("seed", &self.seed)
            .field("upstream", &self.upstream)
            .finish()
    }
}

/// The version that the server reports, so that clients know its commands.
pub(crate) const REDIS_VERSION: &str = "7.2.0";

const DATABASES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);
