//! Strings, keys, expiry, sorting, bitmaps and HyperLogLog.

use bytes::Bytes;
use hitless::command::Commands;
use hitless::options::{
    BitFieldOptions, BitOperation, BitOverflow, BitUnit, CopyOptions, ExpireCondition, GetExOptions,
    SetOptions, SortOptions,
};

use crate::{Seen, calls, list, none, s, some};

/// A Unix time in the year 2100, in seconds and in milliseconds.
const THEN: i64 = 4_102_444_800;
const THEN_MS: i64 = 4_102_444_800_001;

pub(crate) async fn strings(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        set("a", "1") => ();
        get("a") => s("1");
        get("none") => none();
        append("a", "23") => 3;
        getrange("a", 1, -1) => s("23");
        setrange("a", 1, "xy") => 3;
        get("a") => s("1xy");
        strlen("a") => 3;
        set("n", 10) => ();
        incr("n") => 11;
        incrby("n", 5) => 16;
        decr("n") => 15;
        decrby("n", 4) => 11;
        incrbyfloat("n", 0.5) => 11.5;
        setex("e", 100, "v") => ();
        ttl("e") ? |left: i64| (90..=100).contains(&left);
        psetex("p", 100_000, "w") => ();
        pttl("p") ? |left: i64| (90_000..=100_000).contains(&left);
        get("p") => s("w");
        setnx("a", "z") => false;
        setnx("new", "z") => true;
        mset(&[("m1", "x"), ("m2", "y")]) => ();
        mget(&["m1", "none", "m2"]) => vec![some("x"), none(), some("y")];
        msetnx(&[("m3", "1"), ("m1", "2")]) => false;
        msetnx(&[("m3", "1"), ("m4", "2")]) => true;
        getdel("m4") => some("2");
        getdel("m4") => none();
        set("l1", "ohmytext") => ();
        set("l2", "mynewtext") => ();
        lcs("l1", "l2") => s("mytext");
        lcs_len("l1", "l2") => 6;
    }
}

pub(crate) async fn string_options(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        set("e", "v") => ();
        getex("e", GetExOptions::ex(50)) => s("v");
        ttl("e") ? |left: i64| (40..=50).contains(&left);
        getex("e", GetExOptions::px(90_000)) => s("v");
        ttl("e") ? |left: i64| (80..=90).contains(&left);
        getex("e", GetExOptions::exat(THEN as u64)) => s("v");
        expiretime("e") => THEN;
        getex("e", GetExOptions::pxat(THEN_MS as u64)) => s("v");
        getex("e", GetExOptions::new()) => s("v");
        pexpiretime("e") => THEN_MS;
        getex("e", GetExOptions::persist()) => s("v");
        ttl("e") => -1;
        getex("none", GetExOptions::new()) => none();
        set_with("k", "v", SetOptions::new().nx()) => true;
        set_with("k", "w", SetOptions::new().nx()) => false;
        set_with("none", "w", SetOptions::new().xx()) => false;
        set_with("k", "w", SetOptions::new().xx().get()) => some("v");
        set_with("k2", "v", SetOptions::new().get()) => none();
        set_with("k", "x", SetOptions::new().exat(THEN as u64)) => true;
        expiretime("k") => THEN;
        set_with("k", "y", SetOptions::new().pxat(THEN_MS as u64)) => true;
        set_with("k", "z", SetOptions::new().xx().get().keep_ttl()) => some("y");
        pexpiretime("k") => THEN_MS;
        set_with("k", "x", SetOptions::new().ex(50)) => true;
        ttl("k") ? |left: i64| (40..=50).contains(&left);
        set_with("k", "x", SetOptions::new().px(90_000)) => true;
        ttl("k") ? |left: i64| (80..=90).contains(&left);
    }
}

pub(crate) async fn keys(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        set("a", "text") => ();
        set("n", 12) => ();
        copy("a", "b", CopyOptions::new()) => true;
        get("b") => s("text");
        copy("n", "b", CopyOptions::new()) => false;
        copy("n", "b", CopyOptions::new().replace()) => true;
        copy("a", "b", CopyOptions::new().db(1)) => true;
        get("b") => 12u8;
        exists(&["a", "b", "none"]) => 2;
        touch(&["a", "none", "n"]) => 2;
        del(&["b", "none"]) => 1;
        keys("a*") => list(["a"]);
        key_type("a") => s("string");
        key_type("none") => s("none");
        object_encoding("n") => s("int");
        object_refcount("a") => 1;
        object_idletime("a") ? |seconds: i64| (0..60).contains(&seconds);
        config_set(&[("maxmemory-policy", "allkeys-lfu")]) => ();
        set("often", "x") => ();
        object_freq("often") ? |often: i64| often > 0;
        config_set(&[("maxmemory-policy", "noeviction")]) => ();
        unlink(&["often", "none"]) => 1;
        rename("a", "z") => ();
        renamenx("z", "n") => false;
        renamenx("z", "y") => true;
        get("y") => s("text");
        del(&["n"]) => 1;
        randomkey() => s("y");
        dump("none") => none();
    }
    let dump: Bytes = calls!(on, seen, dump("y"));
    calls! { on, seen;
        restore("r", 0, &dump) => ();
        get("r") => s("text");
        ttl("r") => -1;
        restore("s", 90_000, &dump) => ();
        ttl("s") ? |left: i64| (80..=90).contains(&left);
        flushdb() => ();
        randomkey() => none();
    }
}

