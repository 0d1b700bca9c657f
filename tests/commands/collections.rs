//! Hashes, lists, sets, sorted sets and geo commands.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hitless::command::Commands;
use hitless::options::{
    GeoAddOptions, GeoSearchOptions, GeoUnit, ListEnd, LposOptions, ZaddOptions, ZcombineOptions,
    ZrangeOptions, ZsetEnd,
};

use crate::{Seen, calls, list, none, s, scores, some};

pub(crate) async fn hashes(on: &impl Commands, seen: &mut Seen) {
    let fields: Vec<String> = list(["a", "b"]);
    calls! { on, seen;
        hset("h", &[("a", "1"), ("b", "two")]) => 2;
        hget("h", "b") => s("two");
        hget("h", "none") => none();
        hgetall("h") => BTreeMap::from([(s("a"), s("1")), (s("b"), s("two"))]);
        hgetall("h") => vec![(s("a"), s("1")), (s("b"), s("two"))];
        hexists("h", "a") => true;
        hexists("a", "h") => false;
        hincrby("h", "a", 5) => 6;
        hincrbyfloat("h", "a", 0.25) => 6.25;
        hkeys("h") => fields.clone();
        hvals("h") => list(["6.25", "two"]);
        hlen("h") => 2;
        hmget("h", &["b", "none"]) => vec![some("two"), none()];
        hrandfield("h") ? |field: String| fields.contains(&field);
        hrandfield("none") => none();
        hrandfield_many("h", 5) => BTreeSet::from([s("a"), s("b")]);
        hrandfield_with_values("h", 5) => HashMap::from([(s("a"), s("6.25")), (s("b"), s("two"))]);
        hsetnx("h", "a", "x") => false;
        hsetnx("h", "c", "x") => true;
        hget("h", "c") => s("x");
        hstrlen("h", "b") => 3;
        hdel("h", &["a", "none"]) => 1;
    }
}

pub(crate) async fn lists(on: &impl Commands, seen: &mut Seen) {
    let from_tail = LposOptions::new().rank(-1);
    calls! { on, seen;
        rpush("l", &["b", "c"]) => 2;
        lpush("l", &["a", "z"]) => 4;
        lrange("l", 0, -1) => list(["z", "a", "b", "c"]);
        lpushx("none", &["x"]) => 0;
        lpushx("l", &["y"]) => 5;
        rpushx("none", &["x"]) => 0;
        rpushx("l", &["a"]) => 6;
        lindex("l", 1) => s("z");
        lindex("l", 9) => none();
        linsert_before("l", "b", "-") => 7;
        linsert_after("l", "b", "+") => 8;
        lrange("l", 0, -1) => list(["y", "z", "a", "-", "b", "+", "c", "a"]);
        llen("l") => 8;
        lpos("l", "a") => Some(2);
        lpos("l", "none") => None;
        lpos_with("l", "a", from_tail) => 7;
        lpos_with("l", "a", from_tail.count(0)) => vec![7, 2];
        lpos_with("l", "a", LposOptions::new().max_len(2)) => None::<i64>;
        lrem("l", -1, "a") => 1;
        lset("l", 0, "x") => ();
        ltrim("l", 0, 4) => ();
        lrange("l", 0, -1) => list(["x", "z", "a", "-", "b"]);
        lpop("l") => s("x");
        rpop("l") => s("b");
        lpop("none") => none();
        rpop_many("l", 2) => list(["-", "a"]);
        lpop_many("l", 2) => list(["z"]);
        lpop_many("l", 2) => None::<Vec<String>>;
        rpop_many("l", 2) => None::<Vec<String>>;
        rpop("l") => none();
        rpush("from", &["1", "2", "3", "4", "5"]) => 5;
        lmove("from", "to", ListEnd::Right, ListEnd::Left) => s("5");
        lmove("from", "to", ListEnd::Left, ListEnd::Left) => s("1");
        lrange("to", 0, -1) => list(["1", "5"]);
        lmove("none", "to", ListEnd::Left, ListEnd::Left) => none();
        lmpop(&["none", "from"], ListEnd::Left) => (s("from"), list(["2"]));
        lmpop_many(&["none", "from"], ListEnd::Right, 5) => Some((s("from"), list(["4", "3"])));
        lmpop(&["none"], ListEnd::Left) => None::<(String, Vec<String>)>;
    }
}

