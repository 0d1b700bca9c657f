//! The wake-up protocol of a driver whose callers are on other threads: no command is left unseen, and none wakes it in vain.
//!
//! The state is behind a lock, as in tokio. A turn of the model has the order of the real one: the driver registers, takes what
//! is queued, and writes while the lock is free. After it has woken several callers it expects to run, and wakes itself.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use loom::sync::{Mutex, MutexGuard};
use loom::thread;

use super::wakers::{DriverWakers, Notify};
use crate::orders::{Parked, in_every_order};
use crate::proto::pool::{ConnectionId, EntryId};

struct State {
    drivers: DriverWakers,
    /// Commands that no task has seen.
    queued: usize,
    /// Commands that the driver has taken.
    taken: usize,
    /// The supervisor has commands to see.
    is_supervisor_woken: bool,
    is_alive: bool,
}

struct World(Mutex<State>);

impl World {
    fn new() -> Arc<Self> {
        let drivers = DriverWakers::new(1);
        let state = State { drivers, queued: 0, taken: 0, is_supervisor_woken: false, is_alive: true };
        Arc::new(World(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A caller queues a command.
    fn submit(&self) {
        let driver = {
            let state = &mut *self.lock();
            state.queued += 1;
            let generation = if state.is_alive { ID.generation } else { 0 };
            match state.drivers.notify(ID.entry, generation) {
                Notify::Driver(waker) => Some(waker.clone()),
                Notify::Supervisor => {
                    state.is_supervisor_woken = true;
                    None
                }
                Notify::NoTask => None,
            }
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// One turn of the driver, after which it expects to run behind callers if `is_expected`. Ready when it has taken `wanted`
    /// commands, or the connection is gone.
    fn turn(&self, wanted: usize, is_expected: bool, context: &mut Context<'_>) -> Poll<()> {
        {
            let mut state = self.lock();
            if !state.is_alive {
                return Poll::Ready(());
            }
            state.drivers.register(ID, context);
        }
        {
            let mut state = self.lock();
            state.taken += std::mem::take(&mut state.queued);
            if state.taken == wanted {
                return Poll::Ready(());
            }
        }
        if is_expected {
            self.lock().drivers.expect(ID);
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Runs the driver. In its first turn it has woken several callers, if `wakes_callers`.
    fn drive(&self, wanted: usize, wakes_callers: bool) {
        let mut is_expected = wakes_callers;
        Parked::new()
            .block_on(poll_fn(|context| self.turn(wanted, std::mem::take(&mut is_expected), context)));
    }

    /// The supervisor closes the connection.
    fn close(&self) {
        let waker = {
            let state = &mut *self.lock();
            state.is_alive = false;
            let (waker, unseen) = state.drivers.remove(ID);
            state.is_supervisor_woken |= unseen;
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Two callers, and a driver that does not end before it has taken both commands.
fn commands_reach_the_driver(wakes_callers: bool) {
    let world = World::new();
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let world = world.clone();
            thread::spawn(move || world.submit())
        })
        .collect();
    world.drive(2, wakes_callers);
    for caller in callers {
        caller.join().unwrap();
    }
    assert_eq!(world.lock().taken, 2);
}

#[test]
fn driver_takes_every_command() {
    in_every_order(3, || commands_reach_the_driver(false));
}

#[test]
fn driver_that_is_expected_takes_every_command() {
    in_every_order(3, || commands_reach_the_driver(true));
}

/// A connection is closed while its driver is expected to run, and a caller queues a command. If the driver does not take the
/// command, the supervisor is woken for it, and the driver ends.
#[test]
fn command_of_a_closed_connection_is_seen() {
    for wakes_callers in [false, true] {
        in_every_order(3, move || {
            let world = World::new();
            let (caller, supervisor) = (world.clone(), world.clone());
            let caller = thread::spawn(move || caller.submit());
            let supervisor = thread::spawn(move || supervisor.close());
            world.drive(usize::MAX, wakes_callers);
            caller.join().unwrap();
            supervisor.join().unwrap();
            let state = world.lock();
            assert!(state.taken == 1 || state.is_supervisor_woken);
        });
    }
}

const ID: ConnectionId = ConnectionId { entry: EntryId(0), generation: 1 };
