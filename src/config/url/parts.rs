//! The parts of a URL: scheme, server, socket and database.

use percent_encoding::percent_decode_str;

use crate::config::error::ConfigError;
use crate::proto::endpoint::{Endpoint, EndpointError};

/// The transport that the scheme names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Tcp,
    Tls,
    Unix,
}

impl Scheme {
    /// The transport, and whether the servers are a cluster.
    pub(super) fn read(scheme: &str) -> Result<(Scheme, bool), ConfigError> {
        const KNOWN: &str = "is none of redis, rediss, valkey, valkeys, unix, redis+unix, valkey+unix, \
                             redis-cluster, rediss-cluster, valkey-cluster, valkeys-cluster";
        match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => Ok((Scheme::Tcp, false)),
            "rediss" | "valkeys" => Ok((Scheme::Tls, false)),
            "redis-cluster" | "valkey-cluster" => Ok((Scheme::Tcp, true)),
            "rediss-cluster" | "valkeys-cluster" => Ok((Scheme::Tls, true)),
            "unix" | "redis+unix" | "valkey+unix" => Ok((Scheme::Unix, false)),
            // With other characters in it, the text is not a scheme, and may hold the password.
            _ if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) => {
                Err(ConfigError::new("url, scheme", format!("it {KNOWN}")))
            }
            _ => Err(ConfigError::new("url, scheme", format!("{scheme:?} {KNOWN}"))),
        }
    }
}

pub(super) fn server(address: &str) -> Result<Endpoint, ConfigError> {
    let address = if address.is_empty() { "localhost" } else { address };
    let wrong = |error: EndpointError| {
        let expected =
            "expected host, host:port, 1.2.3.4:port or [v6]:port, behind the `@` if there is a password";
        ConfigError::new("url, host and port", format!("{}: {expected}", error.problem()))
    };
    // An endpoint that begins with `unix:` is a socket. In a URL with a TCP scheme, `unix` is the name of a host.
    match address.strip_prefix("unix:") {
        Some(port) => Endpoint::new("unix", port.parse().unwrap_or(0)).map_err(wrong),
        None => address.parse().map_err(wrong),
    }
}

pub(super) fn socket(host: &str, path: &str) -> Result<Endpoint, ConfigError> {
    const SETTING: &str = "url, path";
    if !host.is_empty() {
        let problem =
            "a unix socket has no host; write three slashes before the path, as in unix:///run/redis.sock";
        return Err(ConfigError::new("url, host and port", problem));
    }
    let path = decode(SETTING, path)?;
    if path.len() < 2 {
        return Err(ConfigError::new(SETTING, "it is missing: expected unix:///run/redis.sock"));
    }
    Endpoint::unix(path).map_err(|error| ConfigError::new(SETTING, error.problem()))
}

pub(super) fn decode(setting: &str, text: &str) -> Result<String, ConfigError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let not_utf8 = |_| ConfigError::new(setting, "the percent-encoded text is not UTF-8");
    decoded.map(|text| text.into_owned()).map_err(not_utf8)
}

pub(super) fn database(setting: &str, text: &str) -> Result<u32, ConfigError> {
    text.parse().map_err(|_| ConfigError::new(setting, "it must be a number, such as 0"))
}
