//! The same program with mimalloc, which many services link.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    hitless_peers::main();
}
