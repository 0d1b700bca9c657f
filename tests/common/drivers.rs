//! Which driver the clients of a test program run on.

use hitless::{Client, Config, Result};

/// Starts a client: inside tokio in the programs whose name ends with `_in_tokio`, elsewhere on threads of its own. So the
/// same tests run over both drivers.
///
/// # Errors
/// As those of the client's own functions.
pub fn start(config: Config) -> Result<Client> {
    #[cfg(feature = "tokio")]
    if is_in_tokio() {
        let _entered = runtime().enter();
        return Client::start_in_tokio(config);
    }
    Client::start(config)
}

/// Whether the clients of this program run inside tokio.
pub fn is_in_tokio() -> bool {
    env!("CARGO_CRATE_NAME").ends_with("_in_tokio")
}

/// The runtime of all clients of this program. Its threads are not the tests' own, as in a service.
#[cfg(feature = "tokio")]
pub fn runtime() -> &'static tokio::runtime::Runtime {
    use std::sync::{LazyLock, mpsc};

    use tokio::runtime::{Builder, Runtime};

    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let (started, starts) = mpsc::channel();
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(WORKERS).enable_all().on_thread_start(move || {
            // Threads that start later are not counted.
            let _ = started.send(());
        });
        let runtime = builder.build().expect("a runtime");
        // Tests compare the threads of the program: none of these may come later.
        assert_eq!(starts.iter().take(WORKERS).count(), WORKERS);
        runtime
    });
    &RUNTIME
}

#[cfg(feature = "tokio")]
const WORKERS: usize = 2;
