//! Streams and consumer groups.

use std::collections::{BTreeMap, HashMap};

use hitless::Frame;
use hitless::command::Commands;
use hitless::options::{
    Trim, XaddOptions, XautoclaimOptions, XclaimOptions, XgroupOptions, XreadGroupOptions, XreadOptions,
};

use crate::{Seen, calls, list, none, s, some};

type Entry = (String, Vec<(String, String)>);
type Streams = BTreeMap<String, Vec<Entry>>;

fn one() -> Entry {
    (s("1-1"), vec![(s("f"), s("v"))])
}

fn two() -> Entry {
    (s("2-1"), vec![(s("g"), s("w")), (s("h"), s("x"))])
}

pub(crate) async fn entries(on: &impl Commands, seen: &mut Seen) {
    let trim = |trim| XaddOptions::new().trim(trim);
    calls! { on, seen;
        xadd("s", "1-1", &[("f", "v")]) => s("1-1");
        xadd("s", "*", &[("f", "v")]) ? |id: String| id.ends_with("-0");
        xlen("s") => 2;
        del(&["s"]) => 1;
        xadd("s", "1-1", &[("f", "v")]) => s("1-1");
        xadd_with("none", XaddOptions::new().no_mkstream(), "1-1", &[("f", "v")]) => none();
        xadd_with("s", trim(Trim::max_len(2)), "2-1", &[("g", "w"), ("h", "x")]) => some("2-1");
        xrange("s", "-", "+") => vec![one(), two()];
        xrange("s", "2", "+") => vec![two()];
        xrange_up_to("s", "-", "+", 1) => vec![one()];
        xrevrange("s", "+", "-") => vec![two(), one()];
        xrevrange_up_to("s", "+", "-", 1) => vec![two()];
        xadd("t", "5-1", &[("f", "v")]) => s("5-1");
        xread(XreadOptions::new(), &[("s", "1-1"), ("t", "0")])
            => Streams::from([(s("s"), vec![two()]), (s("t"), vec![(s("5-1"), one().1)])]);
        xread(XreadOptions::new().count(1), &[("s", "0")]) => vec![(s("s"), vec![one()])];
        xread(XreadOptions::new(), &[("s", "$")]) => None::<Streams>;
        xdel("s", &["1-1", "9-9"]) => 1;
        xadd("s", "3-1", &[("f", "v")]) => s("3-1");
        xadd("s", "4-1", &[("f", "v")]) => s("4-1");
        xtrim("s", Trim::max_len(2)) => 1;
        xtrim("s", Trim::min_id("4-1")) => 1;
        xtrim("s", Trim::max_len(0).about().limit(5)) => 1;
        xadd_with("s", trim(Trim::min_id("5-1")), "6-1", &[("f", "v")]) => some("6-1");
        xlen("s") => 1;
        xinfo_stream("s") ? |about: HashMap<String, Frame>| {
            about["length"] == Frame::Integer(1) && about["last-generated-id"] == Frame::Bulk("6-1".into())
        };
    }
}

pub(crate) async fn groups(on: &impl Commands, seen: &mut Seen) {
    let pending = |deliveries: i64, consumer: &str| {
        let consumer = s(consumer);
        move |found: Vec<(String, String, i64, i64)>| {
            found.len() == 1 && (&found[0].0, &found[0].1, found[0].3) == (&s("1-1"), &consumer, deliveries)
        }
    };
    calls! { on, seen;
        xadd("s", "1-1", &[("f", "v")]) => s("1-1");
        xadd("s", "2-1", &[("g", "w"), ("h", "x")]) => s("2-1");
        xgroup_create("s", "g", 0, XgroupOptions::new()) => ();
        xgroup_create("new", "g", "$", XgroupOptions::new().mkstream().entries_read(0)) => ();
        xlen("new") => 0;
        xgroup_createconsumer("s", "g", "alice") => true;
        xgroup_createconsumer("s", "g", "alice") => false;
        xpending("s", "g") => (0, none(), none(), None::<Vec<(String, i64)>>);
        xreadgroup("g", "alice", XreadGroupOptions::new().count(1), &[("s", ">")])
            => Streams::from([(s("s"), vec![one()])]);
        xpending("s", "g") => (1, some("1-1"), some("1-1"), Some(vec![(s("alice"), 1)]));
        xpending_range("s", "g", "-", "+", 10) ? pending(1, "alice");
        xpending_of("s", "g", "-", "+", 10, "bob") => Vec::<(String, String, i64, i64)>::new();
        xclaim("s", "g", "bob", 0, &["1-1"], XclaimOptions::new().retry_count(7)) => vec![one()];
        xpending_of("s", "g", "-", "+", 10, "bob") ? pending(7, "bob");
        xclaim("s", "g", "bob", 0, &["1-1"], XclaimOptions::new().idle(60_000).just_id()) => list(["1-1"]);
        xclaim("s", "g", "bob", 50_000, &["1-1"], XclaimOptions::new().time(1000)) => vec![one()];
        xautoclaim("s", "g", "carol", 3_600_000, "0", XautoclaimOptions::new().count(5))
            => (s("0-0"), vec![one()], list::<0>([]));
        xautoclaim("s", "g", "dave", 0, "0", XautoclaimOptions::new().just_id())
            => (s("0-0"), list(["1-1"]), list::<0>([]));
        xack("s", "g", &["1-1", "9-9"]) => 1;
        xclaim("s", "g", "bob", 0, &["2-1"], XclaimOptions::new()) => Vec::<Entry>::new();
        xclaim("s", "g", "bob", 0, &["2-1"], XclaimOptions::new().force()) => vec![two()];
        xgroup_delconsumer("s", "g", "bob") => 1;
        xreadgroup("g", "alice", XreadGroupOptions::new().no_ack(), &[("s", ">")])
            => Some(Streams::from([(s("s"), vec![two()])]));
        xreadgroup("g", "alice", XreadGroupOptions::new(), &[("s", ">")]) => None::<Streams>;
        xgroup_setid("s", "g", "1-1") => ();
        xreadgroup("g", "alice", XreadGroupOptions::new(), &[("s", ">")]) => vec![(s("s"), vec![two()])];
        xinfo_groups("s") ? |about: Vec<HashMap<String, Frame>>| about[0]["name"] == Frame::Bulk("g".into());
        xinfo_consumers("s", "g") ? |about: Vec<HashMap<String, Frame>>| {
            about.len() == 3 && about[0]["name"] == Frame::Bulk("alice".into())
        };
        xgroup_destroy("s", "g") => true;
        xgroup_destroy("s", "g") => false;
    }
}
