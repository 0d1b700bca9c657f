//! Measures one client once, in a process of its own, and prints one line of JSON.
//!
//! ```text
//! hitless-peers load    port=6379 keys=1000 value=64
//! hitless-peers hitless port=6379 keys=1000 value=64 command=get tasks=256 connections=4 seconds=1
//!
//! hitless-peers serve hitless-tokio port=6379 connections=4      prints the port of its HTTP service, and runs until it is killed
//! hitless-peers load-http port=40123 keys=1000 value=64 tasks=64 rate=500 seconds=1
//! ```
//!
//! `scripts/bench-peers` starts these processes in turn, and compares their results.

mod callers;
mod epoll;
mod http_load;
mod measure;
mod pacer;
mod peers;
mod plan;
mod service;
mod work;

use std::sync::Arc;

use plan::Plan;

/// Runs the program. Its binaries differ in their allocator only.
pub fn main() {
    // A failed caller would leave a lighter load to the others, and invalidate the measurement.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::exit(1);
    }));
    // Clients that choose no cryptography themselves use the same as `hitless`.
    rustls::crypto::ring::default_provider().install_default().expect("the first of this process");
    let mut arguments = std::env::args().skip(1);
    let mut word = || arguments.next().expect("a variant, and key=value for the rest");
    match word().as_str() {
        "load" => peers::floor::load(&Plan::parse(arguments)),
        "serve" => {
            let variant = word();
            let serve = peers::find_service(&variant).unwrap_or_else(|| panic!("no service of {variant}"));
            serve(&Plan::parse(arguments));
        }
        "load-http" => {
            let plan = Arc::new(Plan::parse(arguments));
            println!("{}", measure::run(&plan, http_load::drive, || http_load::service_cpu(&plan)));
        }
        variant => {
            let drive = peers::find(variant).unwrap_or_else(|| panic!("no variant {variant}"));
            println!("{}", measure::run(&Arc::new(Plan::parse(arguments)), drive, measure::own_cpu));
        }
    }
    // Calls that are still open do not matter.
    std::process::exit(0);
}
