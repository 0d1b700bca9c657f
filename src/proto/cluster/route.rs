//! [`Route`]: to which nodes a command goes.

use std::collections::BTreeMap;

use super::commands::{Args, BeginSearch, CommandSpec, FindKeys, RequestPolicy, ResponsePolicy, find};
use super::encoded::{Commands, EncodedArgs};
use super::gather::Assembly;
use super::slot::Slot;
use crate::proto::error::{ClusterFailure, KeyOfSlot};
use crate::proto::resp::Encoder;

/// To which nodes a command goes.
#[derive(Debug)]
pub(super) enum Route {
    /// To the owner of this slot, or to any primary.
    One(Option<Slot>),
    /// To every primary.
    Every(Assembly),
    /// In parts, each to the owner of its slot.
    Split(Vec<(Slot, Vec<u8>)>, Assembly),
}

impl Route {
    /// The route of one encoded command.
    ///
    /// # Errors
    /// If no node can run it.
    #[inline]
    pub(super) fn of(args: &EncodedArgs<'_>) -> Result<Route, ClusterFailure> {
        let name = args.get(0).unwrap_or_default();
        let Some(spec) = find(name, args.get(1)) else { return Ok(Route::One(of_unknown(name, args))) };
        let mut keys = spec.keys(args);
        let Some(first) = keys.next().and_then(|index| args.argument(index)) else {
            return without_keys(spec);
        };
        let slot = Slot::of(first);
        let others = keys.filter_map(|index| args.argument(index));
        match others.map(|key| (Slot::of(key), key)).find(|(other, _)| *other != slot) {
            None => Ok(Route::One(Some(slot))),
            Some(_) if let Some(step) = splits(spec) => Ok(split(spec, args, step)),
            Some((other, key)) => Err(ClusterFailure::CrossSlot {
                one: KeyOfSlot::new(first, slot.get()),
                other: KeyOfSlot::new(key, other.get()),
            }),
        }
    }

    /// The slot of a transaction, whose commands stay together.
    ///
    /// # Errors
    /// If its keys belong to different slots.
    pub(super) fn of_transaction(bytes: &[u8]) -> Result<Option<Slot>, ClusterFailure> {
        let mut found: Option<(Slot, &[u8])> = None;
        for command in Commands::new(bytes) {
            let args = command.args;
            let Some(spec) = find(args.get(0).unwrap_or_default(), args.get(1)) else { continue };
            for key in spec.keys(&args).filter_map(|index| args.argument(index)) {
                let slot = Slot::of(key);
                match found {
                    None => found = Some((slot, key)),
                    Some((known, _)) if known == slot => {}
                    Some((known, first)) => {
                        return Err(ClusterFailure::CrossSlot {
                            one: KeyOfSlot::new(first, known.get()),
                            other: KeyOfSlot::new(key, slot.get()),
                        });
                    }
                }
            }
        }
        Ok(found.map(|(slot, _)| slot))
    }
}

/// Whether a batch begins a transaction.
pub(super) fn begins_transaction(args: &EncodedArgs<'_>) -> bool {
    args.argument(0).is_some_and(|name| name.eq_ignore_ascii_case(b"MULTI"))
}

/// A command of a module, most likely, and its first argument the key. If it is not, the server's redirect says where it belongs.
fn of_unknown(name: &[u8], args: &EncodedArgs<'_>) -> Option<Slot> {
    // A subcommand that the table does not know.
    let is_container = find(name, None).is_some();
    args.argument(1).filter(|_| !is_container).map(Slot::of)
}

#[cold]
fn without_keys(spec: &CommandSpec) -> Result<Route, ClusterFailure> {
    let is_cursor = spec.name == "SCAN" || spec.name == "CLUSTERSCAN";
    match (spec.request, spec.response) {
        _ if is_cursor => {
            Err(ClusterFailure::Unsupported("SCAN; scan the keys of each node with a client of its own"))
        }
        // A command without a policy for several replies would lose all but one.
        (RequestPolicy::AllShards | RequestPolicy::AllNodes, ResponsePolicy::Special) => Ok(Route::One(None)),
        (RequestPolicy::AllShards | RequestPolicy::AllNodes, response) => {
            Ok(Route::Every(Assembly::Policy(response)))
        }
        _ => Ok(Route::One(None)),
    }
}

