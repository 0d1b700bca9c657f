//! URLs: `redis://user:password@host:port/database?option=value`, and `unix://user:password@/path?db=0`.
//!
//! No error quotes what stands before the host, or where the host should be: it may be the password.

mod options;

use percent_encoding::percent_decode_str;

use self::options::Options;
use super::{Config, ConfigError};
use crate::proto::endpoint::{Endpoint, EndpointError};

pub(super) fn parse(url: &str) -> Result<Config, ConfigError> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| ConfigError::new("url", "it has no scheme: expected redis://host:port/database"))?;
    let scheme = Scheme::read(scheme)?;
    let rest = match rest.split_once('#') {
        Some((_, "insecure")) => return Err(ConfigError::new("url, #insecure", options::INSECURE)),
        Some(_) => return Err(ConfigError::new("url", "a `#` must be written as %23")),
        None => rest,
    };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // A host was then found within the user or the password, and no error may quote it.
    if path.contains('@') || query.contains('@') {
        let problem = "a `/` or `?` in the user or password must be written as %2F or %3F, and an `@` behind the host as %40";
        return Err(ConfigError::new("url, user and password", problem));
    }
    // The last `@`: a password may hold one that nobody encoded.
    let (user_info, address) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user_info, address)| (Some(user_info), address));
    let (endpoint, database) = match scheme {
        Scheme::Unix => (socket(address, path)?, None),
        Scheme::Tcp | Scheme::Tls => {
            let number = path.trim_start_matches('/');
            let database = (!number.is_empty()).then(|| database("url, database", number)).transpose()?;
            (server(address)?, database)
        }
    };
    let mut config = Config::new(endpoint);
    if let Some(user_info) = user_info {
        config = with_user_info(config, user_info)?;
    }
    if let Some(number) = database {
        config = config.database(number);
    }
    Options::read(query)?.apply(config, scheme, database.is_some())
}

/// What the scheme says about how to get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Tcp,
    Tls,
    Unix,
}

impl Scheme {
    fn read(scheme: &str) -> Result<Scheme, ConfigError> {
        const KNOWN: &str = "is none of redis, rediss, valkey, valkeys, unix, redis+unix, valkey+unix";
        match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => Ok(Scheme::Tcp),
            "rediss" | "valkeys" => Ok(Scheme::Tls),
            "unix" | "redis+unix" | "valkey+unix" => Ok(Scheme::Unix),
            // With anything else in it, it is no scheme, and may hold the password.
            _ if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) => {
                Err(ConfigError::new("url, scheme", format!("it {KNOWN}")))
            }
            _ => Err(ConfigError::new("url, scheme", format!("{scheme:?} {KNOWN}"))),
        }
    }
}

fn server(address: &str) -> Result<Endpoint, ConfigError> {
    let address = if address.is_empty() { "localhost" } else { address };
    let wrong = |error: EndpointError| {
        let expected =
            "expected host, host:port, 1.2.3.4:port or [v6]:port, behind the `@` if there is a password";
        ConfigError::new("url, host and port", format!("{}: {expected}", error.problem()))
    };
    // What stands for a socket where an endpoint is written alone is a host like any other here.
    match address.strip_prefix("unix:") {
        Some(port) => Endpoint::new("unix", port.parse().unwrap_or(0)).map_err(wrong),
        None => address.parse().map_err(wrong),
    }
}

fn socket(host: &str, path: &str) -> Result<Endpoint, ConfigError> {
    const SETTING: &str = "url, path";
    if !host.is_empty() {
        let problem =
            "a unix socket has no host: the path has three slashes before it, as unix:///run/redis.sock";
        return Err(ConfigError::new("url, host and port", problem));
    }
    let path = decode(SETTING, path)?;
    if path.len() < 2 {
        return Err(ConfigError::new(SETTING, "it is missing: expected unix:///run/redis.sock"));
    }
    Endpoint::unix(path).map_err(|error| ConfigError::new(SETTING, error.problem()))
}

/// Never quotes what it was given: the password may be on either side of a mistake.
fn with_user_info(mut config: Config, user_info: &str) -> Result<Config, ConfigError> {
    let (user, password) =
        user_info.split_once(':').map_or((user_info, None), |(user, password)| (user, Some(password)));
    if !user.is_empty() {
        config = config.username(decode("url, user", user)?);
    }
    if let Some(password) = password {
        config = config.password(decode("url, password", password)?);
    }
    Ok(config)
}

fn decode(setting: &str, text: &str) -> Result<String, ConfigError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| ConfigError::new(setting, "what it encodes is not UTF-8"))
}

fn database(setting: &str, text: &str) -> Result<u32, ConfigError> {
    text.parse().map_err(|_| ConfigError::new(setting, "it must be a number, such as 0"))
}

#[cfg(test)]
mod tests;
