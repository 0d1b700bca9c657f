//! TLS options, and the settings of the library that they become.

use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::Failure;
use crate::config::{Config, Tls, TlsVersion};

/// TLS options of a command that has endpoints in this process.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Let the endpoints in this process speak TLS, with a generated certificate, the only one that the client
    /// trusts; with --url, write rediss:// instead
    #[arg(long)]
    pub(crate) tls: bool,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
}

/// TLS options for a server: the trusted CAs and the client's certificate.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct PeerArgs {
    /// Trust the CA certificates in this PEM file [default: the root certificates of the system]
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The client's certificate, for servers that require one; a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert; a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name that the server's certificate must be valid for [default: the host of the URL]
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// The oldest TLS version to accept [default: 1.2]
    #[arg(long, value_name = "1.2|1.3", value_parser = version)]
    tls_min_version: Option<TlsVersion>,
    /// DANGER: skip certificate checks; anyone on the path can read and modify the traffic, and learn the password
    #[arg(long)]
    tls_insecure_skip_verify: bool,
}

/// clap does not know the values: it would suggest 1.3 for 1.1.
fn version(text: &str) -> Result<TlsVersion, String> {
    match text {
        "1.2" => Ok(TlsVersion::Tls12),
        "1.3" => Ok(TlsVersion::Tls13),
        _ => Err("allowed: 1.2, 1.3; older versions are broken, RFC 8996 forbids them, and this client speaks none"
            .to_owned()),
    }
}

/// The certificate of the endpoints in this process.
pub(crate) struct GeneratedCertificate {
    /// The certificate as PEM, signed by itself.
    pub(crate) certificate: String,
    /// Its key, as PEM.
    pub(crate) key: String,
}

impl GeneratedCertificate {
    /// Generates a certificate for 127.0.0.1.
    pub(crate) fn for_loopback() -> anyhow::Result<GeneratedCertificate> {
        let generated = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        Ok(GeneratedCertificate {
            certificate: generated.cert.pem(),
            key: generated.signing_key.serialize_pem(),
        })
    }
}

impl TlsArgs {
    /// Adds these options to the configuration of the URL. `certificate` is the certificate of the endpoints in this
    /// process, if they speak TLS.
    pub(crate) fn apply(
        &self,
        config: Config,
        url: Option<&str>,
        certificate: Option<&GeneratedCertificate>,
    ) -> Result<Config, Failure> {
        let Some(first) = self.tls.then_some("--tls").or(self.peer.first()) else {
            return Ok(config);
        };
        let refuse = |option: &str, why: &str| Err(Failure::Usage(format!("{option}: {why}")));
        match (url, certificate) {
            (Some(url), _) => self.peer.apply_as(first, config, url),
            (None, None) => refuse(
                first,
                "no connection uses TLS; add --tls for the endpoints in this process, or --url rediss://… for a server",
            ),
            (None, Some(certificate)) => match self.peer.about_others() {
                Some(option) => refuse(
                    option,
                    "the endpoints in this process have a generated certificate, which the client trusts, and ask for \
                     none; add --url rediss://… for a server",
                ),
                None => Ok(config.tls(self.peer.extend(Tls::new().ca_pem(&certificate.certificate)))),
            },
        }
    }
}

impl PeerArgs {
    /// Adds these options to the configuration of the URL; without a URL, none may be given.
    pub(crate) fn apply(&self, config: Config, url: Option<&str>) -> Result<Config, Failure> {
        match (self.first(), url) {
            (None, _) => Ok(config),
            (Some(first), Some(url)) => self.apply_as(first, config, url),
            (Some(first), None) => {
                Err(Failure::Usage(format!("{first}: no connection uses TLS; add --url rediss://…")))
            }
        }
    }

    /// `first` is the option to name in the error if the URL does not use TLS.
    fn apply_as(&self, first: &str, config: Config, url: &str) -> Result<Config, Failure> {
        let refuse = |why: &str| Err(Failure::Usage(format!("{first}: {why}")));
        match config.tls_settings().cloned() {
            Some(tls) => Ok(config.tls(self.extend(tls))),
            None if url.split("://").next().is_some_and(|scheme| scheme.contains("unix")) => {
                refuse("a unix socket does not use TLS; leave the option out")
            }
            None => refuse(&format!("the URL does not use TLS; write {}", secured(url))),
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

    /// The option that set a setting of the library, if it was given.
    pub(crate) fn option(&self, knob: &str) -> Option<&'static str> {
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

    /// The first given option.
    fn first(&self) -> Option<&'static str> {
        let other = self.tls_min_version.is_some().then_some("--tls-min-version");
        let danger = self.tls_insecure_skip_verify.then_some("--tls-insecure-skip-verify");
        self.about_others().or(other).or(danger)
    }

    /// The first given option that does not apply to the endpoints in this process.
    fn about_others(&self) -> Option<&'static str> {
        let options = [
            (self.tls_ca.is_some(), "--tls-ca"),
            (self.tls_cert.is_some(), "--tls-cert"),
            (self.tls_server_name.is_some(), "--tls-server-name"),
        ];
        options.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
    }
}

/// The same scheme with TLS.
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
        let certificate = GeneratedCertificate::for_loopback().expect("a certificate");
        let config = Config::from_url(url.unwrap_or("redis://127.0.0.1")).expect("a URL");
        let config = args.apply(config, url, args.tls.then_some(&certificate));
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
        let certificate = applied(None, &["--tls", "--tls-min-version", "1.3"]).expect("TLS");
        assert!(
            certificate.starts_with("1.3 or later, trusts ") && !certificate.contains("system"),
            "{certificate}"
        );
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
    fn contradictions_are_rejected() {
        for (url, arguments, start) in [
            (Some("redis://h"), &["--tls"][..], "--tls: the URL does not use TLS; write rediss://"),
            (Some("valkey://h"), &["--tls-ca", "/a"], "--tls-ca: the URL does not use TLS; write valkeys://"),
            (Some("unix:///s"), &["--tls-server-name", "n"], "--tls-server-name: a unix socket"),
            (None, &["--tls-insecure-skip-verify"], "--tls-insecure-skip-verify: no connection uses TLS"),
            (None, &["--tls-min-version", "1.2"], "--tls-min-version: no connection uses TLS"),
            (None, &["--tls", "--tls-ca", "/a"], "--tls-ca: the endpoints in this process"),
        ] {
            let error = applied(url, arguments).expect_err("a contradiction");
            assert!(error.starts_with(start), "{error}");
        }
    }
}
