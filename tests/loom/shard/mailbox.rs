//! A request with a number, which records that it was refused.

use std::sync::{Arc, Mutex};

use super::channel::Channel;

pub(crate) type Mailbox = Channel<Request>;

/// Numbers, in an order.
pub(crate) type Numbers = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) number: u8,
    pub(crate) is_unwanted: bool,
    /// Where its number goes if it is refused.
    pub(crate) refused: Numbers,
}

impl Request {
    pub(crate) fn is_unwanted(&self) -> bool {
        self.is_unwanted
    }

    pub(crate) fn refuse(self) {
        self.refused.lock().unwrap().push(self.number);
    }
}
