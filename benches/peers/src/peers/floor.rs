//! The floor: the least that any client can cost. Requests are prepared, one loop waits for readable sockets, and replies are
//! measured and dropped. There is no task and no deadline, and every error is a panic.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use crate::callers::{Callers, Schedule};
use crate::epoll::Epoll;
use crate::pacer;
use crate::plan::{Command, MGET_KEYS, Plan};
use crate::work::{Material, Work, key};

/// Gives every key its value.
pub fn load(plan: &Plan) {
    let mut socket = TcpStream::connect(("127.0.0.1", plan.port)).expect("a connection");
    let value = "v".repeat(plan.value);
    let mut replies = vec![0; 5];
    for index in 0..plan.keys {
        socket.write_all(&request(&["SET", &key(index), &value])).expect("an open socket");
        socket.read_exact(&mut replies).expect("an open socket");
        assert_eq!(replies, b"+OK\r\n");
    }
}

pub fn drive(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    let mut connections: Vec<Connection> =
        (0..callers.plan.connections).map(|_| Connection::connect(&callers)).collect();
    let mut epoll = Epoll::new();
    for (index, connection) in connections.iter().enumerate() {
        epoll.add(&connection.socket, index as u64);
    }
    ready.send(()).expect("the measurement waits");
    let mut arrivals = callers.schedule.map(|schedule| Arrivals::new(&callers, schedule, &epoll));
    if arrivals.is_none() {
        for caller in 0..callers.plan.tasks {
            let number = caller % connections.len();
            connections[number].begin(caller, callers.plan.latency.then(Instant::now));
        }
        connections.iter_mut().for_each(Connection::write);
    }
    while !callers.is_stopped() {
        for token in epoll.wait() {
            match &mut arrivals {
                Some(arrivals) if token == ARRIVALS => arrivals.begin_rounds(&mut connections),
                _ => connections[token as usize].turn(&callers),
            }
        }
    }
}

/// The rounds of an open loop, spread over all connections in turn.
struct Arrivals {
    socket: UnixStream,
    schedule: Schedule,
    begun: u64,
    tasks: u64,
}

impl Arrivals {
    fn new(callers: &Arc<Callers>, schedule: Schedule, epoll: &Epoll) -> Arrivals {
        let socket = pacer::start(callers);
        epoll.add(&socket, ARRIVALS);
        Arrivals { socket, schedule, begun: 0, tasks: callers.plan.tasks as u64 }
    }

    fn begin_rounds(&mut self, connections: &mut [Connection]) {
        let mut bytes = [0; 256];
        let Ok(count) = self.socket.read(&mut bytes) else { return };
        for _ in 0..pacer::count(&bytes[..count]) {
            let caller = (self.begun % self.tasks) as usize;
            let number = caller % connections.len();
            connections[number].begin(caller, Some(self.schedule.intended(self.begun)));
            self.begun += 1;
        }
        connections.iter_mut().for_each(Connection::write);
    }
}

struct Connection {
    socket: TcpStream,
    requests: Arc<Requests>,
    work: Work,
    /// Bytes to write, and how many of them are written.
    out: Vec<u8>,
    written: usize,
    /// The read buffer, and how much of it is filled.
    input: Vec<u8>,
    filled: usize,
    waiting: VecDeque<Round>,
}

struct Round {
    caller: usize,
    begun: Option<Instant>,
    replies: usize,
    /// Bytes of values that each reply must have.
    expected: usize,
}

impl Connection {
    fn connect(callers: &Callers) -> Connection {
        let socket = TcpStream::connect(("127.0.0.1", callers.plan.port)).expect("a connection");
        socket.set_nodelay(true).expect("an option");
        socket.set_nonblocking(true).expect("an option");
        let room =
            (callers.plan.value * if callers.plan.command == Command::Mget { MGET_KEYS } else { 1 }) * 2;
        Connection {
            socket,
            requests: Arc::new(Requests::new(&callers.material)),
            work: Work::new(callers.material.clone(), 0),
            out: Vec::new(),
            written: 0,
            input: vec![0; room.max(INPUT)],
            filled: 0,
            waiting: VecDeque::new(),
        }
    }

