//! Failed moves: the old connection serves to its end, an ordinary reconnect follows, and callers lose only the
//! commands in flight when their connection ended.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::{Event, HandoffResult};
use hitless::rehearsal::UpstreamConfig;
use hitless::{Client, ErrorKind, Outcome, cmd};

use crate::common::Redis;
use crate::common::fixture::{
    ENDLESS, Fixture, WAIT_MAX, connected_to, eventually, giving_up_soon, is_disconnected, is_ended,
    is_handed_off, stats, sum,
};
use crate::common::pauses::retry_on_pause;

/// A server that replies to everything with the same bytes.
struct GarbageServer {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl GarbageServer {
    fn start(says: &'static [u8]) -> GarbageServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let thread = thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                let mut asked = [0; 1024];
                let count = socket.read(&mut asked).unwrap_or(0);
                if asked[..count].starts_with(b"stop") {
                    return;
                }
                // The client may have closed already.
                let _ = socket.write_all(says);
            }
        });
        GarbageServer { address, thread: Some(thread) }
    }
}

impl Drop for GarbageServer {
    fn drop(&mut self) {
        TcpStream::connect(self.address)
            .and_then(|mut socket| socket.write_all(b"stop"))
            .expect("it listens");
        self.thread.take().map(JoinHandle::join).expect("once").expect("no panic");
    }
}

/// Less than the time that any step has before the end of a grace.
const SPARE: Duration = Duration::from_millis(200);

/// Runs the cases at the same time, because they mostly wait for a grace to end.
fn side_by_side<T: Copy + Send + Sync>(cases: &[T], test: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for &case in cases {
            let test = &test;
            scope.spawn(move || test(case));
        }
    });
}

/// A client with one connection that gives up a target soon.
fn single_connection_client(fixture: &Fixture) -> Client {
    fixture.client_with(|config| config.shards(1).connections_per_shard(1).maintenance(giving_up_soon()))
}

fn incr(client: &Client) -> i64 {
    block_on(client.incr("counter")).expect("no error")
}

/// The connection is not handed off, serves to its end, and is dialed again. No command is in flight when it ends.
fn assert_serves_and_reconnects(fixture: &Fixture, client: &Client, target: SocketAddr) {
    let old = fixture.address(0);
    let mut expected = 0;
    let mut serve = || {
        expected += 1;
        assert_eq!(incr(client), expected);
    };
    fixture.rehearse(0, &format!("MOVING 1.5 {target}"));
    eventually("the handoff has ended", || {
        serve();
        fixture.events.count(is_ended) == 1
    });
    assert_eq!(connected_to(client, old), 1);
    serve();
    let results = fixture.events.results();
    assert!(matches!(&results[..], [HandoffResult::GaveUp(_)]), "{results:?}");
    // The server closes the connection at the end of the grace; the client does not.
    let lost = |event: &Event| matches!(event, Event::Disconnected { peer: Some(peer), reason, .. } if *peer == old && reason.contains("the server"));
    fixture.events.wait("the server closes the old connection", 1, lost);
    fixture.events.wait(
        "connected again",
        2,
        |event| matches!(event, Event::Connected { peer: Some(peer), .. } if *peer == old),
    );
    serve();
    let stats = &stats(client)[0];
    assert_eq!((stats.lost, stats.maintenance.orphaned, stats.maintenance.handoffs_failed), (1, 0, 1));
    assert_eq!(fixture.events.results().len(), 1, "the connection is not handed off again");
}

fn assert_bad_target(fault: &str) {
    retry_on_pause(SPARE, || {
        let fixture = Fixture::new(2);
        let client = single_connection_client(&fixture);
        fixture.rehearse(1, &format!("FAULT {fault}"));
        assert_serves_and_reconnects(&fixture, &client, fixture.address(1));
    });
}

#[test]
fn a_target_that_refuses_is_given_up() {
    assert_bad_target("refuse");
}

#[test]
fn a_target_that_accepts_and_stalls_is_given_up() {
    assert_bad_target("stall");
}

#[test]
fn a_target_that_resets_in_the_handshake_is_given_up() {
    assert_bad_target("reset 20 out");
}

#[test]
fn a_target_that_closes_at_once_is_given_up() {
    assert_bad_target("drop");
}

#[test]
fn a_target_that_is_not_redis_is_given_up() {
    const SAID: [&[u8]; 3] =
        [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-9\r\n", b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n"];
    side_by_side(&SAID, |garbage| {
        retry_on_pause(SPARE, || {
            let fixture = Fixture::new(1);
            let client = single_connection_client(&fixture);
            let target = GarbageServer::start(garbage);
            assert_serves_and_reconnects(&fixture, &client, target.address);
        });
    });
}

