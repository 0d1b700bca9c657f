//! URLs that are accepted, URLs that are refused, and errors that never hold a password.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;
use crate::config::Maintenance;
use crate::proto::connection::Secret;
use crate::proto::endpoint::Endpoint;
use crate::proto::maint::mode::{EndpointType, Mode};

#[test]
fn all_parts_are_read() {
    let url = "redis://ap%40p:s%3Acret%2F@[::1]:7001/3?client_name=web&command_timeout=250ms\
               &connect_timeout=2s&connections_per_shard=8&maint=enabled";
    let config = parse(url).unwrap();
    assert_eq!(config.endpoint.to_string(), "[::1]:7001");
    assert_eq!(config.username.as_deref(), Some("ap@p"));
    assert_eq!(config.password, Some(Secret("s:cret/".into())));
    assert_eq!((config.database, config.connections_per_shard), (3, 8));
    assert_eq!(config.client_name.as_deref(), Some("web"));
    assert_eq!(config.command_timeout, Some(Duration::from_millis(250)));
    assert_eq!(config.connect_timeout, Duration::from_secs(2));
    assert_eq!(config.maintenance, Maintenance::enabled());
}

#[test]
fn missing_parts_have_defaults() {
    for url in ["redis://", "valkey://localhost", "redis://localhost:6379/", "REDIS://localhost?db=0"] {
        let config = parse(url).unwrap();
        assert_eq!((config.endpoint.to_string().as_str(), config.database), ("localhost:6379", 0));
    }
    let config = parse("redis://:pw@localhost").unwrap();
    assert_eq!((config.username, config.password), (None, Some(Secret("pw".into()))));
    assert_eq!(parse("redis://unix:7").unwrap().endpoint, Endpoint::new("unix", 7).unwrap());
}

#[test]
fn socket_is_the_path_and_its_database_an_option() {
    for scheme in ["unix", "redis+unix", "valkey+unix", "UNIX"] {
        let config = parse(&format!("{scheme}://app:pw@/run/my%20redis/%E2%82%AC.sock?db=7")).unwrap();
        assert_eq!(config.endpoint.path(), Some("/run/my redis/€.sock"));
        assert_eq!((config.database, config.username.as_deref()), (7, Some("app")));
        assert_eq!(config.password, Some(Secret("pw".into())));
    }
    assert_eq!(parse("unix:///x?maint=auto").unwrap().endpoint.to_string(), "unix:/x");
}

#[test]
fn options_have_the_names_of_other_clients() {
    let url =
        "redis://h?timeout=1m&dial_timeout=7s&maint_notifications=disabled&handoff_retries_max=9&protocol=3";
    let config = parse(url).unwrap();
    assert_eq!(
        (config.command_timeout, config.connect_timeout),
        (Some(Duration::from_secs(60)), Duration::from_secs(7))
    );
    assert_eq!((config.maintenance.0.mode, config.maintenance.0.handoff_retries_max), (Mode::Disabled, 9));
    // The mode does not change the other settings of maintenance, in any order.
    let url =
        "redis://h?relaxed_timeout=3s&handoff_timeout=4s&moving_endpoint_type=external-fqdn&maint=enabled";
    let expected = Maintenance::enabled()
        .relaxed_timeout(Duration::from_secs(3))
        .handoff_timeout(Duration::from_secs(4))
        .endpoint_type(EndpointType::ExternalFqdn);
    assert_eq!(parse(url).unwrap().maintenance, expected);
}

