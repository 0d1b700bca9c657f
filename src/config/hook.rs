//! [`Hook`]: what the application wants called when something happens.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::proto::maint::event::Event;

/// The application's function, if it gave one.
#[derive(Clone, Default)]
pub(crate) struct Hook(Option<Arc<HookState>>);

type Watch = dyn Fn(usize, &Event) + Send + Sync;

struct HookState {
    watch: Box<Watch>,
    has_panicked: AtomicBool,
}

impl Hook {
    pub(super) fn new(watch: impl Fn(usize, &Event) + Send + Sync + 'static) -> Self {
        Hook(Some(Arc::new(HookState { watch: Box::new(watch), has_panicked: AtomicBool::new(false) })))
    }

    /// Calls it. Nothing may be borrowed. A panic ends here: it would take down everything that runs on the shard.
    pub(crate) fn call(&self, shard: usize, event: &Event) {
        let Some(state) = &self.0 else { return };
        let told = catch_unwind(AssertUnwindSafe(|| (state.watch)(shard, event)));
        if told.is_err() && !state.has_panicked.swap(true, Ordering::Relaxed) {
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
    fn a_panic_in_the_hook_ends_there_and_later_events_are_told() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let hook = Hook::new({
            let told = told.clone();
            move |shard, event| {
                assert!(shard != 1, "as planned");
                told.lock().unwrap().push((shard, event.clone()));
            }
        });
        let event = Event::Connected { peer: None };
        for shard in [0, 1, 1, 2] {
            hook.call(shard, &event);
        }
        assert_eq!(*told.lock().unwrap(), [(0, event.clone()), (2, event.clone())]);
        Hook::default().call(0, &event);
    }
}
