//! Loads the HTTP service: keep-alive connections with one request at a time each, in one loop.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::callers::{Callers, Schedule};
use crate::epoll::Epoll;
use crate::measure::Cpu;
use crate::pacer;
use crate::plan::Plan;
use crate::work::{Material, Work};

/// Runs as many connections as the plan has tasks. In a closed loop each sends its next request when a response is complete. In
/// an open loop a request takes a connection that is free, or waits for one, and its time counts from its schedule.
pub fn drive(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    let requests = requests(&callers.material);
    let mut connections: Vec<Connection> =
        (0..callers.plan.tasks).map(|caller| Connection::open(&callers, caller, requests.clone())).collect();
    let mut epoll = Epoll::new();
    for (index, connection) in connections.iter().enumerate() {
        epoll.add(&connection.socket, index as u64);
    }
    ready.send(()).expect("the measurement waits");
    let mut arrivals = callers.schedule.map(|schedule| Arrivals::new(&callers, schedule, &epoll));
    if arrivals.is_none() {
        connections.iter_mut().for_each(|connection| connection.send(Instant::now()));
    }
    while !callers.is_stopped() {
        for token in epoll.wait() {
            if token == ARRIVALS {
                let arrivals = arrivals.as_mut().expect("an open loop");
                arrivals.arrive();
                arrivals.send(&mut connections);
                continue;
            }
            let caller = token as usize;
            let Some(begun) = connections[caller].receive() else { continue };
            callers.done(caller, Some(begun));
            match &mut arrivals {
                None => connections[caller].send(Instant::now()),
                Some(arrivals) => {
                    arrivals.free.push_back(caller);
                    arrivals.send(&mut connections);
                }
            }
        }
    }
}

/// The CPU time of the service's process.
pub fn service_cpu(plan: &Plan) -> Cpu {
    let mut socket = connect(plan);
    let request = "GET /cpu HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).expect("an open socket");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("a response");
    let (_, body) = response.split_once("\r\n\r\n").expect("a body");
    let mut times = body.split(' ').map(|nanos| Duration::from_nanos(nanos.parse().expect("a number")));
    let mut next = || times.next().expect("two times");
    Cpu { user: next(), system: next() }
}

/// The requests of an open loop that wait for a connection, and the connections that wait for a request.
struct Arrivals {
    socket: UnixStream,
    schedule: Schedule,
    arrived: u64,
    sent: u64,
    free: VecDeque<usize>,
}

impl Arrivals {
    fn new(callers: &Arc<Callers>, schedule: Schedule, epoll: &Epoll) -> Arrivals {
        let socket = pacer::start(callers);
        epoll.add(&socket, ARRIVALS);
        Arrivals { socket, schedule, arrived: 0, sent: 0, free: (0..callers.plan.tasks).collect() }
    }

    fn arrive(&mut self) {
        let mut bytes = [0; 256];
        if let Ok(count) = self.socket.read(&mut bytes) {
            self.arrived += pacer::count(&bytes[..count]);
        }
    }

    fn send(&mut self, connections: &mut [Connection]) {
        while self.sent < self.arrived {
            let Some(caller) = self.free.pop_front() else { return };
            connections[caller].send(self.schedule.intended(self.sent));
            self.sent += 1;
        }
    }
}

struct Connection {
    socket: TcpStream,
    requests: Arc<[Vec<u8>]>,
    work: Work,
    input: Vec<u8>,
    filled: usize,
    /// The length of the value in each response.
    value: usize,
    begun: Instant,
}

impl Connection {
    fn open(callers: &Callers, caller: usize, requests: Arc<[Vec<u8>]>) -> Connection {
        let socket = connect(&callers.plan);
        socket.set_nodelay(true).expect("an option");
        socket.set_nonblocking(true).expect("an option");
        Connection {
            socket,
            requests,
            work: Work::new(callers.material.clone(), caller),
            input: vec![0; INPUT + callers.plan.value],
            filled: 0,
            value: callers.plan.value,
            begun: Instant::now(),
        }
    }

    /// Sends the next request. It is far smaller than the socket's buffer, which is empty.
    fn send(&mut self, begun: Instant) {
        self.begun = begun;
        self.socket.write_all(&self.requests[self.work.next_key()]).expect("room for a request");
    }

    /// Reads what has come. When the response is complete: the time from which it counts.
    fn receive(&mut self) -> Option<Instant> {
        match self.socket.read(&mut self.input[self.filled..]) {
            Ok(0) => panic!("the service has closed the connection"),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("{error}"),
        }
        let response = std::str::from_utf8(&self.input[..self.filled]).expect("letters");
        let (head, body) = response.split_once("\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.1 200 "), "{response}");
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
        if body.len() < length.expect("a length").parse().expect("a number") {
            return None;
        }
        assert_eq!(body.find('\n'), Some(self.value), "bytes of the value");
        self.filled = 0;
        Some(self.begun)
    }
}

/// A request for each key.
fn requests(material: &Material) -> Arc<[Vec<u8>]> {
    let keys = material.keys(0, material.distinct()).iter();
    keys.map(|key| format!("GET /hit/{key} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()).collect()
}

fn connect(plan: &Plan) -> TcpStream {
    TcpStream::connect(("127.0.0.1", plan.port)).expect("a connection")
}

const ARRIVALS: u64 = u64::MAX;
/// Room for the head of a response.
const INPUT: usize = 4 << 10;
