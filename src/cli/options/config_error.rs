//! Settings that the library rejects, named by the option or the part of the URL that set them.

use crate::ConfigError;
use crate::cli::exit::Failure;
use crate::cli::options::tls::PeerArgs;

/// The usage error, which names the option in place of the library's setting.
pub(crate) fn usage_error(tls: &PeerArgs, error: &ConfigError) -> Failure {
    let problem = error.problem();
    let option = match error.setting() {
        "command_timeout" => "--timeout",
        "connect_timeout" => "--connect-timeout",
        "connections_per_shard" => "--connections",
        "shards" => "--shards",
        "cores" => "--cores",
        knob => match tls.option(knob) {
            Some(option) => option,
            None => return Failure::Usage(format!("--url: {}: {problem}", name_in_urls(knob))),
        },
    };
    Failure::Usage(format!("{option}: {problem}"))
}

/// The name of a setting among the options of a URL.
fn name_in_urls(knob: &str) -> &str {
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

    fn message(url: &str, arguments: &[&str]) -> String {
        let args = Only::try_parse_from(["bench"].iter().chain(arguments)).expect("options").args;
        let config = args.apply(Config::from_url(url).expect("a URL"), Some(url)).expect("they go together");
        match usage_error(&args, &config.validate().expect_err("no such file")) {
            Failure::Usage(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_setting_is_named_by_its_source() {
        let option = message("rediss://h", &["--tls-ca", "/nonexistent/ca.pem"]);
        assert!(option.starts_with("--tls-ca: /nonexistent/ca.pem: "), "{option}");
        let url = message("rediss://h?ca_file=/nonexistent/ca.pem", &[]);
        assert!(url.starts_with("--url: ca_file: /nonexistent/ca.pem: "), "{url}");
        for text in [option, url] {
            assert!(!text.contains("tls.ca"), "{text}");
        }
    }
}
