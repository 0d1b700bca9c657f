//! [`Pushes`]: the application's handlers for messages that answer no command, by name.
//!
//! A push is read while the state of the shard is borrowed, and a handler may call anything. So pushes that have a handler are
//! collected, and handed out after the callers of the same read are woken.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::runtime::Runtime;
use crate::error::{Error, ErrorKind, Result};
use crate::proto::error::Outcome;
use crate::proto::maint::notification::NotificationKind;
use crate::proto::resp::Frame;

pub(crate) struct Pushes<R: Runtime>(Vec<R::Pointer<Handler<R>>>);

pub(crate) struct Handler<R: Runtime> {
    name: Box<[u8]>,
    function: R::PushFunction,
    has_panicked: AtomicBool,
}

/// A function of the application that may run on several threads.
pub(crate) type SharedFunction = Arc<dyn Fn(&[Frame]) + Send + Sync>;

/// A push on its way to its handler.
pub(crate) struct Collected<R: Runtime> {
    handler: R::Pointer<Handler<R>>,
    items: Vec<Frame>,
}

impl<R: Runtime> Handler<R> {
    /// # Errors
    /// If the application cannot handle pushes of this name.
    pub(crate) fn new(name: &str, function: R::PushFunction) -> Result<R::Pointer<Self>> {
        if NotificationKind::of(name.as_bytes()).is_some() {
            let problem = "the shard handles maintenance itself; Config::on_event reports it";
            return Err(refusal(name, problem));
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(refusal(name, &format!("a name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        Ok(R::pointer(Handler {
            name: name.as_bytes().into(),
            function,
            has_panicked: AtomicBool::new(false),
        }))
    }

    fn is_for(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl<R: Runtime> Default for Pushes<R> {
    fn default() -> Self {
        Pushes(Vec::new())
    }
}

impl<R: Runtime> Pushes<R> {
    /// Adds a handler, and returns the one that it replaces, to be dropped after the borrow.
    ///
    /// # Errors
    /// If [`PUSH_HANDLERS_MAX`] names have a handler.
    pub(crate) fn insert(
        &mut self,
        handler: R::Pointer<Handler<R>>,
    ) -> Result<Option<R::Pointer<Handler<R>>>> {
        if let Some(place) = self.0.iter_mut().find(|place| place.is_for(&handler.name)) {
            return Ok(Some(std::mem::replace(place, handler)));
        }
        if self.0.len() >= PUSH_HANDLERS_MAX {
            let name = String::from_utf8_lossy(&handler.name);
            return Err(refusal(&name, &format!("there are {PUSH_HANDLERS_MAX} handlers already")));
        }
        self.0.push(handler);
        Ok(None)
    }

    /// Takes all handlers out, to be dropped after the borrow.
    pub(crate) fn clear(&mut self) -> Vec<R::Pointer<Handler<R>>> {
        std::mem::take(&mut self.0)
    }

    /// Collects a push that has a handler; false if it has none.
    pub(crate) fn collect(&self, frame: Frame, collected: &mut Vec<Collected<R>>) -> bool {
        let Frame::Push(mut items) = frame.without_attributes() else { return false };
        let Some(Frame::Bulk(name) | Frame::Simple(name)) = items.first() else {
            tracing::trace!(target: "hitless::shard", "a push without a name");
            return false;
        };
        let Some(handler) = self.0.iter().find(|handler| handler.is_for(name)) else {
            tracing::trace!(target: "hitless::shard", name = %Label(name), "a push that nothing handles");
            return false;
        };
        if collected.len() < COLLECTED_MAX {
            items.remove(0);
            collected.push(Collected { handler: handler.clone(), items });
        }
        true
    }
}

impl<R: Runtime> Collected<R> {
    /// Calls the handler, without a borrow. A panic ends here: it would otherwise end the executor and all of its tasks.
    pub(crate) fn hand_out(self) {
        let Collected { handler, items } = self;
        let handled = catch_unwind(AssertUnwindSafe(|| R::call(&handler.function, &items)));
        if handled.is_err() && !handler.has_panicked.swap(true, Ordering::Relaxed) {
            let name = Label(&handler.name);
            tracing::error!(target: "hitless::shard", %name, "the handler of a push panicked");
        }
    }
}

fn refusal(name: &str, problem: &str) -> Error {
    Error::new(ErrorKind::Config, Outcome::Unsent, format!("no handler for pushes named {name:?}: {problem}"))
}

/// The name of a push, if it is a word. A server may send anything in its place.
struct Label<'a>(&'a [u8]);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_:".contains(byte);
        match self.0.len() <= LABEL_MAX && self.0.iter().all(is_word) {
            true => write!(f, "{}", self.0.escape_ascii()),
            false => write!(f, "({} bytes)", self.0.len()),
        }
    }
}

