//! The `hitless` command.
fn main() {}
