//! When the replies to a batch were there.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Instant;

use crate::Error;

/// The time of the last reply. It is read as seldom as it can be: replies that came in together
/// were there at the same time.
#[derive(Debug)]
pub(crate) struct ReplyClock {
    pub(crate) at: Instant,
    is_due: bool,
    is_always_due: bool,
}

impl ReplyClock {
    /// `is_always_due`: replies come from other threads, so two that are there together came at two times.
    pub(crate) fn new(at: Instant, is_always_due: bool) -> ReplyClock {
        ReplyClock { at, is_due: true, is_always_due }
    }

    /// Waits for a reply, and notes when it was there. `before` is told of the time of those that came before it as
    /// soon as that is another one.
    pub(crate) async fn settle<T>(
        &mut self,
        mut reply: impl Future<Output = Result<T, Error>> + Unpin,
        mut before: impl FnMut(Instant),
    ) -> Result<T, Error> {
        let result = poll_fn(|context| {
            let polled = Pin::new(&mut reply).poll(context);
            if polled.is_pending() {
                before(self.at);
                self.is_due = true;
            }
            polled
        })
        .await;
        if self.is_due || self.is_always_due {
            before(self.at);
            self.at = Instant::now();
            self.is_due = false;
        }
        result
    }
}
