//! One measurement of one client, in a process of its own, told as one line of JSON on standard output.
//!
//! ```text
//! hitless-peers load    port=6379 keys=1000 value=64
//! hitless-peers hitless port=6379 keys=1000 value=64 command=get tasks=256 connections=4 seconds=1
//! ```
//!
//! `scripts/bench-peers` starts these, in turn, and compares what they tell.

mod crew;
mod epoll;
mod measure;
mod pacer;
mod peers;
mod plan;
mod work;

use std::sync::Arc;

use plan::Plan;

fn main() {
    // A caller that fails would leave the others a lighter load: it is no measurement any more.
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
    // What is under way is of no interest any more.
    std::process::exit(0);
}
