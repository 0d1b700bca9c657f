//! [`Peer`]: a minimal server at the other end of one connection. [`Executed`]: the commands that all peers executed.

use super::wire;

/// The commands that reached a server, over all connections, and their order.
#[derive(Default)]
pub(super) struct Executed {
    counts: Vec<u32>,
    /// Commands of which a closed connection had carried a part: the client must not send them again.
    lost: Vec<usize>,
    /// The latest command of each handle.
    latest: [Option<usize>; HANDLES],
}

/// One server's side of a connection.
#[derive(Default)]
pub(super) struct Peer {
    received: Vec<u8>,
    /// Replies that the client has not read yet.
    pub(super) replies: Vec<u8>,
}

impl Executed {
    pub(super) fn count(&self, command: usize) -> u32 {
        self.counts.get(command).copied().unwrap_or_default()
    }

    /// Whether only a part of the command reached a server.
    pub(super) fn is_lost(&self, command: usize) -> bool {
        self.lost.contains(&command)
    }

    fn execute(&mut self, command: usize, handle: usize) {
        assert!(!self.is_lost(command), "{command} was sent again after a part of it had been sent");
        if self.counts.len() <= command {
            self.counts.resize(command + 1, 0);
        }
        self.counts[command] += 1;
        let before = self.latest[handle].replace(command);
        assert!(before <= Some(command), "{command} of handle {handle} came after {before:?}");
    }
}

impl Peer {
    /// Reads what a client wrote, and answers each command with the command's number.
    pub(super) fn receive(&mut self, bytes: &[u8], executed: &mut Executed) {
        self.received.extend_from_slice(bytes);
        for command in wire::read_commands(&mut self.received) {
            match &command[..] {
                [name, ..] if name == b"HELLO" => self.replies.extend_from_slice(b"%1\r\n+proto\r\n:3\r\n"),
                [name, number, handle, ..] if name == NAME => {
                    let (number, handle) = (decimal(number), decimal(handle));
                    executed.execute(number, handle);
                    self.replies.extend_from_slice(format!(":{number}\r\n").as_bytes());
                }
                _ => self.replies.extend_from_slice(b"+OK\r\n"),
            }
        }
    }

    /// The connection has closed. Notes the command of which only a part arrived, if that part holds its number.
    pub(super) fn end(self, executed: &mut Executed) {
        let text = String::from_utf8_lossy(&self.received);
        let lines: Vec<&str> = text.split("\r\n").collect();
        if let [_, _, "ECHO", _, number, _, ..] = lines[..] {
            executed.lost.push(decimal(number.as_bytes()));
        }
    }
}

/// A command that carries its own number and its handle.
pub(super) fn command(number: u32, handle: u32, padding: usize) -> Vec<u8> {
    let (number, handle) = (number.to_string(), handle.to_string());
    let mut out = format!(
        "*4\r\n$4\r\n{}\r\n${}\r\n{number}\r\n${}\r\n{handle}\r\n",
        String::from_utf8_lossy(NAME),
        number.len(),
        handle.len()
    );
    out.push_str(&format!("${padding}\r\n{}\r\n", "x".repeat(padding)));
    out.into_bytes()
}

fn decimal(digits: &[u8]) -> usize {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX)
}

const NAME: &[u8] = b"ECHO";
pub(super) const HANDLES: usize = 4;
