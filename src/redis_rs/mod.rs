//! For code that is written for [redis-rs](https://docs.rs/redis): its commands, pipelines, transactions and scripts run
//! on a [`Client`](crate::Client), and its commands on a [`Shard`](crate::Shard).
//!
//! # Moving from redis-rs
//!
//! Where connections are made, make a [`Connection`] of a client:
//!
//! ```diff
//! -let client = redis::Client::open("redis://127.0.0.1/")?;
//! -let connection = client.get_multiplexed_async_connection().await?;
//! +let client = hitless::Client::start(hitless::Config::from_url("redis://127.0.0.1/")?)?;
//! +let connection = hitless::redis_rs::Connection::from(client);
//! ```
//!
//! (or call `hitless::Config::try_from(connection_info)?` with a [`redis::ConnectionInfo`]). Code that is generic over the
//! connection stays as it is:
//!
//! ```no_run
//! use redis::AsyncCommands;
//!
//! async fn visit(connection: &mut impl AsyncCommands, who: &str) -> redis::RedisResult<i64> {
//!     connection.set::<_, _, ()>("last", who).await?;
//!     let (visits, _): (i64, i64) = redis::pipe()
//!         .atomic()
//!         .incr("visits", 1)
//!         .sadd("visitors", who)
//!         .query_async(connection)
//!         .await?;
//!     Ok(visits)
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = hitless::Client::start(hitless::Config::from_url("redis://127.0.0.1/")?)?;
//! let mut connection = hitless::redis_rs::Connection::from(client);
//! visit(&mut connection, "ann").await?;
//! # Ok(())
//! # }
//! ```
//!
//! Where a type is named, `redis::aio::MultiplexedConnection` and `redis::aio::ConnectionManager` become [`Connection`].
//! A [`Client`](crate::Client) itself also implements `AsyncCommands` and `ConnectionLike`. If you call its methods directly, its
//! own come first, which have the same names and other types.
//!
//! # What is different
//!
//! - Clones use different connections, as those of a [`Client`](crate::Client): to keep the order of two commands, send them
//!   through one handle. A pipeline is one batch on one connection, and a transaction is never split.
//! - Connections are shared, and replaced while they are in use. Commands that concern one connection have one for themselves:
//!   those that [block](crate::manual::queues) each by itself; and a [`Connection`] gets a [`Session`](crate::Session) at its
//!   `WATCH` or `MULTI`, until the transaction ends, and at `SELECT`, `CLIENT TRACKING` and their like for good, also in a
//!   pipeline. So
//!   [`redis::aio::transaction_async`] works on it. A [`Client`](crate::Client) has no session, and refuses these.
//! - In place of redis-rs's `PubSub`, [`Connection::client`] has [`subscribe`](crate::Client::subscribe), a stream of messages.
//! - Other commands are refused before they are sent, and the error names the alternative: `SUBSCRIBE`, `MONITOR`, `AUTH`,
//!   `HELLO`, `QUIT`, `RESET`, `CLIENT REPLY`, `CLIENT SETNAME`.
//! - Replies are those of RESP3 where the server speaks it. The types of redis-rs convert from both protocols.
//! - Timeouts are those of [`Config`](crate::Config), and you never reconnect.
//! - A command with [`redis::Cmd::set_no_response`] returns when it is queued, in order, and never reports its outcome.
//!
//! # Errors
//!
//! Error replies of the server are the same as with redis-rs. Other errors follow [`Error::outcome`](crate::Error::outcome), because
//! [`redis::RedisError::retry_method`] must not tell a program to run a command twice:
//!
//! | what happened | `is_io_error` | `is_timeout` | `is_connection_dropped` | `retry_method` |
//! |---|---|---|---|---|
//! | the command may have been executed | yes | no | no | `NoRetry` |
//! | the command was not sent in time | yes | yes | no | `RetryImmediately` |
//! | too many commands wait already | yes | no | no | `RetryImmediately` |
//! | no connection can be made | yes | no | yes | `Reconnect` |
//! | the client is shut down, and the command was not sent | yes | no | yes | `Reconnect`: start another one |
//! | refused credentials: `AuthenticationFailed` | no | no | no | `Reconnect` |
//! | TLS fails, or required maintenance notifications are not available: `InvalidClientConfig` | no | no | no | `NoRetry` |
//! | a command that a shared connection cannot carry: `Client` | no | no | no | `NoRetry` |
//!
//! The first row hides the cause, because redis-rs retries after a lost connection or a timeout. [`cause`] returns the whole error.
//!
//! # On a shard
//!
//! [`Cmd::from`](crate::Cmd) converts a [`redis::Cmd`]. A reply can be a [`redis::Value`], or with [`FromRedis`] any type that
//! values convert to:
//!
//! ```no_run
//! # async fn example(client: &hitless::Client) -> hitless::Result<()> {
//! use hitless::redis_rs::FromRedis;
//!
//! client.run_on(0, |shard| async move {
//!     let command = hitless::Cmd::from(redis::cmd("HGETALL").arg("user:1"));
//!     let FromRedis(user): FromRedis<std::collections::HashMap<String, String>> = shard.run(&command).await?;
//!     Ok::<_, hitless::Error>(user)
//! }).await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Features of redis-rs
//!
//! Only `tokio-comp` is enabled, without which the asynchronous half of redis-rs does not compile. Any runtime can await the
//! replies. Enable what you use, such as `script`, in your own dependency on redis-rs.

mod aborted;
mod command;
mod config;
mod connection;
mod error;
mod refused;
mod value;

pub use connection::Connection;
pub use error::cause;
pub use value::FromRedis;
