//! One connection alone: what it keeps, and what it gives back.

use super::*;
use crate::proto::resp::Encoder;

/// Counts what it is told.
#[derive(Default)]
struct Told {
    replies: usize,
    failures: usize,
}

impl Deliver for Told {
    fn reply(&mut self, _ticket: Ticket, _frame: Frame, _last: bool) {
        self.replies += 1;
    }

    fn fail(&mut self, _ticket: Ticket, _failure: Failure) {
        self.failures += 1;
    }

    fn push(&mut self, _frame: Frame) -> bool {
        false
    }
}

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const IDLE: Duration = Duration::from_secs(30);

fn config() -> ConnectionConfig {
    ConnectionConfig {
        handshake: Arc::new(HandshakeConfig::default()),
        limits: Limits::default(),
        in_flight_max: 100,
        connect_timeout: Duration::from_secs(2),
        command_timeout: Duration::from_secs(1),
        reply_time_max: Duration::from_secs(3600),
        idle_ping: IDLE,
    }
}

fn queue() -> Queue {
    Queue::new(QueueBounds { commands: 100, bytes: 1 << 30 })
}

fn submit(queue: &mut Queue, ticket: u32, bytes: &[u8]) -> Position {
    queue.submit(HandleId(0), Ticket(ticket), 1, |out| Encoder::command(out, 1).bytes(bytes))
}

/// A connection whose handshake is over.
fn ready() -> (Connection, Told) {
    let (config, mut told) = (config(), Told::default());
    let mut connection = Connection::dialing(NOW, Duration::from_secs(2), &config);
    connection.handle_connected(None, None, NOW, &config);
    for replies in [&b"%1\r\n+proto\r\n:3\r\n"[..], b"+OK\r\n+OK\r\n"] {
        write(&mut connection, &mut queue());
        connection.handle_bytes(NOW, replies, &mut told).unwrap();
    }
    assert!(connection.ready_since().is_some());
    (connection, told)
}

/// Writes everything; how much that was.
fn write(connection: &mut Connection, queue: &mut Queue) -> usize {
    let count = connection.poll_transmit(NOW, queue, &[], &config()).len();
    connection.handle_written(count);
    count
}

fn strict() -> ReplyDeadline {
    let second = Duration::from_secs(1);
    ReplyDeadline { allowance: TimeoutWindow::relaxed(second, second, None), maintenance: None }
}

#[test]
fn draining_connection_keeps_no_commands_of_its_own() {
    let (mut connection, mut told) = ready();
    connection.log_in(Arc::new(Credentials::password("new")));
    assert!(connection.has_internal() && connection.is_logging_in());
    connection.drain();
    assert!(!connection.has_internal() && !connection.is_logging_in());
    let (mut connection, _) = ready();
    connection.handle_timeout(NOW.after(IDLE), &strict(), &mut told).unwrap();
    assert!(connection.has_internal(), "it is to ask whether anybody is there");
    connection.drain();
    assert!(!connection.has_internal());
    assert_eq!(write(&mut connection, &mut queue()), 0);
}

#[test]
fn buffer_that_a_large_command_took_is_given_back() {
    let ((mut connection, _), mut queue) = (ready(), queue());
    submit(&mut queue, 1, &vec![b'v'; 4 << 20]);
    assert!(write(&mut connection, &mut queue) > 4 << 20);
    assert!(connection.outgoing.capacity() > 4 << 20, "it may be asked what is left of it");
    // Buffers change places with those of the queue: it is in neither.
    for ticket in 2..5 {
        submit(&mut queue, ticket, b"small");
        assert!(write(&mut connection, &mut queue) > 0);
        assert!(connection.outgoing.capacity() <= OUTGOING_KEPT_MAX);
    }
}

/// Taken for an answer, it would shift all that follow by one.
#[test]
fn reply_before_a_byte_is_written_ends_the_connection() {
    let ((mut connection, mut told), mut queue) = (ready(), queue());
    submit(&mut queue, 1, b"a");
    assert!(!connection.poll_transmit(NOW, &mut queue, &[], &config()).is_empty());
    let ended = connection.handle_bytes(NOW, b"+a\r\n", &mut told);
    assert!(matches!(ended, Err(CloseReason::UnaskedReply)), "{ended:?}");
    let lost = connection.end(&Arc::new(CloseReason::UnaskedReply), None, &mut queue, &mut told);
    assert_eq!((lost, told.replies, told.failures, queue.len()), (0, 0, 0, 1), "it goes to the next");
}

/// Its own commands stand among the others, and have no position.
#[test]
fn command_behind_one_of_its_own_can_be_abandoned_and_expires() {
    for expires in [false, true] {
        let ((mut connection, mut told), mut queue) = (ready(), queue());
        let first = submit(&mut queue, 1, b"a");
        write(&mut connection, &mut queue);
        connection.log_in(Arc::new(Credentials::password("new")));
        write(&mut connection, &mut queue);
        let second = submit(&mut queue, 2, b"b");
        write(&mut connection, &mut queue);
        match expires {
            true => {
                // Something has come lately: it is no dead peer.
                connection.handle_bytes(NOW.after(IDLE), b">1\r\n+x\r\n", &mut told).unwrap();
                connection.handle_timeout(NOW.after(IDLE), &strict(), &mut told).unwrap();
                assert_eq!(told.failures, 2);
            }
            false => assert!(connection.abandon(first) && connection.abandon(second)),
        }
        connection.handle_bytes(NOW, b"+a\r\n+OK\r\n+b\r\n", &mut told).unwrap();
        assert_eq!((told.replies, connection.in_flight()), (0, 0));
        assert_eq!(connection.take_state_changes(), [StateChange::LoggedIn(Ok(()))]);
    }
}

#[test]
fn expired_commands_make_room_and_are_forgotten() {
    let mut queue = Queue::new(QueueBounds { commands: 2, bytes: 1 << 20 });
    let abandoned = submit(&mut queue, 0, b"a");
    submit(&mut queue, 1, b"b");
    submit(&mut queue, 2, b"waits");
    assert!(queue.abandon(abandoned));
    queue.stamp(NOW);
    submit(&mut queue, 3, b"younger");
    queue.stamp(NOW.after(IDLE));
    let mut expired = Vec::new();
    queue.expire(NOW, |ticket| expired.push(ticket.0));
    assert_eq!((expired, queue.len()), (vec![1, 2], 1));
    assert!(queue.has_room(), "whoever had to wait has a place");
    queue.expire(NOW.after(IDLE), |_| {});
    assert!(queue.is_empty(), "nothing is left of what was abandoned");
}
