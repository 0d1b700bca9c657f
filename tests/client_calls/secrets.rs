//! Values of the user: no error and no `Debug` output contains one.

use futures_lite::future::block_on;
use hitless::command::Argument;
use hitless::command::Script;
use hitless::{Client, Config, Frame, FromReply, cmd};

use crate::common::Redis;
use crate::common::drivers::start;

/// No error and no `Debug` output contains values of the user, whatever the server replies.
#[test]
fn sc_no_values_in_errors() {
    const VALUE: &str = "Xq7 kZw93";
    let redis = Redis::start();
    let config = Config::from_url(&redis.url()).expect("a URL").shards(1).connections_per_shard(1);
    let client = start(config).expect("a client");
    let run = |words: &[&str]| {
        let command = words.iter().skip(1).fold(cmd(words[0]), |command, word| command.arg(*word));
        assert!(!format!("{command:?}").contains("Xq7"));
        block_on(client.run::<Frame>(&command)).expect("a reply")
    };
    run(&["SET", "text", VALUE]);
    run(&["SET", "number", "4711471147114711"]);
    run(&["RPUSH", "list", VALUE, VALUE, VALUE]);
    let mut errors = Vec::new();
    let mut check = |what: &str, error: hitless::Error| {
        let said = format!("{error} {error:?} {error:#?}");
        assert!(!said.contains("Xq7") && !said.contains("4711"), "{what}: {said}");
        errors.push(error);
    };
    fn not_one<T: FromReply>(client: &Client, words: &[&str]) -> hitless::Error {
        let command = words.iter().skip(1).fold(cmd(words[0]), |command, word| command.arg(*word));
        block_on(client.run::<T>(&command)).err().expect("a conversion error")
    }
    // Replies of another type than the caller asked for.
    check("text", not_one::<i64>(&client, &["GET", "text"]));
    check("text", not_one::<f64>(&client, &["GET", "text"]));
    check("text", not_one::<bool>(&client, &["GET", "text"]));
    check("text", not_one::<Vec<String>>(&client, &["GET", "text"]));
    check("number", not_one::<u8>(&client, &["GET", "number"]));
    check("integer", not_one::<u8>(&client, &["INCRBY", "number", "0"]));
    check("list", not_one::<String>(&client, &["LRANGE", "list", "0", "-1"]));
    check("list", not_one::<(String, i64)>(&client, &["LRANGE", "list", "0", "-1"]));
    check("list", not_one::<std::collections::HashMap<String, i64>>(&client, &["LRANGE", "list", "0", "-1"]));
    let debug = format!(
        "{:?}",
        [run(&["GET", "text"]), run(&["LRANGE", "list", "0", "-1"]), run(&["GET", "number"])]
    );
    assert!(!debug.contains("Xq7") && !debug.contains("4711") && debug.contains("bytes"), "{debug}");
    // Errors in which the server quotes the command.
    for words in [
        &["SECRETKEY", VALUE, VALUE][..],
        &[VALUE, "x"],
        &["OBJECT", VALUE],
        &["XREADGROUP", "GROUP", VALUE, "me", "STREAMS", VALUE, ">"],
        &["ACL", "SETUSER", "someone", VALUE],
        &["CONFIG", "SET", VALUE, "1"],
    ] {
        let error = not_one::<()>(&client, words);
        assert!(error.code().is_some(), "{error}");
        if words[0] != VALUE {
            check(words[0], error);
        } else {
            // The command's name comes from the caller, so the error may contain it.
            assert!(!error.to_string().replacen(VALUE, "", 1).contains("Xq7"), "{error}");
        }
    }
    let said =
        format!("{:?} {:?}", Argument::Bytes(VALUE.as_bytes()), Script::new(format!("return '{VALUE}'")));
    assert!(!said.contains("Xq7"), "{said}");
    assert_eq!(errors.len(), 14);
}
