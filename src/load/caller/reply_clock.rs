//! When the replies to a batch arrived.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Instant;

use crate::Error;

/// The time of the last reply. The clock is read as rarely as possible: replies that are ready at the same poll arrived
/// at the same time.
#[derive(Debug)]
pub(crate) struct ReplyClock {
    pub(crate) at: Instant,
    is_due: bool,
    is_always_due: bool,
}

impl ReplyClock {
    /// `is_always_due`: replies arrive on other threads, so two replies that are ready may have arrived at different
    /// times.
    pub(crate) fn new(at: Instant, is_always_due: bool) -> ReplyClock {
        ReplyClock { at, is_due: true, is_always_due }
    }

    /// Waits for a reply and notes its time. `before` is called with the time of the earlier replies before the clock
    /// is read again.
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
