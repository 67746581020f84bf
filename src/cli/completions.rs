//! `completions`, generated from the definitions of the command line. The scripts of clap_complete
//! lack closed words: for fish those of arguments without a flag, for PowerShell and elvish all.

use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;

use super::exit::{Code, Failure};
use super::man::program;
use super::out::Out;

const PROGRAM: &str = "jmo-telemetry";

/// Print the completions for a shell
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  jmo-telemetry completions bash > \\
      ~/.local/share/bash-completion/completions/jmo-telemetry
  jmo-telemetry completions zsh > ~/.zfunc/_jmo-telemetry    # in fpath
  jmo-telemetry completions fish > ~/.config/fish/completions/jmo-telemetry.fish
  jmo-telemetry completions powershell >> $PROFILE
  jmo-telemetry completions elvish >> ~/.config/elvish/rc.elv")]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self, out: &mut Out) -> Result<Code, Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program(), PROGRAM, &mut text);
        let text = String::from_utf8_lossy(&text);
        // In one part of its bash script, clap_complete 4.6 treats the hyphen in our name as a
        // separator between commands. The other part does not, so no subcommand would be found.
        let text = text.replace("jmo__subcmd__telemetry", "jmo__telemetry");
        out.text(&match self.shell {
            Shell::Elvish => text.replacen(ELVISH_END, &elvish_end(), 1),
            Shell::PowerShell => text.replacen(POWERSHELL_START, &powershell_start(), 1),
            Shell::Fish => text + &fish_arguments(),
            _ => text,
        })?;
        Ok(Code::Done)
    }
}

/// The place in clap_complete's script for elvish where its completions are looked up.
const ELVISH_END: &str = "    $completions[$command]\n";

/// Offers the closed words, too, which the script lacks; after a flag nothing else. Also, the
/// script takes an argument for a subcommand, and would fail because it knows none of that name.
fn elvish_end() -> String {
    let words = rows_of_words("        &'{place}'= ['{words}']\n", "' '");
    ELVISH_WORDS.replace("{words}", &words)
}

const ELVISH_WORDS: &str = "    var words-after = [
{words}    ]
    var place = $command' '$words[-2]
    if (has-key $words-after $place) {
        all $words-after[$place]
        if (str:has-prefix $words[-2] '-') {
            set command = ''
        }
    }
    if (has-key $completions $command) {
        $completions[$command]
    }
";

/// The place in clap_complete's script for PowerShell where its completions begin.
const POWERSHELL_START: &str = "    $completions = @(switch ($command) {\n";

/// Offers the closed words, too, which the script lacks; after a flag nothing else.
fn powershell_start() -> String {
    let words = rows_of_words("        '{place}' { '{words}' }\n", "', '");
    POWERSHELL_WORDS.replace("{words}", &words)
}

const POWERSHELL_WORDS: &str =
    "    $previous = $commandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        Select-Object -Last 1
    $words = @(switch (\"$command $previous\") {
{words}    })
    if ($words -and \"$previous\".StartsWith('-')) {
        $command = ''
    }
    $completions = @($words | ForEach-Object { [CompletionResult]::new($_) }) + @(switch ($command) {
";

/// The closed words of arguments without a flag, which clap_complete's script for fish lacks.
fn fish_arguments() -> String {
    let places = closed_words(&program(), PROGRAM).into_iter();
    let arguments = places.filter(|place| !place.before.starts_with('-'));
    let line = |place: Place| {
        let (before, words) = (place.before, place.words.join(" "));
        format!(
            "complete -c {PROGRAM} -n \"__fish_jmo_telemetry_using_subcommand {before}; \
             and test (commandline -opc)[-1] = {before}\" -f -a \"{words}\"\n"
        )
    };
    arguments.map(line).collect()
}

/// A place where closed words may stand.
struct Place {
    /// The command, such as `jmo-telemetry;spool;list`.
    command: String,
    /// The word before it, such as `--state`.
    before: String,
    words: Vec<String>,
}

/// A row for each place.
fn rows_of_words(row: &str, separator: &str) -> String {
    let row = |place: Place| {
        row.replace("{place}", &format!("{} {}", place.command, place.before))
            .replace("{words}", &place.words.join(separator))
    };
    closed_words(&program(), PROGRAM)
        .into_iter()
        .map(row)
        .collect()
}

/// The places of a command and its subcommands. `path` is the command's own.
fn closed_words(command: &Command, path: &str) -> Vec<Place> {
    let mut found = Vec::new();
    for arg in command.get_arguments() {
        let values = arg.get_possible_values();
        let words: Vec<_> = values
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect();
        let before = match (arg.get_long(), arg.get_index()) {
            (Some(long), _) => format!("--{long}"),
            (None, Some(1)) => command.get_name().to_owned(),
            _ => continue,
        };
        if !words.is_empty() {
            found.push(Place {
                command: path.to_owned(),
                before,
                words,
            });
        }
    }
    for subcommand in command.get_subcommands() {
        let path = format!("{path};{}", subcommand.get_name());
        found.extend(closed_words(subcommand, &path));
    }
    found
}
