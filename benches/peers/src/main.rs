//! The program with the allocator of the system.

fn main() {
    hitless_peers::main();
}
