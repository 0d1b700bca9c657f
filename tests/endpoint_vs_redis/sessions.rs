//! Commands by which one session changes the output of others: publish and subscribe, and blocking commands.
//!
//! A script has one step a line. A letter names the session:
//!
//! ```text
//! A RPUSH k 1          asks, and notes the reply
//! A MULTI; GET k; EXEC sends all of it at once, and notes the replies
//! B                    notes what has arrived
//! B> BLPOP k 0         sends, and continues when the server has blocked the session
//! B<                   notes the reply of the blocked session
//! B!                   closes, and continues when the server has noticed it
//! ```
//!
//! `#B` stands for the id of session B.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use super::common::Redis;
use super::{MARKER, bulk, connect, read_reply, request};
use hitless::rehearsal::{Endpoints, EndpointsConfig};

/// The sessions of one server while a script runs.
struct Sessions {
    address: SocketAddr,
    first: &'static str,
    /// Asks about the server; no step uses it.
    control: TcpStream,
    open: BTreeMap<String, (TcpStream, String)>,
}

impl Sessions {
    fn new(address: SocketAddr, first: &'static str) -> Self {
        let mut control = connect(address);
        ask(&mut control, "FLUSHALL");
        Self { address, first, control, open: BTreeMap::new() }
    }

    /// Executes one step. Returns what the session has read.
    fn step(&mut self, line: &str) -> String {
        let (name, command) = line.split_once(' ').unwrap_or((line, ""));
        let session = name.trim_end_matches(['>', '<', '!']);
        self.open_once(session);
        let command = self.with_ids(command);
        match name.strip_prefix(session).unwrap() {
            ">" => {
                let before = self.blocked();
                let stream = &mut self.open.get_mut(session).unwrap().0;
                stream.write_all(&with_marker(&command)).unwrap();
                while self.blocked() <= before {}
                String::new()
            }
            "<" => read(&mut self.open.get_mut(session).unwrap().0, line),
            "!" => {
                let before = self.blocked();
                drop(self.open.remove(session));
                while self.blocked() >= before {}
                String::new()
            }
            _ => ask(&mut self.open.get_mut(session).unwrap().0, &command),
        }
    }

    fn open_once(&mut self, session: &str) {
        if !self.open.contains_key(session) {
            let mut stream = connect(self.address);
            ask(&mut stream, self.first);
            let id = ask(&mut stream, "CLIENT ID");
            let id = id.trim_matches([':', '\r', '\n']).to_owned();
            self.open.insert(session.to_owned(), (stream, id));
        }
    }

    fn with_ids(&self, command: &str) -> String {
        let replace = |text: String, (name, (_, id)): (&String, &(TcpStream, String))| {
            text.replace(&format!("#{name}"), id)
        };
        self.open.iter().fold(command.to_owned(), replace)
    }

    /// The number of blocked sessions.
    fn blocked(&mut self) -> usize {
        let info = ask(&mut self.control, "INFO clients");
        let blocked = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
        blocked.expect("INFO has the number").parse().unwrap()
    }
}

fn ask(stream: &mut TcpStream, command: &str) -> String {
    stream.write_all(&with_marker(command)).unwrap();
    read(stream, command)
}

/// The requests of `command`, with a marker behind them that subscribers in RESP2 may send as well.
fn with_marker(command: &str) -> Vec<u8> {
    let commands = command.split("; ").filter(|command| !command.is_empty());
    let mut requests: Vec<u8> = commands.flat_map(request).collect();
    requests.extend(request(&format!("PING {MARKER}")));
    requests
}

/// Reads up to the reply to the marker. Subscribers in RESP2 get it in an array.
fn read(stream: &mut TcpStream, line: &str) -> String {
    let reply = read_reply(stream, line, &[&bulk(MARKER)]);
    let head = reply.strip_suffix("*2\r\n$4\r\npong\r\n");
    head.unwrap_or(&reply).to_owned()
}

