//! The fix for an error in terms of the command line: options in place of the library's settings.

use crate::Error;
use crate::error::Remedy;

/// An error and its causes, as one line.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let text = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<Error>() {
        Some(error) => self::text(error),
        None => cause.to_string(),
    };
    let mut line = String::new();
    for cause in error.chain().map(text) {
        // An error of the library quotes its cause, and has it as its source as well.
        if line.contains(&cause) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    line
}

/// An error of the library.
pub(crate) fn text(error: &Error) -> String {
    error.text(phrase)
}

/// The problem and its fix, separately.
pub(crate) fn parts(error: &Error) -> (String, Option<&'static str>) {
    (error.problem(), error.remedy().map(phrase))
}

fn phrase(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::CheckAddress => "check the host and the port in --url",
        Remedy::SpeakTls => "write rediss:// in place of redis:// in --url",
        Remedy::SpeakPlain => "write redis:// in place of rediss:// in --url",
        Remedy::TrustIssuer => "name its CA with --tls-ca FILE, or install it in the system",
        Remedy::ServerName => {
            "write a name in --url that the certificate holds, or give it with --tls-server-name NAME"
        }
        Remedy::MakeCertificate => {
            "give the server a certificate of its own, such as `openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem \
             -out cert.pem -addext basicConstraints=critical,CA:FALSE -addext \
             subjectAltName=DNS:localhost,IP:127.0.0.1` makes, and name it with --tls-ca cert.pem"
        }
        Remedy::RenewCertificate => "renew it on the server, or set this machine's clock",
        Remedy::CheckClock => "set this machine's clock, or the server's",
        Remedy::ClientCertificate => {
            "give one that the server trusts with --tls-cert FILE and --tls-key FILE"
        }
        Remedy::TlsVersion => "lower --tls-min-version to 1.2, or allow TLS 1.2 or 1.3 on the server",
        Remedy::Password => "give it with --password-file FILE, or in the variable HITLESS_PASSWORD",
        Remedy::CheckLogin => {
            "check the user and the password (--user and --password-file, the URL, HITLESS_PASSWORD), and that the user is \
             not disabled"
        }
        Remedy::AllowConnection => "allow the user the commands of a handshake: ACL SETUSER … +@connection",
        Remedy::NewerServer => "use Redis 6 or later, or the maintenance mode auto",
        Remedy::SwitchOnMaintenance => "switch them on there, or use the maintenance mode auto",
        Remedy::AllowMaintenance => {
            "allow the user to ask (ACL SETUSER … +client|maint_notifications), or use the maintenance mode auto"
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_command_names_options_and_no_setting_of_the_library() {
        for remedy in Remedy::ALL {
            let (text, library) = (phrase(remedy), remedy.to_string());
            for word in
                ["hitless::", "Config::", "ca_file", "version_min", "client_certificate", "server_name"]
            {
                assert!(!text.contains(word), "{text}");
            }
            assert!(!library.contains("--tls-") && !library.contains("--url"), "{library}");
        }
    }

    #[test]
    fn a_cause_names_the_option_that_fixes_it() {
        let error = Error::refused_login("NOAUTH Authentication required.");
        assert!(error.to_string().contains("Config::password"), "{error}");
        let text = chain(&Err::<(), _>(error).context("could not begin").expect_err("it is one"));
        assert!(text.starts_with("could not begin: "), "{text}");
        assert!(text.contains("--password-file") && !text.contains("Config::password"), "{text}");
    }

    #[test]
    fn a_quoted_cause_is_not_repeated() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = anyhow::Error::new(refused).context("could not connect: connection refused");
        assert_eq!(chain(&error), "could not connect: connection refused");
    }
}
