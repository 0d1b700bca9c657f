//! The opt-in: the request for maintenance notifications, and what the reply to it means.

use crate::proto::error::log_text;
use crate::proto::maint::mode::EndpointType;
use crate::proto::resp::{Encoder, Frame};

/// Whether a connection receives maintenance notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notifications {
    /// The connection did not ask for them.
    Off,
    On,
    /// The server does not offer them. Holds its reply.
    Refused(String),
    /// This user may not ask for them. Holds the server's reply.
    Denied(String),
}

/// The meaning of the reply to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Settled(Notifications),
    /// The server knows the command and not the argument that names the type: ask again without it.
    AskWithoutType,
}

/// Writes `CLIENT MAINT_NOTIFICATIONS ON`, with the type of endpoint to announce if `kind` names one.
pub(super) fn write(out: &mut Vec<u8>, kind: Option<&str>) {
    let mut encoder = Encoder::command(out, if kind.is_some() { 5 } else { 3 });
    encoder.bytes(b"CLIENT");
    encoder.bytes(b"MAINT_NOTIFICATIONS");
    encoder.bytes(b"ON");
    if let Some(kind) = kind {
        encoder.bytes(b"moving-endpoint-type");
        encoder.bytes(kind.as_bytes());
    }
}

/// Reads the reply to a request; `named` if the request named a type.
pub(super) fn judge(reply: &Frame, named: bool) -> Verdict {
    let settled = match reply {
        Frame::Simple(text) | Frame::Bulk(text) if text.eq_ignore_ascii_case(b"OK") => Notifications::On,
        Frame::Error(text) if text.starts_with(b"NOPERM") => Notifications::Denied(log_text(text)),
        Frame::Error(text) if named && is_about_the_type(text) => return Verdict::AskWithoutType,
        Frame::Error(text) => Notifications::Refused(log_text(text)),
        other => {
            Notifications::Refused(format!("the reply is neither OK nor an error, but a {}", other.kind()))
        }
    };
    Verdict::Settled(settled)
}

/// The type of endpoint that a request on this connection names, if any.
pub(super) fn kind(chosen: EndpointType, peer: std::net::IpAddr, tls: bool) -> Option<&'static str> {
    chosen.resolve(Some(peer), tls).requested()
}

fn is_about_the_type(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    let holds = |word: &[u8]| memchr::memmem::find(&text, word).is_some();
    !holds(b"unknown subcommand")
        && !holds(b"unknown command")
        && (holds(b"syntax") || holds(b"endpoint-type") || holds(b"endpoint type"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn error(text: &'static str) -> Frame {
        Frame::Error(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn each_reply_has_its_meaning() {
        let ok = [Frame::Simple(Bytes::from_static(b"OK")), Frame::Bulk(Bytes::from_static(b"ok"))];
        for reply in ok {
            assert_eq!(judge(&reply, true), Verdict::Settled(Notifications::On));
        }
        for (text, named, denied) in [
            ("ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.", true, false),
            ("ERR wrong number of arguments for 'client|maint_notifications' command", true, false),
            ("ERR maintenance notifications are disabled on this server", true, false),
            ("ERR syntax error", false, false),
            ("NOPERM this user has no permissions", true, true),
        ] {
            let expected = match denied {
                true => Notifications::Denied(text.into()),
                false => Notifications::Refused(text.into()),
            };
            assert_eq!(judge(&error(text), named), Verdict::Settled(expected));
        }
        for text in [
            "ERR syntax error",
            "ERR Invalid moving-endpoint-type 'internal-ip'",
            "ERR syntax error: unknown parameter 'moving-endpoint-type'",
        ] {
            assert_eq!(judge(&error(text), true), Verdict::AskWithoutType);
        }
        assert!(matches!(judge(&Frame::Integer(1), true), Verdict::Settled(Notifications::Refused(_))));
    }
}
