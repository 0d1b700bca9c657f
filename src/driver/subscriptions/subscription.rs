//! [`Subscription`]: the stream of messages that an application reads.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::Stream;

use super::event::{Message, PubSubEvent};
use super::hub::SubscriptionHub;
use super::inbox::{Name, SubscriptionInbox};
use crate::config::SubscriptionBuffer;
use crate::error::{CommandName, Error, ErrorKind, Result};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::Outcome;
use crate::proto::subscriptions::{SubscriptionId, SubscriptionKind};

/// A subscription to channels or patterns: a stream of messages, and of what is missing among them.
///
/// The server is asked once for each channel, however many subscriptions of the shard want it. A subscription counts as made
/// when the server has confirmed it. If the connection is lost, the client subscribes again at once, and a
/// [`Gap`](PubSubEvent::Gap) tells for how long messages may have been missed. A handoff misses none and repeats none. It needs no
/// attention of the subscriber.
///
/// The subscription can be read on any thread and in any runtime, and buffers what it has not been asked for, within the bounds of
/// its [`SubscriptionBuffer`]. Dropping it unsubscribes.
///
/// ```no_run
/// use futures_lite::StreamExt;
/// use hitless::pubsub::PubSubEvent;
///
/// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
/// let mut news = client.subscribe(&["news"]).await?;
/// while let Some(event) = news.next().await {
///     match event {
///         PubSubEvent::Message(message) => println!("{}", String::from_utf8_lossy(&message.payload)),
///         PubSubEvent::Gap { since, until, .. } => println!("read the state again: {:?} were missed", until - since),
///         PubSubEvent::Lagged(count) => println!("this task is too slow: {count} messages were dropped"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a subscription unsubscribes"]
pub struct Subscription {
    hub: Arc<SubscriptionHub>,
    id: SubscriptionId,
    inbox: Arc<SubscriptionInbox>,
    kind: SubscriptionKind,
    /// How long the server may take to confirm a name, and which endpoint errors name.
    origin: Arc<Origin>,
}

/// Where a subscription was made.
pub(crate) struct Origin {
    pub(crate) endpoint: Endpoint,
    pub(crate) timeout: Duration,
}

/// A subscription that the server has not confirmed yet.
pub(crate) struct Opening {
    pub(crate) hub: Arc<SubscriptionHub>,
    pub(crate) kind: SubscriptionKind,
    pub(crate) buffer: SubscriptionBuffer,
    pub(crate) endpoint: Endpoint,
    /// How long the server may take to confirm a name.
    pub(crate) timeout: Duration,
}

impl Opening {
    /// Waits until the server has confirmed every name. `timer` is ready when it has had enough time.
    ///
    /// # Errors
    /// If it refuses one of them, which the error names; or has not confirmed one in time; or the shard is shut down.
    pub(crate) async fn subscribe(
        self,
        names: Vec<Bytes>,
        timer: impl Future<Output = ()>,
    ) -> Result<Subscription> {
        let Opening { hub, kind, buffer, endpoint, timeout } = self;
        let (id, inbox) = hub.open(buffer);
        let origin = Arc::new(Origin { endpoint, timeout });
        // If this future is dropped, so is the subscription, which ends whatever has begun.
        let subscription = Subscription { hub, id, inbox, kind, origin };
        subscription.want(names, timer).await?;
        Ok(subscription)
    }
}

impl Subscription {
    /// Adds channels, or patterns if it was made by `psubscribe`. Returns when the server has confirmed each of them. Names that
    /// it has already change nothing.
    ///
    /// # Errors
    /// If the server refuses one, which the error names; the others are added. If the client is shut down.
    pub async fn add(&self, names: &[impl AsRef<[u8]>]) -> Result<()> {
        self.want(owned(names), std::future::pending()).await
    }

    /// Gives channels, or patterns, up. Messages that have come before may follow.
    pub fn remove(&self, names: &[impl AsRef<[u8]>]) {
        let left = self.inbox.leave(self.names(owned(names)));
        self.hub.leave(self.id, left);
    }

    /// Sets how much it keeps for a slow subscriber. The default is [`Config::subscription_buffer`](crate::Config::subscription_buffer).
    pub fn set_buffer(&self, buffer: SubscriptionBuffer) {
        self.inbox.set_buffer(buffer);
    }

    /// The messages alone, without what is missing among them.
    pub fn messages(self) -> Messages {
        Messages(self)
    }

    async fn want(&self, names: Vec<Bytes>, timer: impl Future<Output = ()>) -> Result<()> {
        let name = CommandName::new(match self.kind {
            SubscriptionKind::Channel => "SUBSCRIBE",
            SubscriptionKind::Pattern => "PSUBSCRIBE",
            SubscriptionKind::Sharded => "SSUBSCRIBE",
        });
        self.hub.want(self.id, &self.inbox, self.names(names));
        let mut timer = std::pin::pin!(timer);
        let result = poll_fn(|context| {
            if let Poll::Ready(settled) = self.inbox.poll_confirmed(context) {
                return Poll::Ready(settled.ok_or_else(|| Error::shut_down(Outcome::Unsent)));
            }
            ready!(timer.as_mut().poll(context));
            Poll::Ready(Err(self.timed_out()))
        });
        let refused = result.await.and_then(|refused| match refused.into_iter().next() {
            None => Ok(()),
            Some((channel, reply)) => {
                let channel = String::from_utf8_lossy(&channel).into_owned();
                Err(Error::from_server(&reply).adding(&format!("; it was about `{channel}`")))
            }
        });
        refused.map_err(|error| error.of(name).at(&self.origin.endpoint))
    }

    fn timed_out(&self) -> Error {
        let name = self.inbox.unconfirmed().unwrap_or_default();
        let (name, timeout) = (String::from_utf8_lossy(&name).into_owned(), self.origin.timeout);
        let detail = format!("the server has not confirmed `{name}` within {timeout:?}");
        Error::new(ErrorKind::Timeout, Outcome::Unsent, detail)
    }

    fn names(&self, names: Vec<Bytes>) -> Vec<Name> {
        names.into_iter().map(|name| (self.kind, name)).collect()
    }
}

impl Stream for Subscription {
    type Item = PubSubEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PubSubEvent>> {
        self.inbox.poll_next(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.end(self.id);
    }
}

/// The endpoint; no names.
impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = format_args!("{}", self.origin.endpoint);
        f.debug_struct("Subscription").field("endpoint", &endpoint).finish_non_exhaustive()
    }
}

/// The messages of a [`Subscription`].
#[derive(Debug)]
#[must_use = "dropping it unsubscribes"]
pub struct Messages(Subscription);

impl Stream for Messages {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = self.get_mut();
        loop {
            match ready!(this.0.inbox.poll_next(context)) {
                Some(PubSubEvent::Message(message)) => return Poll::Ready(Some(message)),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

/// The names as bytes of their own.
fn owned(names: &[impl AsRef<[u8]>]) -> Vec<Bytes> {
    names.iter().map(|name| Bytes::copy_from_slice(name.as_ref())).collect()
}
