//! A client in a forked child: every call is an error, and the parent's client keeps working.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::Redis;
use futures_lite::future::block_on;
use hitless::{Client, ClientReply, Config, ErrorKind, Outcome};

const GRACE: Duration = Duration::from_secs(5);

/// Runs a check in a forked child and waits for it. A signal ends a child that hangs. This is the only test of the
/// program, so no other thread holds a lock at the fork.
#[expect(unsafe_code, reason = "the standard library does not fork")]
fn in_a_child(check: impl FnOnce()) {
    // SAFETY: the child runs ordinary code after the fork, which glibc prepares its locks for; no thread but those of the
    // client exists, and they hold none that the check takes.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        // SAFETY: it takes a number, and its signal ends the child.
        unsafe { libc::alarm(30) };
        let failed = catch_unwind(AssertUnwindSafe(check)).is_err();
        // SAFETY: it ends the process at once, without what the parent has registered for its own end.
        unsafe { libc::_exit(i32::from(failed)) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, is waited for once, and the kernel writes one number.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "the child hung, or died: {status:#x}");
    assert_eq!(libc::WEXITSTATUS(status), 0, "a check in the child failed");
}

#[test]
fn a_forked_client_fails_and_the_parents_works() {
    let redis = Redis::start();
    let config = Config::from_url(&redis.url()).unwrap().shards(1).connections_per_shard(2);
    let client = Client::start(config.clone()).unwrap();
    block_on(client.ready(GRACE)).unwrap();
    redis.signal(libc::SIGSTOP);
    let pending = client.incr("counter");
    let in_child: ClientReply<i64> = client.incr("counter");
    let (clone, keyed) = (client.clone(), client.by_key());
    in_a_child(move || {
        let error = in_child.wait().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Misuse, Outcome::Ambiguous), "{error}");
        for client in [clone.clone(), keyed, clone.least_loaded()] {
            let error = client.incr("counter").wait().unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Misuse, Outcome::Unsent), "{error}");
        }
        let errors = [
            block_on(clone.ready(GRACE)).unwrap_err(),
            block_on(clone.stats()).map(drop).unwrap_err(),
            block_on(clone.run_on(0, |_| async {})).unwrap_err(),
            block_on(clone.run_on_each_shard(|_| async {})).map(drop).unwrap_err(),
            block_on(clone.renew_credentials()).unwrap_err(),
            block_on(clone.shutdown(GRACE)).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
            assert!(error.to_string().contains("start another client"), "{error}");
        }
    });
    redis.signal(libc::SIGCONT);
    assert_eq!(block_on(pending).unwrap(), 1);
    // The child drops its copy and starts a client of its own.
    let mut only = Some(client);
    in_a_child(|| {
        drop(only.take());
        let own = Client::start(config.clone()).unwrap();
        assert_eq!(own.incr("of the child").wait().unwrap(), 1);
        block_on(own.shutdown(GRACE)).unwrap();
    });
    let client = only.unwrap();
    assert_eq!(client.incr("of the child").wait().unwrap(), 2);
    let stats = &block_on(client.stats()).unwrap()[0];
    assert_eq!((stats.ready, stats.lost), (2, 0));
    block_on(client.shutdown(GRACE)).unwrap();
}
