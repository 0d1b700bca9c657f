//! One connection alone: the commands that it keeps, and those that it returns.

use super::*;
use crate::proto::resp::Encoder;

/// Counts replies and failures.
#[derive(Default)]
pub(super) struct Counts {
    replies: usize,
    failures: usize,
}

impl Deliver for Counts {
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

pub(super) const NOW: Instant = Instant::from_nanos(1_000_000_000);
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

pub(super) fn queue() -> Queue {
    Queue::new(QueueBounds { commands: 100, bytes: 1 << 30 })
}

fn submit(queue: &mut Queue, ticket: u32, bytes: &[u8]) -> Position {
    let submission =
        Submission { entry: EntryId(0), handle: HandleId(0), ticket: Ticket(ticket), replies: 1 };
    queue.submit(submission, |out| Encoder::command(out, 1).bytes(bytes))
}

/// A connection whose handshake is over.
pub(super) fn ready() -> (Connection, Counts) {
    let (config, mut counts) = (config(), Counts::default());
    let mut connection = Connection::dialing(NOW, Duration::from_secs(2), &config);
    connection.handle_connected(None, None, NOW, &config);
    for replies in [&b"%1\r\n+proto\r\n:3\r\n"[..], b"+OK\r\n+OK\r\n"] {
        write(&mut connection, &mut queue());
        connection.handle_bytes(NOW, replies, &mut counts).unwrap();
    }
    assert!(connection.ready_since().is_some());
    (connection, counts)
}

/// Writes everything, and returns the number of bytes.
pub(super) fn write(connection: &mut Connection, queue: &mut Queue) -> usize {
    let count = connection.poll_transmit(NOW, queue, &[], &config()).len();
    connection.write_buffer().advance(count);
    count
}

fn strict() -> ReplyDeadline {
    let second = Duration::from_secs(1);
    ReplyDeadline { window: TimeoutWindow::relaxed(second, second, None), maintenance: None }
}

#[test]
fn draining_connection_keeps_no_internal_commands() {
    let (mut connection, mut counts) = ready();
    connection.log_in(Arc::new(Credentials::password("new")));
    assert!(connection.has_internal() && connection.is_logging_in());
    connection.drain();
    assert!(!connection.has_internal() && !connection.is_logging_in());
    let (mut connection, _) = ready();
    connection.handle_timeout(NOW.after(IDLE), &strict(), &mut counts).unwrap();
    assert!(connection.has_internal(), "a ping is due");
    connection.drain();
    assert!(!connection.has_internal());
    assert_eq!(write(&mut connection, &mut queue()), 0);
}

#[test]
fn buffer_of_a_large_command_is_released() {
    let ((mut connection, _), mut queue) = (ready(), queue());
    submit(&mut queue, 1, &vec![b'v'; 4 << 20]);
    assert!(write(&mut connection, &mut queue) > 4 << 20);
    assert!(connection.outgoing.capacity() > 4 << 20, "the driver may still ask for the unwritten rest");
    // The buffer is swapped with that of the queue: neither may keep the large one.
    for ticket in 2..5 {
        submit(&mut queue, ticket, b"small");
        assert!(write(&mut connection, &mut queue) > 0);
        assert!(connection.outgoing.capacity() <= write_buffer::KEPT_MAX);
    }
}

/// If this reply were matched with a command, all later replies would go to the wrong commands.
#[test]
fn reply_before_a_byte_is_written_ends_the_connection() {
    let ((mut connection, mut counts), mut queue) = (ready(), queue());
    submit(&mut queue, 1, b"a");
    assert!(!connection.poll_transmit(NOW, &mut queue, &[], &config()).is_empty());
    let ended = connection.handle_bytes(NOW, b"+a\r\n", &mut counts);
    assert!(matches!(ended, Err(CloseReason::UnaskedReply)), "{ended:?}");
    let lost = connection.end(&Arc::new(CloseReason::UnaskedReply), None, &mut queue, &mut counts);
    assert_eq!(
        (lost, counts.replies, counts.failures, queue.len()),
        (0, 0, 0, 1),
        "the command goes to the next connection"
    );
}

/// Internal commands stand between the others and have no position.
#[test]
fn command_behind_an_internal_one_is_abandoned_and_expires() {
    for expires in [false, true] {
        let ((mut connection, mut counts), mut queue) = (ready(), queue());
        let first = submit(&mut queue, 1, b"a");
        write(&mut connection, &mut queue);
        connection.log_in(Arc::new(Credentials::password("new")));
        write(&mut connection, &mut queue);
        let second = submit(&mut queue, 2, b"b");
        write(&mut connection, &mut queue);
        match expires {
            true => {
                // The peer has sent a byte lately, so it is not dead.
                connection.handle_bytes(NOW.after(IDLE), b">1\r\n+x\r\n", &mut counts).unwrap();
                connection.handle_timeout(NOW.after(IDLE), &strict(), &mut counts).unwrap();
                assert_eq!(counts.failures, 2);
            }
            false => assert!(connection.abandon(first) && connection.abandon(second)),
        }
        connection.handle_bytes(NOW, b"+a\r\n+OK\r\n+b\r\n", &mut counts).unwrap();
        assert_eq!((counts.replies, connection.in_flight()), (0, 0));
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
    assert!(queue.has_room(), "the waiting command is queued");
    queue.expire(NOW.after(IDLE), |_| {});
    assert!(queue.is_empty(), "no abandoned command is left");
}