/// The step of the keys of a command that may be split by slots, as `MGET` (1) and `MSET` (2).
fn splits(spec: &CommandSpec) -> Option<usize> {
    match spec.keys {
        [only] if spec.request == RequestPolicy::MultiShard && only.begin == BeginSearch::Index(1) => {
            match only.find {
                FindKeys::Range { last: -1, step, .. } => Some(usize::from(step)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// One command for each slot, in the order in which the slots occur. The parts hold each key with its arguments in their order, so
/// that a key that occurs twice has the same value last.
fn split(spec: &CommandSpec, args: &EncodedArgs<'_>, step: usize) -> Route {
    let mut parts: Vec<(Slot, Vec<usize>)> = Vec::new();
    let mut places: Vec<Vec<usize>> = Vec::new();
    let mut known = BTreeMap::new();
    for (place, index) in (1..args.len()).step_by(step.max(1)).enumerate() {
        let slot = Slot::of(args.argument(index).unwrap_or_default());
        let part = *known.entry(slot).or_insert_with(|| {
            parts.push((slot, Vec::new()));
            places.push(Vec::new());
            parts.len() - 1
        });
        if let (Some((_, indexes)), Some(places)) = (parts.get_mut(part), places.get_mut(part)) {
            indexes.extend(index..(index + step).min(args.len()));
            places.push(place);
        }
    }
    let encoded = parts.into_iter().map(|(slot, indexes)| {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::command(&mut bytes, indexes.len() + 1);
        encoder.bytes(args.argument(0).unwrap_or_default());
        for index in indexes {
            encoder.bytes(args.argument(index).unwrap_or_default());
        }
        (slot, bytes)
    });
    let assembly = match spec.response {
        ResponsePolicy::Default => Assembly::Values(places),
        policy => Assembly::Policy(policy),
    };
    Route::Split(encoded.collect(), assembly)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(words: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::command(&mut bytes, words.len());
        for word in words {
            encoder.bytes(word.as_bytes());
        }
        bytes
    }

    fn route(text: &str) -> Result<Route, ClusterFailure> {
        let bytes = encoded(&text.split(' ').collect::<Vec<_>>());
        let command = Commands::new(&bytes).next().unwrap();
        Route::of(&command.args)
    }

    fn slot(key: &str) -> Slot {
        Slot::of(key.as_bytes())
    }

    #[test]
    fn command_goes_to_the_slot_of_its_keys() {
        for (text, expected) in [
            ("GET foo", Some(slot("foo"))),
            ("set {foo}bar 1", Some(slot("foo"))),
            ("SMOVE {a}1 {a}2 x", Some(slot("a"))),
            ("EVAL x 2 {a}1 {a}2 foo", Some(slot("a"))),
            ("XREAD COUNT 1 STREAMS {a}1 {a}2 0 0", Some(slot("a"))),
            ("OBJECT FREQ foo", Some(slot("foo"))),
            ("SPUBLISH foo x", Some(slot("foo"))),
            ("JSON.SET foo $ 1", Some(slot("foo"))),
            ("PUBLISH foo x", None),
            ("EVAL x 0 foo", None),
            ("CLUSTER NEWS", None),
            ("TIME", None),
        ] {
            match route(text) {
                Ok(Route::One(slot)) => assert_eq!(slot, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn commands_of_all_primaries_go_to_each() {
        for text in ["DBSIZE", "FLUSHALL", "KEYS *", "SCRIPT LOAD x", "SCRIPT EXISTS x"] {
            assert!(matches!(route(text), Ok(Route::Every(_))), "{text}");
        }
    }

    #[test]
    fn command_of_several_slots_is_split() {
        let Ok(Route::Split(parts, Assembly::Values(places))) = route("mget a b {a}2 b") else { panic!() };
        assert_eq!(places, [vec![0, 2], vec![1, 3]]);
        let expected =
            [(slot("a"), encoded(&["mget", "a", "{a}2"])), (slot("b"), encoded(&["mget", "b", "b"]))];
        assert_eq!(parts, expected);
        let Ok(Route::Split(parts, Assembly::Policy(policy))) = route("MSET a 1 b 2 a 3") else { panic!() };
        assert_eq!(policy, ResponsePolicy::AllSucceeded);
        let expected =
            [(slot("a"), encoded(&["MSET", "a", "1", "a", "3"])), (slot("b"), encoded(&["MSET", "b", "2"]))];
        assert_eq!(parts, expected);
    }

    #[test]
    fn cl_crossslot_refused_unsent() {
        for text in ["SMOVE a b x", "MSETNX a 1 b 2", "RENAME a b", "EVAL x 2 a b"] {
            let error = route(text).unwrap_err().to_string();
            for part in ["\"a\" is in slot 15495", "\"b\" is in slot 3300", "{hashtag}"] {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }

    #[test]
    fn transaction_has_one_slot() {
        let of = |commands: &[&str]| {
            let all = commands.iter().flat_map(|text| encoded(&text.split(' ').collect::<Vec<_>>()));
            Route::of_transaction(&all.collect::<Vec<u8>>())
        };
        assert_eq!(of(&["MULTI", "SET {a}1 1", "GET {a}2", "EXEC"]).unwrap(), Some(slot("a")));
        assert_eq!(of(&["MULTI", "TIME", "EXEC"]).unwrap(), None);
        assert!(of(&["MULTI", "SET a 1", "SET b 1", "EXEC"]).is_err());
    }
}
