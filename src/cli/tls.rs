//! Options about TLS, and the settings of the library that they become.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{Config, Tls, TlsVersion};

/// Options about TLS, of a command that has endpoints in this process.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsArgs {
    /// The endpoints in this process speak TLS, with a certificate made for the occasion, and the client trusts
    /// nothing else; with --url, rediss:// says it
    #[arg(long)]
    pub(super) tls: bool,
    #[command(flatten)]
    pub(super) peer: PeerArgs,
}

/// Options about TLS with a server: which certificates are trusted, and which is shown.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct PeerArgs {
    /// Trust the CA certificates in this PEM file [default: those that the system trusts]
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Show this certificate to servers that want one of the client; a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name that the server's certificate has to be for [default: the URL's host]
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// The oldest version of TLS to speak [default: 1.2]
    #[arg(long, value_name = "1.2|1.3", value_parser = version)]
    tls_min_version: Option<TlsVersion>,
    /// DANGER: skip certificate checks; anyone on the path can read and modify the traffic, and learn the password
    #[arg(long)]
    tls_insecure_skip_verify: bool,
}

/// No list of values that clap knows: it would take 1.1 for a slip of 1.3.
fn version(text: &str) -> Result<TlsVersion, String> {
    match text {
        "1.2" => Ok(TlsVersion::Tls12),
        "1.3" => Ok(TlsVersion::Tls13),
        _ => Err("allowed: 1.2, 1.3; older versions are broken, RFC 8996 forbids them, and this client speaks none"
            .to_owned()),
    }
}

/// The certificate that endpoints in this process show.
pub(super) struct Made {
    /// The certificate, as PEM: its own authority.
    pub(super) certificate: String,
    /// Its key, as PEM.
    pub(super) key: String,
}

impl Made {
    /// Makes one that is good for 127.0.0.1, and known to nobody else.
    pub(super) fn for_loopback() -> anyhow::Result<Made> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        Ok(Made { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }
}

impl TlsArgs {
    /// Adds the options to what the URL said. `made`: the endpoints in this process speak TLS, and show this.
    pub(super) fn apply(
        &self,
        config: Config,
        url: Option<&str>,
        made: Option<&Made>,
    ) -> Result<Config, Failure> {
        let Some(first) = self.tls.then_some("--tls").or(self.peer.first()) else {
            return Ok(config);
        };
        let refuse = |option: &str, why: &str| Err(Failure::Usage(format!("{option}: {why}")));
        match (url, made) {
            (Some(url), _) => self.peer.apply_as(first, config, url),
            (None, None) => refuse(
                first,
                "nothing here speaks TLS: --tls has the endpoints in this process speak it, and --url rediss://… names \
                 others",
            ),
            (None, Some(made)) => match self.peer.about_others() {
                Some(option) => refuse(
                    option,
                    "the endpoints in this process have a certificate made for the occasion, which is trusted, and ask \
                     for none; it takes --url rediss://…",
                ),
                None => Ok(config.tls(self.peer.extend(Tls::new().ca_pem(&made.certificate)))),
            },
        }
    }
}

impl PeerArgs {
    /// Adds the options to what the URL said; without a URL there must be none.
    pub(super) fn apply(&self, config: Config, url: Option<&str>) -> Result<Config, Failure> {
        match (self.first(), url) {
            (None, _) => Ok(config),
            (Some(first), Some(url)) => self.apply_as(first, config, url),
            (Some(first), None) => Err(Failure::Usage(format!("{first}: it takes --url rediss://…"))),
        }
    }

    /// `first`: the option to blame if the URL says that TLS is not spoken.
    fn apply_as(&self, first: &str, config: Config, url: &str) -> Result<Config, Failure> {
        let refuse = |why: &str| Err(Failure::Usage(format!("{first}: {why}")));
        match config.tls_settings().cloned() {
            Some(tls) => Ok(config.tls(self.extend(tls))),
            None if url.split("://").next().is_some_and(|scheme| scheme.contains("unix")) => {
                refuse("a unix socket stays within the machine, and takes no TLS")
            }
            None => refuse(&format!("the URL says that TLS is not spoken; write {}", secured(url))),
        }
    }

