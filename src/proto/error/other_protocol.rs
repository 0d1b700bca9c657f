//! [`OtherProtocol`]: recognizes servers of other protocols by the first bytes that they send.

use std::fmt;

/// A protocol other than RESP over plain TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OtherProtocol {
    Amqp,
    Http,
    Http2,
    Imap,
    Memcached,
    MySql,
    Pop3,
    Postgres,
    Smtp,
    Ssh,
    Tls,
}

/// Recognizes a server by the first bytes of a connection. `None` if the server may be a Redis, or is unknown.
pub(crate) fn recognize(opening: &[u8]) -> Option<OtherProtocol> {
    let by_text = || {
        let is =
            |words: &&[u8]| opening.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words));
        OPENINGS.iter().find(|(words, _)| is(words)).map(|(_, protocol)| *protocol)
    };
    match opening {
        // An alert, with which a server refuses plain text. No other protocol begins with this byte.
        [0x15, ..] => Some(OtherProtocol::Tls),
        // A SETTINGS frame on stream 0: length, type, flags, stream.
        [0, _, _, 4, 0, 0, 0, 0, 0, ..] => Some(OtherProtocol::Http2),
        // The first packet: length, number 0, version 10 of the protocol, and the server's version in digits.
        [_, _, 0, 0, 10, digit, ..] if digit.is_ascii_digit() => Some(OtherProtocol::MySql),
        // An error message: its length, and the field of its severity.
        [b'E', 0, 0, _, _, b'S', ..] => Some(OtherProtocol::Postgres),
        _ => by_text(),
    }
}

impl fmt::Display for OtherProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OtherProtocol::Amqp => "AMQP",
            OtherProtocol::Http => "HTTP",
            OtherProtocol::Http2 => "HTTP/2",
            OtherProtocol::Imap => "IMAP",
            OtherProtocol::Memcached => "memcached's protocol",
            OtherProtocol::MySql => "MySQL's protocol",
            OtherProtocol::Pop3 => "POP3",
            OtherProtocol::Postgres => "PostgreSQL's protocol",
            OtherProtocol::Smtp => "SMTP or FTP",
            OtherProtocol::Ssh => "SSH",
            OtherProtocol::Tls => "TLS",
        })
    }
}

/// How text protocols begin. Two of them begin like RESP, but no Redis answers HELLO with these words.
const OPENINGS: &[(&[u8], OtherProtocol)] = &[
    (b"HTTP/", OtherProtocol::Http),
    (b"<!DOCTYPE", OtherProtocol::Http),
    (b"<html", OtherProtocol::Http),
    (b"SSH-", OtherProtocol::Ssh),
    (b"220 ", OtherProtocol::Smtp),
    (b"220-", OtherProtocol::Smtp),
    (b"421 ", OtherProtocol::Smtp),
    (b"500 ", OtherProtocol::Smtp),
    (b"554 ", OtherProtocol::Smtp),
    (b"ERROR\r\n", OtherProtocol::Memcached),
    (b"CLIENT_ERROR ", OtherProtocol::Memcached),
    (b"AMQP", OtherProtocol::Amqp),
    (b"EFATAL:", OtherProtocol::Postgres),
    (b"* OK ", OtherProtocol::Imap),
    (b"* BYE ", OtherProtocol::Imap),
    (b"+OK ", OtherProtocol::Pop3),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_recognized_by_their_first_bytes() {
        for (opening, protocol) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], OtherProtocol::Http),
            (b"<!doctype HTML>\n<html>", OtherProtocol::Http),
            (b"<HTML><HEAD>", OtherProtocol::Http),
            (b"\0\0\x06\x04\0\0\0\0\0\0\x03", OtherProtocol::Http2),
            (b"\x15\x03\x01\0\x02\x02\x46", OtherProtocol::Tls),
            (b"\x15", OtherProtocol::Tls),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", OtherProtocol::Ssh),
            (b"220 mail.example ESMTP Postfix\r\n", OtherProtocol::Smtp),
            (b"220-FTP\r\n", OtherProtocol::Smtp),
            (b"ERROR\r\nERROR\r\n", OtherProtocol::Memcached),
            (b"E\0\0\0\x8cSFATAL\0VFATAL\0C0A000\0", OtherProtocol::Postgres),
            (b"EFATAL:  unsupported frontend protocol", OtherProtocol::Postgres),
            (b"\x4a\0\0\0\x0a8.0.36\0", OtherProtocol::MySql),
            (b"AMQP\0\0\x09\x01", OtherProtocol::Amqp),
            (b"* OK IMAP4 ready\r\n", OtherProtocol::Imap),
            (b"+OK POP3 ready\r\n", OtherProtocol::Pop3),
        ] {
            assert_eq!(recognize(opening), Some(protocol), "{}", opening.escape_ascii());
        }
    }

    #[test]
    fn redis_is_no_other_protocol() {
        for opening in [
            &b""[..],
            b"%7\r\n$6\r\nserver\r\n",
            b"*14\r\n$6\r\nserver\r\n",
            b"-ERR unknown command `HELLO`\r\n",
            b"-DENIED Redis is running in protected mode\r\n",
            b"-NOAUTH HELLO must be called\r\n",
            b"+OK\r\n",
            b">2\r\n$6\r\nMOVING\r\n",
            b"E",
            b"HTT",
        ] {
            assert_eq!(recognize(opening), None, "{}", opening.escape_ascii());
        }
    }
}
