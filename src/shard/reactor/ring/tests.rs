//! A ring and its sockets, without a reactor: what is sent and received when something runs out, breaks, or is closed.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::*;
use crate::driver::testing::Wakes;
use crate::shard::reactor::ring::buffers::{BUFFER_SIZE, BUFFERS};

/// A ring, and the descriptor by which other threads would notify it.
struct Rig {
    ring: Ring,
    notifier: Notifier,
    wakes: Arc<Wakes>,
}

impl Rig {
    fn new() -> Rig {
        let notifier = Notifier::default();
        let ring = Ring::new(&notifier).unwrap();
        Rig { ring, notifier, wakes: Arc::default() }
    }

    /// A socket of the ring, and the server's end of it.
    fn socket(&mut self) -> (usize, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        (self.ring.watch(near.into()).unwrap(), far)
    }

    fn write(&mut self, key: usize, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let waker = self.wakes.waker();
        self.ring.poll_write(key, &mut Context::from_waker(&waker), bytes)
    }

    fn read(&mut self, key: usize, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let waker = self.wakes.waker();
        self.ring.poll_read(key, &mut Context::from_waker(&waker), buffer)
    }

    /// Reads until nothing is left: what was read, and whether that was the end.
    fn read_all(&mut self, key: usize) -> (Vec<u8>, bool) {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 5000]);
        loop {
            match self.read(key, &mut buffer) {
                Poll::Ready(Ok(0)) => return (all, true),
                Poll::Ready(Ok(count)) => all.extend_from_slice(&buffer[..count]),
                Poll::Ready(Err(error)) => panic!("{error}"),
                Poll::Pending => return (all, false),
            }
        }
    }

    /// Polls often enough for everything that needs no other thread.
    fn settle(&mut self) {
        while self.ring.poll(Duration::ZERO) || self.ring.has_unsubmitted() {}
    }
}