fn compare(first: &'static str) {
    let real = Redis::start();
    let is_old = real.server.name.contains("Redis server v=7.0.");
    let config = EndpointsConfig { listen: vec![([127, 0, 0, 1], 0).into()], ..EndpointsConfig::default() };
    let ours = Endpoints::start(config).unwrap();
    let mut differences = Vec::new();
    for script in SCRIPTS.iter().chain(ONLY_AS_REDIS_7_0.iter().filter(|_| is_old)) {
        let mut real = Sessions::new(([127, 0, 0, 1], real.port()).into(), first);
        let mut ours = Sessions::new(ours.addresses()[0], first);
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (real, ours) = (real.step(line), ours.step(line));
            if real != ours {
                differences.push(format!("{line}\n   redis {real:?}\n   ours  {ours:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn sessions_affect_each_other_alike_in_resp2() {
    compare("HELLO 2");
}

#[test]
fn sessions_affect_each_other_alike_in_resp3() {
    compare("HELLO 3");
}

/// `PUBSUB CHANNELS`, and the confirmations of one `UNSUBSCRIBE` from several channels, have no order in Redis, so the
/// scripts let them name one channel at a time. A subscriber in RESP2 that calls an unknown subcommand gets another error
/// from Redis, which looks for the subcommand first.
const SCRIPTS: &[&str] = &[
    "B SUBSCRIBE a a
    B PSUBSCRIBE n* x
    B SSUBSCRIBE a
    B SUBSCRIBE news
    A PUBSUB CHANNELS n*
    A PUBSUB CHANNELS none
    A PUBSUB CHANNELS a b
    A PUBSUB NUMSUB a none news
    A PUBSUB NUMSUB
    A PUBSUB NUMPAT
    A PUBSUB NUMPAT x
    A PUBSUB SHARDCHANNELS
    A PUBSUB SHARDNUMSUB a news
    A PUBSUB
    A PUBSUB nosuch
    A PUBLISH news 1
    A PUBLISH a ''
    A PUBLISH none 1
    A PUBLISH a
    A SPUBLISH a 2
    A SPUBLISH news 2
    A MULTI; PUBLISH a 3; PUBLISH next 4; EXEC
    B
    B UNSUBSCRIBE none
    B UNSUBSCRIBE a
    B UNSUBSCRIBE
    B UNSUBSCRIBE
    B PUNSUBSCRIBE x none
    B PUNSUBSCRIBE
    B PUNSUBSCRIBE
    B SUNSUBSCRIBE news
    B SUNSUBSCRIBE
    B SUNSUBSCRIBE
    A PUBLISH a 5
    A SPUBLISH a 6
    B GET k",
    "B SUBSCRIBE a
    B PING
    B PING hi
    B PING a b
    B GET k
    B get
    B SELECT 1
    B NOSUCH
    B CLIENT GETNAME
    B CONFIG GET save
    B MULTI; EXEC
    B SUBSCRIBE
    B RESET
    B GET k
    A PUBLISH a 1
    B PUBSUB NUMSUB a",
    "B SSUBSCRIBE a
    B GET k
    B SUNSUBSCRIBE a
    B GET k
    B MULTI; SUBSCRIBE a b; PSUBSCRIBE p; PING; UNSUBSCRIBE b; EXEC
    B RESET
    B MULTI; SSUBSCRIBE a; PING; EXEC
    B MULTI; UNSUBSCRIBE; EXEC",
    "A BLPOP k
    A BLPOP k x
    A BLPOP k -1
    A BLPOP k nan
    A BLPOP k ''
    A BLPOP k 0.01
    A BRPOP k j 0.001
    A BLMOVE k j LEFT RIGHT 0.01
    A BLMOVE k j LEFT FOO 0.01
    A BLMOVE k j LEFT LEFT x
    A BRPOPLPUSH k j 0.01
    A BRPOPLPUSH k j -1
    A BLMPOP 0.01 1 k LEFT
    A BLMPOP x 1 k LEFT
    A BLMPOP 0 0 k LEFT
    A BLMPOP 0 x k LEFT
    A BLMPOP 0 2 k LEFT
    A BLMPOP 0 1 k FOO
    A BLMPOP 0 1 k LEFT COUNT
    A BLMPOP 0 1 k LEFT COUNT 0
    A BLMPOP 0 1 k LEFT COUNT x
    A BLMPOP 0 1 k LEFT FOO 1
    A BLMPOP 0 1 k LEFT COUNT 1 COUNT 2
    A BLMPOP 0.01 -1 k LEFT
    A BLMPOP 0.01 99999999999 k LEFT
    A SET s v
    A BLPOP k s 0
    A BLMOVE s k LEFT LEFT 0
    A BLMOVE k s LEFT LEFT 0.01
    A RPUSH l a b c d e f g
    A BLMOVE l s LEFT LEFT 0
    A BLPOP k l 0
    A BRPOP l 0
    A BLMOVE l j LEFT LEFT 0
    A BRPOPLPUSH l j 0
    A BLMPOP 0 2 k l RIGHT COUNT 9
    A LRANGE j 0 -1
    A MULTI; BLPOP k 0; BLMOVE k j LEFT LEFT 0; BRPOPLPUSH k j 0; BLMPOP 0 1 k LEFT; BRPOP j 0; BLPOP k x; EXEC
    A WAIT 0 0
    A WAIT x 0
    A WAIT 0 x
    A WAIT 0 -1
    A WAIT 0
    A CLIENT UNBLOCK #A",
    "B> BLPOP k k 0
    C> BRPOP j k 0
    D> BLMPOP 0 2 j k LEFT COUNT 9
    A RPUSH k 1 2 3 4
    B<
    C<
    D<
    A EXISTS k
    B> BLPOP k 0
    C> BLPOP k 0
    B!
    A LPUSH k 1
    C<
    A EXISTS k
    B> BLPOP k 0; RPUSH k 2; BLPOP k 0; GET k
    A RPUSH k 1
    B<
    B> BLPOP k 0
    A MULTI; RPUSH k 1; LPOP k; EXEC
    A MULTI; RPUSH k 1; RPUSH k 2; LPUSH k 0; EXEC
    B<
    A LRANGE k 0 -1",
    "B> BLPOP k 0
    A SET k v
    A DEL k
    A SELECT 1
    A RPUSH k other
    A SELECT 0
    A RPUSH j 1 2
    A RENAME j k
    B<
    A LRANGE k 0 -1
    A FLUSHALL
    B> BLMOVE k j LEFT RIGHT 0
    C> BRPOPLPUSH j i 0
    D> BLPOP i 0
    A RPUSH k 1 2
    B<
    C<
    D<
    A LRANGE k 0 -1
    A EXISTS j i
    A FLUSHALL
    B> BLMOVE k k LEFT RIGHT 0
    C> BLMOVE k k LEFT RIGHT 0
    A RPUSH k 1 2
    B<
    C<
    A LRANGE k 0 -1
    A DEL k
    A SET s v
    B> BLMOVE k s LEFT LEFT 0
    C> BLPOP k 0
    A RPUSH k 1
    B<
    C<",
    "B> BLPOP k 0
    A CLIENT UNBLOCK #B
    B<
    A CLIENT UNBLOCK #B
    B> BLMOVE k j LEFT LEFT 0
    A CLIENT UNBLOCK #B TIMEOUT
    B<
    B> BRPOPLPUSH k j 9; PING
    A client unblock #B error
    B<
    B> BLMPOP 0 1 k LEFT
    A MULTI; RPUSH k 1; CLIENT UNBLOCK #B; LLEN k; EXEC
    B<
    A LRANGE k 0 -1",
];

/// Redis 7.2 executes a blocked command again, and so takes from the first key that it names.
const ONLY_AS_REDIS_7_0: &[&str] = &["B> BLPOP m n 0
    C> BLPOP n 0
    D> BLMOVE n s LEFT LEFT 0
    A MULTI; RPUSH n 1 2 3; RPUSH m 9; SET s v; EXEC
    B<
    C<
    D<
    A LRANGE n 0 -1
    A LRANGE m 0 -1"];
