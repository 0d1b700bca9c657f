//! The supervisor: the task that executes what a shard's pool asks for, and keeps the shard's one timer.
//!
//! It runs when a [`SupervisorWaker`](super::wakers::SupervisorWaker) wakes it, or when its timer fires. Each turn
//! tells the pool the time, so that deadlines expire. It then executes every [`Action`], wakes the callers and
//! watchers, and reports events to the application.
//!
//! Watchers are tasks that wait for the whole pool: until it is ready, logged in again, or shut down. Every turn wakes
//! all of them, and each checks its own condition again. The rule of [`ShardState`] for borrows holds in every function
//! here.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::runtime::{Runtime, StateCell};
use super::stalls::Stall;
use super::state::{ShardState, Shared};
use super::tasks::{Spawn, Task};
use super::turn;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{self, Event};
use crate::proto::error::{CloseReason, Outcome};
use crate::proto::pool::{Action, ConnectionId, Renewal};
use crate::proto::time::{Instant, earliest};

/// Supervises the shard until its pool is shut down.
pub(super) async fn run<R: Spawn>(shared: &Shared<R>) {
    while let Turn::Sleep(time) = supervise(shared) {
        sleep(shared, time).await;
        catch_up(shared).await;
    }
    finish(shared);
}

/// Passes the announcements of other shards to the pool, until this shard has left the group, which [`finish`] does.
pub(crate) async fn listen<R: Runtime>(shared: &ShardState<R>) {
    while let Some(announcement) = shared.member.next().await {
        let state = &mut *shared.state.lock();
        state.pool.handle_announcement(announcement, shared.clock.now(), &mut state.calls);
        state.supervisor.wake();
    }
}

/// What the supervisor does after a turn.
pub(crate) enum Turn {
    /// It sleeps for this long, or until it is woken.
    Sleep(Option<Duration>),
    /// It ends: the pool is shut down, and no action or event is left.
    Done,
}

/// Tells the pool the time, executes what it asks for, and then wakes and reports.
pub(crate) fn supervise<R: Spawn>(shared: &Shared<R>) -> Turn {
    let now = shared.clock.now();
    {
        let mut state = shared.state.lock();
        let state = &mut *state;
        state.supervisor.begin_turn();
        state.drivers.supervisor_runs();
        // A call that times out in this turn names the stall in its error.
        state.calls.blocked = shared.stalls.lock().just_over(now);
        state.pool.handle_timeout(now, &mut state.calls);
    }
    // A task that is spawned runs at once, up to its first wait. So no borrow may be open here.
    while let Some(action) = shared.next_action() {
        execute(shared, action);
    }
    // `_forgotten` holds wakers, which must not be dropped during the borrow.
    let (due, watchers, sleep, _forgotten) = {
        let mut state = shared.state.lock();
        let state = &mut *state;
        let forgotten = state.calls.forget_wakers(now);
        let next = earliest(state.pool.next_timeout(), state.calls.forget_at());
        state.supervisor.end_turn(next, now);
        let sleep = next.map(|next| next.since(now).max(TICK));
        (state.calls.take_due(), std::mem::take(&mut state.watchers), sleep, forgotten)
    };
    shared.wake(due);
    for watcher in watchers {
        watcher.wake();
    }
    report_events(shared);
    let mut state = shared.state.lock();
    // A hook may have used the shard, and events may be left: then the next turn follows at once.
    state.wake_supervisor();
    match state.pool.is_shut_down() && !state.pool.has_actions() {
        true => Turn::Done,
        false => Turn::Sleep(sleep),
    }
}

/// Does what one action asks for. It may run a new task up to its first wait, so call it without a borrow.
pub(crate) fn execute<R: Spawn>(shared: &Shared<R>, action: Action) {
    let shard = shared.member.index();
    match action {
        Action::Dial { id, endpoint, timeout } => {
            tracing::debug!(target: "hitless::shard", shard, %endpoint, ?id, "dialing");
            shared.runtime.spawn(Task::Drive { shared: shared.clone(), id, endpoint, timeout });
        }
        Action::Ready { id } => {
            let protocol = shared.state.lock().pool.connection(id).negotiated().map(|agreed| agreed.protocol);
            tracing::debug!(target: "hitless::shard", shard, ?id, ?protocol, "ready");
        }
        Action::Wake { id } => shared.state.lock().drivers.wake(id),
        Action::Announce(announcement) => {
            // A shard whose inbox is full hears the announcement from its own connections to the server.
            let dropped = shared.member.announce(&announcement);
            shared.state.lock().broadcasts_dropped += dropped;
        }
        Action::AskCredentials => shared.runtime.spawn(Task::AskCredentials(shared.clone())),
        Action::Resolve { lookup, endpoint } => {
            shared.runtime.spawn(Task::Resolve { shared: shared.clone(), lookup, endpoint });
        }
        Action::Close { id, reason, unused } => {
            log_close(shared, id, &reason, unused);
            // The next dial may be the next action, and must resolve the name again: the server may have moved.
            shared.lookups.forget(shared.config.endpoint());
            // Its driver runs once more, finds the connection gone, and ends.
            if let Some(waker) = turn::remove(shared, id) {
                waker.wake();
            }
        }
    }
}

