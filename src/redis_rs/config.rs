//! [`redis::ConnectionInfo`] as a [`Config`].

use redis::{ConnectionAddr, ConnectionInfo};

#[cfg(feature = "tls")]
use crate::config::Tls;
use crate::config::{Config, ConfigError};
use crate::proto::endpoint::{Endpoint, EndpointError};

/// The address, database, user and password of a [`redis::Client`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use redis::IntoConnectionInfo;
///
/// let info = "redis://app:s3cret@10.0.0.7:6379/2".into_connection_info()?;
/// let config = hitless::Config::try_from(info)?.connections_per_shard(4);
/// # let _ = config;
/// # Ok(())
/// # }
/// ```
///
/// Settings of TCP, and the name and version of the library, are ignored. The protocol is negotiated with the server.
///
/// # Errors
/// If the endpoint or the database is not valid; or if TLS has certificates, which redis-rs does not expose: set them with
/// `net::Tls`.
impl TryFrom<&ConnectionInfo> for Config {
    type Error = ConfigError;

    fn try_from(info: &ConnectionInfo) -> Result<Config, ConfigError> {
        let settings = info.redis_settings();
        let mut config = address(info.addr())?;
        let database = u32::try_from(settings.db());
        config = config.database(database.map_err(|_| {
            ConfigError::new(
                "database",
                format!("{} is not the number of a database: it is 0 or more", settings.db()),
            )
        })?);
        if let Some(name) = settings.username() {
            config = config.username(name);
        }
        if let Some(password) = settings.password() {
            config = config.password(password);
        }
        Ok(config)
    }
}

/// As for a reference.
impl TryFrom<ConnectionInfo> for Config {
    type Error = ConfigError;

    fn try_from(info: ConnectionInfo) -> Result<Config, ConfigError> {
        Config::try_from(&info)
    }
}

fn address(address: &ConnectionAddr) -> Result<Config, ConfigError> {
    let wrong = |error: EndpointError| ConfigError::new("endpoint", error.to_string());
    match address {
        ConnectionAddr::Tcp(host, port) => Ok(Config::new(Endpoint::new(host, *port).map_err(wrong)?)),
        ConnectionAddr::TcpTls { tls_params: Some(_), .. } => Err(ConfigError::new(
            "tls",
            "redis-rs does not expose its certificates: set them with Config::tls",
        )),
        ConnectionAddr::TcpTls { host, port, insecure, tls_params: None } => {
            with_tls(Config::new(Endpoint::new(host, *port).map_err(wrong)?), *insecure)
        }
        ConnectionAddr::Unix(path) => {
            let path = path
                .to_str()
                .ok_or_else(|| ConfigError::new("endpoint", "the path of the unix socket is not UTF-8"))?;
            Ok(Config::new(Endpoint::unix(path).map_err(wrong)?))
        }
        _ => Err(ConfigError::new(
            "endpoint",
            "this kind of address is not supported: use a TCP or unix address",
        )),
    }
}

#[cfg(feature = "tls")]
fn with_tls(config: Config, insecure: bool) -> Result<Config, ConfigError> {
    Ok(config.tls(if insecure { Tls::new().danger_accept_any_certificate() } else { Tls::new() }))
}

#[cfg(not(feature = "tls"))]
fn with_tls(_config: Config, _insecure: bool) -> Result<Config, ConfigError> {
    Err(ConfigError::new("tls", "this program was built without the feature `tls` of hitless: enable it"))
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo;

    use super::*;

    fn fields(info: impl IntoConnectionInfo) -> Result<String, ConfigError> {
        let config = Config::try_from(info.into_connection_info().unwrap())?;
        let effective = config.shards(1).validate()?;
        let kept = ["endpoint", "username", "password", "database", "tls"];
        let fields = effective.fields().into_iter().filter(|(name, _)| kept.contains(name));
        Ok(fields.map(|(_, value)| value).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn address_and_login_are_those_of_redis_rs() {
        assert_eq!(fields("redis://app:s3cret@10.0.0.7:7000/2").unwrap(), "10.0.0.7:7000 app (set) 2 (none)");
        assert_eq!(fields("redis://10.0.0.7").unwrap(), "10.0.0.7:6379 (none) (none) 0 (none)");
        assert!(fields("redis+unix:///run/redis.sock?db=3").unwrap().contains("/run/redis.sock"));
        let negative = "redis://10.0.0.7".into_connection_info().unwrap();
        let settings = negative.redis_settings().clone().set_db(-1);
        assert_eq!(fields(negative.set_redis_settings(settings)).unwrap_err().setting(), "database");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_stays_tls() {
        let tls = |insecure| {
            let (host, port, tls_params) = ("10.0.0.7".to_owned(), 6380, None);
            "redis://10.0.0.7".into_connection_info().unwrap().set_addr(ConnectionAddr::TcpTls {
                host,
                port,
                insecure,
                tls_params,
            })
        };
        assert!(!fields(tls(false)).unwrap().ends_with("(none)"));
        assert!(fields(tls(true)).unwrap().contains("NOT verified"));
    }
}
