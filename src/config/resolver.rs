//! [`Resolve`]: finds the addresses of names.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// Finds the addresses of a name.
///
/// Each look-up runs on a thread of its own and may block; the client waits for it until the connect timeout. Connections of
/// one shard share a look-up of the same name, and its addresses for [a short time](crate::Config::dns_cache). Closures with
/// the same arguments are resolvers, see [`Config::resolver`](crate::Config::resolver).
pub trait Resolve: Send + Sync {
    /// Returns all addresses of this host, with this port, in the order in which the client tries them.
    ///
    /// # Errors
    /// If the name cannot be resolved. An empty list is allowed as well for a name without an address.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

impl<F> Resolve for F
where
    F: Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync,
{
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self(host, port)
    }
}

/// The resolver of the application, or that of the system.
#[derive(Clone, Default)]
pub(crate) struct Resolver(Option<Arc<dyn Resolve>>);

impl Resolver {
    pub(super) fn new(resolver: impl Resolve + 'static) -> Self {
        Resolver(Some(Arc::new(resolver)))
    }

    /// Blocks until the look-up is done. Keeps at most [`ADDRESSES_MAX`] addresses.
    pub(crate) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = match &self.0 {
            Some(resolver) => resolver.resolve(host, port)?,
            None => (host, port).to_socket_addrs()?.take(ADDRESSES_MAX).collect(),
        };
        addresses.truncate(ADDRESSES_MAX);
        Ok(addresses)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Resolver(set)" } else { "Resolver(system)" })
    }
}

/// More addresses than the client can try before the connect timeout.
const ADDRESSES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_application_are_used_up_to_a_bound() {
        let resolver = Resolver::new(|host: &str, port: u16| {
            let count: usize = host.parse().map_err(|_| io::Error::other("no number"))?;
            Ok(vec![SocketAddr::from(([10, 0, 0, 7], port)); count])
        });
        assert_eq!(resolver.resolve("2", 7).unwrap(), ["10.0.0.7:7".parse().unwrap(); 2]);
        assert_eq!(resolver.resolve("100000", 7).unwrap().len(), ADDRESSES_MAX);
        assert_eq!(resolver.resolve("name", 7).unwrap_err().to_string(), "no number");
        assert_eq!(Resolver::default().resolve("::1", 7).unwrap(), ["[::1]:7".parse().unwrap()]);
    }
}