/// Releases what a shard that is shut down does not need any more, and wakes the tasks that waited for the end.
pub(crate) fn finish<R: Runtime>(shared: &ShardState<R>) {
    shared.member.leave();
    shared.hub.close();
    shared.runtime.close();
    let (handlers, wakers, watchers) = {
        let mut state = shared.state.lock();
        state.supervisor.finished = true;
        // At this time, every waker that is kept for a later call is old enough to be dropped.
        let wakers = state.calls.forget_wakers(Instant::from_nanos(u64::MAX));
        (state.calls.pushes.clear(), wakers, std::mem::take(&mut state.watchers))
    };
    // A handler or a waker may own a handle of this shard, and dropping a handle borrows the state.
    drop((handlers, wakers));
    for watcher in watchers {
        watcher.wake();
    }
}

/// Waits until every connection of the pool is ready.
///
/// # Errors
/// After `timeout`: the last error of one connection. At once if a server refuses this client, because a person has to
/// fix that; or if the pool is shut down.
pub(crate) async fn wait_until_ready<R: Runtime>(shared: &Shared<R>, timeout: Duration) -> Result<()> {
    let mut timer = shared.runtime.timer(timeout);
    poll_fn(|context| {
        let timed_out = pin!(&mut timer).poll(context).is_ready();
        let mut state = shared.state.lock();
        if state.supervisor.finished {
            return Poll::Ready(Err(Error::shut_down(Outcome::Unsent).at(shared.config.endpoint())));
        }
        let (ready, wanted) = state.pool.ready();
        if ready == wanted {
            return Poll::Ready(Ok(()));
        }
        let last_error = state.pool.last_error();
        let refused = state.pool.is_rejected();
        if !timed_out && !refused {
            state.watchers.push(context.waker().clone());
            return Poll::Pending;
        }
        let error = match last_error {
            Some(reason) => Error::from_close_reason(reason),
            None => {
                let detail = format!("{ready} of {wanted} connections were ready within {timeout:?}");
                Error::new(ErrorKind::Connect, Outcome::Unsent, detail)
            }
        };
        Poll::Ready(Err(error.at(shared.config.endpoint())))
    })
    .await
}

/// Waits until the server has answered on every connection that logs in again.
///
/// # Errors
/// If the server refuses the new credentials on one of them, or the pool is shut down first.
pub(crate) async fn wait_until_renewed<R: Runtime>(shared: &Shared<R>) -> Result<()> {
    poll_fn(|context| {
        let mut state = shared.state.lock();
        if state.supervisor.finished {
            return Poll::Ready(Err(Error::shut_down(Outcome::Unsent)));
        }
        match state.pool.renewal() {
            Renewal::UnderWay { .. } => {
                state.watchers.push(context.waker().clone());
                Poll::Pending
            }
            Renewal::Done => Poll::Ready(Ok(())),
            Renewal::Refused(reply) => {
                let error = Error::from_close_reason(CloseReason::Auth(reply.clone()));
                Poll::Ready(Err(error.at(shared.config.endpoint())))
            }
        }
    })
    .await
}

/// Lets the pool accept no more commands, and give up those that are not answered within `grace`. It does not wait.
pub(crate) fn begin_shutdown<R: Runtime>(shared: &Shared<R>, grace: Duration) {
    let now = shared.clock.now();
    let due = {
        let mut state = shared.state.lock();
        let state = &mut *state;
        state.pool.shut_down(now, now.after(grace), &mut state.calls);
        state.supervisor.wake();
        state.calls.take_due()
    };
    shared.wake(due);
}

/// Shuts the pool down, and waits until the supervisor has finished.
///
/// # Errors
/// If commands were given up: how many.
pub(crate) async fn shut_down<R: Runtime>(shared: &Shared<R>, grace: Duration) -> Result<()> {
    begin_shutdown(shared, grace);
    wait_until_shut_down(shared, grace).await
}

