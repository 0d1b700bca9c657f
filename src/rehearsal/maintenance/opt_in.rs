//! Opting in to maintenance notifications: the requested endpoint type, and the configured reply of a node.

/// The kind of endpoint that a MOVING names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointType {
    /// The connection gave no type.
    ServerDefault,
    InternalIp,
    InternalFqdn,
    ExternalIp,
    ExternalFqdn,
    /// No endpoint: the client resolves its configured name again.
    None,
}

impl EndpointType {
    /// The types that a connection can name.
    pub(crate) const NAMED: [Self; 5] =
        [Self::InternalIp, Self::InternalFqdn, Self::ExternalIp, Self::ExternalFqdn, Self::None];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ServerDefault => "server-default",
            Self::InternalIp => "internal-ip",
            Self::InternalFqdn => "internal-fqdn",
            Self::ExternalIp => "external-ip",
            Self::ExternalFqdn => "external-fqdn",
            Self::None => "none",
        }
    }

    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        Self::NAMED.into_iter().find(|wanted| name.eq_ignore_ascii_case(wanted.name().as_bytes()))
    }
}

/// A node's reply to `CLIENT MAINT_NOTIFICATIONS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OptInReply {
    Ok,
    /// The node does not know the subcommand.
    Unknown,
    NoPermission,
    Disabled,
    /// The node does not know the endpoint type. It accepts a request without one.
    Syntax,
    /// The node sends these bytes.
    Garbage(Vec<u8>),
    /// The node does not reply to this request nor to any later one.
    Silence,
    /// The node closes the connection.
    Close,
}

impl OptInReply {
    pub(crate) const SYNTAX: &str = "MAINT ok|unknown|noperm|disabled|syntax|garbage [text]|silence|close";

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::NoPermission => "noperm",
            Self::Disabled => "disabled",
            Self::Syntax => "syntax",
            Self::Garbage(_) => "garbage",
            Self::Silence => "silence",
            Self::Close => "close",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Ok,
            Self::Unknown,
            Self::NoPermission,
            Self::Disabled,
            Self::Syntax,
            Self::Garbage(b"+MAYBE\r\n".to_vec()),
            Self::Silence,
            Self::Close,
        ];
        all.into_iter().find(|reply| name.eq_ignore_ascii_case(reply.name()))
    }
}
