//! The options behind the `?` of a URL, and the settings that they set.

use std::time::Duration;

use super::parts::{Scheme, database, decode};
use crate::config::error::ConfigError;
use crate::config::settings::Config;
#[cfg(feature = "tls")]
use crate::config::tls::Tls;
use crate::proto::maint::mode::Mode;

/// The options of a URL, each at most once.
pub(super) struct Options<'a> {
    written: Vec<UrlOption<'a>>,
}

struct UrlOption<'a> {
    /// The name in the list of options.
    name: &'static str,
    /// The name in the URL.
    alias: &'a str,
    value: String,
}

impl UrlOption<'_> {
    fn setting(&self) -> String {
        format!("url, option {}", self.alias)
    }

    fn wrong(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.setting(), problem)
    }
}

impl<'a> Options<'a> {
    /// Reads the options. Each may occur once, so that their number is bounded.
    pub(super) fn read(query: &'a str) -> Result<Self, ConfigError> {
        let mut written: Vec<UrlOption<'_>> = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (alias, value) = option.split_once('=').unwrap_or((option, ""));
            let name = find(alias)?;
            let value = decode(&format!("url, option {alias}"), value)?;
            let option = UrlOption { name, alias, value };
            if let Some(earlier) = written.iter().find(|earlier| earlier.name == name) {
                return Err(option.wrong(match earlier.alias == alias {
                    true => "it is set twice".to_owned(),
                    false => format!(
                        "it sets the same as {}, which is set as well; use one of the two",
                        earlier.alias
                    ),
                }));
            }
            written.push(option);
        }
        Ok(Options { written })
    }

    /// Applies the options. `has_database`: the path of the URL names a database.
    pub(super) fn apply(
        self,
        mut config: Config,
        scheme: Scheme,
        has_database: bool,
    ) -> Result<Config, ConfigError> {
        let mut tls = Vec::new();
        for option in self.written {
            match option.name {
                "db" if has_database => {
                    return Err(option.wrong("the path names a database as well; use one of the two"));
                }
                "maint" if scheme == Scheme::Unix && option.value == Mode::Enabled.name() => {
                    return Err(option.wrong(
                        "a unix socket has no address for which a server could announce another; use auto",
                    ));
                }
                "server_name" | "ca_file" | "cert_file" | "key_file" => tls.push(option),
                _ => config = set(config, &option)?,
            }
        }
        match (scheme, tls.first()) {
            (Scheme::Tls, _) => with_tls(config, &tls),
            (Scheme::Tcp | Scheme::Unix, Some(option)) => {
                Err(option.wrong("it concerns TLS; use the scheme rediss"))
            }
            (Scheme::Tcp | Scheme::Unix, None) => Ok(config),
        }
    }
}

fn set(mut config: Config, option: &UrlOption<'_>) -> Result<Config, ConfigError> {
    let value = option.value.as_str();
    let maint = &mut config.maintenance.0;
    match option.name {
        "db" => config.database = database(&option.setting(), value)?,
        "client_name" => config.client_name = Some(value.to_owned()),
        "connections_per_shard" => config.connections_per_shard = number(option)?,
        "connections_per_node" => config = config.connections_per_node(number(option)?),
        "command_timeout" => config.command_timeout = Some(duration(option)?),
        "reply_time_max" => config.reply_time_max = Some(duration(option)?),
        "connect_timeout" => config.connect_timeout = duration(option)?,
        "keepalive" => config.keepalive = duration(option)?,
        "dns_cache" => config.dns_cache = duration(option)?,
        "protocol" if matches!(value, "3" | "resp3") => {}
        "protocol" => {
            let problem = "the client requests RESP3, and uses RESP2 with servers that have no more; set it to 3, or \
                           leave it out";
            return Err(option.wrong(problem));
        }
        "maint" => {
            let wrong = |()| option.wrong(format!("{value:?} is none of auto, enabled, disabled"));
            maint.mode = value.parse().map_err(wrong)?;
        }
        "moving_endpoint_type" => {
            maint.endpoint_type = value.parse().map_err(|error| option.wrong(format!("{error}")))?;
        }
        "relaxed_timeout" => maint.relaxed_timeout = duration(option)?,
        "handoff_timeout" => maint.handoff_timeout = duration(option)?,
        "max_handoff_retries" => maint.handoff_retries_max = number(option)?,
        "targets" => config.targets = value.parse().map_err(|error| option.wrong(format!("{error}")))?,
        _ => return Err(option.wrong("it has no meaning here")),
    }
    Ok(config)
}

