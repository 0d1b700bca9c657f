//! What stands behind the `?` of a URL: which options there are, and what they set.

use std::time::Duration;

use super::{Scheme, database, decode};
#[cfg(feature = "tls")]
use crate::config::Tls;
use crate::config::{Config, ConfigError};
use crate::proto::maint::mode::Mode;

/// Every option, and what other clients call it who mean the same by it.
const OPTIONS: &[(&str, &[&str])] = &[
    ("db", &[]),
    ("client_name", &[]),
    ("connections_per_shard", &[]),
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

/// What other clients have in their URLs and this one has not, or not there.
const ELSEWHERE: &[(&str, &str)] = &[
    ("database", "it is called db"),
    ("socket_timeout", "it is called command_timeout"),
    ("read_timeout", "there is command_timeout, from the call to the reply"),
    ("write_timeout", "there is command_timeout, from the call to the reply"),
    ("socket_connect_timeout", "it is called connect_timeout"),
    ("socket_keepalive", "it is called keepalive, and says after how much silence"),
    ("pool_size", "there is connections_per_shard, which counts for each shard"),
    ("max_connections", "there is connections_per_shard, which counts for each shard"),
    ("user", USER),
    ("username", USER),
    ("pass", USER),
    ("password", USER),
    ("auth", USER),
    ("tls", "it is the scheme: rediss://"),
    ("ssl", "it is the scheme: rediss://"),
    ("insecure", INSECURE),
    ("ssl_cert_reqs", INSECURE),
    ("ssl_check_hostname", INSECURE),
    ("verifypeer", INSECURE),
    ("skip_verify", INSECURE),
];

const USER: &str = "user and password stand before the host: redis://user:password@host";

/// A URL travels through places where nobody would notice it.
pub(super) const INSECURE: &str = "a URL does not switch the verification of certificates off: name the authority by \
     ca_file, or the server by server_name; what switches it off is Tls::danger_accept_any_certificate";

/// Options that were written, each at most once.
pub(super) struct Options<'a> {
    written: Vec<Written<'a>>,
}

struct Written<'a> {
    /// What it is called here.
    name: &'static str,
    /// What it was called there.
    alias: &'a str,
    value: String,
}

impl Written<'_> {
    fn setting(&self) -> String {
        format!("url, option {}", self.alias)
    }

    fn wrong(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.setting(), problem)
    }
}

impl<'a> Options<'a> {
    /// No more of them than there are options.
    pub(super) fn read(query: &'a str) -> Result<Self, ConfigError> {
        let mut written: Vec<Written<'_>> = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (alias, value) = option.split_once('=').unwrap_or((option, ""));
            let name = find(alias)?;
            let value = decode(&format!("url, option {alias}"), value)?;
            let option = Written { name, alias, value };
            if let Some(earlier) = written.iter().find(|earlier| earlier.name == name) {
                return Err(option.wrong(match earlier.alias == alias {
                    true => "it is there twice".to_owned(),
                    false => format!("it says the same as {}, which is there, too", earlier.alias),
                }));
            }
            written.push(option);
        }
        Ok(Options { written })
    }

    /// Sets what they say. `has_database`: the path of the URL has said which.
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
                    return Err(option.wrong("the path names a database, too: one of the two is enough"));
                }
                "maint" if scheme == Scheme::Unix && option.value == Mode::Enabled.name() => {
                    return Err(option.wrong(
                        "a unix socket has no address that a server could announce another for: leave it auto",
                    ));
                }
                "server_name" | "ca_file" | "cert_file" | "key_file" => tls.push(option),
                _ => config = set(config, &option)?,
            }
        }
        match (scheme, tls.first()) {
            (Scheme::Tls, _) => with_tls(config, &tls),
            (Scheme::Tcp | Scheme::Unix, Some(option)) => {
                Err(option.wrong("it is about TLS, which takes the scheme rediss"))
            }
            (Scheme::Tcp | Scheme::Unix, None) => Ok(config),
        }
    }
}

fn set(mut config: Config, option: &Written<'_>) -> Result<Config, ConfigError> {
    let value = option.value.as_str();
    let maint = &mut config.maintenance.0;
    match option.name {
        "db" => config.database = database(&option.setting(), value)?,
        "client_name" => config.client_name = Some(value.to_owned()),
        "connections_per_shard" => config.connections_per_shard = number(option)?,
        "command_timeout" => config.command_timeout = duration(option)?,
        "reply_time_max" => config.reply_time_max = Some(duration(option)?),
        "connect_timeout" => config.connect_timeout = duration(option)?,
        "keepalive" => config.keepalive = duration(option)?,
        "dns_cache" => config.dns_cache = duration(option)?,
        "protocol" if matches!(value, "3" | "resp3") => {}
        "protocol" => {
            let problem = "RESP3 is what is asked for, and RESP2 what is made do with where a server has no more: \
                           it may be 3, or be left out";
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
fn with_tls(_: Config, _: &[Written<'_>]) -> Result<Config, ConfigError> {
    Err(ConfigError::new("url, scheme", "TLS is left out of this build: build it with the feature `tls`"))
}

/// A URL with a password in it is public soon enough: it names files, and holds no key.
#[cfg(feature = "tls")]
fn with_tls(config: Config, options: &[Written<'_>]) -> Result<Config, ConfigError> {
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
            return Err(alone.wrong("a certificate and its key go together: cert_file and key_file"));
        }
        (None, None) => {}
    }
    Ok(config.tls(tls))
}

/// What an option is called here.
fn find(alias: &str) -> Result<&'static str, ConfigError> {
    let known = OPTIONS.iter().find(|(name, aliases)| *name == alias || aliases.contains(&alias));
    if let Some((name, _)) = known {
        return Ok(name);
    }
    let shown: String = alias.chars().take(NAME_LENGTH_SHOWN).collect();
    let setting = format!("url, option {shown}");
    let plain = plain(alias);
    if let Some((_, where_then)) = ELSEWHERE.iter().find(|(name, _)| self::plain(name) == plain) {
        return Err(ConfigError::new(setting, *where_then));
    }
    let names = OPTIONS.iter().flat_map(|(name, aliases)| std::iter::once(name).chain(aliases.iter()));
    let nearest = names.map(|name| (distance(&plain, &self::plain(name)), *name)).min();
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

/// Without what spellings of one name differ in.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_ascii_alphanumeric()).take(NAME_LENGTH_SHOWN);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// How many letters have to be put in, left out or replaced to make one of the other.
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

fn number<N: std::str::FromStr>(option: &Written<'_>) -> Result<N, ConfigError> {
    option.value.parse().map_err(|_| option.wrong("it must be a number"))
}

fn duration(option: &Written<'_>) -> Result<Duration, ConfigError> {
    let text = option.value.as_str();
    let wrong = || option.wrong(format!("{text:?} is no time such as 500ms, 2s or 1m"));
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

/// More is not repeated, nor compared with.
const NAME_LENGTH_SHOWN: usize = 32;
