//! A letter that can be told from others, and says what became of it.

use std::sync::{Arc, Mutex};

use super::channel::Channel;

pub(crate) type Mailbox = Channel<Letter>;

/// Numbers, in an order.
pub(crate) type Numbers = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) number: u8,
    pub(crate) is_unwanted: bool,
    /// Where it goes if nobody takes it.
    pub(crate) refused: Numbers,
}

impl Letter {
    pub(crate) fn is_unwanted(&self) -> bool {
        self.is_unwanted
    }

    pub(crate) fn refuse(self) {
        self.refused.lock().unwrap().push(self.number);
    }
}
