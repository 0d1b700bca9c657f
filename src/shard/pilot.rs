//! The pilot: the task that does what a shard's pool asks for, and keeps the shard's one timer.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::stalls::Stall;
use super::{Inner, credentials, driver, resolve};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{self, Event};
use crate::proto::error::{CloseReason, Outcome};
use crate::proto::pool::{Action, ConnectionId, Renewal};
use crate::proto::time::{Instant, earliest};

/// How the pilot is reached.
#[derive(Default)]
pub(super) struct PilotSeat {
    waker: Option<Waker>,
    notified: bool,
    /// When it is to run next by itself.
    armed: Option<Instant>,
    /// The pool is shut down, and everybody knows.
    pub(super) landed: bool,
}

impl PilotSeat {
    pub(super) fn wake(&mut self) {
        self.notified = true;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Whether it runs next because it was woken.
    #[cfg(test)]
    pub(super) fn is_notified(&self) -> bool {
        self.notified
    }

    /// Makes sure that it runs by `deadline`, or at once if that has passed.
    ///
    /// How late it then runs shows for how long the thread was blocked. So a deadline that has passed already counts
    /// from `now`: after an idle hour it may be an hour old, although nothing was blocked.
    #[inline]
    pub(super) fn arm(&mut self, deadline: Option<Instant>, now: Instant) {
        if let Some(deadline) = deadline.map(|deadline| deadline.max(now))
            && self.armed.is_none_or(|armed| deadline < armed)
        {
            self.armed = Some(deadline);
            self.wake();
        }
    }
}

/// Starts the pilot. It ends when the pool is shut down.
pub(super) fn spawn(inner: &Rc<Inner>) {
    let inner = inner.clone();
    let fly = async move {
        while let Turn::Sleep(time) = turn(&inner) {
            sleep(&inner, time).await;
            catch_up(&inner).await;
        }
        land(&inner);
    };
    glommio::spawn_local(fly).detach();
}

/// If the timer is late because the thread was blocked, replies that have come meanwhile are read before any call times
/// out for want of them.
async fn catch_up(inner: &Inner) {
    let (now, armed) = (inner.clock.now(), inner.core.borrow().pilot.armed);
    inner.note_stall(armed.map_or(Duration::ZERO, |armed| now.since(armed)), None);
    if inner.stalls.just_over(now).is_some() {
        inner.poller.catch_up();
        for _ in 0..CATCH_UP_TURNS {
            futures_lite::future::yield_now().await;
        }
    }
}

/// Lets go of what a shard that is shut down needs no more.
pub(super) fn land(inner: &Inner) {
    inner.member.leave();
    inner.poller.retire();
    let (handlers, wakers, watchers) = {
        let mut core = inner.core.borrow_mut();
        core.pilot.landed = true;
        let wakers = core.calls.forget_wakers(Instant::from_nanos(u64::MAX));
        (core.calls.pushes.clear(), wakers, std::mem::take(&mut core.watchers))
    };
    // What they hold may hold this shard.
    drop((handlers, wakers));
    for watcher in watchers {
        watcher.wake();
    }
}

/// Starts the task that takes in what other shards of the group have read. It ends with the pilot.
pub(super) fn spawn_listener(inner: &Rc<Inner>) {
    let inner = inner.clone();
    glommio::spawn_local(async move { listen(&inner).await }).detach();
}

/// Takes in what other shards of the group have read, until this one has left it.
pub(super) async fn listen(inner: &Inner) {
    while let Some(announcement) = inner.member.next().await {
        let mut core = inner.core.borrow_mut();
        core.pool.handle_announcement(announcement, inner.clock.now());
        core.pilot.wake();
    }
}

pub(super) enum Turn {
    /// For this long, or until woken.
    Sleep(Option<Duration>),
    Done,
}

/// Lets time pass, then does what is to be done.
pub(super) fn turn(inner: &Rc<Inner>) -> Turn {
    let now = inner.clock.now();
    {
        let mut core = inner.core.borrow_mut();
        let core = &mut *core;
        core.pilot.notified = false;
        core.seats.pilot_runs();
        core.calls.blocked = inner.stalls.just_over(now);
        core.pool.handle_timeout(now, &mut core.calls);
    }
    // A new task runs at once, up to its first wait: nothing may be borrowed when one is spawned.
    while let Some(action) = inner.next_action() {
        act(inner, action);
    }
    let (due, watchers, sleep, _forgotten) = {
        let mut core = inner.core.borrow_mut();
        let core = &mut *core;
        let forgotten = core.calls.forget_wakers(now);
        let next = earliest(core.pool.next_timeout(), core.calls.forget_at());
        core.pilot.armed = next.map(|next| next.max(now));
        let sleep = next.map(|next| next.since(now).max(TICK));
        (core.calls.take_due(), std::mem::take(&mut core.watchers), sleep, forgotten)
    };
    inner.wake(due);
    for watcher in watchers {
        watcher.wake();
    }
    tell_events(inner);
    let mut core = inner.core.borrow_mut();
    core.ask_pilot();
    match core.pool.is_shut_down() && !core.pool.has_actions() {
        true => Turn::Done,
        false => Turn::Sleep(sleep),
    }
}

pub(super) fn act(inner: &Rc<Inner>, action: Action) {
    let shard = inner.member.index();
    match action {
        Action::Dial { id, endpoint, timeout } => {
            tracing::debug!(target: "hitless::shard", shard, %endpoint, ?id, "dialing");
            driver::spawn(inner, id, endpoint, timeout);
        }
        Action::Ready { id } => {
            let protocol = inner.core.borrow().pool.negotiated(id).map(|agreed| agreed.protocol);
            tracing::debug!(target: "hitless::shard", shard, ?id, ?protocol, "ready");
        }
        Action::Wake { id } => inner.core.borrow_mut().seats.wake(id),
        Action::Announce(announcement) => {
            let dropped = inner.member.announce(&announcement);
            inner.core.borrow_mut().broadcasts_dropped += dropped;
        }
        Action::AskCredentials => credentials::spawn(inner),
        Action::Resolve { lookup, endpoint } => resolve::spawn(inner, lookup, endpoint),
        Action::Close { id, reason, unused } => {
            log_close(inner, id, &reason, unused);
            // Before the next dial, which may follow at once.
            inner.lookups.forget(inner.config.endpoint());
            // Its driver sees that the connection is gone, and ends.
            if let Some(waker) = inner.empty_seat(id) {
                waker.wake();
            }
        }
    }
}

/// Tells those who watch what happened; if it was very much, the rest in the next turn. Nothing may be borrowed, and
/// everybody who waits has been woken: a hook is the application's.
fn tell_events(inner: &Inner) {
    if let Some(Stall { duration, by }) = inner.stalls.take() {
        tell(inner, &Event::Blocked { duration, by });
    }
    for _ in 0..EVENTS_PER_TURN {
        let begin = inner.clock.now();
        let event = inner.core.borrow_mut().pool.poll_event();
        let Some(event) = event else { return };
        // Every shard of a group learns of it.
        if matches!(event, Event::Announced { .. }) && !inner.member.is_teller() {
            continue;
        }
        if let Event::TargetRefused { target, .. } = &event
            && !inner.member.is_first_to_tell(target, inner.clock.now())
        {
            continue;
        }
        tell(inner, &event);
        inner.note_stall(inner.clock.now().since(begin), Some("Config::on_event"));
    }
}

fn tell(inner: &Inner, event: &Event) {
    let shard = inner.member.index();
    observe::log::log(shard, event);
    inner.config.hook().call(shard, event);
}

fn log_close(inner: &Inner, id: ConnectionId, reason: &CloseReason, unused: bool) {
    let (shard, endpoint) = (inner.member.index(), inner.config.endpoint());
    match reason {
        CloseReason::Local | CloseReason::Replaced | CloseReason::LeadsBack => {
            tracing::debug!(target: "hitless::shard", shard, ?id, %reason, "closed")
        }
        reason if reason.is_refusal() => {
            let remedy = reason.remedy().map(tracing::field::display);
            tracing::error!(target: "hitless::shard", shard, %endpoint, %reason, remedy, "turned away");
        }
        reason if unused => {
            tracing::debug!(target: "hitless::shard", shard, %endpoint, %reason, "could not connect");
        }
        reason => tracing::warn!(target: "hitless::shard", shard, %endpoint, %reason, "lost a connection"),
    }
}

/// Sleeps until the time has come, or somebody wakes the pilot.
async fn sleep(inner: &Rc<Inner>, time: Option<Duration>) {
    let is_woken = inner.core.borrow().pilot.notified;
    if is_woken {
        // Others have to run, too.
        return futures_lite::future::yield_now().await;
    }
    let mut timer = time.map(glommio::timer::Timer::new);
    poll_fn(|context| {
        {
            let mut core = inner.core.borrow_mut();
            if core.pilot.notified {
                return Poll::Ready(());
            }
            register(&mut core.pilot.waker, context);
        }
        match &mut timer {
            Some(timer) => pin!(timer).poll(context).map(|_| ()),
            None => Poll::Pending,
        }
    })
    .await;
}

fn register(waker: &mut Option<Waker>, context: &Context<'_>) {
    match waker {
        Some(waker) if waker.will_wake(context.waker()) => {}
        waker => *waker = Some(context.waker().clone()),
    }
}

pub(super) async fn wait_until_ready(inner: &Rc<Inner>, timeout: Duration) -> Result<()> {
    let mut timer = glommio::timer::Timer::new(timeout);
    poll_fn(|context| {
        let timed_out = pin!(&mut timer).poll(context).is_ready();
        let mut core = inner.core.borrow_mut();
        let (ready, wanted) = core.pool.ready();
        if ready == wanted {
            return Poll::Ready(Ok(()));
        }
        let obstacle = core.pool.last_error();
        let refused = core.pool.is_turned_away();
        if !timed_out && !refused {
            core.watchers.push(context.waker().clone());
            return Poll::Pending;
        }
        let error = match obstacle {
            Some(reason) => Error::from_close_reason(reason),
            None => {
                let detail = format!("{ready} of {wanted} connections were ready within {timeout:?}");
                Error::new(ErrorKind::Connect, Outcome::Unsent, detail)
            }
        };
        Poll::Ready(Err(error.at(inner.config.endpoint())))
    })
    .await
}

/// Waits until connections that were told to log in again have been answered.
pub(super) async fn wait_until_renewed(inner: &Rc<Inner>) -> Result<()> {
    poll_fn(|context| {
        let mut core = inner.core.borrow_mut();
        if core.pilot.landed {
            return Poll::Ready(Err(Error::shut_down(Outcome::Unsent)));
        }
        match core.pool.renewal() {
            Renewal::UnderWay { .. } => {
                core.watchers.push(context.waker().clone());
                Poll::Pending
            }
            Renewal::Done => Poll::Ready(Ok(())),
            Renewal::Refused(reply) => {
                let error = Error::from_close_reason(CloseReason::Auth(reply.clone()));
                Poll::Ready(Err(error.at(inner.config.endpoint())))
            }
        }
    })
    .await
}

/// Accepts nothing more, and gives up what is not answered within `grace`.
pub(super) fn begin_shutdown(inner: &Rc<Inner>, grace: Duration) {
    let now = inner.clock.now();
    let due = {
        let mut core = inner.core.borrow_mut();
        let core = &mut *core;
        core.pool.shut_down(now, now.after(grace), &mut core.calls);
        core.pilot.wake();
        core.calls.take_due()
    };
    inner.wake(due);
}

pub(super) async fn shut_down(inner: &Rc<Inner>, grace: Duration) -> Result<()> {
    begin_shutdown(inner, grace);
    let given_up = poll_fn(|context| {
        let mut core = inner.core.borrow_mut();
        if core.pilot.landed {
            return Poll::Ready(core.pool.counters().given_up);
        }
        core.watchers.push(context.waker().clone());
        Poll::Pending
    })
    .await;
    if given_up > 0 {
        let detail = format!("{given_up} commands were not answered within {grace:?} and were given up");
        return Err(Error::new(ErrorKind::Timeout, Outcome::Ambiguous, detail));
    }
    Ok(())
}

/// Reading, and waking callers, of all connections.
const CATCH_UP_TURNS: usize = 4;
/// How many events are told before other tasks of the shard run.
const EVENTS_PER_TURN: usize = 256;
/// The coarsest that the timer is late by: it saves a wake-up for each of a burst of deadlines.
const TICK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_has_passed_is_late_from_now_on() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut pilot = PilotSeat::default();
        pilot.arm(Some(at(1000)), at(5000));
        assert_eq!((pilot.armed, pilot.notified), (Some(at(5000)), true));
        pilot.arm(Some(at(6000)), at(5001));
        assert_eq!(pilot.armed, Some(at(5000)), "the earliest counts");
    }
}
