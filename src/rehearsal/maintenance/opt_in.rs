//! What a connection asks for when it opts in, and what a node may answer.

/// The kind of endpoint that a MOVING should name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointType {
    /// The connection did not say.
    ServerDefault,
    InternalIp,
    InternalFqdn,
    ExternalIp,
    ExternalFqdn,
    /// No endpoint: the client resolves its own again.
    None,
}

impl EndpointType {
    /// Those that a connection can name.
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

/// What a node answers to those who opt in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok,
    /// As a server that knows no such subcommand.
    Unknown,
    NoPermission,
    Disabled,
    /// As a server that does not know the endpoint type; without one it is answered well.
    Syntax,
    /// These bytes.
    Garbage(Vec<u8>),
    /// Nothing, and nothing to whatever follows.
    Silence,
    /// The connection is closed.
    Close,
}

impl Answer {
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
        all.into_iter().find(|answer| name.eq_ignore_ascii_case(answer.name()))
    }
}
