//! The handshake: for any server bytes it completes, fails, or waits, and it sends a bounded number of bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::callers::Callers;
use super::script::{Script, pieces};
use crate::proto::connection::{
    Connection, ConnectionConfig, HandshakeConfig, Negotiated, Notifications, Protocol, Queue, QueueBounds,
    ReplyDeadline, Secret, TimeoutWindow,
};
use crate::proto::error::CloseReason;
use crate::proto::maint::mode::{EndpointType, Mode};
use crate::proto::resp::Limits;
use crate::proto::time::Instant;

/// The first bytes choose the settings and how the server's bytes are split. The rest is the server's bytes.
///
/// # Panics If more is sent than a handshake needs, or if a caller gets any result. If the agreed protocol or opt-in is
/// not what the mode allows.
pub fn handshake(data: &[u8]) {
    let mut script = Script::new(data);
    let (greeting, peer) = (greeting(&mut script), peer(&mut script));
    let (ask, cuts) = (script.coin(), script.cuts());
    let config = ConnectionConfig {
        handshake: Arc::new(greeting),
        limits: Limits::default(),
        in_flight_max: 8,
        connect_timeout: BUDGET,
        command_timeout: Duration::from_secs(1),
        reply_time_max: REPLY_TIME_MAX,
        idle_ping: Duration::MAX,
    };
    let mut attempt = Attempt {
        connection: Connection::dialing(Instant::default(), BUDGET, &config),
        queue: Queue::new(QueueBounds { commands: 8, bytes: 1 << 10 }),
        callers: Callers::default(),
        sent: 0,
        ask,
    };
    attempt.connection.handle_connected(peer, config.handshake.credentials(), Instant::default(), &config);
    let server = script.rest();
    let ended = attempt.run(pieces(server, &cuts), &config);
    if let Some(agreed) = attempt.connection.negotiated() {
        check_agreed(agreed, &config.handshake, peer.is_some() && ask);
    }
    match ended {
        Ok(()) => attempt.check_deadline(),
        Err(reason) => {
            let printed = format!("{reason} {reason:?}");
            let echoed = server.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(echoed || !printed.contains(SECRET), "{printed}");
            assert!(printed.len() <= REASON_MAX, "{printed}");
        }
    }
    assert_eq!((attempt.callers.delivered, attempt.connection.in_flight()), (0, 0));
    let lost =
        attempt.connection.end(&Arc::new(CloseReason::Local), None, &mut attempt.queue, &mut attempt.callers);
    assert_eq!((lost, attempt.callers.delivered), (0, 0));
}

struct Attempt {
    connection: Connection,
    queue: Queue,
    callers: Callers,
    sent: usize,
    ask: bool,
}

impl Attempt {
    fn run<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        config: &ConnectionConfig,
    ) -> Result<(), CloseReason> {
        self.transmit(config);
        for piece in pieces {
            self.connection.handle_bytes(Instant::default(), piece, &mut self.callers)?;
            if self.connection.awaits_opt_in() {
                assert_ne!(
                    config.handshake.mode,
                    Mode::Disabled,
                    "the opt-in gate is open when the mode is disabled"
                );
                self.connection.handle_opt_in(self.ask);
                assert!(!self.connection.awaits_opt_in());
            }
            let pushes = self.connection.take_pushes();
            assert!(pushes.iter().all(|push| push.frame.is_push()));
            self.transmit(config);
        }
        Ok(())
    }

    fn transmit(&mut self, config: &ConnectionConfig) {
        let count = self.connection.poll_transmit(Instant::default(), &mut self.queue, &[], config).len();
        self.connection.write_buffer().advance(count);
        self.sent += count;
        assert!(self.sent <= SENT_MAX, "{} bytes were sent", self.sent);
    }

    /// A connection that is not ready fails at its deadline, and not a nanosecond earlier.
    fn check_deadline(&mut self) {
        let normal = Duration::from_secs(1);
        let patience =
            ReplyDeadline { window: TimeoutWindow::relaxed(normal, normal, None), maintenance: None };
        let end = Instant::default().after(BUDGET);
        let early = Instant::from_nanos(end.as_nanos() - 1);
        assert!(self.connection.handle_timeout(early, &patience, &mut self.callers).is_ok());
        let late = self.connection.handle_timeout(end, &patience, &mut self.callers);
        let is_ready = self.connection.ready_since().is_some();
        assert_eq!(is_ready, late.is_ok(), "{late:?}");
        let next = self.connection.next_timeout(&patience.window);
        // A reply that has begun to arrive has its own, longer deadline.
        let is_arriving = next == Some(Instant::default().after(REPLY_TIME_MAX));
        assert_eq!(is_ready, next.is_none() || is_arriving);
    }
}

fn check_agreed(agreed: &Negotiated, greeting: &HandshakeConfig, asked: bool) {
    let is_resp3 = agreed.protocol == Protocol::Resp3;
    let asked = asked && is_resp3 && greeting.mode != Mode::Disabled;
    assert_eq!(asked, agreed.notifications != Notifications::Off, "{agreed:?}");
    if greeting.mode == Mode::Enabled {
        assert!(is_resp3, "{agreed:?}");
        assert!(!asked || agreed.notifications == Notifications::On, "{agreed:?}");
    }
}

fn greeting(script: &mut Script<'_>) -> HandshakeConfig {
    let options = script.byte();
    let has = |bit: u8| options >> bit & 1 == 1;
    HandshakeConfig {
        username: (has(0) && has(1)).then(|| "app".to_owned()),
        password: has(0).then(|| Secret(SECRET.to_owned())),
        client_name: has(2).then(|| "name".to_owned()),
        database: if has(3) { 7 } else { 0 },
        mode: script.choice(&[Mode::Auto, Mode::Enabled, Mode::Disabled]),
        endpoint_type: script.choice(&[
            EndpointType::Auto,
            EndpointType::ServerDefault,
            EndpointType::None,
            EndpointType::ExternalFqdn,
        ]),
        tls: has(4),
    }
}

fn peer(script: &mut Script<'_>) -> Option<IpAddr> {
    script.choice(&[
        Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
        Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        Some(IpAddr::V4(Ipv4Addr::new(54, 78, 247, 156))),
        None,
    ])
}

const SECRET: &str = "pAs5w0rd";
const REPLY_TIME_MAX: Duration = Duration::from_secs(60);
const BUDGET: Duration = Duration::from_secs(2);
/// The longest handshake with names as short as these.
const SENT_MAX: usize = 600;
/// A close reason quotes a bounded part of the server's error, so that it fits a log line with every byte escaped.
const REASON_MAX: usize = 4 << 10;
