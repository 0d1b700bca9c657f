//! Which sockets of this thread are open, to end those whose executor has died.
//!
//! A dead executor does not drop the tasks that waited for something, and so their sockets stay open: the server would
//! keep their connections, and what was asked on them would go on.

use std::cell::RefCell;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use socket2::SockRef;

thread_local! {
    static OPEN: RefCell<Vec<RawFd>> = const { RefCell::new(Vec::new()) };
}

/// A socket is open, for as long as this is there.
pub(super) struct Open(RawFd);

impl Open {
    pub(super) fn note(socket: &impl AsRawFd) -> Self {
        let descriptor = socket.as_raw_fd();
        OPEN.with_borrow_mut(|open| open.push(descriptor));
        Open(descriptor)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.with_borrow_mut(|open| {
            if let Some(index) = open.iter().position(|descriptor| *descriptor == self.0) {
                open.swap_remove(index);
            }
        });
    }
}

/// Ends every connection that a dead executor of this thread has left. Their descriptors stay until the process ends:
/// nobody can know that no task will ever use them.
#[expect(unsafe_code, reason = "the runtime's streams lend their descriptors as bare numbers")]
pub(in crate::shard) fn end_all() {
    for descriptor in OPEN.take() {
        // SAFETY: whoever owns it is still there, or would have taken it off the list, and does not run meanwhile: it
        // belongs to this thread. Nothing keeps what is borrowed here.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        // One that is gone already is as good.
        let _ = SockRef::from(&borrowed).shutdown(Shutdown::Both);
    }
}
