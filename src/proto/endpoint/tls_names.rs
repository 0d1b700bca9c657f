//! [`TlsNames`]: the names that the certificate of an endpoint may be valid for.

use super::{Endpoint, without_dot};

/// The names for TLS. Each is a DNS name without its trailing dot, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsNames {
    /// The name that the client asks the server for (SNI), unless it is an address. The certificate may be valid for it.
    pub(crate) asked: String,
    /// Another name that the certificate may be valid for instead.
    pub(crate) or: Option<String>,
}

impl Endpoint {
    /// The names for TLS with this endpoint. `configured` is the configured endpoint, and `explicit` a server name that the
    /// application has set.
    ///
    /// An announced target is untrusted: an attacker could have announced it. A certificate for the configured host proves
    /// that the target is the same service. A certificate for the announced name is accepted as well, because certificates
    /// are commonly issued for the names of nodes. SNI cannot hold an address. For an announced address the client asks for
    /// the configured name, so that the server knows which of its certificates to present.
    pub(crate) fn tls_names(&self, configured: &Endpoint, explicit: Option<&str>) -> TlsNames {
        let only = |asked: String| TlsNames { asked, or: None };
        if let Some(name) = explicit {
            return only(without_dot(name).to_owned());
        }
        let expected = configured.certified();
        match self.ip() {
            _ if self.server_name().is_some_and(|name| name.eq_ignore_ascii_case(&expected)) => {
                only(expected)
            }
            Some(_) if configured.ip().is_none() => only(expected),
            Some(address) if configured.ip() == Some(address) => only(expected),
            Some(address) => TlsNames { asked: expected, or: Some(address.to_string()) },
            None => TlsNames { asked: self.certified(), or: Some(expected) },
        }
    }

    /// The name or the address that a certificate for this endpoint is valid for.
    fn certified(&self) -> String {
        match self.ip() {
            Some(address) => address.to_string(),
            None => without_dot(self.host()).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mv_tls_names() {
        let endpoint = |host: &str| Endpoint::new(host, 7).unwrap();
        for (configured, target, explicit, asked, or) in [
            // The endpoint has not moved.
            ("db.example.com.", "DB.example.com", None, "db.example.com", None),
            ("10.0.0.1", "::ffff:10.0.0.1", None, "10.0.0.1", None),
            // For an address, the client asks for the configured host.
            ("db.example.com.", "10.0.0.2", None, "db.example.com", None),
            ("10.0.0.1", "2001:db8::7", None, "10.0.0.1", Some("2001:db8::7")),
            // For a name, the client asks for that name. The certificate may be valid for the configured host.
            ("db.example.com", "node-2.example.com.", None, "node-2.example.com", Some("db.example.com")),
            ("10.0.0.1", "node-2.example.com", None, "node-2.example.com", Some("10.0.0.1")),
            // The name that the application sets takes precedence.
            ("db.example.com", "db.example.com", Some("own.example.com."), "own.example.com", None),
            ("db.example.com", "10.0.0.2", Some("own.example.com"), "own.example.com", None),
            ("db.example.com", "node-2.example.com", Some("10.9.9.9"), "10.9.9.9", None),
        ] {
            let names = endpoint(target).tls_names(&endpoint(configured), explicit);
            let expected = TlsNames { asked: asked.to_owned(), or: or.map(str::to_owned) };
            assert_eq!(names, expected, "{configured} moves to {target}, {explicit:?}");
        }
    }
}