#[test]
fn mv_target_refused_then_ok_on_sockets() {
    let fixture = Fixture::new(2);
    let client = fixture.client_with(|config| {
        config
            .shards(1)
            .connections_per_shard(1)
            .maintenance(hitless::Maintenance::auto().handoff_retries_max(10))
    });
    fixture.rehearse(1, "FAULT refuse");
    fixture.announce(ENDLESS, "");
    eventually("it is dialed again", || {
        incr(&client);
        sum(&client, |sums| sums.handoff_retries) > 0
    });
    fixture.rehearse(1, "FAULT off");
    fixture.events.wait("handed off", 1, is_handed_off);
    incr(&client);
    assert_eq!(stats(&client)[0].lost, 0);
    let tried = |event: &Event| matches!(event, Event::HandoffEnded { attempts: 2.., .. });
    assert_eq!((fixture.events.count(tried), fixture.events.results().len()), (1, 1));
}

/// With six connections and a dead target, the breaker stops the attempts before each connection has tried.
#[test]
fn mv_target_dead_on_sockets() {
    let fixture = Fixture::new(2);
    let client = fixture.client_with(|config| {
        config
            .shards(1)
            .connections_per_shard(6)
            .maintenance(giving_up_soon().circuit_breaker(2, WAIT_MAX, 1))
    });
    fixture.rehearse(1, "FAULT refuse");
    fixture.announce("20", "never");
    fixture.events.wait("all have ended", 6, is_ended);
    let results = fixture.events.results();
    assert!(results.contains(&HandoffResult::BreakerOpen), "{results:?}");
    assert!(results.iter().all(|result| *result != HandoffResult::Succeeded), "{results:?}");
    assert_eq!(connected_to(&client, fixture.address(0)), 6, "all of them keep serving");
    let stats = &stats(&client)[0];
    assert_eq!((stats.lost, stats.maintenance.permits_in_use, stats.maintenance.handoffs_queued), (0, 0, 0));
    // A new announcement half-opens the breaker.
    fixture.rehearse(1, "FAULT off");
    fixture.announce("20", "never");
    fixture.events.wait("handed off", 6, is_handed_off);
}

/// The old server closes while the successor waits in its handshake.
#[test]
fn mv_server_closes_early_on_sockets() {
    let fixture = Fixture::new(2);
    let client = fixture.client(1, 1);
    let old = fixture.address(0);
    fixture.rehearse(1, "FAULT stall");
    fixture.announce(ENDLESS, "");
    fixture.events.wait("the successor is dialed", 1, |event| matches!(event, Event::HandoffStarted { .. }));
    fixture.rehearse(0, "FAULT stall");
    let written = client.run::<i64>(&cmd("INCRBY").arg("counter").arg(100));
    eventually("it is written", || stats(&client)[0].in_flight == 1);
    fixture.rehearse(0, "CLOSE");
    fixture.events.wait("the server has closed it", 1, is_disconnected(old));
    let error = block_on(written).expect_err("it was in flight");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Ambiguous), "{error}");
    assert_eq!(error.maintenance(), Some("MOVING"));
    let unwritten = client.incr("counter");
    eventually("it is queued", || stats(&client)[0].queued == 1);
    fixture.rehearse(1, "FAULT off");
    // A stalled server executes nothing.
    assert_eq!(block_on(unwritten).expect("it was not sent yet"), 1);
    assert_eq!(connected_to(&client, fixture.address(1)), 1, "it is connected to the target");
    fixture.events.wait("the handoff has ended", 1, is_ended);
    assert_eq!(fixture.events.results(), [HandoffResult::Abandoned]);
}

/// A server on which `HOLD` is `BLPOP`: the client does not know it, and sends it on a shared connection.
const HOLD: &[&str] = &["--rename-command", "BLPOP", "HOLD"];

/// A reply after the end of the grace, on the old connection.
#[test]
fn mv_server_closes_late_on_sockets() {
    let redis = Redis::start_with(HOLD);
    let upstream = UpstreamConfig { port: redis.port(), ..UpstreamConfig::default() };
    let fixture = Fixture::before(2, Some(upstream));
    let client = fixture.client(1, 1);
    let (waiting, other) = (client.clone(), client.clone());
    let popped = waiting.run::<Vec<String>>(&cmd("HOLD").arg("list").arg(0));
    eventually("it is written", || stats(&client)[0].in_flight == 1);
    let begin = Instant::now();
    fixture.announce("1", "delay 600000");
    fixture.events.wait("handed off", 1, is_handed_off);
    let behind = waiting.incr("counter");
    assert_eq!(block_on(other.incr("counter")).expect("another handle is not delayed"), 1);
    assert_eq!(sum(&client, |sums| sums.draining), 1);
    eventually("the grace is over", || begin.elapsed() > Duration::from_millis(1200));
    block_on(other.rpush("list", &["late"])).expect("the new connection serves");
    assert_eq!(block_on(popped).expect("the old connection is still read"), ["list", "late"]);
    // The next command of the same handle ran after it.
    assert_eq!(block_on(behind).expect("it was only delayed"), 2);
    fixture.events.wait("the old connection is closed", 1, is_disconnected(fixture.address(0)));
    assert_eq!(fixture.planned(), 1, "the old server has not closed yet");
    assert_eq!(stats(&client)[0].lost, 0);
}

