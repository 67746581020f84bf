//! `man`, generated from the definitions of the command line.

use std::io;

use clap::{Arg, Args as ClapArgs, Command, CommandFactory};
use clap_mangen::Man;

use super::exit::{Code, Failure};
use super::out::Out;
use super::{Cli, reference};

/// Print the manual page of the program or of one of its commands
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  jmo-telemetry man | man -l -\n  jmo-telemetry man spool list | man -l -"
)]
pub(super) struct ManArgs {
    /// The command, with its subcommand
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

impl ManArgs {
    pub(super) fn run(self, out: &mut Out) -> Result<Code, Failure> {
        let mut program = program();
        program.build();
        let mut command = &program;
        for name in &self.command {
            command = command.find_subcommand(name).ok_or_else(|| {
                Failure::new(Code::Usage, "there is no such command")
                    .hint("`jmo-telemetry --help` lists them")
            })?;
        }
        out.text(&page(command).map_err(Failure::stdout)?)?;
        Ok(Code::Done)
    }
}

/// The definition of the program without what is hidden.
pub(super) fn program() -> Command {
    let mut program = Cli::command();
    // The flags of some subcommands are defined only now.
    program.build();
    visible(&program)
}

/// The command without hidden flags and subcommands, which only other programs use, and without
/// those that clap adds to each command, as it will add them again.
fn visible(command: &Command) -> Command {
    let mut shown = Command::new(lasting(command.get_name()))
        .args(
            command
                .get_arguments()
                .filter(|arg| {
                    !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
                })
                .map(Arg::clone),
        )
        .subcommands(
            command
                .get_subcommands()
                .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
                .map(visible),
        )
        .subcommand_required(command.is_subcommand_required_set())
        .disable_help_subcommand(true);
    if let Some(version) = command.get_version() {
        shown = shown.version(lasting(version));
    }
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(about) = command.get_long_about() {
        shown = shown.long_about(about.clone());
    }
    if let Some(help) = command.get_after_help() {
        shown = shown.after_help(help.clone());
    }
    shown
}

/// A name that lives as long as the program, as clap requires. Leaking it is fine, because the
/// program ends when the text is printed.
fn lasting(name: &str) -> &'static str {
    name.to_owned().leak()
}

/// The manual page of a command.
fn page(command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut text = String::from_utf8_lossy(&text).into_owned();
    let help = command.get_after_help().map(ToString::to_string);
    if let Some((_, examples)) = help.as_deref().and_then(|help| help.split_once("Example")) {
        let examples: Vec<_> = examples
            .lines()
            .skip(1)
            .map(|line| escape(line.strip_prefix("  ").unwrap_or(line)))
            .collect();
        text.push_str(&format!(
            ".SH EXAMPLES\n.nf\n{}\n.fi\n",
            examples.join("\n")
        ));
    }
    text.push_str(&section("ENVIRONMENT", &reference::environment()));
    text.push_str(".SH FILES\nIn the home, which is ~/.jmo\\-security or JMO_TELEMETRY_HOME:\n");
    text.push_str(&rows(&reference::FILES));
    text.push_str(&section("EXIT STATUS", &reference::EXIT_STATUS));
    Ok(text)
}

fn section(title: &str, table: &[(&str, impl AsRef<str>)]) -> String {
    format!(".SH \"{title}\"\n{}", rows(table))
}

fn rows(table: &[(&str, impl AsRef<str>)]) -> String {
    table
        .iter()
        .map(|(name, meaning)| {
            let (name, meaning) = (escape(name), escape(meaning.as_ref()));
            format!(".TP\n\\fB{name}\\fR\n{meaning}\n")
        })
        .collect()
}

/// Escapes text so that roff prints it as it is.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}
