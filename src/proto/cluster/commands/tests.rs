//! Names that are found, and keys among arguments. `tests/command_table` compares the same with servers.

use super::find::all;
use super::spec::BeginSearch;
use super::{Args, CommandSpec, Flag, KeyAccess, RequestPolicy, ResponsePolicy, find};

fn words(text: &str) -> Vec<&[u8]> {
    // A pair of quotes is an empty argument.
    text.split(' ').map(|word| if word == "''" { &b""[..] } else { word.as_bytes() }).collect()
}

fn found(text: &str) -> &'static CommandSpec {
    let words = words(text);
    find(words[0], words.get(1).copied()).unwrap_or_else(|| panic!("{text} is not in the table"))
}

fn keys(text: &str) -> String {
    let words = words(text);
    let keys = found(text).keys(&words[..]).map(|index| String::from_utf8_lossy(words[index]).into_owned());
    keys.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_command_is_found_by_its_name_in_any_case() {
    for spec in all() {
        for name in [spec.name.to_owned(), spec.name.to_lowercase()] {
            let (name, subcommand) =
                name.split_once(' ').map_or((&*name, None), |(name, sub)| (name, Some(sub)));
            let found = find(name.as_bytes(), subcommand.map(str::as_bytes));
            assert_eq!(found.map(|found| found.name), Some(spec.name));
        }
    }
    assert_eq!(found("gEt key").name, "GET");
}

#[test]
fn other_names_are_not_found() {
    for spec in all().filter(|spec| !spec.name.contains(' ')) {
        let name = spec.name.as_bytes();
        let middle = name.len() / 2;
        for other in [
            [name, b"#"].concat(),
            [b"#", name].concat(),
            [&name[..middle], b"\0", &name[middle..]].concat(),
            [&name[..middle], &[name[middle] ^ 0x80], &name[middle + 1..]].concat(),
            // The same bits as a letter in the other case, or as a hyphen, but for the one that tells cases apart.
            name.iter().map(|byte| if *byte == b'-' { b'\r' } else { *byte ^ 0x40 }).collect(),
        ] {
            assert!(find(&other, None).is_none(), "{}", other.escape_ascii());
        }
    }
    for name in
        ["", "G", "GE", "A-NAME-THAT-IS-LONGER-THAN-ALL-OTHERS", "OBJECT FREQ", "ZREMRANGEBYSCOREZREMRANGE"]
    {
        assert!(find(name.as_bytes(), None).is_none(), "{name}");
    }
}

#[test]
fn subcommand_matters_only_to_containers() {
    assert_eq!(found("GET FREQ").name, "GET");
    assert_eq!(found("OBJECT freq key").name, "OBJECT FREQ");
    assert_eq!(found("OBJECT").name, "OBJECT");
    assert_eq!(found("COMMAND").name, "COMMAND");
    assert!(find(b"OBJECT", Some(b"NOSUCH")).is_none());
    assert!(find(b"OBJECT", Some(b"")).is_none());
}

#[test]
fn keys_are_at_fixed_places() {
    for (text, expected) in [
        ("GET a", "a"),
        ("SET a b GET EX 10", "a"),
        ("DEL a b c", "a b c"),
        ("MSET a 1 b 2 c 3", "a b c"),
        ("BLPOP a b 0", "a b"),
        ("RENAME a b", "a b"),
        ("BITOP AND d a b", "d a b"),
        ("OBJECT ENCODING a", "a"),
        ("XGROUP CREATE s g $", "s"),
        ("MEMORY USAGE a SAMPLES 5", "a"),
        ("PFCOUNT a b", "a b"),
        ("LMOVE a b LEFT RIGHT", "a b"),
        ("SINTERSTORE d a b", "d a b"),
        ("XADD s * f v", "s"),
        ("PING", ""),
        ("CONFIG GET maxmemory", ""),
        ("PUBLISH c m", ""),
        ("KEYS *", ""),
    ] {
        assert_eq!(keys(text), expected, "{text}");
    }
}

#[test]
fn number_of_keys_is_among_the_arguments() {
    for (text, expected) in [
        ("EVAL return 2 a b c", "a b"),
        ("EVAL return 0 c", ""),
        ("FCALL_RO f 1 a b", "a"),
        ("ZUNION 2 a b WITHSCORES", "a b"),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b"),
        ("LMPOP 1 a LEFT", "a"),
        ("BZMPOP 0.5 2 a b MIN", "a b"),
        ("SINTERCARD 2 a b LIMIT 1", "a b"),
        ("MSETEX 2 a 1 b 2 EX 10", "a b"),
    ] {
        assert_eq!(keys(text), expected, "{text}");
    }
}

#[test]
fn keys_are_behind_a_word() {
    for (text, expected) in [
        ("XREAD COUNT 2 STREAMS a b 0 0", "a b"),
        ("xread block 0 streams a $", "a"),
        ("XREADGROUP GROUP g c STREAMS a b > >", "a b"),
        ("XREADGROUP GROUP STREAMS STREAMS COUNT 1 STREAMS a >", "a"),
        ("GEORADIUS a 1 2 3 km STORE b", "a b"),
        ("GEORADIUSBYMEMBER a m 3 km COUNT 1 STOREDIST b", "a b"),
        ("GEORADIUS a 1 2 3 km", "a"),
        ("GEORADIUS a 1 2 3 km STORE", "a"),
    ] {
        assert_eq!(keys(text), expected, "{text}");
    }
}

#[test]
fn keys_of_sort_and_migrate_are_found_by_hand() {
    for (text, expected) in [
        ("SORT a", "a"),
        ("SORT a BY STORE GET STORE LIMIT 0 STORE STORE b", "a b"),
        ("SORT a STORE b STORE c", "a c"),
        ("SORT a STORE", "a"),
        ("SORT_RO a BY x_*", "a"),
        ("MIGRATE h 6379 a 0 10", "a"),
        ("MIGRATE h 6379 a 0 10 COPY REPLACE", "a"),
        ("MIGRATE h 6379 '' 0 10 KEYS a b", "a b"),
        ("MIGRATE h 6379 '' 0 10 AUTH KEYS KEYS a", "a"),
        ("MIGRATE h 6379 '' 0 10 AUTH2 KEYS KEYS KEYS KEYS a", "KEYS a"),
        ("MIGRATE h 6379 a 0 10 KEYS b", ""),
        ("MIGRATE h 6379", ""),
    ] {
        assert_eq!(keys(text), expected, "{text}");
    }
    let incomplete = all().filter(|spec| spec.is_incomplete()).map(|spec| spec.name);
    assert_eq!(incomplete.collect::<Vec<_>>(), ["SORT", "SORT_RO"]);
}

#[test]
fn channels_of_shards_decide_on_the_slot() {
    assert_eq!(keys("SPUBLISH c m"), "c");
    assert_eq!(keys("SSUBSCRIBE c d"), "c d");
    let others = all().filter(|spec| spec.keys.iter().any(|key| key.access == KeyAccess::NotKey));
    let others: Vec<&str> = others.map(|spec| spec.name).collect();
    assert_eq!(others, ["CLUSTERSCAN", "SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE"]);
}

#[test]
fn commands_with_mistakes_have_fewer_keys_and_do_not_panic() {
    for text in [
        "GET",
        "MSET",
        "BLPOP a",
        "RENAME",
        "EVAL return",
        "EVAL return 3 a",
        "EVAL return -1 a",
        "EVAL return 1a a",
        "EVAL return 01 a",
        "EVAL return 99999999999999999999 a",
        "EVAL return 999999999999999999 a",
        "XREAD STREAMS",
        "XREAD COUNT 1",
        "XREAD",
        "XREADGROUP",
        "OBJECT FREQ",
        "BITOP AND",
        "SINTERSTORE",
        "MSETEX 18446744073709551615 a 1",
        "MIGRATE",
        "SORT",
    ] {
        assert_eq!(keys(text), "", "{text}");
    }
    for (text, expected) in [("ZUNIONSTORE d 5 a", "d"), ("MSET a 1 b", "a b"), ("XREAD STREAMS a b 0", "a")]
    {
        assert_eq!(keys(text), expected, "{text}");
    }
    // All commands with any number of arguments that look like numbers, words and keys.
    for (spec, word) in
        all().flat_map(|spec| ["1", "3", "STORE", "KEYS", "STREAMS", ""].map(|word| (spec, word)))
    {
        for count in 0..9 {
            let args = vec![word; count];
            assert!(spec.keys(&args[..]).all(|index| index < count), "{} {args:?}", spec.name);
        }
    }
    assert_eq!(Args::len(&["GET"][..]), 1);
}

#[test]
fn flags_and_policies_are_those_of_the_servers() {
    let get = found("GET a");
    assert!(get.flags.contains(Flag::Readonly) && get.flags.contains(Flag::Fast));
    assert!(!get.flags.contains(Flag::Write) && !get.flags.contains(Flag::Blocking));
    assert_eq!((get.request, get.response), (RequestPolicy::Default, ResponsePolicy::Default));
    for (text, request, response) in [
        ("DEL a", RequestPolicy::MultiShard, ResponsePolicy::AggSum),
        ("MSET a 1", RequestPolicy::MultiShard, ResponsePolicy::AllSucceeded),
        ("MGET a", RequestPolicy::MultiShard, ResponsePolicy::Default),
        ("DBSIZE", RequestPolicy::AllShards, ResponsePolicy::AggSum),
        ("KEYS *", RequestPolicy::AllShards, ResponsePolicy::Default),
        ("WAIT 1 0", RequestPolicy::AllShards, ResponsePolicy::AggMin),
        ("SCRIPT LOAD x", RequestPolicy::AllNodes, ResponsePolicy::AllSucceeded),
        ("SCRIPT EXISTS x", RequestPolicy::AllShards, ResponsePolicy::AggLogicalAnd),
        ("SCRIPT KILL", RequestPolicy::AllShards, ResponsePolicy::OneSucceeded),
        ("SCAN 0", RequestPolicy::Special, ResponsePolicy::Special),
    ] {
        assert_eq!((found(text).request, found(text).response), (request, response), "{text}");
    }
    let is_sort = |spec: &CommandSpec| spec.keys.iter().any(|key| key.begin == BeginSearch::OfSort);
    assert_eq!(all().filter(|spec| is_sort(spec)).map(|spec| spec.name).collect::<Vec<_>>(), ["SORT"]);
}
