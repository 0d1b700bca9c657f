//! Which task a command wakes, and that no mark is lost.

use super::*;
use crate::driver::wakers::{DriverWakers, Notify, SupervisorWaker};
use crate::proto::time::Instant;

const ENTRY: EntryId = EntryId(1);

fn id(generation: u32) -> ConnectionId {
    ConnectionId { entry: ENTRY, generation }
}

fn register(wakes: &Arc<Wakes>, drivers: &mut DriverWakers, generation: u32) {
    drivers.register(id(generation), &Context::from_waker(&wakes.waker()));
}

/// Notifies, and wakes the driver as the caller does. True if the supervisor has to be woken.
fn notify(drivers: &mut DriverWakers, generation: u32) -> bool {
    match drivers.notify(ENTRY, generation) {
        Notify::Driver(waker) => waker.wake_by_ref(),
        Notify::Supervisor => return true,
        Notify::NoTask => {}
    }
    false
}

fn two() -> (DriverWakers, Arc<Wakes>, Arc<Wakes>) {
    let (mut drivers, old, new) = (DriverWakers::new(2), Arc::default(), Arc::default());
    register(&old, &mut drivers, 1);
    register(&new, &mut drivers, 2);
    (drivers, old, new)
}

#[test]
fn commands_wake_the_active_driver_once_until_it_runs() {
    let (mut drivers, old, new) = two();
    for _ in 0..3 {
        assert!(!notify(&mut drivers, 1));
    }
    assert_eq!((old.take(), new.take()), (1, 0));
    register(&old, &mut drivers, 1);
    notify(&mut drivers, 1);
    assert_eq!(old.take(), 1);
}

#[test]
fn successor_is_woken_after_a_cut_over() {
    let (mut drivers, old, new) = two();
    notify(&mut drivers, 1);
    notify(&mut drivers, 2);
    assert_eq!((old.take(), new.take()), (1, 1));
    // A turn of the predecessor acknowledges nothing of the successor's.
    register(&old, &mut drivers, 1);
    notify(&mut drivers, 2);
    assert_eq!(new.take(), 0);
    register(&new, &mut drivers, 2);
    notify(&mut drivers, 2);
    assert_eq!((old.take(), new.take()), (0, 1));
}

#[test]
fn command_without_a_driver_notifies_the_supervisor_once() {
    let (mut drivers, driver) = (DriverWakers::new(2), Arc::default());
    assert!(notify(&mut drivers, 1));
    assert!(!notify(&mut drivers, 1), "it was notified");
    drivers.supervisor_runs();
    assert!(notify(&mut drivers, 1));
    register(&driver, &mut drivers, 1);
    assert!(!notify(&mut drivers, 1));
    assert_eq!(driver.take(), 1);
    drivers.supervisor_runs();
    notify(&mut drivers, 1);
    assert_eq!(driver.take(), 0, "the supervisor does not acknowledge what a driver was notified of");
}

#[test]
fn removed_driver_returns_what_it_had_not_seen() {
    let (mut drivers, old, new) = two();
    drivers.wake(id(1));
    drivers.wake(id(3));
    assert_eq!((old.take(), new.take()), (1, 0));
    notify(&mut drivers, 2);
    let (waker, unseen) = drivers.remove(id(1));
    assert!(waker.is_some() && !unseen);
    let (waker, unseen) = drivers.remove(id(2));
    assert!(waker.is_some() && unseen, "its driver had not run since");
    assert!(drivers.remove(id(2)).0.is_none());
    assert!(notify(&mut drivers, 2));
}

#[test]
fn expected_driver_is_not_woken_by_commands() {
    let (mut drivers, old, _) = two();
    drivers.expect(id(1));
    assert!(!notify(&mut drivers, 1));
    assert_eq!(old.take(), 0);
    register(&old, &mut drivers, 1);
    notify(&mut drivers, 1);
    assert_eq!(old.take(), 1, "it has run since");
    drivers.expect(id(3));
    assert!(drivers.remove(id(1)).1, "a driver that does not exist changes nothing");
}

#[test]
fn expected_predecessor_leaves_the_mark_of_its_successor() {
    let (mut drivers, _, new) = two();
    notify(&mut drivers, 2);
    assert_eq!(new.take(), 1);
    drivers.expect(id(1));
    assert!(drivers.remove(id(2)).1, "its driver had not run since");
}

#[test]
fn deadline_that_has_passed_counts_from_now() {
    let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
    let mut supervisor = SupervisorWaker::default();
    supervisor.arm(Some(at(1000)), at(5000));
    assert_eq!((supervisor.armed(), supervisor.is_notified()), (Some(at(5000)), true));
    supervisor.arm(Some(at(6000)), at(5001));
    assert_eq!(supervisor.armed(), Some(at(5000)), "the earliest counts");
}