    fn extend(&self, mut tls: Tls) -> Tls {
        if let Some(path) = &self.tls_ca {
            tls = tls.ca_file(path);
        }
        if let (Some(chain), Some(key)) = (&self.tls_cert, &self.tls_key) {
            tls = tls.client_certificate_files(chain, key);
        }
        if let Some(name) = &self.tls_server_name {
            tls = tls.server_name(name);
        }
        if let Some(version) = self.tls_min_version {
            tls = tls.version_min(version);
        }
        match self.tls_insecure_skip_verify {
            true => tls.danger_accept_any_certificate(),
            false => tls,
        }
    }

    /// The option by which a setting of the library's was made, if one of these was given for it.
    pub(super) fn option(&self, knob: &str) -> Option<&'static str> {
        match knob {
            "tls.ca" => self.tls_ca.is_some().then_some("--tls-ca"),
            "tls.roots" => Some("--tls-ca"),
            "tls.client_certificate" => self.tls_cert.is_some().then_some("--tls-cert"),
            "tls.client_key" => self.tls_key.is_some().then_some("--tls-key"),
            "tls.server_name" => self.tls_server_name.is_some().then_some("--tls-server-name"),
            "tls.version_min" => self.tls_min_version.is_some().then_some("--tls-min-version"),
            _ => None,
        }
    }

    /// An option that was given, if one was.
    fn first(&self) -> Option<&'static str> {
        let other = self.tls_min_version.is_some().then_some("--tls-min-version");
        let danger = self.tls_insecure_skip_verify.then_some("--tls-insecure-skip-verify");
        self.about_others().or(other).or(danger)
    }

    /// An option that was given, and says nothing about endpoints in this process.
    fn about_others(&self) -> Option<&'static str> {
        let options = [
            (self.tls_ca.is_some(), "--tls-ca"),
            (self.tls_cert.is_some(), "--tls-cert"),
            (self.tls_server_name.is_some(), "--tls-server-name"),
        ];
        options.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
    }
}

/// The scheme that says the same with TLS.
fn secured(url: &str) -> &'static str {
    match url.starts_with("valkey") {
        true => "valkeys://",
        false => "rediss://",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: TlsArgs,
    }

    fn applied(url: Option<&str>, arguments: &[&str]) -> Result<String, String> {
        let args = Only::try_parse_from(["bench"].iter().chain(arguments)).expect("options").args;
        let made = Made::for_loopback().expect("a certificate");
        let config = Config::from_url(url.unwrap_or("redis://127.0.0.1")).expect("a URL");
        let config = args.apply(config, url, args.tls.then_some(&made));
        match config {
            Ok(config) => Ok(config.tls_settings().map_or("none".to_owned(), |tls| tls.to_string())),
            Err(Failure::Usage(message)) => Err(message),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_become_settings() {
        assert_eq!(applied(None, &[]), Ok("none".to_owned()));
        assert_eq!(applied(Some("redis://h"), &[]), Ok("none".to_owned()));
        let made = applied(None, &["--tls", "--tls-min-version", "1.3"]).expect("TLS");
        assert!(made.starts_with("1.3 or later, trusts ") && !made.contains("system"), "{made}");
        let unsafe_ones = applied(Some("rediss://h"), &["--tls-insecure-skip-verify", "--tls"]).expect("TLS");
        assert!(unsafe_ones.contains("NOT verified"), "{unsafe_ones}");
        let all = [
            "--tls-ca",
            "/a.pem",
            "--tls-cert",
            "/c.pem",
            "--tls-key",
            "/k.pem",
            "--tls-server-name",
            "n.test",
        ];
        let all = applied(Some("valkeys://h"), &all).expect("TLS");
        assert!(["/a.pem", "/c.pem", "n.test"].iter().all(|word| all.contains(word)), "{all}");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (url, arguments, told) in [
            (
                Some("redis://h"),
                &["--tls"][..],
                "--tls: the URL says that TLS is not spoken; write rediss://",
            ),
            (
                Some("valkey://h"),
                &["--tls-ca", "/a"],
                "--tls-ca: the URL says that TLS is not spoken; write valkeys://",
            ),
            (Some("unix:///s"), &["--tls-server-name", "n"], "--tls-server-name: a unix socket"),
            (None, &["--tls-insecure-skip-verify"], "--tls-insecure-skip-verify: nothing here speaks TLS"),
            (None, &["--tls-min-version", "1.2"], "--tls-min-version: nothing here speaks TLS"),
            (None, &["--tls", "--tls-ca", "/a"], "--tls-ca: the endpoints in this process"),
        ] {
            let error = applied(url, arguments).expect_err("a contradiction");
            assert!(error.starts_with(told), "{error}");
        }
    }
}
