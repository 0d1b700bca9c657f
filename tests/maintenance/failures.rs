//! Moves that go wrong: the old connection serves to its end, what follows is an ordinary reconnect, and a caller only
//! loses what was in flight when its connection ended.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::{Event, HandoffResult};
use hitless::rehearsal::UpstreamConfig;
use hitless::{Client, ErrorKind, Outcome, cmd};

use crate::common::Redis;
use crate::common::pauses::undisturbed;
use crate::common::stage::{
    ENDLESS, PATIENCE, Stage, connected_to, eventually, impatient, is_ended, is_gone, is_handed_off, stats,
    sum,
};

/// A server that says something, whatever it is asked.
struct Rubbish {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Rubbish {
    fn start(says: &'static [u8]) -> Rubbish {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let thread = thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                let mut asked = [0; 1024];
                let count = socket.read(&mut asked).unwrap_or(0);
                if asked[..count].starts_with(b"stop") {
                    return;
                }
                // Whoever asked may be gone.
                let _ = socket.write_all(says);
            }
        });
        Rubbish { address, thread: Some(thread) }
    }
}

impl Drop for Rubbish {
    fn drop(&mut self) {
        TcpStream::connect(self.address)
            .and_then(|mut socket| socket.write_all(b"stop"))
            .expect("it listens");
        self.thread.take().map(JoinHandle::join).expect("once").expect("no panic");
    }
}

/// Less than what any step here has before the end of a grace.
const SPARE: Duration = Duration::from_millis(200);

/// Tests each of these, at the same time: most of it is waiting for a grace to end.
fn side_by_side<T: Copy + Send + Sync>(cases: &[T], test: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for &case in cases {
            let test = &test;
            scope.spawn(move || test(case));
        }
    });
}

/// A client with one connection, that soon gives up a target.
fn lone_client(stage: &Stage) -> Client {
    stage.client_with(|config| config.shards(1).connections_per_shard(1).maintenance(impatient()))
}

fn incr(client: &Client) -> i64 {
    block_on(client.incr("counter")).expect("nobody gets an error")
}

/// The connection is not handed off, serves to its end, and is made again. Nobody is asking when it ends.
fn assert_serves_and_reconnects(stage: &Stage, client: &Client, target: SocketAddr) {
    let old = stage.address(0);
    let mut expected = 0;
    let mut serve = || {
        expected += 1;
        assert_eq!(incr(client), expected);
    };
    stage.rehearse(0, &format!("MOVING 1.5 {target}"));
    eventually("the handoff has ended", || {
        serve();
        stage.events.count(is_ended) == 1
    });
    assert_eq!(connected_to(client, old), 1);
    serve();
    let results = stage.events.results();
    assert!(matches!(&results[..], [HandoffResult::GaveUp(_)]), "{results:?}");
    // Its server ends it at the end of the grace, and not we.
    let lost = |event: &Event| matches!(event, Event::Disconnected { peer: Some(peer), reason } if *peer == old && reason.contains("the server"));
    stage.events.wait("the old one is closed by its server", 1, lost);
    stage.events.wait("connected again", 2, |event| *event == Event::Connected { peer: Some(old) });
    serve();
    let stats = &stats(client)[0];
    assert_eq!((stats.lost, stats.maintenance.orphaned, stats.maintenance.handoffs_failed), (1, 0, 1));
    assert_eq!(stage.events.results().len(), 1, "it is not handed off again");
}

