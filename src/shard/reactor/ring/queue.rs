//! [`Queue`]: the io_uring itself: what is submitted to it, and what it has completed.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, Submitter, cqueue, squeue};

/// Operations on their way into the kernel, and out of it.
///
/// Work of the kernel for this ring runs only while its own thread enters it. So between two calls of [`enter`](Queue::enter)
/// the kernel touches no memory of an operation.
///
/// While such work is pending, the ring's descriptor is not readable: Linux 6.18 wakes its pollers only after the work has
/// run. So the kernel rings a bell, an eventfd, while the thread sleeps elsewhere.
pub(super) struct Queue {
    ring: IoUring,
    bell: OwnedFd,
    /// What did not fit into the ring's own queue.
    waiting: VecDeque<squeue::Entry>,
    unsubmitted: u32,
    /// Pushed, and not completed for good.
    pub(super) open: usize,
}

impl Queue {
    /// # Errors
    /// If the kernel is older than 6.1, or forbids it.
    pub(super) fn new(bell: OwnedFd) -> io::Result<Queue> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
        builder.dontfork();
        let ring = builder.setup_cqsize(COMPLETIONS).build(SUBMISSIONS)?;
        ring.submitter().register_eventfd(bell.as_raw_fd())?;
        let mut queue = Queue { ring, bell, waiting: VecDeque::new(), unsubmitted: 0, open: 0 };
        queue.ring_bell(false);
        Ok(queue)
    }

    pub(super) fn submitter(&self) -> Submitter<'_> {
        self.ring.submitter()
    }

    /// Adds an operation, which the next [`enter`](Queue::enter) submits.
    ///
    /// # Safety
    /// All memory that the operation names must live until it has completed.
    #[expect(unsafe_code, reason = "the kernel uses memory that the operation names")]
    #[inline]
    pub(super) unsafe fn push(&mut self, operation: squeue::Entry) {
        self.open += 1;
        self.unsubmitted += 1;
        // SAFETY: the caller has promised it.
        let pushed = self.waiting.is_empty() && unsafe { self.ring.submission().push(&operation) }.is_ok();
        if !pushed {
            self.waiting.push_back(operation);
        }
    }

    #[inline]
    pub(super) fn has_unsubmitted(&self) -> bool {
        self.unsubmitted > 0
    }

    /// Whether [`enter`](Queue::enter) would do anything.
    pub(super) fn has_work(&mut self) -> bool {
        let submission = self.ring.submission();
        let has_work = self.unsubmitted > 0 || submission.taskrun() || submission.cq_overflow();
        drop(submission);
        has_work || !self.ring.completion().is_empty()
    }

    /// Submits everything, has the kernel do what is due, and waits for so many completions or until the time is over.
    #[expect(unsafe_code, reason = "a system call")]
    pub(super) fn enter(&mut self, completions: u32, time: Option<Duration>) {
        loop {
            self.fill();
            let queued = self.ring.submission().len() as u32;
            let is_last = self.waiting.is_empty();
            let wanted = if is_last { completions } else { 0 };
            let timespec = time.map(Timespec::from).unwrap_or_default();
            let arguments = SubmitArgs::new().timespec(&timespec);
            let submitter = self.ring.submitter();
            let entered = match time {
                Some(_) => {
                    let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
                    // SAFETY: the arguments, and the time that they refer to, outlive the call.
                    unsafe { submitter.enter(queued, wanted, flags.bits(), Some(&arguments)) }
                }
                None => {
                    let flags = EnterFlags::GETEVENTS;
                    // SAFETY: there are no arguments.
                    unsafe { submitter.enter::<libc::sigset_t>(queued, wanted, flags.bits(), None) }
                }
            };
            // After an interruption, or when the time is over, the next poll follows anyway.
            let left = self.ring.submission().len() as u32;
            self.unsubmitted = left + self.waiting.len() as u32;
            if is_last || entered.is_err() {
                return;
            }
        }
    }

    /// Moves what has completed to the end of `into`: the number of the operation, its result, and its flags.
    pub(super) fn take_completed(&mut self, into: &mut Vec<Completed>) {
        into.extend(self.ring.completion().map(|entry| Completed {
            number: entry.user_data(),
            result: entry.result(),
            buffer: cqueue::buffer_select(entry.flags()),
            has_more: cqueue::more(entry.flags()),
        }));
    }

    /// Has the kernel end every operation, and waits for that, but not for long.
    pub(super) fn cancel_all(&mut self) {
        let time = Timespec::from(CANCEL_TIME);
        let _ = self.ring.submitter().register_sync_cancel(Some(time), CancelBuilder::any());
    }

    /// Silences the bell, and returns a copy of it.
    pub(super) fn silent_bell(&self) -> io::Result<OwnedFd> {
        // It fails if the bell is silent.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        self.bell.try_clone()
    }

    /// Whether the kernel rings the bell from now on, when it has work for this ring or an operation completes.
    pub(super) fn ring_bell(&mut self, rings: bool) {
        let completion = self.ring.completion();
        if rings {
            completion.enable_eventfd();
        } else {
            completion.disable_eventfd();
        }
        drop(completion);
        // The kernel adds work, and then looks whether to ring. So this thread has to ask for the bell, and then look for work.
        fence(Ordering::SeqCst);
    }

    #[expect(unsafe_code, reason = "the kernel uses memory that the operation names")]
    fn fill(&mut self) {
        while let Some(operation) = self.waiting.front() {
            // SAFETY: the caller that pushed it has promised that its memory lives.
            if unsafe { self.ring.submission().push(operation) }.is_err() {
                return;
            }
            self.waiting.pop_front();
        }
    }
}

/// One completion.
pub(super) struct Completed {
    pub(super) number: u64,
    pub(super) result: i32,
    /// The buffer that was filled.
    pub(super) buffer: Option<u16>,
    /// Whether the operation goes on, and completes again.
    pub(super) has_more: bool,
}

/// Operations on sockets end at once.
const CANCEL_TIME: Duration = Duration::from_millis(100);
/// How many operations fit into one system call.
const SUBMISSIONS: u32 = 256;
/// The kernel keeps what does not fit.
const COMPLETIONS: u32 = 1024;
