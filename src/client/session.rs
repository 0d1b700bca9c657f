//! How a client opens sessions.

use std::time::Duration;

use super::route::Destination;
use super::{Client, ClientReply};
use crate::command::{self, CheckOut, FromReply, SESSION, SessionCall, SessionRequest, ToArg};
use crate::driver::state::session_number;
use crate::error::{Error, Result};
use crate::proto::pool::EntryId;
use crate::proto::resp::Frame;

/// A [`command::Session`] of a client, or of another handle: `Session<Shard>` is what [`Shard::session`](crate::Shard::session)
/// returns.
pub type Session<H = Client> = command::Session<H>;

impl Client {
    /// Waits for a connection that the caller has for itself: see [`Session`](command::Session). At most
    /// [`Config::exclusive_connections_max`](crate::Config::exclusive_connections_max) of a shard are in use at a time; further
    /// callers wait in the order of their calls.
    ///
    /// Dropping the future gives the connection back.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if none was free within the command timeout; or the client is shut down.
    pub async fn session(&self) -> Result<Session> {
        Session::open(self).await
    }

    /// Runs `attempt` in a session that watches `keys`, until no other caller has changed one of them meanwhile.
    ///
    /// The closure reads what it needs, runs one [transaction](command::Session::transaction), and returns its result. It is
    /// called again if a key has changed ([`ErrorKind::Conflict`](crate::ErrorKind::Conflict)), or if the session lost its watch
    /// in a handoff ([`ErrorKind::WatchStale`](crate::ErrorKind::WatchStale)): up to 32 times, with growing random pauses. So it
    /// must have no effects but those of its transaction.
    ///
    /// ```no_run
    /// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
    /// let left = client
    ///     .optimistic(&["stock"], async |session| {
    ///         let stock: i64 = session.get("stock").await?;
    ///         let order = session.transaction();
    ///         order.set("stock", stock - 1);
    ///         order.run::<((),)>().await?;
    ///         Ok(stock - 1)
    ///     })
    ///     .await?;
    /// # let _ = left;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the closure; and the last conflict, if there were too many.
    pub async fn optimistic<T>(
        &self,
        keys: &[impl ToArg],
        attempt: impl AsyncFn(&Session) -> Result<T>,
    ) -> Result<T> {
        Session::optimistic(self, keys, attempt).await
    }
}

impl CheckOut for Client {
    fn for_session(&self) -> (Self, u32) {
        let (Destination { shard, .. }, _guard) = self.route.destination(&self.shared, &[]);
        let (_, handle) = self.shared.next_handle();
        let number = session_number(handle);
        let destination = Destination { shard, entry: EntryId::session(number), handle };
        (self.bound_to(destination), number)
    }

    fn ask(&self, request: SessionRequest) -> ClientReply<Frame> {
        let (destination, guard) = self.route.destination(&self.shared, &[]);
        self.call_at(Destination { entry: request.entry(), ..destination }, guard, SESSION, Vec::new(), None)
    }

    fn queue<T: FromReply>(
        &self,
        SessionCall { name, batch }: SessionCall,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> ClientReply<T> {
        self.submit(name, batch, encode)
    }

    fn refuse<T: FromReply>(&self, SessionCall { name, .. }: SessionCall, error: Error) -> ClientReply<T> {
        self.settled(name, Err(error))
    }

    fn forget<T: FromReply>(reply: ClientReply<T>) -> Result<()> {
        reply.fire_and_forget()
    }

    async fn pause(&self, time: Duration) -> Result<()> {
        self.shared.backend.pause(time).await
    }
}