/// Everything that has arrived at the server, and whether the connection has ended.
fn heard(far: &mut UnixStream) -> (Vec<u8>, bool) {
    let (mut heard, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match far.read(&mut buffer) {
            Ok(0) => return (heard, true),
            Ok(count) => heard.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (heard, false),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Bytes in which every part differs from its neighbors.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32 / 4 + 1).flat_map(u32::to_le_bytes).take(length).collect()
}

/// Writes until the socket has no room left; how much was accepted.
fn fill(rig: &mut Rig, key: usize) -> usize {
    let mut accepted = 0;
    while let Poll::Ready(written) = rig.write(key, &[b'x'; 4000]) {
        accepted += written.unwrap();
        rig.settle();
    }
    accepted
}

#[test]
fn sends_keep_their_order_however_small_the_socket_is() {
    let mut rig = Rig::new();
    let (key, mut far) = rig.socket();
    rig.ring.socket(key).unwrap().set_send_buffer_size(4 << 10).unwrap();
    let all = pattern(1 << 20);
    let (mut written, mut received, mut size) = (0, Vec::new(), 1);
    while received.len() < all.len() {
        // Small writes are copied, and large ones sent directly.
        size = size % (3 * DIRECT_MIN) + 997;
        let rest = &all[written..];
        if let Poll::Ready(count) = rig.write(key, &rest[..rest.len().min(size)]) {
            written += count.unwrap();
        }
        rig.ring.poll(Duration::ZERO);
        received.extend(heard(&mut far).0);
    }
    assert!(received == all);
}

#[test]
fn full_socket_wakes_its_task_when_it_has_room() {
    let mut rig = Rig::new();
    let (key, mut far) = rig.socket();
    let accepted = fill(&mut rig, key);
    assert!(accepted > 2 * ACCEPTED_MAX, "{accepted}");
    rig.wakes.take();
    rig.settle();
    assert_eq!(rig.wakes.take(), 0);
    let mut received = heard(&mut far).0.len();
    rig.settle();
    assert!(rig.wakes.take() > 0 && rig.write(key, b"more").is_ready());
    while received < accepted + 4 {
        rig.settle();
        received += heard(&mut far).0.len();
    }
}

/// More sockets than buffers have something at the same time.
#[test]
fn sockets_are_read_when_the_buffers_run_out() {
    let mut rig = Rig::new();
    let count = 2 * usize::from(BUFFERS) + 5;
    let mut sockets: Vec<_> = (0..count).map(|_| rig.socket()).collect();
    for round in 0..3 {
        for (key, _) in &sockets {
            assert_eq!(rig.read_all(*key), (Vec::new(), false));
        }
        rig.settle();
        for (number, (_, far)) in sockets.iter_mut().enumerate() {
            far.write_all(format!("{round}: {number}").as_bytes()).unwrap();
        }
        rig.settle();
        let starved = rig.ring.sources.iter().filter(|(_, source)| source.receive == Receive::Starved);
        assert!(starved.count() > 0, "there are fewer buffers than sockets");
        for (number, (key, _)) in sockets.iter().enumerate() {
            assert_eq!(rig.read_all(*key).0, format!("{round}: {number}").as_bytes());
        }
    }
    assert_eq!(rig.ring.sources.iter().map(|(_, source)| source.received.len()).sum::<usize>(), 0);
}

/// A task that does not read leaves the others enough, and nothing is lost.
#[test]
fn unread_flood_takes_a_bounded_number_of_buffers() {
    let mut rig = Rig::new();
    let (flooded, mut flood) = rig.socket();
    let (other, mut far) = rig.socket();
    assert!(rig.read_all(flooded).0.is_empty() && rig.read_all(other).0.is_empty());
    let all = pattern(4 << 20);
    let (mut sent, mut most) = (0, 0);
    while let Ok(count) = flood.write(&all[sent..(sent + 1000).min(all.len())]) {
        sent += count;
        rig.settle();
        most = most.max(rig.ring.sources[flooded].received.len());
        if count == 0 {
            break;
        }
    }
    assert!((UNREAD_MAX..UNREAD_MAX + 33).contains(&most), "{most}");
    far.write_all(b"other").unwrap();
    rig.settle();
    assert_eq!(rig.read_all(other).0, b"other");
    let mut received = Vec::new();
    while received.len() < all.len() {
        received.extend(rig.read_all(flooded).0);
        sent += flood.write(&all[sent..]).unwrap_or(0);
        rig.settle();
    }
    assert!(received == all);
}

#[test]
fn end_follows_what_came_before_and_refuses_writes() {
    let mut rig = Rig::new();
    let (key, mut far) = rig.socket();
    assert!(rig.read_all(key).0.is_empty());
    far.write_all(b"the reason").unwrap();
    drop(far);
    rig.settle();
    assert!(rig.wakes.take() > 0);
    assert_eq!(
        rig.write(key, b"late").map(|written| written.unwrap_err().kind()),
        Poll::Ready(ErrorKind::BrokenPipe)
    );
    assert_eq!(rig.read_all(key), (b"the reason".to_vec(), true));
    assert_eq!(rig.read_all(key), (Vec::new(), true), "it stays so");
}

/// The server is gone before the ring has heard of it.
#[test]
fn failed_send_is_told_by_the_next_write() {
    let mut rig = Rig::new();
    let (key, mut far) = rig.socket();
    assert!(rig.read_all(key).0.is_empty());
    far.write_all(b"the reason").unwrap();
    drop(far);
    assert!(rig.write(key, b"accepted").is_ready());
    rig.settle();
    assert!(matches!(rig.write(key, b"late"), Poll::Ready(Err(_))));
    assert_eq!(rig.read_all(key), (b"the reason".to_vec(), true));
}

#[test]
fn bytes_accepted_before_a_drop_are_sent() {
    for polls in [false, true] {
        let mut rig = Rig::new();
        let (key, mut far) = rig.socket();
        assert!(rig.read_all(key).0.is_empty() && rig.write(key, b"QUIT").is_ready());
        if polls {
            rig.ring.submit_sends();
            rig.ring.queue.enter(0, None);
            assert!(rig.write(key, b"!").is_ready(), "while a send is under way");
        }
        rig.ring.remove(key);
        rig.settle();
        assert_eq!(heard(&mut far), (if polls { b"QUIT!".to_vec() } else { b"QUIT".to_vec() }, true));
        assert!(rig.ring.is_empty() && rig.ring.queue.open == 1, "the notifier is left");
    }
}

#[test]
fn dropped_socket_frees_its_key_when_its_send_has_ended() {
    let mut rig = Rig::new();
    let (key, mut far) = rig.socket();
    assert!(rig.read_all(key).0.is_empty());
    fill(&mut rig, key);
    assert!(rig.ring.remove(key).is_some(), "its waker");
    assert!(!rig.ring.is_empty());
    let (other, _far) = rig.socket();
    assert_ne!(other, key);
    rig.settle();
    assert_eq!(rig.ring.sources.len(), 1);
    assert!(heard(&mut far).1, "the server sees the end");
    assert!(rig.read(key, &mut [0]).is_ready() && rig.write(key, b"x").is_ready(), "errors");
}

/// As when the executor dies: tasks, and with them sockets, are never dropped.
#[test]
fn dropped_ring_ends_its_operations_and_closes_its_sockets() {
    let mut rig = Rig::new();
    let (full, mut far) = rig.socket();
    let (idle, mut idle_far) = rig.socket();
    let (_, mut unused_far) = rig.socket();
    assert!(rig.read_all(full).0.is_empty() && rig.read_all(idle).0.is_empty());
    fill(&mut rig, full);
    idle_far.write_all(&[b'x'; 3 * BUFFER_SIZE]).unwrap();
    rig.settle();
    // One more that the kernel has not heard of.
    assert!(rig.write(idle, b"unsubmitted").is_ready());
    drop(rig);
    for far in [&mut far, &mut idle_far, &mut unused_far] {
        loop {
            match far.read(&mut [0; 64 << 10]) {
                Ok(1..) => {}
                Ok(0) => break,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                    break;
                }
            }
        }
    }
}

