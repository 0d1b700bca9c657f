//! What a node of a cluster does with a request before it calls the command: it executes it, refuses it, or holds it back.

use crate::rehearsal::cluster::decision::{Asker, Refusal};
use crate::rehearsal::cluster::keys::{KeyUse, find};
use crate::rehearsal::cluster::state::ClusterState;
use crate::rehearsal::session::Session;
use crate::rehearsal::session::transaction::Transaction;
use crate::rehearsal::state::ServerState;
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

/// Refuses a command on keys that this node does not serve. Without a cluster, it refuses nothing.
#[inline]
pub(crate) fn check(state: &mut ServerState, session: &Session, args: Args<'_>) -> Result<(), ErrorReply> {
    match &mut state.cluster {
        None => Ok(()),
        // MIGRATE works on the keys that this node has, whatever is open.
        Some(_) if is_named(args, b"exec") || is_named(args, b"migrate") => Ok(()),
        Some(cluster) => {
            let mut places = std::mem::take(&mut cluster.scratch);
            places.clear();
            let usage = find(args, &mut places);
            let keys = places.iter().map(|&index| args.at(index));
            let database = state.keyspace.database(session.database);
            let decision = cluster.decide(asker(cluster, session), keys, usage, database, state.now_us);
            cluster.scratch = places;
            decision.map_err(|refusal| refuse(cluster, session, refusal))
        }
    }
}

/// As [`check`], for all commands of a transaction together, before `EXEC` executes them.
pub(crate) fn check_transaction(
    state: &mut ServerState,
    session: &Session,
    transaction: &Transaction,
) -> Result<(), ErrorReply> {
    let Some(cluster) = &mut state.cluster else { return Ok(()) };
    let (keys, usage) = of_transaction(transaction);
    let database = state.keyspace.database(session.database);
    let decision = cluster.decide(asker(cluster, session), keys.into_iter(), usage, database, state.now_us);
    decision.map_err(|refusal| refuse(cluster, session, refusal))
}

/// Whether a pause holds the request back. The session handles it, and all behind it, when the pause is over.
#[inline]
pub(crate) fn is_held(state: &mut ServerState, session: &Session, args: Args<'_>) -> bool {
    match &mut state.cluster {
        Some(cluster) if !cluster.pauses.is_empty() => hold(cluster, session, args),
        _ => false,
    }
}

/// A session that ends is held by no pause.
pub(crate) fn stop_holding(state: &mut ServerState, session: &Session) {
    for pause in state.cluster.iter_mut().flat_map(|cluster| &mut cluster.pauses) {
        pause.held.remove(&session.id);
    }
}

/// `ASKING` counts for one command, or for one transaction.
pub(crate) fn end_asking(session: &mut Session, args: Args<'_>) {
    if session.transaction.is_none() && !is_named(args, b"asking") {
        session.cluster.is_asking = false;
    }
}

fn hold(cluster: &mut ClusterState, session: &Session, args: Args<'_>) -> bool {
    let member = cluster.at(session.node);
    let pause = match &session.transaction {
        Some(transaction) if is_named(args, b"exec") => {
            let (keys, usage) = of_transaction(transaction);
            usage.is_write.then(|| cluster.pause_of(member, keys.into_iter()))
        }
        Some(_) => None,
        None => {
            let mut places = Vec::new();
            let usage = find(args, &mut places);
            let keys = places.iter().map(|&index| args.at(index));
            usage.is_write.then(|| cluster.pause_of(member, keys))
        }
    };
    pause.flatten().is_some_and(|pause| {
        pause.held.insert(session.id);
        true
    })
}

fn of_transaction(transaction: &Transaction) -> (Vec<&[u8]>, KeyUse) {
    let (mut keys, mut all) = (Vec::new(), KeyUse::default());
    for request in &transaction.queue {
        let mut places = Vec::new();
        let usage = find(request.args(), &mut places);
        all.is_write |= usage.is_write;
        keys.extend(places.iter().map(|&index| request.args().at(index)));
    }
    (keys, all)
}

fn asker(cluster: &ClusterState, session: &Session) -> Asker {
    let flags = session.cluster;
    Asker { member: cluster.at(session.node), is_asking: flags.is_asking, reads_replica: flags.reads_replica }
}

fn refuse(cluster: &mut ClusterState, session: &Session, refusal: Refusal) -> ErrorReply {
    refusal.count(cluster);
    refusal.text(cluster, cluster.at(session.node)).into()
}

fn is_named(args: Args<'_>, name: &[u8]) -> bool {
    args.at(0).eq_ignore_ascii_case(name)
}
