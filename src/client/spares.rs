//! Calls of this thread that are over, and whose memory its next calls use.

use std::cell::RefCell;

use crate::driver::calls::{Call, Caller};
use crate::driver::foreign::foreign_call;

thread_local! {
    static SPARES: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer for a command.
pub(super) fn buffer() -> Vec<u8> {
    let used = SPARES.try_with(|spares| spares.borrow().last().map(Call::take_buffer));
    let used = used.ok().flatten().filter(|buffer| buffer.capacity() > 0);
    used.unwrap_or_else(|| Vec::with_capacity(COMMAND_RESERVED))
}

/// A call that no shard has accepted yet.
pub(super) fn call() -> (Caller, Call) {
    // A thread that ends has no spares any more.
    let spare = SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten();
    spare.and_then(|mut call| Some((call.begin_again()?, call))).unwrap_or_else(foreign_call)
}

/// Keeps a call that is over.
pub(super) fn keep(call: Call) {
    let mut call = Some(call);
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < SPARES_MAX {
            spares.extend(call.take());
        }
    });
    // Otherwise it drops here, after the borrow.
}

/// As many calls as a thread has open at a time in most programs. Each keeps some hundred bytes, or up to 4 KiB after a larger
/// command: at most about 1 MiB a thread.
const SPARES_MAX: usize = 256;
/// Room for a short command, so that encoding it allocates once.
const COMMAND_RESERVED: usize = 128;

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::proto::resp::Frame;

    /// Answers a call as a shard does, and lets its thread take the answer.
    fn complete(caller: Caller, call: &Call, buffer: Vec<u8>, number: i64) {
        let context = Context::from_waker(Waker::noop());
        assert!(call.poll(&context).is_pending(), "an earlier answer must not stay");
        assert!(caller.accept(7));
        caller.return_buffer(buffer);
        caller.answer(Ok(Frame::Integer(number)));
        let answer = call.poll(&context);
        assert!(matches!(answer, Poll::Ready(Some(Ok(Frame::Integer(got)))) if got == number));
    }

    #[test]
    fn next_call_uses_the_memory_of_the_last_one() {
        let mut buffers = Vec::new();
        for number in 0..3 {
            let mut buffer = buffer();
            buffer.extend_from_slice(b"PING");
            buffers.push(buffer.as_ptr());
            let (caller, call) = call();
            complete(caller, &call, buffer, number);
            keep(call);
        }
        assert_eq!(buffers, [buffers[0]; 3]);
    }

    #[test]
    fn call_that_the_shard_has_not_let_go_of_is_not_used_again() {
        let (caller, first) = call();
        assert!(caller.accept(7));
        keep(first);
        let (next_caller, next) = call();
        drop(caller);
        complete(next_caller, &next, Vec::new(), 1);
    }

    #[test]
    fn large_buffers_are_not_kept() {
        let (caller, call) = call();
        complete(caller, &call, Vec::with_capacity(1 << 20), 1);
        assert_eq!(call.take_buffer().capacity(), 0);
    }
}
