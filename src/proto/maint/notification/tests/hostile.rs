//! Pipelined replies between pushes of every kind: the connection stays open, and each reply goes to its command.

use std::sync::Arc;

use super::*;
use crate::proto::connection::{
    Connection, ConnectionConfig, Deliver, EntryId, HandleId, HandshakeConfig, Queue, QueueBounds,
    Submission, Ticket,
};
use crate::proto::error::Failure;

const NOW: Instant = Instant::from_nanos(1_000_000_000);

/// A connection that is ready for commands, and its outcomes.
struct Line {
    connection: Connection,
    queue: Queue,
    config: ConnectionConfig,
    delivered: Delivered,
    submitted: u32,
}

#[derive(Default)]
struct Delivered {
    replies: Vec<(u32, Frame)>,
    pushes: Vec<Frame>,
}

impl Deliver for Delivered {
    fn reply(&mut self, ticket: Ticket, frame: Frame, _last: bool) {
        self.replies.push((ticket.0, frame));
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        panic!("{ticket:?}: {failure:?}");
    }

    fn push(&mut self, frame: Frame) -> bool {
        self.pushes.push(frame);
        true
    }
}

impl Line {
    fn ready() -> Line {
        let config = ConnectionConfig {
            handshake: Arc::new(HandshakeConfig::default()),
            limits: Limits::default(),
            in_flight_max: 100,
            connect_timeout: seconds(2),
            command_timeout: seconds(1),
            reply_time_max: seconds(60),
            idle_ping: Duration::MAX,
        };
        let mut line = Line {
            connection: Connection::dialing(NOW, Duration::from_secs(1), &config),
            queue: Queue::new(QueueBounds { commands: 100, bytes: 1 << 20 }),
            config,
            delivered: Delivered::default(),
            submitted: 0,
        };
        line.connection.handle_connected(None, None, NOW, &line.config);
        while line.connection.ready_since().is_none() {
            for command in line.transmit() {
                let Frame::Array(arguments) = command else { panic!("{command:?}") };
                let hello = arguments.first() == Some(&Frame::Bulk("HELLO".into()));
                line.receive(if hello { b"%1\r\n+proto\r\n:3\r\n" } else { b"+OK\r\n" });
            }
        }
        line
    }

    /// Writes everything, and returns the commands.
    fn transmit(&mut self) -> Vec<Frame> {
        let wire = self.connection.poll_transmit(NOW, &mut self.queue, &[], &self.config).to_vec();
        self.connection.write_buffer().advance(wire.len());
        let (mut decoder, mut rest) = (Decoder::new(Limits::default()), &wire[..]);
        std::iter::from_fn(|| decoder.decode(&mut rest).unwrap()).collect()
    }

    /// Sends a command, and returns the reply that only this command gets.
    fn submit(&mut self) -> String {
        let ticket = Ticket(self.submitted);
        self.submitted += 1;
        let submission = Submission { entry: EntryId(0), handle: HandleId(0), ticket, replies: 1 };
        self.queue.submit(submission, |out| out.extend_from_slice(b"*1\r\n$4\r\nPING\r\n"));
        assert_eq!(self.transmit().len(), 1);
        match ticket.0 % 2 {
            0 => format!(":{}\r\n", ticket.0),
            _ => format!("${}\r\n{}\r\n", ticket.0.to_string().len(), ticket.0),
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let outcome = self.connection.handle_bytes(NOW, bytes, &mut self.delivered);
        assert!(outcome.is_ok(), "{outcome:?}: {}", bytes.escape_ascii());
    }

    /// Checks that every reply went to its command, and returns the pushes since the last call.
    fn take(&mut self) -> Vec<Parsed> {
        for (ticket, frame) in self.delivered.replies.drain(..) {
            let expected = match ticket % 2 {
                0 => Frame::Integer(ticket.into()),
                _ => Frame::Bulk(ticket.to_string().into()),
            };
            assert_eq!(frame, expected);
        }
        assert!(self.connection.is_idle());
        self.connection
            .take_pushes()
            .iter()
            .map(|push| parse(push.frame.push_items().unwrap(), PORT))
            .collect()
    }
}

#[test]
fn px_push_split_every_byte() {
    let mut line = Line::ready();
    for (push, expected) in captured() {
        let attributed = format!("|1\r\n+from\r\n+proxy\r\n{push}");
        let mut send = |cut: Option<usize>| {
            let wire =
                [line.submit(), push.into(), line.submit(), attributed.clone(), push.into(), line.submit()]
                    .concat();
            let wire = wire.as_bytes();
            match cut {
                None => wire.iter().for_each(|byte| line.receive(&[*byte])),
                Some(cut) => {
                    let (head, tail) = wire.split_at(cut.min(wire.len()));
                    line.receive(head);
                    line.receive(tail);
                }
            }
            let expected = Parsed::Maintenance { notification: expected.clone(), bad_items: 0 };
            assert_eq!(
                line.take(),
                [expected.clone(), expected.clone(), expected],
                "{push:?} cut at {cut:?}"
            );
            wire.len()
        };
        for cut in 0..send(None) {
            send(Some(cut));
        }
    }
}

/// The number of pushes in `HITLESS_FUZZ_PUSHES`, or a small default.
#[test]
fn px_malformed_never_kills() {
    let wanted =
        std::env::var("HITLESS_FUZZ_PUSHES").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let mut random = fastrand::Rng::with_seed(4);
    let mut line = Line::ready();
    let (mut sent, mut read, mut malformed, mut other, mut skipped) = (0u64, 0u64, 0u64, 0u64, 0u64);
    while sent < wanted {
        let mut wire = Vec::new();
        let mut kept = 0;
        for _ in 0..random.u32(1..4) {
            wire.extend(line.submit().bytes());
            for _ in 0..random.u32(0..3) {
                sent += 1;
                let keep = any_push(&mut random, &mut wire);
                kept += usize::from(keep);
                skipped += u64::from(!keep);
            }
        }
        wire.extend(line.submit().bytes());
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(random.usize(1..=rest.len()));
            line.receive(head);
            rest = tail;
        }
        let parsed = line.take();
        assert_eq!(parsed.len(), kept, "{}", wire.escape_ascii());
        for push in parsed {
            match push {
                Parsed::Maintenance { .. } => read += 1,
                Parsed::Malformed(_) => malformed += 1,
                Parsed::Other => other += 1,
            }
        }
    }
    println!("{sent} pushes: {read} read, {malformed} malformed, {other} others, {skipped} skipped");
    // Every kind has to occur, or this is no test of it.
    assert!([read, malformed, other, skipped].iter().all(|count| *count > wanted / 1000));
}