#[cfg(not(feature = "tls"))]
fn with_tls(_: Config, _: &[UrlOption<'_>]) -> Result<Config, ConfigError> {
    Err(ConfigError::new("url, scheme", "this build has no TLS; build it with the feature `tls`"))
}

/// The options name files. They hold no key, because URLs end up in logs and process lists.
#[cfg(feature = "tls")]
fn with_tls(config: Config, options: &[UrlOption<'_>]) -> Result<Config, ConfigError> {
    let find = |name: &str| options.iter().find(|option| option.name == name);
    let mut tls = Tls::new();
    if let Some(option) = options.iter().find(|option| option.value.is_empty()) {
        return Err(option.wrong("it is empty"));
    }
    if let Some(authority) = find("ca_file") {
        tls = tls.ca_file(&authority.value);
    }
    if let Some(name) = find("server_name") {
        tls = tls.server_name(&name.value);
    }
    match (find("cert_file"), find("key_file")) {
        (Some(chain), Some(key)) => tls = tls.client_certificate_files(&chain.value, &key.value),
        (Some(alone), None) | (None, Some(alone)) => {
            return Err(alone.wrong("a certificate needs its key; set both cert_file and key_file"));
        }
        (None, None) => {}
    }
    Ok(config.tls(tls))
}

/// The name of an option in the list of options.
fn find(alias: &str) -> Result<&'static str, ConfigError> {
    let known = OPTIONS.iter().find(|(name, aliases)| *name == alias || aliases.contains(&alias));
    if let Some((name, _)) = known {
        return Ok(name);
    }
    let shown: String = alias.chars().take(NAME_LENGTH_SHOWN).collect();
    let setting = format!("url, option {shown}");
    let plain = normalized(alias);
    if let Some((_, instead)) = OTHER_CLIENTS.iter().find(|(name, _)| normalized(name) == plain) {
        return Err(ConfigError::new(setting, *instead));
    }
    let names = OPTIONS.iter().flat_map(|(name, aliases)| std::iter::once(name).chain(aliases.iter()));
    let nearest = names.map(|name| (distance(&plain, &normalized(name)), *name)).min();
    Err(ConfigError::new(
        setting,
        match nearest.filter(|(distance, _)| *distance <= shown.len() / 3) {
            Some((_, name)) => format!("there is no such option; did you mean {name}?"),
            None => {
                let all: Vec<_> = OPTIONS.iter().map(|(name, _)| *name).collect();
                format!("there is no such option; there are {}", all.join(", "))
            }
        },
    ))
}

/// The letters and digits of a name in lower case, so that different spellings of it are equal.
fn normalized(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_ascii_alphanumeric()).take(NAME_LENGTH_SHOWN);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// How many letters must be inserted, removed or replaced to turn one word into the other.
pub(super) fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, left) in one.bytes().enumerate() {
        let (mut diagonal, mut before) = (index, index + 1);
        for (cell, right) in row.iter_mut().skip(1).zip(other.bytes()) {
            let best = (diagonal + usize::from(left != right)).min(before + 1).min(*cell + 1);
            (diagonal, before) = (std::mem::replace(cell, best), best);
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(one.len())
}

fn number<N: std::str::FromStr>(option: &UrlOption<'_>) -> Result<N, ConfigError> {
    option.value.parse().map_err(|_| option.wrong("it must be a number"))
}

fn duration(option: &UrlOption<'_>) -> Result<Duration, ConfigError> {
    let text = option.value.as_str();
    let wrong = || option.wrong(format!("{text:?} is not a time such as 500ms, 2s or 1m"));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match text.strip_prefix(digits) {
        Some("ms") => return Ok(Duration::from_millis(number)),
        Some("s") => Some(number),
        Some("m") => number.checked_mul(60),
        Some("h") => number.checked_mul(3600),
        _ => None,
    };
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// All options, and the names that other clients have for the same settings.
const OPTIONS: &[(&str, &[&str])] = &[
    ("db", &[]),
    ("client_name", &[]),
    ("connections_per_shard", &[]),
    ("connections_per_node", &[]),
    ("command_timeout", &["timeout"]),
    ("reply_time_max", &[]),
    ("connect_timeout", &["dial_timeout"]),
    ("keepalive", &[]),
    ("dns_cache", &[]),
    ("protocol", &[]),
    ("maint", &["maint_notifications"]),
    ("moving_endpoint_type", &[]),
    ("relaxed_timeout", &[]),
    ("handoff_timeout", &[]),
    ("max_handoff_retries", &["handoff_retries_max"]),
    ("targets", &[]),
    ("server_name", &["sni"]),
    ("ca_file", &["ssl_ca_certs"]),
    ("cert_file", &["ssl_certfile"]),
    ("key_file", &["ssl_keyfile"]),
];

/// The options of other clients that this one lacks or names differently, and what to use instead.
const OTHER_CLIENTS: &[(&str, &str)] = &[
    ("database", "it is called db"),
    ("socket_timeout", "it is called command_timeout"),
    ("read_timeout", "use command_timeout, which covers the time from the call to the reply"),
    ("write_timeout", "use command_timeout, which covers the time from the call to the reply"),
    ("socket_connect_timeout", "it is called connect_timeout"),
    ("socket_keepalive", "it is called keepalive, and is the silence before the first probe"),
    ("pool_size", "use connections_per_shard, which counts for each shard"),
    ("max_connections", "use connections_per_shard, which counts for each shard"),
    ("user", USER),
    ("username", USER),
    ("pass", USER),
    ("password", USER),
    ("auth", USER),
    ("tls", "use the scheme rediss://"),
    ("ssl", "use the scheme rediss://"),
    ("insecure", INSECURE),
    ("ssl_cert_reqs", INSECURE),
    ("ssl_check_hostname", INSECURE),
    ("verifypeer", INSECURE),
    ("skip_verify", INSECURE),
];

const USER: &str = "write user and password before the host: redis://user:password@host";

/// URLs are copied through configuration files and scripts, where such an option goes unnoticed.
pub(super) const INSECURE: &str = "a URL cannot disable the verification of certificates; name the CA with ca_file, or \
     the server with server_name; only Tls::danger_accept_any_certificate disables the verification";
/// How many letters of an unknown name are compared, and quoted in the error.
const NAME_LENGTH_SHOWN: usize = 32;