    fn begin(&mut self, caller: usize, begun: Option<Instant>) {
        let from = self.work.next_key();
        let requests = &*self.requests;
        let round = match self.work.is_set() {
            true => {
                self.out.extend_from_slice(&requests.set[from]);
                Round { caller, begun, replies: 1, expected: 0 }
            }
            false => {
                self.out.extend_from_slice(&requests.read[from]);
                Round { caller, begun, replies: requests.replies, expected: requests.expected }
            }
        };
        self.waiting.push_back(round);
    }

    /// Reads once, starts a round for each finished one, and writes all of them at once.
    fn turn(&mut self, callers: &Callers) {
        match self.socket.read(&mut self.input[self.filled..]) {
            Ok(0) => panic!("the server has closed the connection"),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
        let mut taken = 0;
        while let Some((reply, length)) = reply(&self.input[taken..self.filled]) {
            taken += reply;
            let round = self.waiting.front_mut().expect("an unanswered request");
            assert_eq!(length, round.expected, "bytes of values");
            round.replies -= 1;
            if round.replies == 0 {
                let Round { caller, begun, .. } = self.waiting.pop_front().expect("the front of the queue");
                callers.done(caller, begun);
                if callers.schedule.is_none() {
                    self.begin(caller, begun.map(|_| Instant::now()));
                }
            }
        }
        self.input.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        self.write();
    }

    fn write(&mut self) {
        while self.written < self.out.len() {
            match self.socket.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                // The next turn continues: replies to the written part will wake this loop.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
        self.out.clear();
        self.written = 0;
    }
}

/// All requests, by their first key.
struct Requests {
    read: Vec<Vec<u8>>,
    set: Vec<Vec<u8>>,
    replies: usize,
    expected: usize,
}

impl Requests {
    fn new(material: &Material) -> Requests {
        let value = std::str::from_utf8(&material.value).expect("letters");
        let each = 0..material.distinct();
        let read = each.clone().map(|from| match material.command {
            Command::Mget => {
                let keys = material.keys(from, MGET_KEYS).iter().map(String::as_str);
                request(&std::iter::once("MGET").chain(keys).collect::<Vec<_>>())
            }
            _ => {
                material.keys(from, material.pipeline).iter().flat_map(|key| request(&["GET", key])).collect()
            }
        });
        let is_mget = material.command == Command::Mget;
        Requests {
            read: read.collect(),
            set: match material.command {
                Command::Get | Command::Mget => Vec::new(),
                Command::Set | Command::Mix => {
                    each.map(|from| request(&["SET", &key(from), value])).collect()
                }
            },
            replies: material.pipeline,
            expected: value.len() * if is_mget { MGET_KEYS } else { 1 },
        }
    }
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    out
}

/// The length of the first reply, and of all values in it; `None` if it is not complete.
fn reply(input: &[u8]) -> Option<(usize, usize)> {
    let (number, header) = header(input)?;
    match input[0] {
        b'+' => Some((header, 0)),
        b'$' => (header + number + 2 <= input.len()).then_some((header + number + 2, number)),
        b'*' => {
            let (mut taken, mut length) = (header, 0);
            for _ in 0..number {
                let (bytes, values) = reply(&input[taken..])?;
                taken += bytes;
                length += values;
            }
            Some((taken, length))
        }
        _ => panic!("{}", input.escape_ascii()),
    }
}

/// The number in the first line, and the line's length.
fn header(input: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (index, byte) in input.iter().enumerate() {
        match byte {
            b'\n' => return Some((number, index + 1)),
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            _ => {}
        }
    }
    None
}

const ARRIVALS: u64 = u64::MAX;
const INPUT: usize = 64 << 10;
