//! What the tasks in front of one server share: the server, its clock, its listening sockets, and who is to be woken
//! when something changes.

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
use crate::rehearsal::maintenance::node::NodeId;
use crate::rehearsal::server::Server;
use crate::rehearsal::session::SessionId;

/// What the tasks of one executor share. Borrowed within one poll only, never across.
pub(super) struct Shared {
    pub(super) server: RefCell<Server>,
    /// The connections' tasks, to be woken when something other than their socket concerns them.
    pub(super) tasks: RefCell<BTreeMap<SessionId, Waker>>,
    pub(super) scratch: RefCell<Scratch>,
    pub(super) clock: Clock,
    pub(super) is_stopping: Cell<bool>,
    /// By node.
    pub(super) doorways: Vec<Doorway>,
    /// Where connections of their own are made for clients, when there is an upstream.
    pub(super) dialer: Option<Rc<Dialer>>,
    pub(super) alarm: Alarm,
    /// Accepting and serving tasks that have not ended.
    running: Cell<usize>,
    /// Waits for the last of them.
    last_ended: RefCell<Option<Waker>>,
}

impl Shared {
    pub(super) fn new(server: Server, clock: Clock, doorways: Vec<Doorway>, dialer: Option<Dialer>) -> Self {
        Self {
            server: RefCell::new(server),
            tasks: RefCell::default(),
            scratch: RefCell::new(Scratch::default()),
            clock,
            is_stopping: Cell::new(false),
            doorways,
            dialer: dialer.map(Rc::new),
            alarm: Alarm::default(),
            running: Cell::new(0),
            last_ended: RefCell::new(None),
        }
    }

    pub(super) fn with_server(&self, f: impl FnOnce(&mut Server)) {
        let mut server = self.server.borrow_mut();
        f(&mut server);
        self.follow(&mut server);
    }

    /// Does what the server now asks for: wakes the tasks of sessions that others have changed, stops listening or
    /// listens again, and sets the alarm.
    pub(super) fn follow(&self, server: &mut Server) {
        while let Some(id) = server.next_disturbed() {
            if let Some(waker) = self.tasks.borrow().get(&id) {
                waker.wake_by_ref();
            }
        }
        while let Some(node) = server.next_disturbed_node() {
            if let Some(doorway) = self.doorways.get(node.0) {
                doorway.open(server.is_listening(node));
            }
        }
        self.alarm.set(server.next_deadline_us().unwrap_or(u64::MAX));
    }

    pub(super) fn doorway(&self, node: NodeId) -> Option<&Doorway> {
        self.doorways.get(node.0)
    }

    /// Has every task end, and waits until they have.
    pub(super) async fn stop(&self) {
        self.is_stopping.set(true);
        self.doorways.iter().for_each(|doorway| doorway.open(false));
        self.alarm.wake();
        self.tasks.borrow().values().for_each(Waker::wake_by_ref);
        poll_fn(|cx| {
            *self.last_ended.borrow_mut() = Some(cx.waker().clone());
            if self.running.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Unix time that never goes back: the wall clock is read once.
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

/// Counts a task for as long as it lives.
pub(super) struct Running(pub(super) Rc<Shared>);

impl Running {
    pub(super) fn new(shared: &Rc<Shared>) -> Self {
        shared.running.set(shared.running.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get().saturating_sub(1));
        if self.0.running.get() == 0
            && let Some(waker) = self.0.last_ended.take()
        {
            waker.wake();
        }
    }
}

/// One listening socket, which may stop listening, and listen again: it stays bound, so that nobody else gets its
/// port meanwhile.
pub(super) struct Doorway {
    /// Beside the one that accepts: shutting it down ends the accept that waits in the ring.
    socket: Socket,
    /// `None`: in the clear.
    tls: Option<ServerTls>,
    is_open: Cell<bool>,
    /// How often it was opened or closed.
    turns: Cell<u64>,
    opened: RefCell<Option<Waker>>,
}

impl Doorway {
    pub(super) fn new(socket: Socket, tls: Option<ServerTls>) -> Self {
        Self { socket, tls, is_open: Cell::new(true), turns: Cell::new(0), opened: RefCell::new(None) }
    }

    pub(super) fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.get()
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// Listens, or has connects refused.
    pub(super) fn open(&self, open: bool) {
        if open != self.is_open.get() {
            let result = match open {
                true => self.socket.listen(ACCEPT_BACKLOG),
                false => self.socket.shutdown(Shutdown::Both),
            };
            if let Err(error) = result {
                tracing::warn!(%error, open, "cannot change a listener");
            }
            self.is_open.set(open);
            self.turns.set(self.turns.get() + 1);
        }
        if let Some(waker) = self.opened.take() {
            waker.wake();
        }
    }

    /// Waits until it listens, or `is_stopping`.
    pub(super) async fn opened(&self, is_stopping: &Cell<bool>) {
        poll_fn(|cx| {
            if self.is_open.get() || is_stopping.get() {
                return Poll::Ready(());
            }
            *self.opened.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// When the server wants to be told the time.
pub(super) struct Alarm {
    at_us: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { at_us: Cell::new(u64::MAX), waker: RefCell::new(None) }
    }
}

impl Alarm {
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

    /// Waits until the time has come, or another is set, or somebody wakes it.
    async fn rings(&self, clock: &Clock) {
        let at_us = self.at_us.get();
        let left_us = at_us.saturating_sub(clock.now_us());
        if left_us == 0 {
            return;
        }
        let mut timer = pin!((at_us != u64::MAX).then(|| Timer::new(Duration::from_micros(left_us))));
        let mut is_first = true;
        poll_fn(|cx| {
            // Whoever wakes it takes the waker.
            let was_woken = !is_first && self.waker.borrow().is_none();
            is_first = false;
            let has_rung = timer.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready());
            if was_woken || has_rung {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Tells the server the time whenever it has asked for it.
pub(super) async fn keep_time(running: Running) {
    let shared = &running.0;
    while !shared.is_stopping.get() {
        shared.alarm.rings(&shared.clock).await;
        let now_us = shared.clock.now_us();
        if shared.alarm.at_us.get() <= now_us {
            shared.with_server(|server| server.handle_time(now_us));
        }
        // What is always due must not keep others out.
        glommio::executor().yield_if_needed().await;
    }
}
