//! [`SessionCaller`]: a caller that opens sessions and appends to a list in transactions, half of them optimistic ones.
//!
//! ```text
//!                           ┌───────── without a watch ─────────┐
//!  Closed ─▶ Opening ─▶ Probing ─▶ Watching ─▶ Reading ─▶ InTransaction ─▶ Watching, InTransaction, Changed
//!    ▲                                                       │ a command fails
//!    └── the caller drops it                                 └──▶ Resetting ─▶ Watching, InTransaction, Changed
//! ```

use std::time::Duration;

use super::call_context::{CallContext, Touched};
use super::callers::value;
use super::outcomes::{CallKind, End};
use super::transactions::{Style, Transaction, Transactions};
use crate::proto::connection::HandleId;
use crate::proto::pool::{EntryId, Pool};
use crate::proto::resp::Frame;

/// It awaits the calls of each step before it takes the next one, and drops its session at any time.
#[derive(Debug)]
pub(super) struct SessionCaller {
    pub(super) shard: usize,
    /// Where and as which handle it appends without a session.
    entry: EntryId,
    handle: HandleId,
    /// The number of its session: the next one has a higher one.
    session: u32,
    step: Step,
    /// The calls of the current step.
    open: Vec<u32>,
    /// A watch of this session may still be in effect.
    may_watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Closed,
    Opening,
    /// It looks at what it got.
    Probing,
    /// It has selected another database.
    Changed,
    Watching,
    Reading,
    /// A transaction is submitted in part, or as a whole.
    InTransaction,
    /// The caller has ended what it watched, or the transaction.
    Resetting,
}

impl SessionCaller {
    /// The numbers of these callers follow those of the others of their shard.
    pub(super) fn new(shard: usize, number: usize, pool: &mut Pool) -> Self {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        SessionCaller {
            shard,
            entry: pool.assign(),
            handle: HandleId(number),
            session: number * SESSIONS_MAX,
            step: Step::Closed,
            open: Vec::new(),
            may_watch: false,
        }
    }

    /// Takes the next step, if the last one is over. Returns the time until it acts again.
    pub(super) fn act(&mut self, book: &mut Transactions, context: &mut CallContext) -> (Duration, Touched) {
        let shared = (context.random.u32(..6) == 0).then(|| self.append(context));
        if self.step != Step::Closed && context.random.u32(..DROPS) == 0 {
            self.leave_one(context);
        }
        let is_over = self.open.iter().all(|ticket| !context.is_open(*ticket));
        let is_leaving = self.step != Step::Closed && context.random.u32(..DROPS) == 0;
        let exclusive = match (is_leaving, is_over) {
            (true, _) => self.drop_session(context),
            (false, true) => self.next(book, context),
            (false, false) => false,
        };
        let time = match context.random.u32(..10) {
            0..6 => Duration::from_micros(context.random.u64(1..5_000)),
            6..9 => Duration::from_millis(context.random.u64(1..200)),
            _ => Duration::from_millis(context.random.u64(1..900)),
        };
        (time, Touched { shared, exclusive })
    }

    /// The faults are over: the caller drops its session.
    pub(super) fn wind_up(&mut self, context: &mut CallContext) -> Touched {
        let exclusive = self.step != Step::Closed && self.drop_session(context);
        Touched { shared: None, exclusive }
    }

    /// Appends to the list without a session, so that optimistic transactions meet with conflicts.
    fn append(&self, context: &mut CallContext) -> EntryId {
        let command = format!("RPUSH {} {}", log(self.shard), value(context.ticket(), 0));
        context.submit(self.entry, self.handle, CallKind::Push { elements: 0 }, &[command]);
        self.entry
    }

    fn next(&mut self, book: &mut Transactions, context: &mut CallContext) -> bool {
        let last = self.open.last().and_then(|ticket| context.call(*ticket));
        let is_answered = last.is_some_and(|call| call.end == End::Answered);
        let reply = last.and_then(|call| call.replies.last()).cloned().filter(|_| is_answered);
        match (self.step, reply) {
            (Step::Closed, _) => {
                self.session += 1;
                self.may_watch = false;
                self.submit(Step::Opening, EntryId::opening(self.session), &[], context);
            }
            (Step::Opening, Some(_)) => {
                self.say(Step::Probing, &[format!("EXISTS {HOME}")], context);
                book.probes.extend(&self.open);
            }
            (Step::Opening | Step::Changed, _) => return self.drop_session(context),
            (Step::Probing, _) => self.begin(book, context),
            (Step::Resetting, Some(reply)) => {
                self.may_watch &= !matches!(reply, Frame::Simple(_));
                self.begin(book, context);
            }
            // It does not know what the connection holds.
            (Step::Resetting, None) => return self.drop_session(context),
            (Step::Watching, Some(Frame::Simple(_))) => {
                self.say(Step::Reading, &[format!("LLEN {}", log(self.shard))], context);
                book.plain.extend(&self.open);
            }
            (Step::Reading, Some(Frame::Integer(length))) if context.random.u32(..8) > 0 => {
                self.transact(Some(length), book, context);
            }
            (Step::Watching | Step::Reading, _) => self.reset("UNWATCH", book, context),
            (Step::InTransaction, _) => self.go_on(book, context),
        }
        true
    }

