//! URLs: `redis://user:password@host:port/database?option=value`.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{Config, ConfigError, Maintenance};
use crate::proto::endpoint::Endpoint;

pub(super) fn parse(url: &str) -> Result<Config, ConfigError> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| ConfigError::new("url", "it has no scheme: expected redis://host:port/database"))?;
    check_scheme(scheme)?;
    let rest = match rest.split_once('#') {
        Some(_) => return Err(ConfigError::new("url", "a `#` must be written as %23")),
        None => rest,
    };
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    // A host was then found within the user or the password, and no error may quote it.
    if path.contains('@') || query.is_some_and(|query| query.contains('@')) {
        let problem = "a `/` or `?` in the user or password must be written as %2F or %3F, and an `@` behind the host as %40";
        return Err(ConfigError::new("url, user and password", problem));
    }
    // The last `@`: a password may hold one that nobody encoded.
    let (user_info, address) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user_info, address)| (Some(user_info), address));
    let address = if address.is_empty() { "localhost" } else { address };
    let endpoint: Endpoint =
        address.parse().map_err(|error| ConfigError::new("url, host and port", format!("{error}")))?;
    let mut config = Config::new(endpoint);
    if let Some(user_info) = user_info {
        config = with_user_info(config, user_info)?;
    }
    if !path.is_empty() {
        config = config.database(database("url, database", path)?);
    }
    for option in query.unwrap_or_default().split('&').filter(|option| !option.is_empty()) {
        config = with_option(config, option)?;
    }
    Ok(config)
}

fn check_scheme(scheme: &str) -> Result<(), ConfigError> {
    match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => Ok(()),
        "rediss" | "valkeys" => Err(ConfigError::new("url, scheme", "TLS is not supported by this version")),
        "unix" | "redis+unix" | "valkey+unix" => {
            Err(ConfigError::new("url, scheme", "unix sockets are not supported by this version"))
        }
        // With anything else in it, it is no scheme, and may hold the password.
        _ if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) => {
            Err(ConfigError::new("url, scheme", "it is none of redis, valkey"))
        }
        _ => Err(ConfigError::new("url, scheme", format!("{scheme:?} is none of redis, valkey"))),
    }
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

fn with_option(config: Config, option: &str) -> Result<Config, ConfigError> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let knob = format!("url, option {name}");
    let value = decode(&knob, value)?;
    match name {
        "db" => Ok(config.database(database(&knob, &value)?)),
        "client_name" => Ok(config.client_name(value)),
        "connections_per_shard" => {
            let count = value.parse().map_err(|_| ConfigError::new(&knob, "it must be a number"))?;
            Ok(config.connections_per_shard(count))
        }
        "command_timeout" => Ok(config.command_timeout(duration(&knob, &value)?)),
        "connect_timeout" => Ok(config.connect_timeout(duration(&knob, &value)?)),
        "maint" => {
            let wrong = || ConfigError::new(&knob, format!("{value:?} is none of auto, enabled, disabled"));
            Ok(config.maintenance(Maintenance::in_mode(value.parse().map_err(|()| wrong())?)))
        }
        _ => Err(ConfigError::new(
            "url, options",
            "there is no such option; there are db, client_name, connections_per_shard, command_timeout, \
             connect_timeout and maint",
        )),
    }
}

fn decode(knob: &str, text: &str) -> Result<String, ConfigError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| ConfigError::new(knob, "what it encodes is not UTF-8"))
}

fn database(knob: &str, text: &str) -> Result<u32, ConfigError> {
    text.parse().map_err(|_| ConfigError::new(knob, "it must be a number, such as 0"))
}

fn duration(knob: &str, text: &str) -> Result<Duration, ConfigError> {
    let wrong = || ConfigError::new(knob, format!("{text:?} is no time such as 500ms or 2s"));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match text.strip_prefix(digits) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s") => Ok(Duration::from_secs(number)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::connection::Secret;

    #[test]
    fn every_part_is_read() {
        let url = "redis://ap%40p:s%3Acret%2F@[::1]:7001/3?client_name=web&command_timeout=250ms\
                   &connect_timeout=2s&connections_per_shard=8&maint=enabled";
        let config = parse(url).unwrap();
        assert_eq!(config.endpoint.to_string(), "[::1]:7001");
        assert_eq!(config.username.as_deref(), Some("ap@p"));
        assert_eq!(config.password, Some(Secret("s:cret/".into())));
        assert_eq!((config.database, config.connections_per_shard), (3, 8));
        assert_eq!(config.client_name.as_deref(), Some("web"));
        assert_eq!(config.command_timeout, Duration::from_millis(250));
        assert_eq!(config.connect_timeout, Duration::from_secs(2));
        assert_eq!(config.maintenance, Maintenance::enabled());
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        for url in ["redis://", "valkey://localhost", "redis://localhost:6379/", "REDIS://localhost?db=0"] {
            let config = parse(url).unwrap();
            assert_eq!((config.endpoint.to_string().as_str(), config.database), ("localhost:6379", 0));
        }
        let config = parse("redis://:pw@localhost").unwrap();
        assert_eq!((config.username, config.password), (None, Some(Secret("pw".into()))));
    }

    #[test]
    fn errors_point_at_the_part_that_is_wrong_and_keep_the_password_to_themselves() {
        for (url, knob) in [
            ("localhost:6379", "url"),
            ("http://localhost", "url, scheme"),
            ("rediss://localhost", "url, scheme"),
            ("unix:///run/redis.sock", "url, scheme"),
            // No server announces where to go on a socket without an address.
            ("unix:///x?maint=enabled", "url, scheme"),
            ("redis://u:s3cret@host:port/0", "url, host and port"),
            ("redis://u:s3cret@host/zero", "url, database"),
            ("redis://u:s3cret%ff@host", "url, password"),
            ("redis://u:s3cret@host?db=x", "url, option db"),
            ("redis://u:s3cret@host?command_timeout=5", "url, option command_timeout"),
            ("redis://u:s3cret@host?maint=on", "url, option maint"),
            ("redis://u:s3cret@host?nonsense=1", "url, options"),
            ("redis://u:s3cret@host#x", "url"),
            ("redis://u:s3cret/x@host", "url, user and password"),
            ("redis://u:s3cret?x@host", "url, user and password"),
            ("redis://me@home:s3cret/x@host", "url, user and password"),
            ("redis://u:p@a:s3cret/x@host", "url, user and password"),
            ("redis://u:p@a:s3cret?x@host", "url, user and password"),
            ("redis://u:p@a?s3cret=%ff@host", "url, user and password"),
            ("u:s3cret://x@host", "url, scheme"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.knob(), knob, "{url}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
