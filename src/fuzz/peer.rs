//! [`Peer`]: the server at the other end of one connection, as simple as it can be, and [`Executed`]: what all of them
//! were told to do.

use super::wire;

/// Which commands have reached a server, over all connections, and in which order.
#[derive(Default)]
pub(super) struct Executed {
    counts: Vec<u32>,
    /// Those of which a connection took the beginning with it: nobody may send them again.
    lost: Vec<usize>,
    /// The latest command of each lane.
    lanes: [Option<usize>; LANES],
}

/// One server's side of a connection.
#[derive(Default)]
pub(super) struct Peer {
    received: Vec<u8>,
    /// What it has answered and nobody has read yet.
    pub(super) replies: Vec<u8>,
}

impl Executed {
    pub(super) fn count(&self, command: usize) -> u32 {
        self.counts.get(command).copied().unwrap_or_default()
    }

    /// Whether the beginning of it, and no more, reached a server.
    pub(super) fn is_lost(&self, command: usize) -> bool {
        self.lost.contains(&command)
    }

    fn execute(&mut self, command: usize, lane: usize) {
        assert!(!self.is_lost(command), "{command} was sent again, after a part of it had been");
        if self.counts.len() <= command {
            self.counts.resize(command + 1, 0);
        }
        self.counts[command] += 1;
        let before = self.lanes[lane].replace(command);
        assert!(before <= Some(command), "{command} of lane {lane} came after {before:?}");
    }
}

impl Peer {
    /// Takes in what a client wrote, and answers each command with its number.
    pub(super) fn receive(&mut self, bytes: &[u8], executed: &mut Executed) {
        self.received.extend_from_slice(bytes);
        for command in wire::read_commands(&mut self.received) {
            match &command[..] {
                [name, ..] if name == b"HELLO" => self.replies.extend_from_slice(b"%1\r\n+proto\r\n:3\r\n"),
                [name, number, lane, ..] if name == NAME => {
                    let (number, lane) = (decimal(number), decimal(lane));
                    executed.execute(number, lane);
                    self.replies.extend_from_slice(format!(":{number}\r\n").as_bytes());
                }
                _ => self.replies.extend_from_slice(b"+OK\r\n"),
            }
        }
    }

    /// The connection is gone, and with it a command of which a part had come: its number, if that is in it.
    pub(super) fn end(self, executed: &mut Executed) {
        let text = String::from_utf8_lossy(&self.received);
        let lines: Vec<&str> = text.split("\r\n").collect();
        if let [_, _, "ECHO", _, number, _, ..] = lines[..] {
            executed.lost.push(decimal(number.as_bytes()));
        }
    }
}

/// A command that says which one it is.
pub(super) fn command(number: u32, lane: u32, padding: usize) -> Vec<u8> {
    let (number, lane) = (number.to_string(), lane.to_string());
    let mut out = format!(
        "*4\r\n$4\r\n{}\r\n${}\r\n{number}\r\n${}\r\n{lane}\r\n",
        String::from_utf8_lossy(NAME),
        number.len(),
        lane.len()
    );
    out.push_str(&format!("${padding}\r\n{}\r\n", "x".repeat(padding)));
    out.into_bytes()
}

fn decimal(digits: &[u8]) -> usize {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX)
}

const NAME: &[u8] = b"ECHO";
pub(super) const LANES: usize = 4;