/// Waits until the supervisor has finished, after [`begin_shutdown`].
///
/// # Errors
/// If commands were given up: how many.
pub(crate) async fn wait_until_shut_down<R: Runtime>(shared: &Shared<R>, grace: Duration) -> Result<()> {
    let given_up = poll_fn(|context| {
        let mut state = shared.state.lock();
        if state.supervisor.finished {
            return Poll::Ready(state.pool.counters().given_up);
        }
        state.watchers.push(context.waker().clone());
        Poll::Pending
    })
    .await;
    if given_up > 0 {
        let detail = format!("{given_up} commands were not answered within {grace:?} and were given up");
        return Err(Error::new(ErrorKind::Timeout, Outcome::Ambiguous, detail));
    }
    Ok(())
}

/// Sleeps for this long, or until another task wakes the supervisor.
async fn sleep<R: Runtime>(shared: &Shared<R>, time: Option<Duration>) {
    let is_woken = shared.state.lock().supervisor.is_notified();
    if is_woken {
        // It was woken during its turn. Other tasks run before the next one, or a busy supervisor would starve them.
        return futures_lite::future::yield_now().await;
    }
    let mut timer = time.map(|time| shared.runtime.timer(time));
    poll_fn(|context| {
        if !shared.state.lock().supervisor.register(context) {
            return Poll::Ready(());
        }
        match &mut timer {
            Some(timer) => pin!(timer).poll(context).map(|_| ()),
            None => Poll::Pending,
        }
    })
    .await;
}

/// After a stall: lets the drivers read the replies that came during it, before the next turn times calls out.
///
/// A timer that fires late shows that the thread was blocked. The sockets may then hold replies that arrived in time.
/// If the supervisor did not yield here, each of their calls would time out, although the server answered it.
async fn catch_up<R: Runtime>(shared: &ShardState<R>) {
    let (now, armed) = (shared.clock.now(), shared.state.lock().supervisor.armed());
    shared.note_stall(armed.map_or(Duration::ZERO, |armed| now.since(armed)), None);
    if shared.stalls.lock().just_over(now).is_some() {
        shared.runtime.catch_up();
        // Each yield lets the tasks run that are ready by then.
        for _ in 0..CATCH_UP_TURNS {
            futures_lite::future::yield_now().await;
        }
    }
}

/// Reports events to the application, at most [`EVENTS_PER_TURN`] of the pool; the others follow in the next turns.
///
/// Call it without a borrow and after every waiting task is woken: a hook is code of the application, which may call
/// the shard and may take long.
fn report_events<R: Runtime>(shared: &ShardState<R>) {
    let stall = shared.stalls.lock().take();
    if let Some(Stall { duration, by }) = stall {
        report(shared, &Event::Blocked { duration, by });
    }
    for _ in 0..EVENTS_PER_TURN {
        let begin = shared.clock.now();
        let event = shared.state.lock().pool.poll_event();
        let Some(event) = event else { return };
        // Every shard of a group learns of an announcement; one of them reports it.
        if matches!(event, Event::Announced { .. }) && !shared.member.is_reporter() {
            continue;
        }
        // Each shard refuses a target for itself; the group reports it once a minute.
        if let Event::TargetRefused { target, .. } = &event
            && !shared.member.is_first_to_report(target, shared.clock.now())
        {
            continue;
        }
        report(shared, &event);
        shared.note_stall(shared.clock.now().since(begin), Some("Config::on_event"));
    }
}

/// Logs an event, and passes it to the hook of the application.
fn report<R: Runtime>(shared: &ShardState<R>, event: &Event) {
    let shard = shared.member.index();
    observe::log::log(shard, event);
    shared.config.hook().call(shard, event);
}

/// Logs the end of a connection. The levels: error if a person has to fix the reason; warning if the connection was in
/// use; debug if the client closed it, or if a dial failed that is tried again.
fn log_close<R: Runtime>(shared: &ShardState<R>, id: ConnectionId, reason: &CloseReason, unused: bool) {
    let (shard, endpoint) = (shared.member.index(), shared.config.endpoint());
    match reason {
        CloseReason::Local | CloseReason::Replaced | CloseReason::LeadsBack => {
            tracing::debug!(target: "hitless::shard", shard, ?id, %reason, "closed")
        }
        reason if reason.is_refusal() => {
            let remedy = reason.remedy().map(tracing::field::display);
            tracing::error!(target: "hitless::shard", shard, %endpoint, %reason, remedy, "rejected by the server");
        }
        reason if unused => {
            tracing::debug!(target: "hitless::shard", shard, %endpoint, %reason, "could not connect");
        }
        reason => tracing::warn!(target: "hitless::shard", shard, %endpoint, %reason, "lost a connection"),
    }
}

/// How often [`catch_up`] yields. After that, all drivers have read, and their callers have been woken.
const CATCH_UP_TURNS: usize = 4;
/// How many events are reported before other tasks of the shard run.
const EVENTS_PER_TURN: usize = 256;
/// The shortest sleep, and so by how much the timer may be late. Deadlines of a burst share a wake-up.
const TICK: Duration = Duration::from_millis(1);