/// However a server closes its connections: moved connections do not notice, and a connection that still waits for a
/// reply loses that reply only.
#[test]
fn only_commands_in_flight_are_lost_however_the_server_closes() {
    side_by_side(&["fin", "rst", "half", "unread"], |ending| {
        retry_on_pause(SPARE, || assert_only_in_flight_is_lost(ending))
    });
}

fn assert_only_in_flight_is_lost(ending: &str) {
    let redis = Redis::start_with(HOLD);
    let upstream = UpstreamConfig { port: redis.port(), ..UpstreamConfig::default() };
    let fixture = Fixture::before(2, Some(upstream));
    let client = fixture.client(1, 2);
    let (waiting, other) = (client.clone(), client.clone());
    let popped = waiting.run::<Vec<String>>(&cmd("HOLD").arg("nothing").arg(0));
    eventually("it is written", || stats(&client)[0].in_flight == 1);
    fixture.announce("1", &format!("{ending} delay 100"));
    fixture.events.wait("handed off", 2, is_handed_off);
    let behind = waiting.incr(ending);
    let error = block_on(popped).expect_err("it was in flight");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Ambiguous), "{error}");
    assert_eq!(error.maintenance(), Some("MOVING"), "{error}");
    assert_eq!(block_on(behind).expect("it was not sent yet"), 1);
    assert_eq!(block_on(other.incr(ending)).expect("it has gone"), 2);
    let stats = &stats(&client)[0];
    assert_eq!((stats.lost, stats.maintenance.orphaned, stats.maintenance.draining), (1, 1, 0), "{ending}");
    assert_eq!(connected_to(&client, fixture.address(1)), 2);
}

/// Connections that could not move reconnect, and later commands succeed.
#[test]
fn connections_that_could_not_move_reconnect_after_any_close() {
    side_by_side(&["fin", "rst", "half", "unread", "early 0.5 rst"], |ending| {
        let fixture = Fixture::new(2);
        let client = single_connection_client(&fixture);
        fixture.rehearse(1, "FAULT refuse");
        fixture.announce("1.2", ending);
        fixture.events.wait("it gave up", 1, is_ended);
        fixture.events.wait("its server has ended it", 1, is_disconnected(fixture.address(0)));
        assert_eq!(incr(&client), 1, "{ending}");
        assert_eq!((connected_to(&client, fixture.address(0)), stats(&client)[0].lost), (1, 1), "{ending}");
    });
}

/// The server never closes as announced: a connection that could not move stays.
#[test]
fn connections_that_could_not_move_stay_on_an_open_server() {
    let fixture = Fixture::new(2);
    let client = single_connection_client(&fixture);
    let id = || block_on(client.run::<i64>(&cmd("CLIENT").arg("ID"))).expect("it serves");
    let before = id();
    fixture.rehearse(1, "FAULT refuse");
    let begin = Instant::now();
    fixture.announce("1", "never");
    fixture.events.wait("it gave up", 1, is_ended);
    eventually("the grace is over", || {
        assert_eq!(id(), before);
        begin.elapsed() > Duration::from_millis(1500)
    });
    assert_eq!(fixture.events.results().len(), 1);
}

/// A newer target arrives while the handoffs to the first one wait.
#[test]
fn mv_second_newer_target_on_sockets() {
    let fixture = Fixture::new(3);
    let client = fixture.client(2, 2);
    fixture.rehearse(1, "FAULT stall");
    fixture.moves((0, 1), ENDLESS, "");
    fixture.events.wait("dialed", 2, |event| matches!(event, Event::HandoffStarted { .. }));
    fixture.moves((0, 2), ENDLESS, "");
    fixture.events.wait("handed off", 4, is_handed_off);
    eventually("all connections lead to the newer target", || connected_to(&client, fixture.address(2)) == 4);
    let succeeded = |event: &Event| {
        matches!(event, Event::HandoffEnded { to, result: HandoffResult::Succeeded, .. }
            if to.socket_addr() == Some(fixture.address(2)))
    };
    assert_eq!(fixture.events.count(succeeded), 4);
    assert!(fixture.events.results().contains(&HandoffResult::Superseded));
    assert_eq!(incr(&client), 1);
    assert!(stats(&client).iter().all(|stats| stats.lost == 0));
}
