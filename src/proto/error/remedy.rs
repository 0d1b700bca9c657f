//! [`Remedy`]: how a person can fix a connection that does not recover by itself.

use std::fmt;

/// A fix, independent of its wording: applications have settings for it, and the command `hitless` has options. `Display`
/// prints the wording for applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "some remedies exist for TLS only"))]
pub(crate) enum Remedy {
    /// Another program listens on that port.
    CheckAddress,
    SpeakTls,
    SpeakPlain,
    /// The authority that signed the server's certificate is unknown here.
    TrustIssuer,
    /// The server's certificate names another server.
    ServerName,
    /// The server's certificate is a CA certificate, or names no server.
    MakeCertificate,
    RenewCertificate,
    CheckClock,
    /// The server requires a client certificate.
    ClientCertificate,
    TlsVersion,
    /// The server requires a password, and none is set.
    Password,
    /// The server does not know this user with this password.
    CheckLogin,
    AllowConnection,
    NewerServer,
    SwitchOnMaintenance,
    AllowMaintenance,
}

#[cfg(all(test, feature = "cli"))]
impl Remedy {
    /// All remedies.
    pub(crate) const ALL: [Remedy; 16] = [
        Remedy::CheckAddress,
        Remedy::SpeakTls,
        Remedy::SpeakPlain,
        Remedy::TrustIssuer,
        Remedy::ServerName,
        Remedy::MakeCertificate,
        Remedy::RenewCertificate,
        Remedy::CheckClock,
        Remedy::ClientCertificate,
        Remedy::TlsVersion,
        Remedy::Password,
        Remedy::CheckLogin,
        Remedy::AllowConnection,
        Remedy::NewerServer,
        Remedy::SwitchOnMaintenance,
        Remedy::AllowMaintenance,
    ];
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Remedy::CheckAddress => "check the host and the port",
            Remedy::SpeakTls => "use a `rediss://` URL, or set `Config::tls`",
            Remedy::SpeakPlain => "use a `redis://` URL, or leave `Config::tls` out",
            Remedy::TrustIssuer => "name its CA with `ca_file` of `hitless::net::Tls`, or install it in the system",
            Remedy::ServerName => {
                "connect by a name that the certificate holds, or set `server_name` of `hitless::net::Tls`"
            }
            Remedy::MakeCertificate => {
                "give the server a certificate of its own, such as `openssl req -x509 -newkey rsa:2048 -nodes \
                 -keyout key.pem -out cert.pem -addext basicConstraints=critical,CA:FALSE -addext \
                 subjectAltName=DNS:localhost,IP:127.0.0.1` makes, and name it with `ca_file` of `hitless::net::Tls`"
            }
            Remedy::RenewCertificate => "renew it on the server, or set this machine's clock",
            Remedy::CheckClock => "set this machine's clock, or the server's",
            Remedy::ClientCertificate => {
                "set `client_certificate_files` of `hitless::net::Tls` to a certificate that the server trusts"
            }
            Remedy::TlsVersion => {
                "lower `version_min` of `hitless::net::Tls` to 1.2, or allow TLS 1.2 or 1.3 on the server"
            }
            Remedy::Password => "set `Config::password`, or a provider with `Config::credentials`",
            Remedy::CheckLogin => "check the user and the password, and that the user is not disabled",
            Remedy::AllowConnection => "allow the user the commands of a handshake: `+@connection`",
            Remedy::NewerServer => "use Redis 6 or later, or the maintenance mode `auto`",
            Remedy::SwitchOnMaintenance => "switch them on there, or use the maintenance mode `auto`",
            Remedy::AllowMaintenance => {
                "allow the user `client|maint_notifications`, or use the maintenance mode `auto`"
            }
        })
    }
}