    /// Begins with the next thing that it wants.
    fn begin(&mut self, book: &mut Transactions, context: &mut CallContext) {
        match context.random.u32(..16) {
            0 => {
                self.step = Step::Changed;
                let said = ["SELECT 1".to_owned(), format!("RPUSH {HOME} 1")];
                self.say(Step::Changed, &said, context);
            }
            1..5 => self.transact(None, book, context),
            _ => {
                self.may_watch = true;
                self.say(Step::Watching, &[format!("WATCH {}", log(self.shard))], context);
                book.plain.extend(&self.open);
            }
        }
    }

    /// Begins a transaction, which must find this length if it is the one after a watch.
    fn transact(&mut self, length: Option<i64>, book: &mut Transactions, context: &mut CallContext) {
        let style = Style::draw(context.random);
        let element = value(context.ticket(), 0);
        let (log, twin) = (log(self.shard), twin(self.shard));
        let commands = ["MULTI".into(), format!("RPUSH {log} {element}"), format!("RPUSH {twin} {element}")];
        let commands = commands.into_iter().chain(["EXEC".to_owned()]).collect();
        let begun = Transaction::new(element, length, self.may_watch, style, commands);
        book.list.push(begun);
        self.open.clear();
        self.step = Step::InTransaction;
        self.go_on(book, context);
    }

    /// Submits the next commands of the transaction, or ends it.
    fn go_on(&mut self, book: &mut Transactions, context: &mut CallContext) {
        let session = EntryId::session(self.session);
        let own = self.open.first().copied();
        let Some(transaction) = book
            .list
            .iter_mut()
            .rev()
            .find(|known| known.calls.first().map(|(ticket, _)| *ticket) == own && !known.is_complete())
        else {
            let last = self.open.last().and_then(|ticket| context.call(*ticket));
            if last.is_none_or(|call| call.end != End::Answered) {
                // The transaction may still be open.
                return self.reset("DISCARD", book, context);
            }
            // The EXEC has ended its watch.
            self.may_watch = false;
            return self.begin(book, context);
        };
        let is_failed =
            transaction.calls.last().and_then(|(ticket, _)| context.call(*ticket)).is_some_and(|call| {
                call.end != End::Answered || matches!(call.replies.last(), Some(Frame::Error(_)))
            });
        if is_failed && context.random.u32(..4) > 0 {
            transaction.is_given_up = true;
            return self.reset("DISCARD", book, context);
        }
        for commands in transaction.next_commands() {
            let ticket = context.submit(session, HandleId(0), CallKind::Session, &commands);
            let count = commands.len();
            (0..count).for_each(|index| transaction.calls.push((ticket, index)));
            self.open.push(ticket);
        }
    }

    fn reset(&mut self, command: &str, book: &mut Transactions, context: &mut CallContext) {
        self.say(Step::Resetting, &[command.to_owned()], context);
        if command == "UNWATCH" {
            book.plain.extend(&self.open);
        }
    }

    /// The caller drops one of its calls, and goes on.
    fn leave_one(&self, context: &mut CallContext) {
        if let Some(ticket) = context.random.choice(self.open.iter().copied()) {
            context.leave(ticket);
        }
    }

    fn say(&mut self, step: Step, commands: &[String], context: &mut CallContext) {
        self.submit(step, EntryId::session(self.session), commands, context);
    }

    fn submit(&mut self, step: Step, entry: EntryId, commands: &[String], context: &mut CallContext) {
        self.step = step;
        self.open = vec![context.submit(entry, HandleId(0), CallKind::Session, commands)];
    }

    /// Leaves its open calls, and ends the session.
    fn drop_session(&mut self, context: &mut CallContext) -> bool {
        self.open.iter().for_each(|ticket| context.leave(*ticket));
        self.submit(Step::Closed, EntryId::closing(self.session), &[], context);
        true
    }
}

/// The list that the sessions of a shard watch, and append to.
pub(super) fn log(shard: usize) -> String {
    format!("log:{shard}")
}

/// The list that gets the elements of transactions only.
pub(super) fn twin(shard: usize) -> String {
    format!("twin:{shard}")
}

/// A key of the default database.
pub(super) const HOME: &str = "home";
/// One of so many actions drops the session.
const DROPS: u32 = 24;
const SESSIONS_MAX: u32 = 1 << 16;