pub(crate) async fn expiry(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        set("a", 1) => ();
        expire("a", 100) => true;
        ttl("a") ? |left: i64| (90..=100).contains(&left);
        expire("none", 100) => false;
        expire_with("a", 200, ExpireCondition::Nx) => false;
        expire_with("a", 50, ExpireCondition::Gt) => false;
        expire_with("a", 50, ExpireCondition::Lt) => true;
        ttl("a") ? |left: i64| (40..=50).contains(&left);
        persist("a") => true;
        persist("a") => false;
        expire_with("a", 50, ExpireCondition::Xx) => false;
        pexpire("a", 100_000) => true;
        ttl("a") ? |left: i64| (90..=100).contains(&left);
        pexpire_with("a", 50_000, ExpireCondition::Gt) => false;
        pexpire_with("a", 200_000, ExpireCondition::Gt) => true;
        pexpireat("a", THEN_MS) => true;
        pexpiretime("a") => THEN_MS;
        expireat("a", THEN) => true;
        expiretime("a") => THEN;
        expireat_with("a", THEN - 1, ExpireCondition::Gt) => false;
        expireat_with("a", THEN + 1, ExpireCondition::Gt) => true;
        pexpireat_with("a", THEN_MS, ExpireCondition::Lt) => true;
        pexpiretime("a") => THEN_MS;
        ttl("none") => -2;
        pttl("none") => -2;
        expiretime("none") => -2;
        pexpiretime("none") => -2;
    }
}

pub(crate) async fn sorting(on: &impl Commands, seen: &mut Seen) {
    let by_weight = || SortOptions::new().by("w_*").get("o_*").get("#");
    calls! { on, seen;
        rpush("list", &[3, 1, 2]) => 3;
        mset(&[("w_1", 30), ("w_2", 20), ("w_3", 10)]) => ();
        mset(&[("o_1", "a"), ("o_2", "b"), ("o_3", "c")]) => ();
        sort("list", SortOptions::new()) => vec![1, 2, 3];
        sort("list", SortOptions::new().desc().limit(1, 2)) => vec![2, 1];
        sort("list", by_weight()) => list(["c", "3", "b", "2", "a", "1"]);
        sort_ro("list", by_weight().limit(0, 1)) => list(["c", "3"]);
        sort_store("list", SortOptions::new().alpha(), "sorted") => 3;
        lrange("sorted", 0, -1) => list(["1", "2", "3"]);
    }
}

pub(crate) async fn bitmaps(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        setbit("b", 7, 1) => false;
        setbit("b", 7, 1) => true;
        getbit("b", 7) => true;
        getbit("b", 6) => false;
        set("s", "foobar") => ();
        set("t", "abcdef") => ();
        bitcount("s") => 26;
        bitcount_range("s", 1, 1, BitUnit::Byte) => 6;
        bitcount_range("s", 5, 30, BitUnit::Bit) => 17;
        bitop(BitOperation::And, "d", &["s", "t"]) => 6;
        get("d") => s("`bc`ab");
        bitop(BitOperation::Or, "d", &["s", "t"]) => 6;
        get("d") => s("goofev");
        bitop(BitOperation::Xor, "d", &["s", "s"]) => 6;
        bitop(BitOperation::Not, "b", &["d"]) => 6;
        bitcount("b") => 48;
        bitpos("s", 1) => 1;
        bitpos("s", 0) => 0;
        bitpos_range("s", 0, 2, -1, BitUnit::Byte) => 16;
        bitpos_range("s", 1, 3, 30, BitUnit::Bit) => 5;
        bitfield("f", BitFieldOptions::new().set("u8", 8, 200).get("u8", 8)) => vec![0, 200];
        bitfield("f", BitFieldOptions::new().incrby("u8", 8, 100)) => vec![44];
        bitfield("f", BitFieldOptions::new().overflow(BitOverflow::Saturate).incrby("u8", 8, 250)) => vec![255];
        bitfield("f", BitFieldOptions::new().overflow(BitOverflow::Fail).incrby("u8", 8, 1)) => vec![None::<i64>];
        bitfield("f", BitFieldOptions::new().overflow(BitOverflow::Wrap).incrby("u8", 8, 2)) => vec![1];
        bitfield_ro("f", BitFieldOptions::new().get("u16", 0)) => vec![1];
    }
}

pub(crate) async fn hyperloglog(on: &impl Commands, seen: &mut Seen) {
    calls! { on, seen;
        pfadd("p", &["a", "b"]) => true;
        pfadd("p", &["a"]) => false;
        pfadd("q", &["c"]) => true;
        pfcount(&["p", "q"]) => 3;
        pfmerge("r", &["p", "q"]) => ();
        pfcount(&["r"]) => 3;
        pfcount(&["q"]) => 1;
    }
}