/// Texts with a meaning in some field.
const TEXTS: &[&str] = &[
    "",
    "0",
    "-3",
    "17",
    "+2",
    "15",
    "9223372036854775808",
    "99999999999999999999999",
    "1.5",
    "x",
    "null",
    "-",
    "?",
    ":0",
    "10.0.0.1",
    "10.0.0.1:1",
    "db.example.com.:12075",
    "[2001:db8::7]:12075",
    "2001:db8::7:12075",
    "::",
    ":",
    "[",
    "[]",
    "[::1",
    "host:65536",
    "[\"27\"]",
    "1,5-3,99999, 7-9,x",
    "8892-8991",
    "0-16383",
    ",",
    "-1-",
    "node:1 7-9",
    "a b c d",
    "\r\n",
    "\u{e9}",
];

/// Writes a push, most often with the name of a notification; returns whether the decoder keeps it.
fn any_push(random: &mut fastrand::Rng, out: &mut Vec<u8>) -> bool {
    if random.u32(..10) == 0 {
        out.extend(b"|1\r\n+from\r\n:1\r\n");
    }
    let fields = random.usize(0..7);
    header(out, '>', fields + 1);
    let name = match random.u32(..10) {
        0 => *random.choice(["message", "", "MOVIN", "invalidate"].iter()).unwrap(),
        _ => NotificationKind::ALL[random.usize(..7)].name(),
    };
    let name = if random.bool() { name.to_owned() } else { name.to_lowercase() };
    if random.bool() {
        out.extend(format!("+{name}\r\n").bytes());
    } else {
        blob(out, '$', name.as_bytes());
    }
    // Not `all`, which would not write the elements after the first bad one.
    (0..fields).fold(true, |kept, _| element(random, out, 1) && kept)
}

/// Writes an element of an aggregate at this depth; returns whether the decoder can keep it.
fn element(random: &mut fastrand::Rng, out: &mut Vec<u8>, depth: usize) -> bool {
    let text = *random.choice(TEXTS.iter()).unwrap();
    let kinds = if depth > 5 { 13 } else { 17 };
    match random.u32(..kinds) {
        0..3 => out.extend(format!(":{}\r\n", random.i64(-3..20)).bytes()),
        3 => out.extend(format!(":{}\r\n", random.i64(..)).bytes()),
        4..8 => blob(out, '$', text.as_bytes()),
        8 => out.extend(format!("+{}\r\n", text.trim()).bytes()),
        9 => {
            let bytes: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
            blob(out, *random.choice(['$', '!'].iter()).unwrap(), &bytes);
        }
        10 => out.extend([&b"_\r\n"[..], b"$-1\r\n", b"*-1\r\n"][random.usize(..3)]),
        11 => out.extend([&b"#t\r\n"[..], b",1.5\r\n", b",nan\r\n", b"(12\r\n"][random.usize(..4)]),
        12 => match random.u32(..20) {
            0 => {
                out.extend([&b":12x\r\n"[..], b"#x\r\n", b",x\r\n", b"=3\r\ntxt\r\n"][random.usize(..4)]);
                return false;
            }
            _ => blob(out, '=', format!("txt:{text}").as_bytes()),
        },
        13..15 => return aggregate(random, out, depth + 1, '*', 1),
        15 => {
            let kind = if random.bool() { '~' } else { '%' };
            return aggregate(random, out, depth + 1, kind, 2);
        }
        _ => {
            let attributes = aggregate(random, out, depth + 1, '|', 2);
            return element(random, out, depth) && attributes;
        }
    }
    true
}

/// Writes an aggregate at this depth, sometimes streamed; returns whether the decoder can keep it.
fn aggregate(random: &mut fastrand::Rng, out: &mut Vec<u8>, depth: usize, kind: char, step: usize) -> bool {
    let count = random.usize(0..3);
    let streamed = kind != '|' && random.u32(..5) == 0;
    if streamed {
        out.extend(format!("{kind}?\r\n").bytes());
    } else {
        // Only maps and attributes count pairs.
        header(out, kind, if kind == '~' { count * step } else { count });
    }
    let kept = (0..count * step).fold(true, |kept, _| element(random, out, depth) && kept);
    if streamed {
        out.extend(b".\r\n");
    }
    kept && depth <= 4
}

fn header(out: &mut Vec<u8>, kind: char, count: usize) {
    out.extend(format!("{kind}{count}\r\n").bytes());
}

fn blob(out: &mut Vec<u8>, kind: char, bytes: &[u8]) {
    header(out, kind, bytes.len());
    out.extend(bytes);
    out.extend(b"\r\n");
}