#[test]
fn notification_ends_a_wait_every_time() {
    let mut rig = Rig::new();
    rig.settle();
    for _ in 0..3 {
        assert!(!rig.ring.poll(Duration::from_millis(1)));
        rustix::io::write(rig.notifier.descriptor().unwrap(), &1u64.to_ne_bytes()).unwrap();
        assert!(rig.ring.poll(Duration::from_secs(60)));
    }
}

/// Completed sends alone do not end a wait for replies.
#[test]
fn reply_ends_a_wait_that_submits_sends() {
    let mut rig = Rig::new();
    let (key, mut far) = rig.socket();
    assert!(rig.read_all(key).0.is_empty());
    rig.settle();
    assert!(rig.write(key, b"PING").is_ready());
    assert!(!rig.ring.poll(Duration::from_millis(20)), "no reply comes");
    assert_eq!(heard(&mut far).0, b"PING");
    let server = std::thread::spawn(move || {
        far.set_nonblocking(false).unwrap();
        far.read_exact(&mut [0; 4]).unwrap();
        far.write_all(b"PONG").unwrap();
        far
    });
    assert!(rig.write(key, b"PING").is_ready());
    assert!(rig.ring.poll(Duration::from_secs(60)));
    assert_eq!(rig.read_all(key).0, b"PONG");
    drop(server.join().unwrap());
}

/// The runtime waits for this descriptor while the thread sleeps.
#[test]
fn bell_rings_during_a_park_when_a_poll_would_find_something() {
    let mut rig = Rig::new();
    let (key, mut far) = rig.socket();
    assert!(rig.read_all(key).0.is_empty());
    rig.settle();
    let descriptor = rig.ring.begin_park().unwrap();
    let is_readable = |milliseconds: i64| {
        let time = Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
        let ready = rustix::event::poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&time)).unwrap();
        ready == 1
    };
    assert!(!is_readable(0));
    let server = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        far.write_all(b"PONG").unwrap();
        far
    });
    assert!(is_readable(900));
    rig.ring.end_park();
    let mut far = server.join().unwrap();
    assert!(rig.ring.poll(Duration::ZERO));
    assert_eq!(rig.read_all(key).0, b"PONG");
    drop(rig.ring.begin_park().unwrap());
    assert!(!is_readable(0), "it is silent again");
    // Sends that complete are no reason to wake up.
    assert!(rig.write(key, b"PING").is_ready());
    rig.ring.submit_in_park();
    assert!(!is_readable(0) && heard(&mut far).0 == b"PING");
    rig.ring.end_park();
    far.write_all(b"PONG").unwrap();
    assert!(!is_readable(20), "the thread does not sleep");
    assert_eq!(rig.read_all(key).0, b"");
    rig.settle();
    assert_eq!(rig.read_all(key).0, b"PONG");
}
