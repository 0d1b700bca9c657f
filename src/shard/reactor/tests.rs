//! The reactor of a thread that runs no executor: the test polls and waits.

use std::io::Read;
use std::os::unix::net::UnixStream;

use super::*;
use crate::driver::runtime;
use crate::driver::testing::{Wakes, in_all_orders};

#[test]
fn reactor_whose_executor_died_keeps_no_descriptor() {
    let reactor = Reactor::new(Sockets::Auto);
    let (near, mut far) = UnixStream::pair().unwrap();
    let socket = Socket::register(&reactor, near.into()).unwrap();
    close_all();
    assert!(reactor.engine.borrow().is_none());
    assert_eq!(far.read(&mut [0]).unwrap(), 0, "the other end sees it");
    assert!(runtime::Socket::with(&socket, |_| Ok(())).is_err());
}

const ENGINES: [Sockets; 2] = [Sockets::Epoll, Sockets::IoUring];

/// A reactor that watches a socket, its task that serves other threads, and the waker that those have.
fn with_server(sockets: Sockets) -> (Rc<Reactor>, (Socket, UnixStream), Arc<Wakes>, Waker) {
    let (reactor, wakes) = (Reactor::new(sockets), Arc::<Wakes>::default());
    let (near, far) = UnixStream::pair().unwrap();
    let socket = Socket::register(&reactor, near.into()).unwrap();
    reactor.notifier.attend();
    let waker = reactor.waker_for_others(&wakes.waker());
    reactor.poll_now();
    (reactor, (socket, far), wakes, waker)
}

#[test]
fn task_that_serves_other_threads_is_woken_by_the_next_poll() {
    for sockets in ENGINES {
        let (reactor, _sockets, wakes, waker) = with_server(sockets);
        waker.wake_by_ref();
        assert_eq!(wakes.take(), 0, "the reactor wakes it");
        assert!(reactor.poll_now());
        assert_eq!(wakes.take(), 1);
        assert!(!reactor.poll_now());
    }
}

#[test]
fn notification_before_a_wait_keeps_it_from_beginning() {
    for sockets in ENGINES {
        let (reactor, _sockets, wakes, waker) = with_server(sockets);
        waker.wake();
        assert!(reactor.wait(&mut ShortWaits::default()));
        assert_eq!(wakes.take(), 1);
    }
}

/// The other thread notifies at any time of a wait. Every notification wakes the task.
#[test]
fn notification_in_a_wait_ends_it() {
    for sockets in ENGINES {
        in_all_orders(move || {
            let (reactor, _sockets, wakes, waker) = with_server(sockets);
            let mut waits = ShortWaits::default();
            std::thread::scope(|scope| {
                let notifies = scope.spawn(move || waker.wake());
                while !notifies.is_finished() {
                    reactor.wait(&mut waits);
                }
            });
            reactor.wait(&mut waits);
            assert_eq!(wakes.take(), 1);
        });
    }
}

#[test]
fn last_socket_of_a_closed_reactor_ends_its_task() {
    let (reactor, wakes) = (Reactor::new(Sockets::Auto), Arc::<Wakes>::default());
    let sockets = [(); 2].map(|()| {
        let (near, _far) = UnixStream::pair().unwrap();
        Socket::register(&reactor, near.into()).unwrap()
    });
    reactor.close();
    for (socket, expected) in sockets.into_iter().zip([0, 1]) {
        reactor.waker.set(Some(wakes.waker()));
        drop(socket);
        assert_eq!(wakes.take(), expected);
    }
    assert!(reactor.is_over());
}