fn assert_bad_target(fault: &str) {
    undisturbed(SPARE, || {
        let stage = Stage::new(2);
        let client = lone_client(&stage);
        stage.rehearse(1, &format!("FAULT {fault}"));
        assert_serves_and_reconnects(&stage, &client, stage.address(1));
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
fn a_target_that_is_no_redis_is_given_up() {
    const SAID: [&[u8]; 3] =
        [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-9\r\n", b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n"];
    side_by_side(&SAID, |rubbish| {
        undisturbed(SPARE, || {
            let stage = Stage::new(1);
            let client = lone_client(&stage);
            let target = Rubbish::start(rubbish);
            assert_serves_and_reconnects(&stage, &client, target.address);
        });
    });
}

#[test]
fn mv_target_refused_then_ok_on_sockets() {
    let stage = Stage::new(2);
    let client = stage.client_with(|config| {
        config
            .shards(1)
            .connections_per_shard(1)
            .maintenance(hitless::Maintenance::auto().handoff_retries_max(10))
    });
    stage.rehearse(1, "FAULT refuse");
    stage.announce(ENDLESS, "");
    eventually("it is dialed again", || {
        incr(&client);
        sum(&client, |sums| sums.handoff_retries) > 0
    });
    stage.rehearse(1, "FAULT off");
    stage.events.wait("handed off", 1, is_handed_off);
    incr(&client);
    assert_eq!(stats(&client)[0].lost, 0);
    let tried = |event: &Event| matches!(event, Event::HandoffEnded { attempts: 2.., .. });
    assert_eq!((stage.events.count(tried), stage.events.results().len()), (1, 1));
}

/// Six connections and a target that is dead: they stop trying before each has tried for itself.
#[test]
fn mv_target_dead_on_sockets() {
    let stage = Stage::new(2);
    let client = stage.client_with(|config| {
        config.shards(1).connections_per_shard(6).maintenance(impatient().circuit_breaker(2, PATIENCE, 1))
    });
    stage.rehearse(1, "FAULT refuse");
    stage.announce("20", "never");
    stage.events.wait("all have ended", 6, is_ended);
    let results = stage.events.results();
    assert!(results.contains(&HandoffResult::BreakerOpen), "{results:?}");
    assert!(results.iter().all(|result| *result != HandoffResult::Succeeded), "{results:?}");
    assert_eq!(connected_to(&client, stage.address(0)), 6, "all of them serve on");
    let stats = &stats(&client)[0];
    assert_eq!((stats.lost, stats.maintenance.permits_in_use, stats.maintenance.handoffs_queued), (0, 0, 0));
    // The next announcement is a reason to try once more.
    stage.rehearse(1, "FAULT off");
    stage.announce("20", "never");
    stage.events.wait("handed off", 6, is_handed_off);
}

/// The old server closes while the successor's handshake is kept waiting.
#[test]
fn mv_server_closes_early_on_sockets() {
    let stage = Stage::new(2);
    let client = stage.client(1, 1);
    let old = stage.address(0);
    stage.rehearse(1, "FAULT stall");
    stage.announce(ENDLESS, "");
    stage.events.wait("the successor is dialed", 1, |event| matches!(event, Event::HandoffStarted { .. }));
    stage.rehearse(0, "FAULT stall");
    let written = client.run::<i64>(&cmd("INCRBY").arg("counter").arg(100));
    eventually("it is written", || stats(&client)[0].in_flight == 1);
    stage.rehearse(0, "CLOSE");
    stage.events.wait("the server has closed it", 1, is_gone(old));
    let error = block_on(written).expect_err("it was in flight");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Ambiguous), "{error}");
    assert_eq!(error.maintenance(), Some("MOVING"));
    let unwritten = client.incr("counter");
    eventually("it is queued", || stats(&client)[0].queued == 1);
    stage.rehearse(1, "FAULT off");
    // Nothing was executed by a server that stalls.
    assert_eq!(block_on(unwritten).expect("it was not sent yet"), 1);
    assert_eq!(connected_to(&client, stage.address(1)), 1, "it went where the move leads");
    assert_eq!(stage.events.results(), [HandoffResult::Abandoned]);
}

/// A reply that comes after the deadline, on the old connection.
#[test]
fn mv_server_closes_late_on_sockets() {
    let redis = Redis::start();
    let upstream = UpstreamConfig { port: redis.port(), ..UpstreamConfig::default() };
    let stage = Stage::before(2, Some(upstream));
    let client = stage.client(1, 1);
    let (waiting, other) = (client.clone(), client.clone());
    let popped = waiting.run::<Vec<String>>(&cmd("BLPOP").arg("list").arg(0).blocking());
    eventually("it is written", || stats(&client)[0].in_flight == 1);
    let begin = Instant::now();
    stage.announce("1", "delay 600000");
    stage.events.wait("handed off", 1, is_handed_off);
    let behind = waiting.incr("counter");
    assert_eq!(block_on(other.incr("counter")).expect("another handle is not held up"), 1);
    assert_eq!(sum(&client, |sums| sums.draining), 1);
    eventually("the grace is over", || begin.elapsed() > Duration::from_millis(1200));
    block_on(other.rpush("list", &["late"])).expect("it is on the new connection");
    assert_eq!(block_on(popped).expect("the old connection is still read"), ["list", "late"]);
    // What was called behind it on the same handle came behind it.
    assert_eq!(block_on(behind).expect("it was only held"), 2);
    stage.events.wait("the old one is closed", 1, is_gone(stage.address(0)));
    assert_eq!(stage.planned(), 1, "the old server has not closed yet");
    assert_eq!(stats(&client)[0].lost, 0);
}

/// In whichever way a server ends its connections: those that have gone do not mind, and one that still waited for a
/// reply loses that.
#[test]
fn however_the_old_server_ends_only_what_it_still_owed_is_lost() {
    side_by_side(&["fin", "rst", "half", "unread"], |ending| undisturbed(SPARE, || assert_only_owed(ending)));
}

fn assert_only_owed(ending: &str) {
    let redis = Redis::start();
    let upstream = UpstreamConfig { port: redis.port(), ..UpstreamConfig::default() };
    let stage = Stage::before(2, Some(upstream));
    let client = stage.client(1, 2);
    let (waiting, other) = (client.clone(), client.clone());
    let popped = waiting.run::<Vec<String>>(&cmd("BLPOP").arg("nothing").arg(0).blocking());
    eventually("it is written", || stats(&client)[0].in_flight == 1);
    stage.announce("1", &format!("{ending} delay 100"));
    stage.events.wait("handed off", 2, is_handed_off);
    let behind = waiting.incr(ending);
    let error = block_on(popped).expect_err("it was in flight");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Ambiguous), "{error}");
    assert_eq!(error.maintenance(), Some("MOVING"), "{error}");
    assert_eq!(block_on(behind).expect("it was not sent yet"), 1);
    assert_eq!(block_on(other.incr(ending)).expect("it has gone"), 2);
    let stats = &stats(&client)[0];
    assert_eq!((stats.lost, stats.maintenance.orphaned, stats.maintenance.draining), (1, 1, 0), "{ending}");
    assert_eq!(connected_to(&client, stage.address(1)), 2);
}

