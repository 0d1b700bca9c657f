//! From the arguments of the process to a command with its options.
//!
//! ```text
//!  arguments ─▶ invocation ─▶ subcommand::Command
//!                 │    ▲
//!                 │    └─ config_file (--config), suggest (options of other tools)
//!                 └────── description: what clap knows of all options
//! ```

mod aliases;
mod config_file;
pub(crate) mod description;
pub(crate) mod invocation;
pub(crate) mod subcommand;
mod suggest;
