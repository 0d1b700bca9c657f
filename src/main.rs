//! The `hitless` command.

fn main() -> std::process::ExitCode {
    hitless::cli::main()
}
