//! Deliveries: queues and publish/subscribe under load, with every element accounted for.
//!
//! A *source* sends stamped elements: it is a producer or a publisher. A *sink* takes them: it is a consumer or a subscriber.
//!
//! | file | content |
//! |---|---|
//! | `plan` | the options of a run, and what its tasks share |
//! | `stamp` | what an element says: the run, its source, its number and its time |
//! | `place` | where a task runs: on a shard, on another thread, or in tokio |
//! | `pace` | when a source sends |
//! | `outcome` | what the tasks return of their failures |
//! | `arrivals` | what the sinks record: when elements arrived, and how long they took |
//! | `ledger`, `queue` | the accounts of a queue; its producers and consumers |
//! | `sequence`, `pubsub` | the accounts of a subscriber; publishers and subscribers |
//! | `tasks`, `account` | all tasks of a run, and the accounts from what they return |
//! | `leftovers` | the queue on the server: made before a run, read after it, and removed |
//! | `run` | one run, from its preparation to the report |
//! | `report` | what a run measured, as it is published |

mod account;
mod arrivals;
mod ledger;
mod leftovers;
mod outcome;
mod pace;
mod place;
pub(crate) mod plan;
mod pubsub;
mod queue;
pub(crate) mod report;
pub(crate) mod run;
mod sequence;
mod stamp;
mod tasks;