pub(crate) async fn sets(on: &impl Commands, seen: &mut Seen) {
    let set = |members: &[&str]| members.iter().map(|member| s(member)).collect::<BTreeSet<String>>();
    calls! { on, seen;
        sadd("a", &["1", "2", "3", "1"]) => 3;
        sadd("b", &["2", "3", "4"]) => 3;
        scard("a") => 3;
        smembers("a") => set(&["1", "2", "3"]);
        sdiff(&["a", "b"]) => list(["1"]);
        sdiffstore("d", &["a", "b"]) => 1;
        smembers("d") => list(["1"]);
        sinter(&["a", "b"]) => set(&["2", "3"]);
        sintercard(&["a", "b"]) => 2;
        sintercard_up_to(&["a", "b"], 1) => 1;
        sinterstore("d", &["a", "b"]) => 2;
        smembers("d") => set(&["2", "3"]);
        sunion(&["a", "b"]) => set(&["1", "2", "3", "4"]);
        sunionstore("d", &["a", "b"]) => 4;
        scard("d") => 4;
        sismember("a", "1") => true;
        sismember("b", "1") => false;
        smismember("b", &["1", "4"]) => vec![false, true];
        smove("a", "b", "1") => true;
        sismember("b", "1") => true;
        srem("b", &["1", "2", "9"]) => 2;
        srandmember("b") ? |member: u8| [3, 4].contains(&member);
        srandmember("none") => none();
        srandmember_many("b", 9) => set(&["3", "4"]);
        spop_many("b", 9) => set(&["3", "4"]);
        spop("b") => none();
        sadd("one", &["x"]) => 1;
        spop("one") => s("x");
    }
}

pub(crate) async fn sorted_sets(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        zadd("z", &[(1.0, "a"), (2.5, "b"), (3.0, "c")]) => 3;
        zcard("z") => 3;
        zscore("z", "b") => Some(2.5);
        zscore("b", "z") => None;
        zmscore("z", &["c", "none"]) => vec![Some(3.0), None];
        zcount("z", "(1", 3) => 2;
        zincrby("z", 0.5, "a") => 1.5;
        zrank("z", "b") => Some(1);
        zrank("z", "none") => None;
        zrevrank("z", "a") => Some(2);
        zadd_with("z", ZaddOptions::new().nx(), &[(9, "a"), (9, "d")]) => 1;
        zadd_with("z", ZaddOptions::new().xx().gt().ch(), &[(1, "a"), (10, "d"), (1, "new")]) => 1;
        zadd_with("z", ZaddOptions::new().lt().ch(), &[(9, "d")]) => 1;
        zadd_with("z", ZaddOptions::new().incr(), &[(0.5, "d")]) => 9.5;
        zadd_with("z", ZaddOptions::new().nx().incr(), &[(1, "d")]) => None::<f64>;
        zrange("z", 1, -1) => list(["b", "c", "d"]);
        zrange_with_scores("z", 0, 1) => scores(&[("a", 1.5), ("b", 2.5)]);
        zrange_with_scores("z", 0, 1) => HashMap::from([(s("a"), 1.5), (s("b"), 2.5)]);
        zrange_with("z", "(1.5", "+inf", ZrangeOptions::new().by_score().limit(1, 2)) => list(["c", "d"]);
        zrange_with("z", 9, 2, ZrangeOptions::new().by_score().rev().with_scores())
            => scores(&[("c", 3.0), ("b", 2.5)]);
        zrange_with("z", 0, 0, ZrangeOptions::new().rev()) => list(["d"]);
        zrangestore("d", "z", 0, 1, ZrangeOptions::new().rev()) => 2;
        zrange("d", 0, -1) => list(["c", "d"]);
        zrandmember("d") ? |member: String| ["c", "d"].contains(&member.as_str());
        zrandmember("none") => none();
        zrandmember_many("d", 9) => BTreeSet::from([s("c"), s("d")]);
        zrandmember_with_scores("d", 9) => BTreeMap::from([(s("c"), 3.0), (s("d"), 9.5)]);
        zrem("d", &["c", "none"]) => 1;
        zpopmin("z") => scores(&[("a", 1.5)]);
        zpopmax("z") => scores(&[("d", 9.5)]);
        zpopmin("none") => scores(&[]);
        zpopmin_many("z", 1) => scores(&[("b", 2.5)]);
        zpopmax_many("z", 5) => scores(&[("c", 3.0)]);
        zadd("z", &[("0", "a"), ("0", "b"), ("0", "c"), ("0", "d"), ("5", "e"), ("inf", "f")]) => 6;
        zrange_with("z", "[b", "(d", ZrangeOptions::new().by_lex()) => list(["b", "c"]);
        zlexcount("z", "[b", "(d") => 2;
        zremrangebylex("z", "-", "[a") => 1;
        zremrangebyscore("z", 4, 6) => 1;
        zremrangebyrank("z", 0, 1) => 2;
        zrange_with_scores("z", 0, -1) => scores(&[("d", 0.0), ("f", f64::INFINITY)]);
    }
}

