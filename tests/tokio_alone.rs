//! The driver inside tokio without glommio: `cargo test --no-default-features --features tokio --test tokio_alone`.

mod common;

use std::process::Command;

use common::{Redis, WAIT_MAX};
use hitless::{Client, Config, ErrorKind};

async fn use_it(redis: &Redis) {
    let client = Client::start_in_tokio(Config::from_url(&redis.url()).unwrap()).unwrap();
    client.ready(WAIT_MAX).await.unwrap();
    client.set("greeting", "hello").await.unwrap();
    assert_eq!(client.get::<String>("greeting").await.unwrap(), "hello");
    let pipeline = client.pipeline();
    pipeline.set("counter", 0).incr("counter").incr("counter");
    let (_, first, second): ((), i64, i64) = pipeline.run().await.unwrap();
    assert_eq!((first, second), (1, 2));
    client.shutdown(WAIT_MAX).await.unwrap();
    assert_eq!(client.ping().await.unwrap_err().kind(), ErrorKind::ShutDown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_works_on_a_multi_thread_runtime() {
    use_it(&Redis::start()).await;
}

#[tokio::test]
async fn a_client_works_on_a_current_thread_runtime() {
    use_it(&Redis::start()).await;
}

/// No io_uring, none of its system calls, and none of its C code are in a program with this feature alone.
#[test]
fn glommio_is_not_among_the_dependencies() {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let tree = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(["--no-default-features", "--features", "tokio"])
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(tree.stdout).unwrap();
    let errors = String::from_utf8_lossy(&tree.stderr);
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"hitless") && names.contains(&"tokio"), "{text}{errors}");
    for unwanted in ["glommio", "io-uring", "rustls"] {
        assert!(!names.contains(&unwanted), "{unwanted} is among the dependencies:\n{text}");
    }
}
