//! The path of a command without an executor and a socket, to count its instructions: from the call of a method, through a turn
//! of the driver, to the value that the caller gets.
//!
//! The executor, its wakers and the kernel are not in it. A waker that does nothing and a [`Tape`] replace them.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::runtime::Runtime;
use super::state::Shared;
use super::transport::Stream;
use super::transport::tape::Tape;
use super::turn;
use crate::error::Result;
use crate::proto::connection::ReadBudget;
use crate::proto::pool::ConnectionId;

/// Called before and after each part of a round, with the name of the part that begins.
pub(crate) type Counted<'a> = &'a mut dyn FnMut(&'static str);

/// Callers of one connected pool, and the driver of its only connection.
pub(crate) struct Bench<R: Runtime, H, S, F> {
    shared: Shared<R>,
    id: ConnectionId,
    /// One for each command of a round.
    handles: Vec<H>,
    send: S,
    replies: Vec<F>,
    stream: Stream<R::Socket>,
}

impl<R: Runtime, H, S: Fn(&H) -> F, F: Future<Output = Result<T>> + Unpin, T> Bench<R, H, S, F> {
    /// The server answers the command of each handle with `reply`.
    pub(crate) fn new(shared: Shared<R>, id: ConnectionId, handles: Vec<H>, send: S, reply: &str) -> Self {
        let stream = Stream::tape(Tape::new(&reply.repeat(handles.len())));
        let replies = Vec::with_capacity(handles.len());
        Bench { shared, id, handles, send, replies, stream }
    }

    /// Runs so many rounds, after some that warm it up, and returns the number of commands.
    pub(crate) fn run(mut self, rounds: usize, counted: Counted<'_>) -> usize {
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
        let commands = rounds * self.handles.len();
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
        for handle in &self.handles {
            let mut reply = (self.send)(handle);
            assert!(Pin::new(&mut reply).poll(context).is_pending());
            self.replies.push(reply);
        }
    }

    /// The driver writes the commands, reads the replies, and wakes the callers.
    #[inline(always)]
    fn turn(&mut self) {
        let context = &mut Context::from_waker(Waker::noop());
        let budget = &mut ReadBudget::default();
        assert!(turn::turn(&self.shared, self.id, &mut self.stream, budget, context).is_pending());
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

/// The reply to a GET.
pub(crate) fn value() -> String {
    format!("$64\r\n{VALUE}\r\n")
}

pub(crate) const KEY: &str = "key:000000000042";
pub(crate) const VALUE: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";
/// The number of commands that become ready together.
pub(crate) const TOGETHER: usize = 64;
const WARM_UP: usize = 16;