pub(crate) async fn combined_sorted_sets(on: &impl Commands, seen: &mut Seen) {
    let weights = ZcombineOptions::new().weights(&[2.0, 1.0]);
    calls! { on, seen;
        zadd("a", &[(1, "x"), (2, "y")]) => 2;
        zadd("b", &[(10, "y"), (20, "z")]) => 2;
        zdiff(&["a", "b"]) => list(["x"]);
        zdiff_with_scores(&["b", "a"]) => scores(&[("z", 20.0)]);
        zdiffstore("d", &["b", "a"]) => 1;
        zrange("d", 0, -1) => list(["z"]);
        zinter(&["a", "b"], ZcombineOptions::new()) => list(["y"]);
        zinter(&["a", "b"], weights.with_scores()) => scores(&[("y", 14.0)]);
        zintercard(&["a", "b"]) => 1;
        zintercard_up_to(&["a", "a"], 1) => 1;
        zinterstore("d", &["a", "b"], weights.aggregate_min()) => 1;
        zscore("d", "y") => Some(4.0);
        zunion(&["a", "b"], weights.aggregate_max().with_scores())
            => scores(&[("x", 2.0), ("y", 10.0), ("z", 20.0)]);
        zunionstore("d", &["a", "b"], weights) => 3;
        zscore("d", "y") => Some(14.0);
        zmpop(&["none", "d"], ZsetEnd::Max) => (s("d"), scores(&[("z", 20.0)]));
        zmpop_many(&["none", "d"], ZsetEnd::Min, 5) => Some((s("d"), scores(&[("x", 2.0), ("y", 14.0)])));
        zmpop(&["none"], ZsetEnd::Min) => None::<(String, Vec<(String, f64)>)>;
    }
}

pub(crate) async fn geo(on: &impl Commands, seen: &mut Seen) {
    let (palermo, catania) = ((13.361389, 38.115556, "Palermo"), (15.087269, 37.502669, "Catania"));
    let around = || GeoSearchOptions::from_lonlat(15.0, 37.0);
    let circle = || around().by_radius(200.0, GeoUnit::Kilometers);
    let near =
        |found: (f64, f64), at: (f64, f64)| (found.0 - at.0).abs() < 1e-4 && (found.1 - at.1).abs() < 1e-4;
    calls! { on, seen;
        geoadd("g", &[palermo, catania]) => 2;
        geoadd_with("g", GeoAddOptions::new().nx(), &[(1.0, 2.0, "Palermo")]) => 0;
        geoadd_with("g", GeoAddOptions::new().xx().ch(), &[(13.0, 38.0, "Palermo"), (1.0, 1.0, "Rome")]) => 1;
        geoadd_with("g", GeoAddOptions::new().ch(), &[palermo]) => 1;
        geodist("g", "Palermo", "Catania", GeoUnit::Meters) => Some(166274.1516);
        geodist("g", "Palermo", "Catania", GeoUnit::Kilometers) => Some(166.2742);
        geodist("g", "Palermo", "Catania", GeoUnit::Miles) => Some(103.3182);
        geodist("g", "Palermo", "Catania", GeoUnit::Feet) ? |feet: Option<f64>| feet.is_some_and(|feet| feet > 5e5);
        geodist("g", "Palermo", "Rome", GeoUnit::Meters) => None;
        geohash("g", &["Palermo", "Rome"]) => vec![some("sqc8b49rny0"), none()];
        geopos("g", &["Catania", "Rome"]) ? |found: Vec<Option<(f64, f64)>>| {
            near(found[0].unwrap(), (catania.0, catania.1)) && found[1].is_none()
        };
        geosearch("g", circle().asc()) => list(["Catania", "Palermo"]);
        geosearch("g", circle().desc().with_dist()) => scores(&[("Palermo", 190.4424), ("Catania", 56.4413)]);
        geosearch("g", around().by_box(400.0, 100.0, GeoUnit::Kilometers)) => list::<0>([]);
        geosearch("g", around().by_box(100.0, 400.0, GeoUnit::Kilometers)) => list(["Catania"]);
        geosearch("g", circle().count(1)) => list(["Catania"]);
        geosearch("g", circle().count_any(1)) ? |found: Vec<String>| found.len() == 1;
        geosearch("g", GeoSearchOptions::from_member("Palermo").by_radius(1.0, GeoUnit::Miles)) => list(["Palermo"]);
        geosearch("g", circle().count(1).with_coord().with_hash()) ? |found: Vec<(String, u64, (f64, f64))>| {
            found[0].1 == 3_479_447_370_796_909 && near(found[0].2, (catania.0, catania.1))
        };
        geosearchstore("d", "g", circle().store_dist()) => 2;
        zscore("d", "Catania") ? |score: Option<f64>| score.is_some_and(|score| (score - 56.4413).abs() < 1e-3);
    }
}
