//! [`Resolve`]: names to addresses, by the system or by whoever knows better.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// Finds the addresses of a name.
///
/// It is asked on a thread of its own for each look-up, and may block; whoever waits for it stops waiting at the
/// connect timeout. Connections of one shard that want the same name share a look-up, and what it finds for
/// [a short time](crate::Config::dns_cache). Closures with the same arguments are resolvers, see
/// [`Config::resolver`](crate::Config::resolver).
pub trait Resolve: Send + Sync {
    /// Every address of this host, in the order in which they are to be tried, with this port.
    ///
    /// # Errors
    /// If the name cannot be looked up. A name without an address may be an empty list as well.
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

/// The system's own, unless the application gave another.
#[derive(Clone, Default)]
pub(crate) struct Resolver(Option<Arc<dyn Resolve>>);

impl Resolver {
    pub(super) fn new(resolver: impl Resolve + 'static) -> Self {
        Resolver(Some(Arc::new(resolver)))
    }

    /// Blocks until it is done. No more than [`ADDRESSES_MAX`] addresses are kept.
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

/// More addresses than anybody would try in turn.
const ADDRESSES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_application_says_is_taken_up_to_a_bound() {
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
