//! Where callers record: a recorder of their own thread, or one for each worker of a tokio runtime.

use std::cell::RefCell;
use std::rc::Rc;
#[cfg(feature = "tokio")]
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "tokio")]
use crate::load::machine::worker_number;
use crate::load::plan::Plan;
use crate::load::recording::recorder::{Recorder, Recording};

/// Where the callers of one group record. A caller has access for a few lines, and never across an `await`.
pub(crate) trait Recorders: Clone + 'static {
    /// Records on the calling thread.
    fn with<T>(&self, record: impl FnOnce(&mut Recorder) -> T) -> T;

    /// Takes what the group's own recorder holds, which continues with `empty`.
    fn exchange(&self, empty: Box<Recording>) -> Box<Recording>;
}

/// The recorder of callers that never leave their thread.
#[derive(Debug, Clone)]
pub(crate) struct LocalRecorder(Rc<RefCell<Recorder>>);

impl LocalRecorder {
    pub(crate) fn new(plan: &Plan) -> LocalRecorder {
        LocalRecorder(Rc::new(RefCell::new(recorder(plan))))
    }
}

impl Recorders for LocalRecorder {
    #[inline]
    fn with<T>(&self, record: impl FnOnce(&mut Recorder) -> T) -> T {
        record(&mut self.0.borrow_mut())
    }

    fn exchange(&self, empty: Box<Recording>) -> Box<Recording> {
        self.0.borrow_mut().exchange(empty)
    }
}

/// The recorders of callers that run on all workers of a tokio runtime. Each worker has its own, so that its lock is free
/// but for the exchange ten times a second. With several servers, each has fewer recorders than there are workers, and
/// some workers share one.
#[cfg(feature = "tokio")]
#[derive(Debug, Clone)]
pub(crate) struct WorkerRecorders {
    all: Arc<[PaddedRecorder]>,
    /// The place of the recorder that this group hands to the collector.
    own: usize,
}

/// Recorders of two workers share no cache line, nor two lines that the processor fetches together.
#[cfg(feature = "tokio")]
#[derive(Debug)]
#[repr(align(128))]
struct PaddedRecorder(Mutex<Recorder>);

#[cfg(feature = "tokio")]
impl WorkerRecorders {
    /// The recorders of `groups` groups, one handle for each group.
    pub(crate) fn of_groups(plan: &Plan, groups: usize) -> impl Iterator<Item = WorkerRecorders> {
        let all: Arc<[PaddedRecorder]> =
            (0..groups).map(|_| PaddedRecorder(Mutex::new(recorder(plan)))).collect();
        (0..groups).map(move |own| WorkerRecorders { all: all.clone(), own })
    }

    fn at<T>(&self, place: usize, record: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
        let recorder = self.all.get(place)?;
        Some(record(&mut recorder.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(feature = "tokio")]
impl Recorders for WorkerRecorders {
    #[inline]
    fn with<T>(&self, record: impl FnOnce(&mut Recorder) -> T) -> T {
        let place = worker_number() % self.all.len();
        self.at(place, record).unwrap_or_else(|| unreachable!("a remainder is less than the divisor"))
    }

    fn exchange(&self, empty: Box<Recording>) -> Box<Recording> {
        self.at(self.own, |recorder| recorder.exchange(empty))
            .unwrap_or_else(|| unreachable!("each handle has a place of its own"))
    }
}

fn recorder(plan: &Plan) -> Recorder {
    Recorder::new(plan.workload.rate.is_some(), plan.kinds.names().len())
}
