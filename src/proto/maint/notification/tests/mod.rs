//! Pushes of real servers, proxies and the tests of other clients, through the decoder.

mod bounds;
mod hostile;

use super::wire::parse;
use super::*;
use crate::proto::resp::{Decoder, Frame, Limits};

/// The port of the connection.
const PORT: u16 = 7000;

/// The one frame in these bytes.
fn frame(wire: &[u8]) -> Frame {
    let mut input = wire;
    let frame = Decoder::new(Limits::default()).decode(&mut input).unwrap().unwrap();
    assert!(input.is_empty(), "more than a frame: {}", wire.escape_ascii());
    frame
}

fn parsed(wire: &str) -> Parsed {
    parse(frame(wire.as_bytes()).push_items().unwrap(), PORT)
}

/// A notification without bad items.
fn notification(wire: &str) -> Notification {
    match parsed(wire) {
        Parsed::Maintenance { notification, bad_items: 0 } => notification,
        other => panic!("{wire:?}: {other:?}"),
    }
}

/// A push of these elements. An element that begins with a type byte and a digit, or is a null, is written as it is;
/// all others become bulk strings.
fn push(elements: &[&str]) -> String {
    let mut wire = format!(">{}\r\n", elements.len());
    for element in elements {
        match element.as_bytes() {
            [b':' | b'+' | b'*' | b'|' | b'%' | b'~', ..] | [b'_'] => wire += &format!("{element}\r\n"),
            b"$-1" => wire += "$-1\r\n",
            _ => wire += &format!("${}\r\n{element}\r\n", element.len()),
        }
    }
    wire
}

