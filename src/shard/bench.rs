//! The path of a command on a shard without an executor and a socket, to count its instructions: from the call of a method,
//! through a turn of the driver, to the value that the caller gets.
//!
//! The executor, its wakers and the kernel are not in it. A waker that does nothing and a [`Tape`] replace them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::transport::Stream;
use super::transport::tape::Tape;
use super::{Reply, Shard, bare, driver};
use crate::command::FromReply;
use crate::proto::connection::ReadBudget;
use crate::proto::pool::ConnectionId;

/// Runs `rounds` rounds of a scenario, after some that warm it up, and returns the number of commands. `counted` is called before
/// and after each of the three parts of a round.
///
/// # Panics
/// If there is no such scenario, or a reply is not what it should be.
pub fn run(scenario: &str, rounds: usize, counted: &mut dyn FnMut(&'static str)) -> usize {
    let value = format!("$64\r\n{}\r\n", "v".repeat(64));
    let push = format!(">2\r\n${}\r\n{PUSH}\r\n*1\r\n$3\r\nkey\r\n", PUSH.len());
    let array = |count: usize| format!("*{count}\r\n{}", value.repeat(count));
    let get = |shard: &Shard| shard.get::<Bytes>(KEY);
    let keys: Vec<&str> = vec![KEY; 100];
    match scenario {
        "get" => Bench::new(TOGETHER, &value, get).run(rounds, counted),
        "get-alone" => Bench::new(1, &value, get).run(rounds, counted),
        "get-push" => Bench::new(TOGETHER, &format!("{push}{value}"), get).run(rounds, counted),
        "set" => Bench::new(TOGETHER, "+OK\r\n", |shard| shard.set(KEY, VALUE)).run(rounds, counted),
        "mget-100" => {
            Bench::new(1, &array(100), |shard| shard.mget::<Vec<Bytes>>(&keys)).run(rounds, counted)
        }
        "pipeline-64" => {
            let send = |shard: &Shard| {
                let pipeline = shard.pipeline();
                for _ in 0..TOGETHER {
                    pipeline.get(KEY);
                }
                pipeline.run::<Vec<Bytes>>()
            };
            Bench::new(1, &value.repeat(TOGETHER), send).run(rounds, counted) * TOGETHER
        }
        _ => panic!("no scenario {scenario}"),
    }
}

struct Bench<T, S> {
    /// One for each command of a round.
    shards: Vec<Shard>,
    send: S,
    replies: Vec<Reply<T>>,
    id: ConnectionId,
    stream: Stream,
}

impl<T: FromReply, S: Fn(&Shard) -> Reply<T>> Bench<T, S> {
    /// A connected pool of one connection, whose server answers each of `together` commands with `reply`.
    fn new(together: usize, reply: &str, send: S) -> Self {
        let (shard, id) = bare::shard();
        // A connection whose pushes nothing handles is replaced after some thousands of them.
        shard.on_push(PUSH, |_| ()).expect("a name for pushes");
        let stream = Stream::tape(Tape::new(&reply.repeat(together)));
        let shards = (0..together).map(|_| shard.clone()).collect();
        // Dropping the last handle would shut it down, which takes an executor.
        std::mem::forget(shard);
        Bench { shards, send, replies: Vec::with_capacity(together), id, stream }
    }

    fn run(mut self, rounds: usize, counted: &mut dyn FnMut(&'static str)) -> usize {
        for _ in 0..WARM_UP {
            self.submit();
            self.turn();
            self.take();
        }
        for _ in 0..rounds {
            counted("submit");
            self.counted_submit();
            counted("turn");
            self.counted_turn();
            counted("take");
            self.counted_take();
            counted("");
        }
        let commands = rounds * self.shards.len();
        std::mem::forget(self);
        commands
    }

    #[inline(never)]
    fn counted_submit(&mut self) {
        self.submit();
    }

    #[inline(never)]
    fn counted_turn(&mut self) {
        self.turn();
    }

    #[inline(never)]
    fn counted_take(&mut self) {
        self.take();
    }

    /// Each caller calls, and begins to wait.
    #[inline(always)]
    fn submit(&mut self) {
        let context = &mut Context::from_waker(Waker::noop());
        for shard in &self.shards {
            let mut reply = (self.send)(shard);
            assert!(Pin::new(&mut reply).poll(context).is_pending());
            self.replies.push(reply);
        }
    }

    /// The driver writes the commands, reads the replies, and wakes the callers.
    #[inline(always)]
    fn turn(&mut self) {
        let [shard, ..] = &self.shards[..] else { panic!("there is always one") };
        let context = &mut Context::from_waker(Waker::noop());
        assert!(
            driver::turn(&shard.shared, self.id, &mut self.stream, &mut ReadBudget::default(), context)
                .is_pending()
        );
    }

    /// Each caller goes on with its value.
    #[inline(always)]
    fn take(&mut self) {
        let context = &mut Context::from_waker(Waker::noop());
        for mut reply in self.replies.drain(..) {
            assert!(matches!(Pin::new(&mut reply).poll(context), Poll::Ready(Ok(_))));
        }
    }
}

const KEY: &str = "key:000000000042";
const PUSH: &str = "news";
const VALUE: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";
/// The number of commands that become ready together.
const TOGETHER: usize = 64;
const WARM_UP: usize = 16;
