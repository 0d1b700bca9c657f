//! [`Hook`]: the function that the application has set for events.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::proto::maint::event::Event;

/// The function of the application, if it has set one.
#[derive(Clone, Default)]
pub(crate) struct Hook(Option<Arc<HookState>>);

type Function = dyn Fn(usize, &Event) + Send + Sync;

struct HookState {
    function: Box<Function>,
    has_panicked: AtomicBool,
}

impl Hook {
    pub(super) fn new(function: impl Fn(usize, &Event) + Send + Sync + 'static) -> Self {
        Hook(Some(Arc::new(HookState { function: Box::new(function), has_panicked: AtomicBool::new(false) })))
    }

    /// Calls the function. The caller must hold no `RefCell` borrow, because the function may call the shard. A panic is
    /// caught here: it would end all tasks of the shard.
    pub(crate) fn call(&self, shard: usize, event: &Event) {
        let Some(state) = &self.0 else { return };
        let called = catch_unwind(AssertUnwindSafe(|| (state.function)(shard, event)));
        if called.is_err() && !state.has_panicked.swap(true, Ordering::Relaxed) {
            tracing::error!(target: "hitless::shard", shard, ?event, "the hook for events panicked");
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Hook(set)" } else { "Hook(none)" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn panic_in_the_hook_is_caught_and_later_events_are_reported() {
        let events = Arc::new(Mutex::new(Vec::new()));
        let hook = Hook::new({
            let events = events.clone();
            move |shard, event| {
                assert!(shard != 1, "as planned");
                events.lock().unwrap().push((shard, event.clone()));
            }
        });
        let event = Event::Connected { peer: None, role: Default::default() };
        for shard in [0, 1, 1, 2] {
            hook.call(shard, &event);
        }
        assert_eq!(*events.lock().unwrap(), [(0, event.clone()), (2, event.clone())]);
        Hook::default().call(0, &event);
    }
}
