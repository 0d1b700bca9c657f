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
//! (or `hitless::Config::try_from(connection_info)?`, from a [`redis::ConnectionInfo`] that is there already) and what is
//! written for any connection stays as it is:
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
//! A [`Client`](crate::Client) itself will do as well for whatever takes `impl AsyncCommands` or `impl ConnectionLike`;
//! called directly, its own methods come first, which have the same names and other types.
//!
//! # What is different
//!
//! - Clones go to different connections, as those of a [`Client`](crate::Client): to keep the order of two commands,
//!   send them through one handle. A pipeline is one batch on one connection, and a transaction is never torn apart.
//! - Connections are many, shared, and replaced while they are in use. So what concerns one connection is refused before
//!   it is sent, with what to use instead: subscriptions, `MONITOR`, `WATCH`, `MULTI` without its `EXEC`, `SELECT`,
//!   `AUTH`, `HELLO`, `QUIT`, `RESET`, `CLIENT REPLY`, `CLIENT TRACKING`, `CLIENT SETNAME`; and so are commands that block,
//!   unless they are in a transaction. The [whole list](mod@crate::command) is that of the crate. [`redis::aio::transaction_async`] needs `WATCH`: take a [`Script`](https://docs.rs/redis/1/redis/struct.Script.html).
//! - Replies are those of RESP3 where the server speaks it. redis-rs's types read both.
//! - Timeouts are those of [`Config`](crate::Config), and nobody has to reconnect.
//! - [`redis::Cmd::set_no_response`] returns when the command is on its way, in order, and is not told what became of it.
//!
//! # Errors
//!
//! What a server answers is the same as ever. Other errors go by [`Error::outcome`](crate::Error::outcome), since a
//! program that asks [`redis::RedisError::retry_method`] must not be told to run a command twice:
//!
//! | what happened | `is_io_error` | `is_timeout` | `is_connection_dropped` | `retry_method` |
//! |---|---|---|---|---|
//! | it may have been executed, whatever went wrong | yes | no | no | `NoRetry` |
//! | it was not sent in time | yes | yes | no | `RetryImmediately` |
//! | too many commands wait already | yes | no | no | `RetryImmediately` |
//! | there is no connection to be had | yes | no | yes | `Reconnect` |
//! | the client is shut down, before it was sent | yes | no | yes | `Reconnect`: start another one |
//! | refused credentials: `AuthenticationFailed` | no | no | no | `Reconnect` |
//! | TLS, or maintenance that is asked for and not to be had: `InvalidClientConfig` | no | no | no | `NoRetry` |
//! | a command that a shared connection cannot carry: `Client` | no | no | no | `NoRetry` |
//!
//! The first row says less than is known, because redis-rs would have a lost connection, and a timeout, tried again.
//! [`cause`] gives the whole of it back.
//!
//! # On a shard
//!
//! [`Cmd::from`](crate::Cmd) takes a [`redis::Cmd`], and replies can be a [`redis::Value`], or [`FromRedis`] any type that
//! those convert to:
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
//! This takes none of them but `tokio-comp`, without which its asynchronous half does not compile; replies can be awaited
//! on any runtime. Switch on what you use, such as `script`, in your own dependency on it.

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