/// Longer names of pushes are not logged.
const LABEL_MAX: usize = 32;
/// How many names can have a handler. The name of each push is compared with all of them.
const PUSH_HANDLERS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 256;
/// More pushes than one read brings: a push with a name has at least eight bytes, and they are handed out after each read.
const COLLECTED_MAX: usize = crate::proto::connection::READ_MAX / 8 + 1;

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::*;
    use crate::driver::testing::NoRuntime;

    type Pushes = super::Pushes<NoRuntime>;

    fn handler(name: &str, function: impl FnMut(&[Frame]) + 'static) -> Result<Rc<Handler<NoRuntime>>> {
        Handler::<NoRuntime>::new(name, RefCell::new(Box::new(function)))
    }

    fn push(items: &[&'static str]) -> Frame {
        Frame::Push(items.iter().map(|item| Frame::Bulk((*item).into())).collect())
    }

    /// A handler that notes what it receives.
    fn noting(name: &str, noted: &Rc<RefCell<Vec<Vec<Frame>>>>) -> Rc<Handler<NoRuntime>> {
        let noted = noted.clone();
        handler(name, move |items: &[Frame]| noted.borrow_mut().push(items.to_vec())).unwrap()
    }

    fn deliver(pushes: &Pushes, frame: Frame) {
        let mut collected = Vec::new();
        pushes.collect(frame, &mut collected);
        collected.into_iter().for_each(Collected::hand_out);
    }

    #[test]
    fn push_goes_to_the_handler_of_its_name() {
        let (mut pushes, noted) = (Pushes::default(), Rc::default());
        pushes.insert(noting("Hello", &noted)).unwrap();
        deliver(&pushes, push(&["hello", "a"]));
        deliver(&pushes, push(&["other", "b"]));
        deliver(&pushes, Frame::Push(vec![Frame::Simple("HELLO".into()), Frame::Integer(1)]));
        deliver(&pushes, Frame::Push(vec![Frame::Integer(1)]));
        deliver(&pushes, Frame::Push(Vec::new()));
        let attributed = Frame::Attributed { attributes: Vec::new(), frame: Box::new(push(&["hello"])) };
        deliver(&pushes, attributed);
        let a = Frame::Bulk("a".into());
        assert_eq!(*noted.borrow(), [vec![a], vec![Frame::Integer(1)], vec![]]);
    }

    #[test]
    fn later_handler_replaces_an_earlier_one() {
        let (mut pushes, first, second) = (Pushes::default(), Rc::default(), Rc::default());
        assert!(pushes.insert(noting("hello", &first)).unwrap().is_none());
        assert!(pushes.insert(noting("HELLO", &second)).unwrap().is_some());
        deliver(&pushes, push(&["hello"]));
        assert_eq!((first.borrow().len(), second.borrow().len()), (0, 1));
    }

    #[test]
    fn a_handler_that_panics_is_called_again() {
        let (mut pushes, calls) = (Pushes::default(), Rc::new(Cell::new(0)));
        let count = calls.clone();
        let counting = handler("hello", move |_| {
            count.set(count.get() + 1);
            assert!(count.get() > 1, "as planned");
        });
        pushes.insert(counting.unwrap()).unwrap();
        deliver(&pushes, push(&["hello"]));
        deliver(&pushes, push(&["hello"]));
        assert_eq!(calls.get(), 2);
    }

    #[test]
    fn names_of_maintenance_and_too_many_names_are_refused() {
        for name in ["MOVING", "migrating", "Smigrated", "", &"x".repeat(NAME_BYTES_MAX + 1)] {
            let error = handler(name, |_| {}).map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        }
        let mut pushes = Pushes::default();
        for n in 0..PUSH_HANDLERS_MAX {
            pushes.insert(handler(&n.to_string(), |_| {}).unwrap()).unwrap();
        }
        let error = pushes.insert(handler("one more", |_| {}).unwrap()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("one more") && error.kind() == ErrorKind::Config, "{error}");
    }

    #[test]
    fn what_is_collected_is_bounded() {
        let (mut pushes, mut collected) = (Pushes::default(), Vec::new());
        pushes.insert(handler("hello", |_| {}).unwrap()).unwrap();
        for _ in 0..2 * COLLECTED_MAX {
            pushes.collect(push(&["hello"]), &mut collected);
        }
        assert_eq!(collected.len(), COLLECTED_MAX);
    }
}
