//! The `hitless` command.

/// A load generator allocates a buffer for each reply: this allocator costs less of the CPU time that is being measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    hitless::cli::main()
}
