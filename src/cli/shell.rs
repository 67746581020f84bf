//! `completions` and `man`: for the shell, from the same definitions as the parser.

use clap::{Args as ClapArgs, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::exit::{Code, Failure};
use super::out::Out;

/// Print completions for a shell
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  jmo-telemetry completions bash > ~/.local/share/bash-completion/completions/jmo-telemetry"
)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self, out: &mut Out) -> Result<Code, Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "jmo-telemetry", &mut text);
        out.text(&String::from_utf8_lossy(&text))?;
        Ok(Code::Done)
    }
}

/// Print the manual page
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  jmo-telemetry man | man -l -")]
pub(super) struct ManArgs {}

impl ManArgs {
    pub(super) fn run(self, out: &mut Out) -> Result<Code, Failure> {
        let mut text = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut text)?;
        out.text(&String::from_utf8_lossy(&text))?;
        Ok(Code::Done)
    }
}
