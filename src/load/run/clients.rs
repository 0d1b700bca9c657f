//! The clients of a run, one for each server; their shards are numbered across all of them.

use std::future::Future;
use std::thread;

use futures_lite::future::block_on;

use super::error::LoadError;
#[cfg(feature = "tokio")]
use super::runtime::TokioRuntime;
use crate::{Client, Result, Shard};

#[derive(Clone, Copy)]
pub(crate) struct Clients<'a> {
    clients: &'a [Client],
    /// The runtime that all of them run in; `None` if their shards have threads of their own.
    #[cfg(feature = "tokio")]
    pub(super) runtime: Option<&'a TokioRuntime>,
}

/// One of the clients.
#[derive(Clone, Copy)]
pub(crate) struct NumberedClient<'a> {
    pub(crate) client: &'a Client,
    /// The number of its first shard among the shards of all clients.
    pub(crate) first: usize,
    pub(crate) shards: usize,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(clients: &'a [Client]) -> Clients<'a> {
        Clients {
            clients,
            #[cfg(feature = "tokio")]
            runtime: None,
        }
    }

    /// Clients whose shards run in `runtime`.
    #[cfg(feature = "tokio")]
    pub(super) fn in_tokio(clients: &'a [Client], runtime: &'a TokioRuntime) -> Clients<'a> {
        Clients { clients, runtime: Some(runtime) }
    }

    pub(crate) fn members(self) -> impl Iterator<Item = NumberedClient<'a>> {
        self.clients.iter().scan(0, |next, client| {
            let (first, shards) = (*next, client.config().shard_cores().len());
            *next += shards;
            Some(NumberedClient { client, first, shards })
        })
    }

    /// The number of servers, one for each client.
    pub(crate) fn servers(self) -> usize {
        self.clients.len()
    }

    /// The number of shards of all clients.
    pub(crate) fn shards(self) -> usize {
        self.members().map(|member| member.shards).sum()
    }

    pub(crate) fn connections(self) -> usize {
        self.members().map(|member| member.shards * member.client.config().connections_per_shard()).sum()
    }

    /// Runs a closure on every shard of every client at the same time, and waits for the futures that it returns. The
    /// closure receives the shard's number among all. The results are in the order of these numbers.
    pub(crate) fn on_each_shard<F, Fut, T>(self, run: F) -> std::result::Result<Vec<T>, LoadError>
    where
        F: Fn(usize, Shard) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        thread::scope(|scope| {
            let on_one = |member: NumberedClient<'a>| {
                let run = run.clone();
                scope.spawn(move || -> Result<Vec<T>> {
                    let run = move |shard: Shard| run(member.first + shard.index(), shard);
                    block_on(member.client.run_on_each_shard(run))
                })
            };
            let all: Vec<_> = self.members().map(on_one).collect();
            let mut results = Vec::with_capacity(self.shards());
            for one in all {
                results.extend(one.join().map_err(|_| LoadError::Panicked)??);
            }
            Ok(results)
        })
    }
}