#[test]
fn errors_name_the_part_and_never_hold_the_password() {
    for (url, setting) in [
        ("localhost:6379", "url"),
        ("http://localhost", "url, scheme"),
        ("redis://u:s3cret@host:port/0", "url, host and port"),
        // Without a host, the password stands in its place.
        ("redis://u:s3cret", "url, host and port"),
        ("redis://s3cret!", "url, host and port"),
        ("redis://unix:s3cret", "url, host and port"),
        ("unix://u:s3cret/run/redis.sock", "url, host and port"),
        ("unix://run/redis.sock", "url, host and port"),
        ("unix://u:s3cret@/", "url, path"),
        ("unix://u:s3cret@", "url, path"),
        ("unix:///run%00", "url, path"),
        ("unix:///run%ff", "url, path"),
        ("redis://u:s3cret@host/zero", "url, database"),
        ("redis://u:s3cret@host/1/2", "url, database"),
        ("redis://u:s3cret%ff@host", "url, password"),
        ("redis://u:s3cret@host?db=x", "url, option db"),
        ("redis://u:s3cret@host?command_timeout=5", "url, option command_timeout"),
        ("redis://u:s3cret@host?timeout=99999999999999999h", "url, option timeout"),
        ("redis://u:s3cret@host?maint=on", "url, option maint"),
        ("redis://u:s3cret@host?protocol=2", "url, option protocol"),
        ("redis://u:s3cret@host?moving_endpoint_type=moon", "url, option moving_endpoint_type"),
        ("redis://u:s3cret@host?nonsense=1", "url, option nonsense"),
        ("redis://host?password=s3cret", "url, option password"),
        ("redis://host?PASS=s3cret", "url, option PASS"),
        ("redis://u:s3cret@host#x", "url"),
        ("redis://u:s3cret#insecure", "url, #insecure"),
        ("redis://u:s3cret/x@host", "url, user and password"),
        ("redis://u:s3cret?x@host", "url, user and password"),
        ("redis://me@home:s3cret/x@host", "url, user and password"),
        ("redis://u:p@a:s3cret/x@host", "url, user and password"),
        ("redis://u:p@a:s3cret?x@host", "url, user and password"),
        ("redis://u:p@a?s3cret=%ff@host", "url, user and password"),
        ("unix://u:p/s3cret@/run/redis.sock", "url, user and password"),
        ("u:s3cret://x@host", "url, scheme"),
    ] {
        let error = parse(url).unwrap_err();
        assert_eq!(error.setting(), setting, "{url}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn contradictory_options_are_refused() {
    for (url, setting, problem) in [
        ("redis://h/1?db=1", "url, option db", "the path names a database"),
        ("redis://h?db=1&db=1", "url, option db", "twice"),
        ("redis://h?timeout=1s&command_timeout=1s", "url, option command_timeout", "the same as timeout"),
        // No server announces another endpoint on a socket without an address.
        ("unix:///x?maint=enabled", "url, option maint", "no address"),
        ("redis://h?ca_file=/x", "url, option ca_file", "rediss"),
        ("unix:///x?sni=db", "url, option sni", "rediss"),
    ] {
        let error = parse(url).unwrap_err();
        assert_eq!(error.setting(), setting, "{url}");
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn misspelled_option_gets_a_suggestion() {
    for (written, said) in [
        ("clientName", "client_name?"),
        ("conect_timeout", "connect_timeout?"),
        ("max-handoff-retry", "max_handoff_retries?"),
        ("keep_alive", "keepalive?"),
        ("pool_size", "connections_per_shard"),
        ("socketTimeout", "command_timeout"),
        ("ssl_cert_reqs", "verification"),
        ("insecure", "verification"),
        ("ssl", "rediss://"),
        ("username", "before the host"),
        ("zzz", "there are db, client_name"),
        (&"x".repeat(1000), "there are db"),
        ("€", "there are db"),
        ("", "there are db"),
    ] {
        let error = parse(&format!("redis://h?{written}=1")).unwrap_err();
        assert!(error.to_string().contains(said) && error.to_string().len() < 400, "{written}: {error}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_is_a_scheme_and_its_settings_are_options() {
    use crate::config::Tls;

    let tls = |config: &Config| config.tls.as_ref().map(Tls::to_string);
    for scheme in ["rediss", "valkeys", "REDISS"] {
        let config = parse(&format!("{scheme}://u:pw@db.example.com/1")).unwrap();
        assert_eq!(config.endpoint.to_string(), "db.example.com:6379");
        assert_eq!(tls(&config), Some(Tls::new().to_string()));
    }
    assert_eq!(tls(&parse("redis://h").unwrap()), None);
    let url = "rediss://h?sni=db.example.com&ssl_ca_certs=%2Fca%20s.pem&cert_file=/c.pem&key_file=/k.pem";
    let expected = Tls::new()
        .ca_file("/ca s.pem")
        .server_name("db.example.com")
        .client_certificate_files("/c.pem", "/k.pem");
    assert_eq!(tls(&parse(url).unwrap()), Some(expected.to_string()));
    for (url, setting) in [
        ("rediss://h?cert_file=/c.pem", "url, option cert_file"),
        ("rediss://h?ssl_keyfile=/k.pem", "url, option ssl_keyfile"),
        ("rediss://h?sni=", "url, option sni"),
        ("rediss://h/#insecure", "url, #insecure"),
    ] {
        assert_eq!(parse(url).unwrap_err().setting(), setting, "{url}");
    }
    let said = parse("rediss://h/#insecure").unwrap_err().to_string();
    assert!(said.contains("Tls::danger_accept_any_certificate"), "{said}");
}

#[cfg(not(feature = "tls"))]
#[test]
fn build_without_tls_names_the_feature() {
    let said = parse("rediss://h").unwrap_err().to_string();
    assert!(said.contains("the feature `tls`"), "{said}");
}

#[test]
fn distances_count_letters() {
    for (one, other, letters) in
        [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
    {
        assert_eq!(options::distance(one, other), letters, "{one} {other}");
    }
}

/// A URL, and the configuration that it must result in.
#[derive(Debug)]
struct Case {
    url: String,
    config: Config,
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn endpoint() -> impl Strategy<Value = (bool, String, Endpoint)> {
    let port = || prop::option::of(1..=u16::MAX);
    let of = |host: String, shown: String, port: Option<u16>| {
        let endpoint = Endpoint::new(host, port.unwrap_or(6379)).unwrap();
        (false, port.map_or(shown.clone(), |port| format!("{shown}:{port}")), endpoint)
    };
    prop_oneof![
        ("[a-z][a-z0-9.-]{0,20}", port()).prop_map(move |(host, port)| of(host.clone(), host, port)),
        (any::<std::net::Ipv4Addr>(), port()).prop_map(move |(host, port)| of(
            host.to_string(),
            host.to_string(),
            port
        )),
        (any::<std::net::Ipv6Addr>(), port()).prop_map(move |(host, port)| of(
            host.to_string(),
            format!("[{host}]"),
            port
        )),
        "[^\0]{1,20}".prop_map(|path| {
            let shown = path.split('/').map(encoded).collect::<Vec<_>>().join("/");
            (true, format!("/{shown}"), Endpoint::unix(format!("/{path}")).unwrap())
        }),
    ]
}

/// An option as it is written, and its setting.
type Setting = (&'static str, String, Set, u64);
type Set = fn(Config, u64) -> Config;

fn settings() -> impl Strategy<Value = Vec<Setting>> {
    let all: [(&'static str, &'static str, Set); 8] = [
        ("connections_per_shard", "", |config, number| config.connections_per_shard(number as usize)),
        ("timeout", "ms", |config, number| config.command_timeout(Duration::from_millis(number))),
        ("connect_timeout", "s", |config, number| config.connect_timeout(Duration::from_secs(number))),
        ("keepalive", "m", |config, number| config.keepalive(Duration::from_secs(number * 60))),
        ("dns_cache", "h", |config, number| config.dns_cache(Duration::from_secs(number * 3600))),
        ("client_name", "x", |config, number| config.client_name(format!("{number}x"))),
        ("relaxed_timeout", "s", |mut config, number| {
            config.maintenance.0.relaxed_timeout = Duration::from_secs(number);
            config
        }),
        ("max_handoff_retries", "", |mut config, number| {
            config.maintenance.0.handoff_retries_max = number as u32;
            config
        }),
    ];
    let count = all.len();
    (prop::sample::subsequence(all.to_vec(), 0..=count).prop_shuffle(), any::<u32>()).prop_map(
        |(chosen, number)| {
            let written = chosen.into_iter().enumerate();
            written
                .map(|(index, (name, unit, set))| {
                    let number = u64::from(number) / (index as u64 + 1);
                    (name, format!("{number}{unit}"), set, number)
                })
                .collect()
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let user_info = prop::option::of((".{0,12}", prop::option::of(".{0,12}")));
    let database = prop::option::of((any::<u32>(), any::<bool>()));
    (endpoint(), user_info, database, settings(), any::<bool>()).prop_map(
        |((is_unix, place, endpoint), user_info, database, settings, is_valkey)| {
            let mut config = Config::new(endpoint);
            let mut url = match (is_unix, is_valkey) {
                (false, false) => "redis://",
                (false, true) => "valkey://",
                (true, false) => "unix://",
                (true, true) => "redis+unix://",
            }
            .to_owned();
            if let Some((user, password)) = user_info {
                url.push_str(&encoded(&user));
                if let Some(password) = password {
                    url.push_str(&format!(":{}", encoded(&password)));
                    config = config.password(password);
                }
                url.push('@');
                if !user.is_empty() {
                    config = config.username(user);
                }
            }
            url.push_str(&place);
            let mut options: Vec<_> =
                settings.iter().map(|(name, value, ..)| format!("{name}={value}")).collect();
            if let Some((number, in_path)) = database {
                config = config.database(number);
                match in_path && !is_unix {
                    true => url.push_str(&format!("/{number}")),
                    false => options.push(format!("db={number}")),
                }
            }
            if !options.is_empty() {
                url.push_str(&format!("?{}", options.join("&")));
            }
            let config = settings.into_iter().fold(config, |config, (_, _, set, number)| set(config, number));
            Case { url, config }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn parsed_url_is_the_written_one(case in case()) {
        let read = parse(&case.url).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{:?}", case.config));
        // `Debug` does not print the password.
        prop_assert_eq!(read.password, case.config.password);
    }
}
