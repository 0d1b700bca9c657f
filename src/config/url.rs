//! URLs: `redis://user:password@host:port/database?option=value`, and `unix://user:password@/path?db=0`.
//!
//! No error quotes the text before the host, or the text at the place of the host: either may be the password.

mod options;
mod parts;

use self::options::Options;
use self::parts::{Scheme, database, decode, server, socket};
use super::error::ConfigError;
use super::settings::Config;

impl Config {
    /// Reads `redis://[user[:password]@][host[:port]][/database][?option=value&…]`, or, for a unix socket,
    /// `unix://[user[:password]@]/the/path[?option=value&…]`.
    ///
    /// | scheme | |
    /// |---|---|
    /// | `redis`, `valkey` | TCP |
    /// | `rediss`, `valkeys` | TLS, with the feature `tls` |
    /// | `redis-cluster`, `valkey-cluster` | TCP, to a [cluster](Config::cluster); several hosts are separated by commas |
    /// | `rediss-cluster`, `valkeys-cluster` | the same with TLS |
    /// | `unix`, `redis+unix`, `valkey+unix` | a unix socket |
    ///
    /// The user, the password, the path of a socket and the values of options are percent-decoded. The default host is
    /// `localhost`.
    ///
    /// | option | sets | also called |
    /// |---|---|---|
    /// | `db` | [`Config::database`], unless the path does | |
    /// | `client_name` | [`Config::client_name`] | |
    /// | `connections_per_shard` | [`Config::connections_per_shard`] | |
    /// | `connections_per_node` | [`Config::connections_per_node`] | |
    /// | `command_timeout` | [`Config::command_timeout`] | `timeout` |
    /// | `reply_time_max` | [`Config::reply_time_max`] | |
    /// | `connect_timeout` | [`Config::connect_timeout`] | `dial_timeout` |
    /// | `keepalive` | [`Config::keepalive`] | |
    /// | `dns_cache` | [`Config::dns_cache`] | |
    /// | `protocol` | no setting: only `3` is allowed, the version that the client requests | |
    /// | `maint` | the mode: `auto`, `enabled` or `disabled` | `maint_notifications` |
    /// | `moving_endpoint_type` | [`Maintenance::endpoint_type`], e.g. `external-ip` | |
    /// | `relaxed_timeout` | [`Maintenance::relaxed_timeout`] | |
    /// | `handoff_timeout` | [`Maintenance::handoff_timeout`] | |
    /// | `max_handoff_retries` | [`Maintenance::handoff_retries_max`] | `handoff_retries_max` |
    /// | `targets` | [`Config::targets`]: `same-reach`, `any`, or patterns separated by commas | |
    /// | `server_name` | the name in the certificate of the server | `sni` |
    /// | `ca_file` | a PEM file with the trusted CAs | `ssl_ca_certs` |
    /// | `cert_file`, `key_file` | PEM files with the client certificate and its key | `ssl_certfile`, `ssl_keyfile` |
    ///
    /// Times have a unit: `500ms`, `2s`, `1m`, `1h`. No option disables the verification of certificates.
    ///
    /// [`Maintenance::endpoint_type`]: crate::Maintenance::endpoint_type
    /// [`Maintenance::relaxed_timeout`]: crate::Maintenance::relaxed_timeout
    /// [`Maintenance::handoff_timeout`]: crate::Maintenance::handoff_timeout
    /// [`Maintenance::handoff_retries_max`]: crate::Maintenance::handoff_retries_max
    ///
    /// # Errors
    /// Names the part of the URL that is wrong. No error holds the password.
    pub fn from_url(url: &str) -> Result<Self, ConfigError> {
        parse(url)
    }
}

fn parse(url: &str) -> Result<Config, ConfigError> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| ConfigError::new("url", "it has no scheme: expected redis://host:port/database"))?;
    let (scheme, is_cluster) = Scheme::read(scheme)?;
    let rest = match rest.split_once('#') {
        Some((_, "insecure")) => return Err(ConfigError::new("url, #insecure", options::INSECURE)),
        Some(_) => return Err(ConfigError::new("url", "a `#` must be written as %23")),
        None => rest,
    };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // The `/` or `?` was then part of the user or the password, and so is the text that looks like the host. No error may
    // quote it.
    if path.contains('@') || query.contains('@') {
        let problem = "a `/` or `?` in the user or password must be written as %2F or %3F, and an `@` behind the host as %40";
        return Err(ConfigError::new("url, user and password", problem));
    }
    // The last `@` separates the host, because a password may hold an `@` that is not encoded.
    let (user_info, address) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user_info, address)| (Some(user_info), address));
    let (endpoint, database, seeds) = match scheme {
        Scheme::Unix => (socket(address, path)?, None, None),
        Scheme::Tcp | Scheme::Tls => {
            let number = path.trim_start_matches('/');
            let database = (!number.is_empty()).then(|| database("url, database", number)).transpose()?;
            let (first, others) = match address.split_once(',').filter(|_| is_cluster) {
                Some((first, others)) => (first, others.split(',').map(server).collect::<Result<_, _>>()?),
                None => (address, Vec::new()),
            };
            (server(first)?, database, is_cluster.then_some(others))
        }
    };
    let mut config = Config::new(endpoint);
    if let Some(seeds) = seeds {
        config = config.cluster(seeds);
    }
    if let Some(user_info) = user_info {
        config = with_user_info(config, user_info)?;
    }
    if let Some(number) = database {
        config = config.database(number);
    }
    Options::read(query)?.apply(config, scheme, database.is_some())
}

/// Errors never quote the argument, because the password may be on either side of a mistake.
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

#[cfg(test)]
mod tests;
