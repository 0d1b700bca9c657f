//! What ended a TLS session, as a reason to close: the problem, and its remedy.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::proto::endpoint::TlsNames;
use crate::proto::error::{Cause, CloseReason, Remedy, recognize};

/// The reason, if only a person can mend it; every other error may pass by itself. `names` is what the server was asked to
/// prove.
pub(super) fn explain(error: &Error, names: Option<&TlsNames>) -> Option<CloseReason> {
    let (problem, remedy) = match error {
        Error::InvalidCertificate(error) => certificate(error, names),
        Error::AlertReceived(alert) => self::alert(*alert)?,
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            ("the server speaks neither TLS 1.2 nor 1.3".to_owned(), Some(Remedy::TlsVersion))
        }
        Error::PeerIncompatible(what) => {
            (format!("the server and this client have no TLS in common: {what:?}"), Some(Remedy::TlsVersion))
        }
        Error::NoCertificatesPresented => ("the server presents no certificate".to_owned(), None),
        _ => return None,
    };
    Some(CloseReason::Tls { problem: Cause::of(problem, error.clone()), remedy })
}

/// The reason, if a server answered the beginning of a handshake with bytes that are not TLS.
pub(super) fn not_tls(error: &Error, opening: &[u8]) -> Option<CloseReason> {
    let is_message = matches!(
        error,
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion)
    );
    is_message.then(|| match recognize(opening) {
        Some(protocol) => CloseReason::OtherProtocol(protocol),
        None if matches!(opening.first(), Some(b'-' | b'+')) => CloseReason::Tls {
            problem: "the server speaks Redis without TLS".into(),
            remedy: Some(Remedy::SpeakPlain),
        },
        None => CloseReason::Tls {
            problem: "the server does not speak TLS".into(),
            remedy: Some(Remedy::CheckAddress),
        },
    })
}

fn certificate(error: &CertificateError, names: Option<&TlsNames>) -> (String, Option<Remedy>) {
    use CertificateError as Certificate;
    match error {
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            let or = |or: &String| format!(" or {or}");
            let wanted =
                names.map(|names| names.asked.clone() + &names.or.as_ref().map(or).unwrap_or_default());
            let wanted = wanted.unwrap_or_default();
            (format!("the server's certificate is not for {wanted}: {error}"), Some(Remedy::ServerName))
        }
        // Also a CA of the same name with another key.
        Certificate::UnknownIssuer | Certificate::BadSignature => {
            ("the server's certificate is not signed by a trusted CA".to_owned(), Some(Remedy::TrustIssuer))
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            (format!("the server's certificate has expired: {error}"), Some(Remedy::RenewCertificate))
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            (format!("the server's certificate is not valid yet: {error}"), Some(Remedy::CheckClock))
        }
        // rustls has no variants for these, and passes on the names of its verifier.
        Certificate::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            let problem = "the server's certificate belongs to a CA, which must not use it as a server";
            (problem.to_owned(), Some(Remedy::MakeCertificate))
        }
        Certificate::Other(other) if other.to_string() == "UnsupportedCertVersion" => {
            let problem =
                "the server's certificate is X.509 version 1, which names neither its server nor its purpose";
            (problem.to_owned(), Some(Remedy::MakeCertificate))
        }
        _ => (format!("the server's certificate is not acceptable: {error}"), None),
    }
}

/// Alerts about the identity of a side, or about versions and ciphers.
fn alert(alert: AlertDescription) -> Option<(String, Option<Remedy>)> {
    use AlertDescription as Alert;
    let remedy = match alert {
        Alert::CertificateRequired => {
            let problem = "the server requires a client certificate and got none";
            return Some((problem.to_owned(), Some(Remedy::ClientCertificate)));
        }
        Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => Some(Remedy::ClientCertificate),
        Alert::ProtocolVersion => Some(Remedy::TlsVersion),
        // These may be about a certificate, a version or a cipher.
        Alert::HandshakeFailure | Alert::InsufficientSecurity | Alert::UnrecognisedName => None,
        _ => return None,
    };
    Some((format!("the server refused the TLS handshake: {alert:?}"), remedy))
}

#[cfg(test)]
mod tests {
    use rustls::OtherError;

    use super::*;

    fn told(error: &Error) -> (String, Option<Remedy>) {
        let names = TlsNames { asked: "db.test".to_owned(), or: None };
        match explain(error, Some(&names)) {
            Some(CloseReason::Tls { problem, remedy }) => (problem.to_string(), remedy),
            other => panic!("{error:?}: {other:?}"),
        }
    }

    #[test]
    fn each_problem_of_a_certificate_has_its_remedy() {
        for (error, says, remedy) in [
            (CertificateError::UnknownIssuer, "not signed by a trusted CA", Some(Remedy::TrustIssuer)),
            (CertificateError::BadSignature, "not signed by a trusted CA", Some(Remedy::TrustIssuer)),
            (CertificateError::NotValidForName, "is not for db.test", Some(Remedy::ServerName)),
            (CertificateError::Expired, "has expired", Some(Remedy::RenewCertificate)),
            (CertificateError::NotValidYet, "not valid yet", Some(Remedy::CheckClock)),
            (CertificateError::Revoked, "not acceptable", None),
        ] {
            let (problem, found) = told(&Error::InvalidCertificate(error));
            assert!(problem.contains(says), "{problem}");
            assert_eq!(found, remedy, "{problem}");
        }
    }

    #[test]
    fn ca_certificate_of_a_server_has_a_remedy() {
        for name in ["CaUsedAsEndEntity", "UnsupportedCertVersion"] {
            let other = OtherError(std::sync::Arc::new(std::io::Error::other(name)));
            let (problem, remedy) = told(&Error::InvalidCertificate(CertificateError::Other(other)));
            assert_eq!(remedy, Some(Remedy::MakeCertificate), "{problem}");
        }
    }

    #[test]
    fn alerts_about_identity_are_final_and_others_are_not() {
        let refused = |alert| told(&Error::AlertReceived(alert)).1;
        assert_eq!(refused(AlertDescription::CertificateRequired), Some(Remedy::ClientCertificate));
        assert_eq!(refused(AlertDescription::UnknownCA), Some(Remedy::ClientCertificate));
        assert_eq!(refused(AlertDescription::ProtocolVersion), Some(Remedy::TlsVersion));
        assert_eq!(refused(AlertDescription::HandshakeFailure), None);
        assert!(explain(&Error::AlertReceived(AlertDescription::InternalError), None).is_none());
    }

    #[test]
    fn server_without_tls_is_recognized_by_its_answer() {
        let error = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let told =
            |opening: &[u8]| not_tls(&error, opening).map(|reason| (reason.to_string(), reason.remedy()));
        assert_eq!(
            told(b"-ERR unknown command"),
            Some(("TLS: the server speaks Redis without TLS".to_owned(), Some(Remedy::SpeakPlain)))
        );
        assert_eq!(
            told(b"HTTP/1.1 400 Bad Request"),
            Some(("the server speaks HTTP, not Redis".to_owned(), Some(Remedy::CheckAddress)))
        );
        assert_eq!(
            told(b"hello"),
            Some(("TLS: the server does not speak TLS".to_owned(), Some(Remedy::CheckAddress)))
        );
        assert!(not_tls(&Error::DecryptError, b"HTTP/1.1 400").is_none());
    }
}
