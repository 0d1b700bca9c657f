//! Measures one client once, in a process of its own, and prints one line of JSON.
//!
//! ```text
//! hitless-peers load    port=6379 keys=1000 value=64
//! hitless-peers hitless port=6379 keys=1000 value=64 command=get tasks=256 connections=4 seconds=1
//! ```
//!
//! `scripts/bench-peers` starts these processes in turn, and compares their results.

mod callers;
mod epoll;
mod measure;
mod pacer;
mod peers;
mod plan;
mod work;

use std::sync::Arc;

use plan::Plan;

fn main() {
    // A failed caller would leave a lighter load to the others, and invalidate the measurement.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::exit(1);
    }));
    let mut arguments = std::env::args().skip(1);
    let variant = arguments.next().expect("a variant, and key=value for the rest");
    let plan = Arc::new(Plan::parse(arguments));
    if variant == "load" {
        return peers::floor::load(&plan);
    }
    let drive = peers::find(&variant).unwrap_or_else(|| panic!("no variant {variant}"));
    println!("{}", measure::run(&plan, drive));
    // Calls that are still open do not matter.
    std::process::exit(0);
}
