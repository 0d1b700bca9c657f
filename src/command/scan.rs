//! [`Scan`]: the commands of the SCAN family as streams.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_lite::Stream;

use super::arg::ToArg;
use super::builder::{Cmd, cmd};
use super::options::ScanOptions;
use super::reply::FromReply;
use super::run::Run;
use super::sink::{Sink, Write};
use crate::error::Result;

/// The elements of a keyspace, hash, set or sorted set, one after the other: a [`Stream`] of `Result<T>`. [`Scan::next`] works
/// without a stream library.
///
/// It fetches a page, through the handle that began the scan, when the previous page is used up. An error is the last
/// element. The scan returns every element that exists from the first page to the last. It may return elements that are added
/// or removed meanwhile, and may return an element *more than once*. That is the server's guarantee for its own cursors: if the
/// connection is handed off to a server with other internal tables during the scan, elements may be missed.
///
/// ```no_run
/// use hitless::options::ScanOptions;
///
/// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
/// let mut users = client.scan::<String>(ScanOptions::new().matching("user:*").count(100));
/// while let Some(user) = users.next().await {
///     println!("{}", user?);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a scan does nothing until it is polled"]
pub struct Scan<'a, C: Run, T: FromReply> {
    on: &'a C,
    /// The command's name, and the key if there is one.
    head: Cmd,
    options: ScanOptions<'a>,
    /// The cursor of the next page; `None` while a page is fetched, and at the end.
    cursor: Option<Bytes>,
    page: Option<C::Reply<(Bytes, Vec<T>)>>,
    found: std::vec::IntoIter<T>,
}

/// Shows the command, but no key and no element.
impl<C: Run, T: FromReply> std::fmt::Debug for Scan<'_, C, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("command", &self.head.name()).finish_non_exhaustive()
    }
}

impl<'a, C: Run, T: FromReply> Scan<'a, C, T> {
    pub(crate) fn new(on: &'a C, name: &str, key: Option<&dyn ToArg>, options: ScanOptions<'a>) -> Self {
        let mut head = cmd(name);
        if let Some(key) = key {
            head.push(key.to_arg());
        }
        let cursor = Some(Bytes::from_static(START));
        Scan { on, head, options, cursor, page: None, found: Vec::new().into_iter() }
    }

    /// The next element, or an error, which is the last element; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<T>> {
        std::future::poll_fn(|context| self.poll_element(context)).await
    }

    fn poll_element(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        loop {
            if let Some(element) = self.found.next() {
                return Poll::Ready(Some(Ok(element)));
            }
            let page = match (&mut self.page, self.cursor.take()) {
                (Some(page), _) => page,
                (none, Some(cursor)) => {
                    let mut command = self.head.clone();
                    command.argument(cursor.to_arg());
                    self.options.write(&mut command);
                    none.insert(self.on.run(&command))
                }
                (None, None) => return Poll::Ready(None),
            };
            let result = ready!(Pin::new(page).poll(context));
            self.page = None;
            match result {
                Ok((cursor, found)) => {
                    self.cursor = Some(cursor).filter(|cursor| cursor != START);
                    self.found = found.into_iter();
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

/// No field relies on being pinned.
impl<C: Run, T: FromReply> Unpin for Scan<'_, C, T> {}

impl<C: Run, T: FromReply> Stream for Scan<'_, C, T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.get_mut().poll_element(context)
    }
}

/// Defines the methods that begin scans.
macro_rules! scans {
    ($($public:ident)?) => {
        /// [`SCAN`](https://redis.io/docs/latest/commands/scan/): all keys, as a stream.
        $($public)? fn scan<'a, T: $crate::FromReply>(
            &'a self,
            options: $crate::command::options::ScanOptions<'a>,
        ) -> $crate::command::Scan<'a, Self, T>
        where
            Self: Sized,
        {
            $crate::command::Scan::new(self, "SCAN", None, options)
        }

        /// [`HSCAN`](https://redis.io/docs/latest/commands/hscan/): the fields of a hash with their values, as a
        /// stream.
        $($public)? fn hscan<'a, F: $crate::FromReply, V: $crate::FromReply>(
            &'a self,
            key: impl $crate::ToArg,
            options: $crate::command::options::ScanOptions<'a>,
        ) -> $crate::command::Scan<'a, Self, (F, V)>
        where
            Self: Sized,
        {
            $crate::command::Scan::new(self, "HSCAN", Some(&key), options)
        }

        /// [`SSCAN`](https://redis.io/docs/latest/commands/sscan/): the members of a set, as a stream.
        $($public)? fn sscan<'a, T: $crate::FromReply>(
            &'a self,
            key: impl $crate::ToArg,
            options: $crate::command::options::ScanOptions<'a>,
        ) -> $crate::command::Scan<'a, Self, T>
        where
            Self: Sized,
        {
            $crate::command::Scan::new(self, "SSCAN", Some(&key), options)
        }

        /// [`ZSCAN`](https://redis.io/docs/latest/commands/zscan/): the members of a sorted set with their scores, as
        /// a stream.
        $($public)? fn zscan<'a, T: $crate::FromReply>(
            &'a self,
            key: impl $crate::ToArg,
            options: $crate::command::options::ScanOptions<'a>,
        ) -> $crate::command::Scan<'a, Self, (T, f64)>
        where
            Self: Sized,
        {
            $crate::command::Scan::new(self, "ZSCAN", Some(&key), options)
        }
    };
}

pub(crate) use scans;

/// The first cursor of a scan, and the one that the server returns at the end.
const START: &[u8] = b"0";
