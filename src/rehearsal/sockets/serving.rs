//! What the tasks of one server share: the server, its clock, its listening sockets, and the wakers of the connections.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use glommio::timer::Timer;
use socket2::Socket;

use super::dial::Dialer;
use super::raw::ACCEPT_BACKLOG;
use super::stream::Scratch;
use super::tls::ServerTls;
use crate::rehearsal::ids::{NodeId, SessionId};
use crate::rehearsal::server::Server;

/// What the tasks of one executor share.
///
/// A task borrows these within one poll and never across an await, because another task would find the cell borrowed and
/// panic. After each call that changes the server, the task calls [`Shared::apply_changes`] before it returns.
pub(super) struct Shared {
    pub(super) server: RefCell<Server>,
    /// The wakers of the connections' tasks, for changes that do not come from their sockets.
    pub(super) tasks: RefCell<BTreeMap<SessionId, Waker>>,
    pub(super) scratch: RefCell<Scratch>,
    pub(super) clock: Clock,
    pub(super) is_stopping: Cell<bool>,
    /// Indexed by node.
    pub(super) listeners: Vec<ListeningSocket>,
    /// Opens the connections to upstream, when the server is a proxy.
    pub(super) dialer: Option<Rc<Dialer>>,
    pub(super) deadline: Deadline,
    /// The number of unfinished tasks.
    running: Cell<usize>,
    /// Woken when the last task has finished.
    all_finished: RefCell<Option<Waker>>,
}

impl Shared {
    pub(super) fn new(
        server: Server,
        clock: Clock,
        listeners: Vec<ListeningSocket>,
        dialer: Option<Dialer>,
    ) -> Self {
        Self {
            server: RefCell::new(server),
            tasks: RefCell::default(),
            scratch: RefCell::new(Scratch::default()),
            clock,
            is_stopping: Cell::new(false),
            listeners,
            dialer: dialer.map(Rc::new),
            deadline: Deadline::default(),
            running: Cell::new(0),
            all_finished: RefCell::new(None),
        }
    }

    pub(super) fn with_server(&self, f: impl FnOnce(&mut Server)) {
        let mut server = self.server.borrow_mut();
        f(&mut server);
        self.apply_changes(&mut server);
    }

    /// Carries out the server's changes: wakes the tasks of dirty sessions, starts or stops listening, and sets the
    /// deadline.
    pub(super) fn apply_changes(&self, server: &mut Server) {
        while let Some(id) = server.next_dirty_session() {
            if let Some(waker) = self.tasks.borrow().get(&id) {
                waker.wake_by_ref();
            }
        }
        while let Some(node) = server.next_dirty_node() {
            if let Some(listener) = self.listeners.get(node.0) {
                listener.set_listening(server.is_listening(node));
            }
        }
        self.deadline.set(server.next_deadline_us().unwrap_or(u64::MAX));
    }

    pub(super) fn listener(&self, node: NodeId) -> Option<&ListeningSocket> {
        self.listeners.get(node.0)
    }

    /// Stops every task, and waits until all have finished.
    pub(super) async fn stop(&self) {
        self.is_stopping.set(true);
        self.listeners.iter().for_each(|listener| listener.set_listening(false));
        self.deadline.wake();
        self.tasks.borrow().values().for_each(Waker::wake_by_ref);
        poll_fn(|cx| {
            *self.all_finished.borrow_mut() = Some(cx.waker().clone());
            if self.running.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Unix time that never decreases, because the wall clock is read only once.
pub(super) struct Clock {
    base_us: u64,
    start: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { base_us: since_1970.as_micros() as u64, start: Instant::now() }
    }

    pub(super) fn now_us(&self) -> u64 {
        self.base_us + self.start.elapsed().as_micros() as u64
    }
}

/// Counts a task as unfinished until it is dropped.
pub(super) struct TaskGuard(pub(super) Rc<Shared>);

impl TaskGuard {
    pub(super) fn new(shared: &Rc<Shared>) -> Self {
        shared.running.set(shared.running.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get().saturating_sub(1));
        if self.0.running.get() == 0
            && let Some(waker) = self.0.all_finished.take()
        {
            waker.wake();
        }
    }
}

/// One listening socket, which can stop listening and listen again. It stays bound, so that no other process gets its
/// port meanwhile.
pub(super) struct ListeningSocket {
    /// A duplicate of the socket that accepts. Shutting it down completes the accept that waits in the ring.
    socket: Socket,
    /// `None` for plain text.
    tls: Option<ServerTls>,
    is_listening: Cell<bool>,
    /// How often the socket started or stopped listening.
    changes: Cell<u64>,
    accept_task: RefCell<Option<Waker>>,
}

impl ListeningSocket {
    pub(super) fn new(socket: Socket, tls: Option<ServerTls>) -> Self {
        let (is_listening, changes) = (Cell::new(true), Cell::new(0));
        Self { socket, tls, is_listening, changes, accept_task: RefCell::new(None) }
    }

    pub(super) fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    pub(super) fn is_listening(&self) -> bool {
        self.is_listening.get()
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Starts or stops listening. While the socket does not listen, the kernel refuses connections.
    pub(super) fn set_listening(&self, listening: bool) {
        if listening != self.is_listening.get() {
            let result = match listening {
                true => self.socket.listen(ACCEPT_BACKLOG),
                false => self.socket.shutdown(Shutdown::Both),
            };
            if let Err(error) = result {
                tracing::warn!(%error, listening, "cannot start or stop listening");
            }
            self.is_listening.set(listening);
            self.changes.set(self.changes.get() + 1);
        }
        if let Some(waker) = self.accept_task.take() {
            waker.wake();
        }
    }

    /// Waits until the socket listens, or until `is_stopping`.
    pub(super) async fn wait_until_listening(&self, is_stopping: &Cell<bool>) {
        poll_fn(|cx| {
            if self.is_listening.get() || is_stopping.get() {
                return Poll::Ready(());
            }
            *self.accept_task.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The time at which `Server::handle_time` is due.
pub(super) struct Deadline {
    at_us: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Default for Deadline {
    fn default() -> Self {
        Self { at_us: Cell::new(u64::MAX), waker: RefCell::new(None) }
    }
}

impl Deadline {
    fn set(&self, at_us: u64) {
        if at_us != self.at_us.replace(at_us) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits until the deadline is reached or changed, or until [`Deadline::wake`].
    async fn wait(&self, clock: &Clock) {
        let at_us = self.at_us.get();
        let left_us = at_us.saturating_sub(clock.now_us());
        if left_us == 0 {
            return;
        }
        let mut timer = pin!((at_us != u64::MAX).then(|| Timer::new(Duration::from_micros(left_us))));
        let mut is_first = true;
        poll_fn(|cx| {
            // `wake` takes the waker, so a missing waker means that it was called.
            let was_woken = !is_first && self.waker.borrow().is_none();
            is_first = false;
            let is_reached = timer.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready());
            if was_woken || is_reached {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Calls `Server::handle_time` at each deadline.
pub(super) async fn run_deadlines(guard: TaskGuard) {
    let shared = &guard.0;
    while !shared.is_stopping.get() {
        shared.deadline.wait(&shared.clock).await;
        let now_us = shared.clock.now_us();
        if shared.deadline.at_us.get() <= now_us {
            shared.with_server(|server| server.handle_time(now_us));
        }
        // A deadline that is always reached must not starve the other tasks.
        glommio::executor().yield_if_needed().await;
    }
}
