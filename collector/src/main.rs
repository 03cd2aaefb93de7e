//! The `chaperone` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaperone::cli::main()
}
