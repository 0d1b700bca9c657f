//! Runs the tasks of a shard.

use super::tasks::{Spawn, Task};
use super::{credentials, resolve, subscriptions, supervisor, turn};

/// Runs a task of a shard to its end.
pub(crate) async fn run<R: Spawn>(task: Task<R>) {
    match task {
        Task::Supervise(shared) => supervisor::run(&shared).await,
        Task::Listen(shared) => supervisor::listen(&shared).await,
        Task::Subscribe(shared) => subscriptions::listen(&shared).await,
        Task::Drive { shared, id, endpoint, timeout } => {
            turn::dial_and_drive(&shared, id, &endpoint, timeout).await;
        }
        Task::Resolve { shared, lookup, endpoint } => resolve::run(&shared, lookup, &endpoint).await,
        Task::LookUp { lookups, lookup, endpoint, account } => {
            lookups.look_up(lookup, &endpoint, account).await;
        }
        Task::AskCredentials(shared) => credentials::run_renewal(&shared).await,
    }
}
