//! A hostile server: it completes the handshake, and then sends what a test wants.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// The bytes that follow a command.
pub enum Answer {
    /// These bytes.
    Once(Vec<u8>),
    /// The first bytes, and then the second ones again and again while the client reads.
    Forever(Vec<u8>, Vec<u8>),
}

pub struct Hostile {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

type Behavior = dyn Fn(usize, &str) -> Answer + Send + Sync;

impl Hostile {
    /// Answers each command of the application with the result of `answer`, which gets the number of the connection,
    /// from 0, and the command's first word.
    pub fn start(answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Hostile {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_over, answer): (_, Arc<Behavior>) = (Arc::new(AtomicBool::new(false)), Arc::new(answer));
        let ends = is_over.clone();
        let listen = move || {
            let count = AtomicUsize::new(0);
            for socket in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, number) = (answer.clone(), count.fetch_add(1, Ordering::Relaxed));
                // The thread ends when its client closes.
                let serve = move || drop(serve(&mut socket.expect("a socket"), number, &*answer));
                drop(thread::spawn(serve));
            }
        };
        Hostile { address, is_over, listener: Some(thread::spawn(listen)) }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // The thread waits in accept(); a connection wakes it.
        drop(TcpStream::connect(self.address));
        self.listener.take().map(JoinHandle::join);
    }
}

fn serve(socket: &mut TcpStream, number: usize, answer: &Behavior) -> std::io::Result<()> {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(name) = take_command(&mut received) {
            match name.as_str() {
                "HELLO" => socket.write_all(b"%1\r\n+proto\r\n:3\r\n")?,
                "CLIENT" => socket.write_all(b"-ERR unknown subcommand\r\n")?,
                name => match answer(number, name) {
                    Answer::Once(bytes) => socket.write_all(&bytes)?,
                    Answer::Forever(first, again) => {
                        socket.write_all(&first)?;
                        loop {
                            socket.write_all(&again)?;
                        }
                    }
                },
            }
        }
        match socket.read(&mut buffer)? {
            0 => return socket.shutdown(Shutdown::Both),
            count => received.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Removes the first command if it is complete, and returns its first word.
fn take_command(received: &mut Vec<u8>) -> Option<String> {
    let line = |from: usize| {
        let end = received.get(from..)?.windows(2).position(|bytes| bytes == b"\r\n")?;
        let number: usize = std::str::from_utf8(&received[from + 1..from + end]).ok()?.parse().ok()?;
        Some((number, from + end + 2))
    };
    let (count, mut at) = line(0)?;
    let mut first = None;
    for _ in 0..count {
        let (length, begin) = line(at)?;
        at = begin + length + 2;
        let word = received.get(begin..begin + length)?;
        received.get(..at)?;
        first.get_or_insert_with(|| String::from_utf8_lossy(word).to_uppercase());
    }
    received.drain(..at);
    first
}
