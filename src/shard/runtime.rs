//! [`Glommio`]: the runtime of a shard that has its thread to itself.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use glommio::timer::Timer;

use super::closures::Closures;
use super::reactor::{Reactor, Socket};
use crate::config::Sockets;
use crate::driver::run::run;
use crate::driver::runtime::Runtime;
use crate::driver::tasks::{Spawn, Task};
use crate::proto::resp::Frame;

/// What a shard has of the glommio executor that it runs on.
pub(crate) struct Glommio {
    pub(super) reactor: Rc<Reactor>,
    pub(super) closures: Rc<Closures>,
}

impl Glommio {
    pub(super) fn new(sockets: Sockets) -> Self {
        Glommio { reactor: Reactor::new(sockets), closures: Rc::default() }
    }
}

impl Spawn for Glommio {
    fn spawn(&self, task: Task<Self>) {
        glommio::spawn_local(run(task)).detach();
    }
}

impl Runtime for Glommio {
    type Pointer<T: 'static> = Rc<T>;
    type Cell<T: 'static> = RefCell<T>;
    type Socket = Socket;
    type Timer = Timer;
    type PushFunction = RefCell<Box<dyn FnMut(&[Frame])>>;

    const IS_SHARED: bool = false;

    fn pointer<T: 'static>(value: T) -> Rc<T> {
        Rc::new(value)
    }

    fn timer(&self, time: Duration) -> Timer {
        Timer::new(time)
    }

    fn register(&self, descriptor: OwnedFd) -> io::Result<Socket> {
        Socket::register(&self.reactor, descriptor)
    }

    fn call(function: &Self::PushFunction, items: &[Frame]) {
        // A handler that runs, and hands out pushes itself, does not call itself.
        if let Ok(mut function) = function.try_borrow_mut() {
            function(items);
        }
    }

    fn run_later(&self, context: &Context<'_>) {
        self.reactor.run_later(context);
    }

    #[inline]
    fn mark_busy(&self) {
        self.reactor.mark_busy();
    }

    fn catch_up(&self) {
        self.reactor.catch_up();
    }

    fn close(&self) {
        self.reactor.close();
    }
}