/// An aggregate as an element of [`push`].
fn array(elements: &[&str]) -> String {
    let wire = push(elements).replacen('>', "*", 1);
    wire.strip_suffix("\r\n").unwrap().to_owned()
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The notifications in frames that were captured on real servers.
fn captured() -> Vec<(&'static str, Notification)> {
    let shards = |ids: &str| ids.to_owned();
    vec![
        (
            ">4\r\n$6\r\nMOVING\r\n:0\r\n:15\r\n_\r\n",
            Notification::Moving { seq: Some(0), grace: seconds(15), target: None },
        ),
        (
            ">4\r\n$6\r\nMOVING\r\n:17\r\n:15\r\n$19\r\n54.78.247.156:12075\r\n",
            Notification::Moving {
                seq: Some(17),
                grace: seconds(15),
                target: Some(endpoint("54.78.247.156:12075")),
            },
        ),
        (
            ">4\r\n$9\r\nMIGRATING\r\n:0\r\n:2\r\n$6\r\n[\"27\"]\r\n",
            Notification::Migrating { seq: Some(0), time: seconds(2), shards: shards("[\"27\"]") },
        ),
        (
            ">3\r\n$8\r\nMIGRATED\r\n:1\r\n$6\r\n[\"27\"]\r\n",
            Notification::Migrated { seq: Some(1), shards: shards("[\"27\"]") },
        ),
        (
            ">4\r\n$12\r\nFAILING_OVER\r\n:0\r\n:2\r\n$6\r\n[\"21\"]\r\n",
            Notification::FailingOver { seq: Some(0), time: seconds(2), shards: shards("[\"21\"]") },
        ),
        (
            ">3\r\n$11\r\nFAILED_OVER\r\n:1\r\n$6\r\n[\"21\"]\r\n",
            Notification::FailedOver { seq: Some(1), shards: shards("[\"21\"]") },
        ),
        (
            ">3\r\n$10\r\nSMIGRATING\r\n:18\r\n$9\r\n8892-8991\r\n",
            Notification::SlotsMigrating { seq: Some(18), slots: vec![8892..=8991] },
        ),
        (
            ">3\r\n$9\r\nSMIGRATED\r\n:19\r\n*1\r\n*3\r\n$20\r\n10.129.228.140:13486\r\n\
             $18\r\n10.252.90.18:13486\r\n$9\r\n8892-8991\r\n",
            Notification::SlotsMigrated {
                seq: Some(19),
                moves: vec![SlotMove {
                    source: Some(endpoint("10.129.228.140:13486")),
                    target: Some(endpoint("10.252.90.18:13486")),
                    slots: vec![8892..=8991],
                }],
            },
        ),
    ]
}

#[test]
fn px_all_captured_frames() {
    for (wire, expected) in captured() {
        assert_eq!(notification(wire), expected, "{wire:?}");
        let attributed = format!("|1\r\n+from\r\n+proxy\r\n{wire}");
        assert_eq!(notification(&attributed), expected, "{attributed:?}");
    }
    for other in
        [">1\r\n$7\r\nmessage\r\n", ">0\r\n", ">2\r\n:1\r\n$6\r\nMOVING\r\n", ">1\r\n$7\r\nMOVINGS\r\n"]
    {
        assert_eq!(parsed(other), Parsed::Other, "{other:?}");
    }
}

fn moving(seq: Option<i64>, grace_s: u64) -> Notification {
    Notification::Moving { seq, grace: seconds(grace_s), target: Some(endpoint("10.0.0.1:1")) }
}

fn migrating(seq: Option<i64>, time_s: u64, shards: &str) -> Notification {
    Notification::Migrating { seq, time: seconds(time_s), shards: shards.into() }
}

#[test]
fn px_scalar_variants() {
    for name in ["MOVING", "moving", "+MOVING", "+Moving"] {
        for (seq, grace) in [(":17", ":15"), ("17", "15"), ("+17", "+15"), (" 17 ", "015"), (":17", "15")] {
            assert_eq!(notification(&push(&[name, seq, grace, "10.0.0.1:1"])), moving(Some(17), 15));
            assert_eq!(notification(&push(&[name, seq, grace, "+10.0.0.1:1"])), moving(Some(17), 15));
        }
    }
    for seq in ["_", "$-1", "", "x", "1.5", "9223372036854775808", "--1"] {
        assert_eq!(notification(&push(&["MOVING", seq, ":15", "10.0.0.1:1"])), moving(None, 15), "{seq:?}");
    }
    assert_eq!(notification(&push(&["MOVING", ":-3", ":15", "10.0.0.1:1"])), moving(Some(-3), 15));
    for now in [":0", ":-3", "0", "-3", "_", "$-1", "", "soon", "1.5", "-99999999999999999999"] {
        assert_eq!(notification(&push(&["MOVING", ":1", now, "10.0.0.1:1"])), moving(Some(1), 0), "{now:?}");
    }
    for huge in [":9223372036854775807", "9223372036854775808", &"9".repeat(100)] {
        let clamped = moving(Some(1), 24 * 60 * 60);
        assert_eq!(notification(&push(&["MOVING", ":1", huge, "10.0.0.1:1"])), clamped, "{huge}");
    }
    // Fields that are missing before others.
    assert_eq!(notification(&push(&["MOVING", ":1", "10.0.0.1:1"])), moving(Some(1), 0));
    assert_eq!(notification(&push(&["MOVING", "10.0.0.1:1"])), moving(None, 0));
    let nowhere = Notification::Moving { seq: None, grace: Duration::ZERO, target: None };
    assert_eq!(notification(&push(&["MOVING"])), nowhere);
}

#[test]
fn shards_and_times_may_be_missing_or_more_than_expected() {
    let some = "[\"7\"]";
    let list = array(&[":7"]);
    for (elements, expected) in [
        (&["MIGRATING", ":1", ":2", some][..], migrating(Some(1), 2, some)),
        (&["MIGRATING", ":1", ":2", &list], migrating(Some(1), 2, some)),
        (&["MIGRATING", ":1", ":2", &array(&["7"])], migrating(Some(1), 2, some)),
        (&["MIGRATING", ":1", ":2", &array(&[":7", "8"])], migrating(Some(1), 2, "[\"7\",\"8\"]")),
        (&["MIGRATING", ":1", ":2", "*0"], migrating(Some(1), 2, "[]")),
        (&["MIGRATING", ":1", ":2", "_"], migrating(Some(1), 2, "")),
        (&["MIGRATING", ":1", ":2"], migrating(Some(1), 2, "")),
        (&["MIGRATING", ":1", "1000"], migrating(Some(1), 1000, "")),
        (&["MIGRATING", ":1", some], migrating(Some(1), 0, some)),
        (&["MIGRATING", ":1", &list], migrating(Some(1), 0, some)),
        (&["MIGRATING", some], migrating(None, 0, some)),
        (&["MIGRATING"], migrating(None, 0, "")),
    ] {
        assert_eq!(notification(&push(elements)), expected, "{elements:?}");
    }
    for (elements, seq, shards) in [
        (&["FAILED_OVER", ":1", some][..], Some(1), some),
        (&["FAILED_OVER", ":1", ":2", some], Some(1), some),
        (&["FAILED_OVER", ":1", ":2", &list], Some(1), some),
        (&["FAILED_OVER", ":1", &list], Some(1), some),
        (&["FAILED_OVER", ":1"], Some(1), ""),
        (&["FAILED_OVER", some], None, some),
        (&["FAILED_OVER"], None, ""),
    ] {
        let expected = Notification::FailedOver { seq, shards: shards.into() };
        assert_eq!(notification(&push(elements)), expected, "{elements:?}");
    }
    let long = format!("[\"{}\"]", "é".repeat(5000));
    let Notification::Migrated { shards, .. } = notification(&push(&["MIGRATED", ":1", &long])) else {
        panic!()
    };
    assert!((4095..=4096).contains(&shards.len()) && long.starts_with(&shards), "{}", shards.len());
}

#[test]
fn px_null_endpoint_spellings() {
    let nowhere = Notification::Moving { seq: Some(1), grace: seconds(15), target: None };
    for null in ["_", "$-1", "null", "+null", "NULL", "-", "?", "", "+", "+:0", "host:0", "?:80", "[]:80"] {
        let wire = push(&["MOVING", ":1", ":15", null]);
        assert_eq!(notification(&wire), nowhere, "{null:?}");
    }
    assert_eq!(notification(&push(&["MOVING", ":1", ":15"])), nowhere);
    // An endpoint that cannot be read counts as absent, and as a bad item.
    for bad in ["a b:1", "host:65536", "[::1", ":12", "\u{7}", &"a".repeat(1000)] {
        let expected = Parsed::Maintenance { notification: nowhere.clone(), bad_items: 1 };
        assert_eq!(parsed(&push(&["MOVING", ":1", ":15", bad])), expected, "{bad:?}");
    }
}

#[test]
fn px_ipv6_trailing_dot_no_port() {
    for (text, host, port, name) in [
        ("[2001:db8::7]:12075", "2001:db8::7", 12075, None),
        ("2001:db8::7:12075", "2001:db8::7", 12075, None),
        ("2001:db8::7", "2001:db8::7", PORT, None),
        ("[2001:db8::7]", "2001:db8::7", PORT, None),
        ("10.0.0.1", "10.0.0.1", PORT, None),
        ("db.example.com.:12075", "db.example.com.", 12075, Some("db.example.com")),
        ("db.example.com.", "db.example.com.", PORT, Some("db.example.com")),
        ("db.example.com", "db.example.com", PORT, Some("db.example.com")),
    ] {
        let Notification::Moving { target: Some(target), .. } =
            notification(&push(&["MOVING", ":1", ":15", text]))
        else {
            panic!("{text}");
        };
        assert_eq!((target.host(), target.port(), target.server_name()), (host, port, name), "{text}");
    }
    assert!(push(&["[2001:db8::7]:12075"]).contains("$19\r\n"));
}

#[test]
fn px_extra_and_nested_elements() {
    let list = array(&[":7"]);
    assert_eq!(notification(&push(&["MOVING", ":1", ":15", "10.0.0.1:1", "x", &list])), moving(Some(1), 15));
    let extra = notification(&push(&["MIGRATING", ":1", ":2", "[\"7\"]", &list, "x"]));
    assert_eq!(extra, migrating(Some(1), 2, "[\"7\"]"));
    let deep = array(&[&list]);
    for elements in [
        &["MOVING", &list, ":15", "10.0.0.1:1"][..],
        &["MOVING", ":1", ":15", &list],
        &["MOVING", ":1", ":15", "%0"],
        &["MIGRATING", &list, ":2", "[\"7\"]"],
        &["MIGRATING", ":1", "~0", "[\"7\"]"],
        &["MIGRATING", ":1", ":2", &deep],
        &["FAILED_OVER", ":1", &deep],
        &["SMIGRATING", ":1", &list],
        &["SMIGRATED", ":1", "%0"],
    ] {
        assert!(matches!(parsed(&push(elements)), Parsed::Malformed(_)), "{elements:?}");
    }
    // The frame after a malformed one is intact.
    let wire = push(&["MOVING", ":1", ":15", &deep]) + &push(&["MOVING", ":1", ":15", "10.0.0.1:1"]);
    let (mut decoder, mut input) = (Decoder::new(Limits::default()), wire.as_bytes());
    let mut next = || decoder.decode(&mut input).unwrap().unwrap();
    assert!(matches!(parse(next().push_items().unwrap(), PORT), Parsed::Malformed(_)));
    let whole = Parsed::Maintenance { notification: moving(Some(1), 15), bad_items: 0 };
    assert_eq!(parse(next().push_items().unwrap(), PORT), whole);
}

#[test]
fn px_smigrated_four_shapes() {
    let (a, b, c) = ("10.0.0.1:1", "[2001:db8::7]:2", "node:3");
    let moved = |source: Option<&str>, target: &str, slots| SlotMove {
        source: source.map(endpoint),
        target: Some(endpoint(target)),
        slots,
    };
    let named = vec![moved(Some(a), b, vec![1..=1, 3..=5]), moved(Some(b), c, vec![9..=9])];
    let unnamed = vec![moved(None, b, vec![1..=1, 3..=5]), moved(None, c, vec![9..=9])];
    let triplets = array(&[&array(&[a, b, "1,3-5"]), &array(&[b, c, "9"])]);
    let pairs = array(&[&array(&[b, "1,3-5"]), &array(&[c, "9"])]);
    let words = array(&[&format!("{b} 1,3-5"), &format!(" {c}  9 ")]);
    for (elements, moves) in [
        (&["SMIGRATED", ":19", &triplets][..], &named[..]),
        (&["SMIGRATED", ":19", a, b, "1,3-5", b, c, "9"], &named),
        (&["SMIGRATED", ":19", a, b, "1,3-5", b, c, ":9"], &named),
        (&["SMIGRATED", ":19", &pairs], &unnamed),
        (&["SMIGRATED", ":19", ":2", &words], &unnamed),
        (&["SMIGRATED", ":19", "2", &words], &unnamed),
        (&["SMIGRATED", ":19", b, "1,3-5"], &unnamed[..1]),
        (&["SMIGRATED", ":19"], &[]),
        (&["SMIGRATED", ":19", "*0"], &[]),
    ] {
        let expected = Notification::SlotsMigrated { seq: Some(19), moves: moves.to_vec() };
        assert_eq!(notification(&push(elements)), expected, "{elements:?}");
    }
    let without_seq = Notification::SlotsMigrated { seq: None, moves: named.clone() };
    assert_eq!(notification(&push(&["SMIGRATED", &triplets])), without_seq);
    assert_eq!(notification(&push(&["SMIGRATED", a, b, "1,3-5", b, c, "9"])), without_seq);
    // A missing source is `None`; items of another form are left out.
    let spoiled = array(&[
        &array(&["?", c, "9"]),
        &array(&[a]),
        &array(&[a, b, "1", "x"]),
        &array(&[a, &array(&[b]), "1"]),
        "one",
        "_",
    ]);
    let moves = vec![moved(None, c, vec![9..=9])];
    let notification = Notification::SlotsMigrated { seq: Some(1), moves };
    let expected = Parsed::Maintenance { notification, bad_items: 5 };
    assert_eq!(parsed(&push(&["SMIGRATED", ":1", &spoiled])), expected);
}

#[test]
fn migrating_slots_come_in_one_or_several_lists() {
    let slots = |seq, slots| Notification::SlotsMigrating { seq, slots };
    let two = vec![1..=2, 7..=7];
    assert_eq!(notification(&push(&["SMIGRATING", ":1", "1-2,7"])), slots(Some(1), two.clone()));
    assert_eq!(notification(&push(&["SMIGRATING", ":1", "1-2", ":7"])), slots(Some(1), two.clone()));
    assert_eq!(notification(&push(&["SMIGRATING", "1-2", "7"])), slots(None, two.clone()));
    assert_eq!(notification(&push(&["SMIGRATING", ":1", "1-2,7", "*0"])), slots(Some(1), two));
    for unknown in [&["SMIGRATING", ":1", ""][..], &["SMIGRATING", ":1", "_"], &["SMIGRATING", ":1"]] {
        assert_eq!(notification(&push(unknown)), slots(Some(1), vec![]));
    }
    let expected = Parsed::Maintenance { notification: slots(Some(1), vec![1..=1, 7..=9]), bad_items: 3 };
    assert_eq!(parsed(&push(&["SMIGRATING", ":1", "1,5-3,99999, 7-9,x"])), expected);
}
