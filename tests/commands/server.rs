//! Scripts and functions, publishing, and server commands.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use hitless::Frame;
use hitless::command::Commands;

use crate::{NAME, Seen, calls, list, none, s};

pub(crate) async fn scripts(on: &impl Commands, seen: &mut Seen) {
    let script = "return {KEYS[1], KEYS[2], ARGV[1]}";
    let all = || list(["k1", "k2", "a"]);
    let unknown = "0".repeat(40);
    let sha1 = calls!(on, seen, script_load(script));
    calls! { on, seen;
        eval(script, &["k1", "k2"], &["a"]) => all();
        eval_ro(script, &["k1", "k2"], &["a"]) => all();
        evalsha(&sha1, &["k1", "k2"], &["a"]) => all();
        evalsha_ro(&sha1, &["k1", "k2"], &["a"]) => all();
        eval("return 7", &[""; 0], &[""; 0]) => 7;
        script_exists(&[&sha1, &unknown]) => vec![true, false];
        script_flush() => ();
        script_exists(&[&sha1]) => vec![false];
    }
}

pub(crate) async fn functions(on: &impl Commands, seen: &mut Seen) {
    let code = |answer: &str| {
        format!(
            "#!lua name=shelf\nredis.register_function{{function_name='f', flags={{'no-writes'}}, \
             callback=function(keys, args) return {{'{answer}', keys[1], args[1]}} end}}"
        )
    };
    let named = |about: Vec<HashMap<String, Frame>>| about[0]["library_name"] == Frame::Bulk("shelf".into());
    calls! { on, seen;
        function_flush() => ();
        function_load(code("one")) => s("shelf");
        fcall("f", &["k"], &["a"]) => list(["one", "k", "a"]);
        function_load_replace(code("two")) => s("shelf");
        fcall_ro("f", &["k"], &["a"]) => list(["two", "k", "a"]);
        function_list() ? named;
    }
    let dump: Bytes = calls!(on, seen, function_dump());
    calls! { on, seen;
        function_delete("shelf") => ();
        function_list() => Vec::<Frame>::new();
        function_restore(&dump) => ();
        function_list() ? named;
        function_flush() => ();
        function_list() => Vec::<Frame>::new();
    }
}

pub(crate) async fn publishing(on: &impl Commands, seen: &mut Seen, port: u16) {
    let mut subscriber = TcpStream::connect(("127.0.0.1", port)).unwrap();
    subscriber.write_all(b"SUBSCRIBE news\r\nSSUBSCRIBE local\r\nPSUBSCRIBE w*\r\n").unwrap();
    let read_until = |subscriber: &mut TcpStream, end: &str| {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let mut byte = [0];
            subscriber.read_exact(&mut byte).unwrap();
            text.extend(byte);
        }
    };
    read_until(&mut subscriber, "$2\r\nw*\r\n:2\r\n");
    calls! { on, seen;
        publish("news", "hello") => 1;
        spublish("local", "there") => 1;
        publish("none", "hello") => 0;
        pubsub_channels("n*") => list(["news"]);
        pubsub_numsub(&["news", "none"]) => BTreeMap::from([(s("news"), 1), (s("none"), 0)]);
        pubsub_numpat() => 1;
        pubsub_shardchannels("l*") => list(["local"]);
        pubsub_shardnumsub(&["local", "none"]) => BTreeMap::from([(s("local"), 1), (s("none"), 0)]);
    }
    read_until(&mut subscriber, "$4\r\nnews\r\n$5\r\nhello\r\n");
    read_until(&mut subscriber, "$5\r\nlocal\r\n$5\r\nthere\r\n");
}

pub(crate) async fn server(on: &impl Commands, seen: &mut Seen) {
    let id = calls!(on, seen, client_id());
    calls! { on, seen;
        ping() => ();
        echo("hello") => s("hello");
        acl_whoami() => s("default");
        client_getname() => Some(s(NAME));
        client_info() ? |line: String| line.contains(&format!("id={id} "));
        client_list() ? |lines: String| lines.contains(&format!("id={id} "));
        client_kill_id(1_000_000) => 0;
        client_unblock(id) => false;
        command_count() ? |count: i64| count > 200;
        command_info(&["get", "none"]) ? |about: Vec<Option<Vec<Frame>>>| {
            about[0].as_ref().is_some_and(|about| about[0] == Frame::Bulk("get".into())) && about[1].is_none()
        };
        config_set(&[("slowlog-log-slower-than", "0"), ("slowlog-max-len", "7")]) => ();
        config_get(&["slowlog-max-len", "databases"])
            => BTreeMap::from([(s("slowlog-max-len"), 7), (s("databases"), 16)]);
        config_resetstat() => ();
        slowlog_reset() => ();
        echo("slow") => s("slow");
        slowlog_len() ? |len: i64| (1..=7).contains(&len);
        slowlog_get(1) ? |entries: Vec<Vec<Frame>>| entries.len() == 1;
        config_set(&[("slowlog-log-slower-than", "-1")]) => ();
        set("a", 1) => ();
        dbsize() => 1;
        memory_usage("a") ? |bytes: Option<i64>| bytes.is_some_and(|bytes| bytes > 10);
        memory_usage("none") => None;
        info() ? |text: String| text.contains("redis_version:") && text.contains("used_memory:");
        info_of(&["server", "clients"]) ? |text: String| {
            text.contains("redis_version:") && text.contains("# Clients") && !text.contains("# Memory")
        };
        lastsave() ? |second: i64| second > 1_600_000_000;
        time() ? |(seconds, micros): (u64, u64)| seconds > 1_600_000_000 && micros < 1_000_000;
        role() ? |(role, offset, replicas): (String, u64, Vec<String>)| {
            role == "master" && offset < 1 << 40 && replicas.is_empty()
        };
        flushdb() => ();
        get("a") => none();
        set("a", 1) => ();
        flushall() => ();
        dbsize() => 0;
    }
}
