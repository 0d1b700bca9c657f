//! Commands that may wait on the server, where something is there already, or nothing comes.

use std::collections::HashMap;

use hitless::command::Commands;
use hitless::options::{ListEnd, XgroupOptions, XreadGroupOptions, XreadOptions, ZsetEnd};

use crate::{Seen, calls, list, none, s};

type Streams = HashMap<String, Vec<(String, HashMap<String, String>)>>;

pub(crate) async fn lists(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        rpush("l", &["a", "b", "c", "d", "e", "f", "g"]) => 7;
        blpop(&["l"], 1) => (s("l"), s("a"));
        brpop(&["none", "l"], 1.5) => (s("l"), s("g"));
        blmove("l", "m", ListEnd::Left, ListEnd::Right, 1) => s("b");
        blmpop(1, &["none", "l"], ListEnd::Left) => (s("l"), list(["c"]));
        blmpop_many(1, &["l"], ListEnd::Right, 2) => (s("l"), list(["f", "e"]));
        blpop(&["none"], 0.01) => None::<(String, String)>;
        blmove("none", "m", ListEnd::Left, ListEnd::Right, 0.01) => none();
        blmpop(0.01, &["none"], ListEnd::Left) => None::<(String, Vec<String>)>;
    }
}

pub(crate) async fn sorted_sets(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        zadd("z", [(1, "a"), (2, "b"), (3, "c"), (4, "d")]) => 4;
        bzpopmin(&["z"], 1) => (s("z"), s("a"), 1.0);
        bzpopmax(&["z"], 1) => (s("z"), s("d"), 4.0);
        bzmpop(1, &["none", "z"], ZsetEnd::Max) => (s("z"), vec![(s("c"), 3.0)]);
        bzpopmin(&["none"], 0.01) => None::<(String, String, f64)>;
    }
}

pub(crate) async fn streams(on: &impl Commands, seen: &mut Seen) {
    let entry = || (s("1-1"), HashMap::from([(s("f"), s("v"))]));
    calls! { on, seen;
        xadd("s", "1-1", &[("f", "v")]) => s("1-1");
        xread_blocking(10, XreadOptions::new(), &[("s", "0")]) => Streams::from([(s("s"), vec![entry()])]);
        xread_blocking(10, XreadOptions::new(), &[("s", "$")]) => None::<Streams>;
        xgroup_create("s", "g", 0, XgroupOptions::new()) => ();
        xreadgroup_blocking("g", "me", 10, XreadGroupOptions::new(), &[("s", ">")])
            => Streams::from([(s("s"), vec![entry()])]);
        xreadgroup_blocking("g", "me", 10, XreadGroupOptions::new(), &[("s", ">")]) => None::<Streams>;
    }
}

pub(crate) async fn replicas(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        wait(0, 10) => 0;
    }
    // Servers before 7.2 do not know it, and others without an append-only file refuse it.
    let counts = on.waitaof(0, 0, 10).await;
    assert!(counts.as_ref().is_ok_and(|counts| *counts == (0, 0)) || counts.is_err(), "{counts:?}");
    seen.insert("waitaof");
}
