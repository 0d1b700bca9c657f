//! Pipelines, transactions and rejected commands.

use futures_lite::future::block_on;
use hitless::options::SetOptions;
use hitless::{Client, Error, ErrorKind, Frame, Outcome, Shard, cmd};

use crate::common::Redis;
use crate::{RESP2, RESP3, config, on_a_shard, s};

/// Runs the test on a shard and on a client, whose methods have no common trait.
macro_rules! on_both {
    ($test:ident) => {
        for options in [RESP3, RESP2] {
            let redis = Redis::start_with(options);
            on_a_shard(config(&redis), |shard: Shard| async move { $test!(shard) });
            let redis = Redis::start_with(options);
            let client: Client = Client::start(config(&redis)).unwrap();
            block_on(async { $test!(client) });
        }
    };
}

macro_rules! pipelines {
    ($on:ident) => {{
        let pipeline = $on.pipeline();
        pipeline.set("a", "text").incr("a").get("a").set_with("a", 1, SetOptions::new().get()).incr("a");
        assert_eq!((pipeline.len(), pipeline.is_empty()), (5, false));
        let (set, error, text, before, number): ((), Result<i64, Error>, String, String, u8) =
            pipeline.run().await.unwrap();
        assert_eq!((set, text, before, number), ((), s("text"), s("text"), 2));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Server);
        let pipeline = $on.pipeline();
        pipeline.get("a").cmd(&cmd("LLEN").arg("a")).get("none");
        let each: Vec<Result<Option<i64>, Error>> = pipeline.run().await.unwrap();
        assert_eq!((each[0].as_ref().unwrap(), each[2].as_ref().unwrap()), (&Some(2), &None));
        assert_eq!(each[1].as_ref().unwrap_err().code(), Some("WRONGTYPE"));
        assert_eq!($on.pipeline().run::<Vec<Frame>>().await.unwrap(), []);
        let pipeline = $on.pipeline();
        pipeline.set("a", "changed").cmd(&cmd("MULTI"));
        let error = pipeline.run::<Vec<Frame>>().await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Command, Outcome::Unsent), "{error}");
        assert_eq!($on.get::<i64>("a").await.unwrap(), 2, "no command was sent");
    }};
}

macro_rules! transactions {
    ($on:ident) => {{
        let transaction = $on.transaction();
        transaction.set("n", 40).incr("n").mget(&["n", "none"]).cmd(&cmd("ECHO").arg("x"));
        assert_eq!((transaction.len(), transaction.is_empty()), (4, false));
        let reply: ((), i64, Vec<Option<i64>>, String) = transaction.run().await.unwrap();
        assert_eq!(reply, ((), 41, vec![Some(41), None], s("x")));

        // A command that fails when it runs does not undo the others.
        let transaction = $on.transaction();
        transaction.incr("n").lpush("n", &["x"]).incr("n");
        let each: Vec<Result<i64, Error>> = transaction.run().await.unwrap();
        assert_eq!((each[0].as_ref().unwrap(), each[2].as_ref().unwrap()), (&42, &43));
        assert_eq!(each[1].as_ref().unwrap_err().code(), Some("WRONGTYPE"));

        // A command that the server rejects when it is queued undoes all of them, and the error names it.
        let transaction = $on.transaction();
        transaction.incr("n").cmd(&cmd("GETSET").arg("n")).incr("n");
        let error = transaction.run::<Vec<Frame>>().await.unwrap_err();
        assert_eq!(
            (error.command(), error.code(), error.outcome()),
            (Some("GETSET"), Some("ERR"), Outcome::Answered)
        );
        assert!(error.to_string().contains("wrong number of arguments"), "{error}");
        assert!(error.to_string().contains("not run"), "{error}");
        assert!(error.endpoint().is_some());
        assert_eq!($on.get::<i64>("n").await.unwrap(), 43);

        assert_eq!($on.transaction().run::<Vec<Frame>>().await.unwrap(), []);
        let transaction = $on.transaction();
        transaction.incr("n").cmd(&cmd("WATCH").arg("n"));
        let error = transaction.run::<Vec<Frame>>().await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Command, Outcome::Unsent), "{error}");
        let error = {
            let transaction = $on.transaction();
            transaction.incr("n");
            transaction
        }
        .run::<(String, String)>()
        .await
        .unwrap_err();
        assert_eq!((error.kind(), error.command()), (ErrorKind::ReplyType, Some("(transaction)")), "{error}");
    }};
}

macro_rules! refusals {
    ($on:ident) => {{
        for name in ["SUBSCRIBE", "monitor", "MULTI", "WATCH", "SELECT"] {
            let error = $on.run::<Frame>(&cmd(name).arg(1).arg(0)).await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Command, Outcome::Unsent), "{error}");
            assert_eq!(error.command(), Some(name));
        }
        $on.rpush("jobs", &["one"]).await.unwrap();
        let popped: (String, String) = $on.run(&cmd("BLPOP").arg("jobs").arg(0)).await.unwrap();
        assert_eq!(popped, (s("jobs"), s("one")));
    }};
}

#[test]
fn a_pipeline_is_answered_command_by_command() {
    on_both!(pipelines);
}

#[test]
fn a_transaction_runs_completely_or_not_at_all() {
    on_both!(transactions);
}

#[test]
fn what_a_shared_connection_cannot_carry_is_refused() {
    on_both!(refusals);
}
