//! Endpoints and URLs: they survive a round trip through their text form, and no error message contains a password.

use percent_encoding::percent_decode_str;

use super::script::Script;
use crate::config::Config;
use crate::proto::endpoint::Endpoint;

/// Parses any text as an endpoint, as an endpoint on the wire, as a URL, and as a URL that contains a password.
///
/// # Panics
/// If a parsed endpoint changes when it is printed and parsed again, or if a password is printed.
pub fn address(data: &[u8]) {
    let mut script = Script::new(data);
    let (port, split) = (u16::from(script.byte()), script.below(64));
    let text = String::from_utf8_lossy(script.rest()).into_owned();
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        check(&endpoint);
    }
    if let Ok(Some(endpoint)) = Endpoint::from_wire(&text, port) {
        check(&endpoint);
        assert_eq!(Endpoint::from_wire(&endpoint.to_string(), 0), Ok(Some(endpoint)));
    }
    for url in
        [text.clone(), format!("redis://{text}"), format!("unix://{text}"), format!("redis://h?{text}")]
    {
        if let Ok(config) = Config::from_url(&url) {
            let _ = config.validate().map(|effective| effective.to_string());
        }
    }
    keeps_the_secret(&text, split);
}

fn check(endpoint: &Endpoint) {
    let printed = endpoint.to_string();
    assert_eq!(printed.parse().as_ref(), Ok(endpoint), "{printed:?}");
    let again = match endpoint.path() {
        Some(path) => Endpoint::unix(path),
        None => Endpoint::new(endpoint.host(), endpoint.port()),
    };
    assert_eq!(again.as_ref(), Ok(endpoint));
    let has_a_name =
        endpoint.server_name().is_some() || endpoint.socket_addr().is_some() || endpoint.path().is_some();
    assert_eq!(endpoint.is_same(endpoint), has_a_name, "{printed:?}");
    if let Some(address) = endpoint.socket_addr() {
        assert!(Endpoint::from(address).is_same(endpoint), "{printed:?}");
    }
}

/// Inserts a password where URLs have one, between a `:` and an `@`, and searches every message and output for it.
fn keeps_the_secret(text: &str, split: usize) {
    let (before, after) = text.split_at(text.char_indices().nth(split).map_or(text.len(), |(at, _)| at));
    let (inside, behind) = after.split_once('@').unwrap_or(("", after));
    if percent_decode_str(text).decode_utf8_lossy().contains(SECRET) {
        return;
    }
    let around = format!("{before}:{SECRET}{inside}@{behind}");
    // URLs reject a password as a query option, and the error must not repeat its value.
    let option = format!("redis://{before}?password={SECRET}&{behind}");
    for url in [
        format!("redis://{around}"),
        format!("unix://{around}"),
        format!("rediss://{around}"),
        around,
        option,
    ] {
        let printed = match Config::from_url(&url) {
            Err(error) => format!("{error} {error:?}"),
            Ok(config) => {
                let effective = config.validate();
                let effective = effective.map_or_else(|error| error.to_string(), |config| config.to_string());
                format!("{config:?} {effective}")
            }
        };
        assert!(!printed.contains(SECRET), "{url:?}: {printed}");
    }
}

const SECRET: &str = "pAs5w0rd";
