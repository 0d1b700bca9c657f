//! Settings that the library refuses, named by the options and the parts of a URL that they came from.

use super::Failure;
use super::tls::PeerArgs;
use crate::ConfigError;

/// The refusal, with the option's name in the place of the library's.
pub(super) fn refused(tls: &PeerArgs, error: &ConfigError) -> Failure {
    let problem = error.problem();
    let option = match error.setting() {
        "command_timeout" => "--timeout",
        "connect_timeout" => "--connect-timeout",
        "connections_per_shard" => "--connections",
        "shards" => "--shards",
        "cores" => "--cores",
        knob => match tls.option(knob) {
            Some(option) => option,
            None => return Failure::Usage(format!("--url: {}: {problem}", in_a_url(knob))),
        },
    };
    Failure::Usage(format!("{option}: {problem}"))
}

/// What a setting is called behind the `?` of a URL.
fn in_a_url(knob: &str) -> &str {
    match knob {
        "tls.ca" => "ca_file",
        "tls.client_certificate" => "cert_file",
        "tls.client_key" => "key_file",
        "tls.server_name" => "server_name",
        knob => knob,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::Config;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: PeerArgs,
    }

    fn told(url: &str, arguments: &[&str]) -> String {
        let args = Only::try_parse_from(["bench"].iter().chain(arguments)).expect("options").args;
        let config = args.apply(Config::from_url(url).expect("a URL"), Some(url)).expect("they go together");
        match refused(&args, &config.validate().expect_err("no such file")) {
            Failure::Usage(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_setting_is_called_by_the_place_that_it_came_from() {
        let option = told("rediss://h", &["--tls-ca", "/nonexistent/ca.pem"]);
        assert!(option.starts_with("--tls-ca: /nonexistent/ca.pem: "), "{option}");
        let url = told("rediss://h?ca_file=/nonexistent/ca.pem", &[]);
        assert!(url.starts_with("--url: ca_file: /nonexistent/ca.pem: "), "{url}");
        for text in [option, url] {
            assert!(!text.contains("tls.ca"), "{text}");
        }
    }
}
