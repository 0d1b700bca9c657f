//! [`Stranger`]: which protocol a server speaks that is not the one it was called for, by the first bytes it sends.

use std::fmt;

/// A protocol other than RESP over plain TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stranger {
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

/// Recognizes a server by the first bytes of a connection. `None`: it may well be a Redis, or nothing is known of it.
pub(crate) fn recognize(opening: &[u8]) -> Option<Stranger> {
    let by_words = || {
        let is =
            |words: &&[u8]| opening.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words));
        OPENINGS.iter().find(|(words, _)| is(words)).map(|(_, stranger)| *stranger)
    };
    match opening {
        // An alert, by which a server refuses what is not TLS. Nothing else begins with this byte.
        [0x15, ..] => Some(Stranger::Tls),
        // A SETTINGS frame on stream 0: length, type, flags, stream.
        [0, _, _, 4, 0, 0, 0, 0, 0, ..] => Some(Stranger::Http2),
        // The first packet: length, number 0, version 10 of the protocol, and the server's version in digits.
        [_, _, 0, 0, 10, digit, ..] if digit.is_ascii_digit() => Some(Stranger::MySql),
        // An error message: its length, and the field of its severity.
        [b'E', 0, 0, _, _, b'S', ..] => Some(Stranger::Postgres),
        _ => by_words(),
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stranger::Amqp => "AMQP",
            Stranger::Http => "HTTP",
            Stranger::Http2 => "HTTP/2",
            Stranger::Imap => "IMAP",
            Stranger::Memcached => "memcached's protocol",
            Stranger::MySql => "MySQL's protocol",
            Stranger::Pop3 => "POP3",
            Stranger::Postgres => "PostgreSQL's protocol",
            Stranger::Smtp => "SMTP or FTP",
            Stranger::Ssh => "SSH",
            Stranger::Tls => "TLS",
        })
    }
}

/// What protocols of words begin with. Two of them begin as RESP does: no Redis answers HELLO with these words.
const OPENINGS: &[(&[u8], Stranger)] = &[
    (b"HTTP/", Stranger::Http),
    (b"<!DOCTYPE", Stranger::Http),
    (b"<html", Stranger::Http),
    (b"SSH-", Stranger::Ssh),
    (b"220 ", Stranger::Smtp),
    (b"220-", Stranger::Smtp),
    (b"421 ", Stranger::Smtp),
    (b"500 ", Stranger::Smtp),
    (b"554 ", Stranger::Smtp),
    (b"ERROR\r\n", Stranger::Memcached),
    (b"CLIENT_ERROR ", Stranger::Memcached),
    (b"AMQP", Stranger::Amqp),
    (b"EFATAL:", Stranger::Postgres),
    (b"* OK ", Stranger::Imap),
    (b"* BYE ", Stranger::Imap),
    (b"+OK ", Stranger::Pop3),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_their_first_bytes() {
        for (opening, stranger) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Stranger::Http),
            (b"<!doctype HTML>\n<html>", Stranger::Http),
            (b"<HTML><HEAD>", Stranger::Http),
            (b"\0\0\x06\x04\0\0\0\0\0\0\x03", Stranger::Http2),
            (b"\x15\x03\x01\0\x02\x02\x46", Stranger::Tls),
            (b"\x15", Stranger::Tls),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", Stranger::Ssh),
            (b"220 mail.example ESMTP Postfix\r\n", Stranger::Smtp),
            (b"220-FTP\r\n", Stranger::Smtp),
            (b"ERROR\r\nERROR\r\n", Stranger::Memcached),
            (b"E\0\0\0\x8cSFATAL\0VFATAL\0C0A000\0", Stranger::Postgres),
            (b"EFATAL:  unsupported frontend protocol", Stranger::Postgres),
            (b"\x4a\0\0\0\x0a8.0.36\0", Stranger::MySql),
            (b"AMQP\0\0\x09\x01", Stranger::Amqp),
            (b"* OK IMAP4 ready\r\n", Stranger::Imap),
            (b"+OK POP3 ready\r\n", Stranger::Pop3),
        ] {
            assert_eq!(recognize(opening), Some(stranger), "{}", opening.escape_ascii());
        }
    }

    #[test]
    fn what_a_redis_says_first_is_not_a_stranger() {
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