/// Those that could not go connect again, and nobody who asks later gets an error.
#[test]
fn however_the_old_server_ends_those_that_could_not_go_connect_again() {
    side_by_side(&["fin", "rst", "half", "unread", "early 0.5 rst"], |ending| {
        let stage = Stage::new(2);
        let client = lone_client(&stage);
        stage.rehearse(1, "FAULT refuse");
        stage.announce("1.2", ending);
        stage.events.wait("it gave up", 1, is_ended);
        stage.events.wait("its server has ended it", 1, is_gone(stage.address(0)));
        assert_eq!(incr(&client), 1, "{ending}");
        assert_eq!((connected_to(&client, stage.address(0)), stats(&client)[0].lost), (1, 1), "{ending}");
    });
}

/// A server that never does what it announced: one that could not go stays where it is.
#[test]
fn a_server_that_never_closes_keeps_those_that_could_not_go() {
    let stage = Stage::new(2);
    let client = lone_client(&stage);
    let id = || block_on(client.run::<i64>(&cmd("CLIENT").arg("ID"))).expect("it serves");
    let before = id();
    stage.rehearse(1, "FAULT refuse");
    let begin = Instant::now();
    stage.announce("1", "never");
    stage.events.wait("it gave up", 1, is_ended);
    eventually("the grace is over", || {
        assert_eq!(id(), before);
        begin.elapsed() > Duration::from_millis(1500)
    });
    assert_eq!(stage.events.results().len(), 1);
}

/// A newer target while the first one keeps everybody waiting.
#[test]
fn mv_second_newer_target_on_sockets() {
    let stage = Stage::new(3);
    let client = stage.client(2, 2);
    stage.rehearse(1, "FAULT stall");
    stage.moves((0, 1), ENDLESS, "");
    stage.events.wait("dialed", 2, |event| matches!(event, Event::HandoffStarted { .. }));
    stage.moves((0, 2), ENDLESS, "");
    stage.events.wait("handed off", 4, is_handed_off);
    eventually("none is left elsewhere", || connected_to(&client, stage.address(2)) == 4);
    let succeeded = |event: &Event| {
        matches!(event, Event::HandoffEnded { to, result: HandoffResult::Succeeded, .. }
            if to.socket_addr() == Some(stage.address(2)))
    };
    assert_eq!(stage.events.count(succeeded), 4);
    assert!(stage.events.results().contains(&HandoffResult::Superseded));
    assert_eq!(incr(&client), 1);
    assert!(stats(&client).iter().all(|stats| stats.lost == 0));
}
