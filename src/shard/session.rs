//! How tasks on a shard open sessions.

use std::time::Duration;

use super::{Reply, Shard};
use crate::command::{CheckOut, FromReply, SESSION, Session, SessionCall, SessionRequest, ToArg};
use crate::driver::runtime::Runtime;
use crate::driver::state::session_number;
use crate::error::{Error, Result};
use crate::proto::pool::EntryId;
use crate::proto::resp::Frame;

impl Shard {
    /// Waits for a connection that the caller has for itself: as [`Client::session`](crate::Client::session). A session counts
    /// as a handle: the shard does not end by itself before it is dropped.
    ///
    /// ```no_run
    /// # async fn example(shard: &hitless::Shard) -> hitless::Result<()> {
    /// let session = shard.session().await?;
    /// session.watch(&["stock"]).await?;
    /// let stock: i64 = session.get("stock").await?;
    /// let order = session.transaction();
    /// order.set("stock", stock - 1);
    /// let sold = order.run::<Option<((),)>>().await?.is_some();
    /// # let _ = sold;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As there.
    pub async fn session(&self) -> Result<Session<Shard>> {
        Session::open(self).await
    }

    /// Runs `attempt` in a session that watches `keys`, until no other caller has changed one of them meanwhile: as
    /// [`Client::optimistic`](crate::Client::optimistic). The closure may run several times.
    ///
    /// ```no_run
    /// # async fn example(shard: &hitless::Shard) -> hitless::Result<()> {
    /// let left = shard
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
    /// As there.
    pub async fn optimistic<T>(
        &self,
        keys: &[impl ToArg],
        attempt: impl AsyncFn(&Session<Shard>) -> Result<T>,
    ) -> Result<T> {
        Session::optimistic(self, keys, attempt).await
    }
}

impl CheckOut for Shard {
    fn for_session(&self) -> (Self, u32) {
        let mut handle = self.clone();
        let number = session_number(handle.handle);
        handle.entry = EntryId::session(number);
        (handle, number)
    }

    fn ask(&self, request: SessionRequest) -> Reply<Frame> {
        self.submit_to(request.entry(), SESSION, None, |_| {})
    }

    fn queue<T: FromReply>(
        &self,
        SessionCall { name, batch }: SessionCall,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Reply<T> {
        self.submit(name, batch, encode)
    }

    fn refuse<T: FromReply>(&self, SessionCall { name, .. }: SessionCall, error: Error) -> Reply<T> {
        Reply::settled(Err(error), name)
    }

    fn forget<T: FromReply>(reply: Reply<T>) -> Result<()> {
        reply.fire_and_forget()
    }

    async fn pause(&self, time: Duration) -> Result<()> {
        self.shared.runtime.timer(time).await;
        Ok(())
    }
}
