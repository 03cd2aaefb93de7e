//! `completions`: what makes a shell complete this program's commands and options.

use super::{Cli, Failure};
use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use std::io::{self, Write as _};

#[derive(Args)]
pub(super) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Known,
}

/// The shells that are known.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let shell = match arguments.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "chaperone", &mut script);
    io::stdout().write_all(&script)?;
    Ok(())
}
