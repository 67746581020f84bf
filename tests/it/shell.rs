//! Completions, tested in the real shells, and the man pages.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::world::World;

/// Whether a shell is installed here; `.ci/run` installs bash, zsh, fish and elvish.
fn has(shell: &str) -> bool {
    let found = Command::new(shell)
        .arg(if shell == "elvish" {
            "-version"
        } else {
            "--version"
        })
        .stdout(Stdio::null())
        .status()
        .is_ok();
    if !found {
        eprintln!("{shell} is not installed: its completions were not tried");
    }
    found
}

fn completions(world: &World, shell: &str) -> String {
    world.run(["completions", shell]).ok().stdout
}

/// What must be offered after a line, at each level.
const CASES: [(&str, &[&str]); 9] = [
    (
        "jmo-telemetry ",
        &["record", "flush", "spool", "view", "man"],
    ),
    ("jmo-telemetry fl", &["flush"]),
    ("jmo-telemetry spool ", &["list", "show", "stats", "retry"]),
    (
        "jmo-telemetry spool list --",
        &["--state", "--json", "--limit"],
    ),
    (
        "jmo-telemetry flush --",
        &["--to", "--deadline", "--strict"],
    ),
    ("jmo-telemetry banner --mode ", &["cli", "wizard", "docker"]),
    ("jmo-telemetry connect ", &["gist", "dir", "collector"]),
    ("jmo-telemetry connect --", &["--show"]),
    (
        "jmo-telemetry record scan.started --mode ",
        &["cli", "docker", "wizard"],
    ),
];

/// What is only for other programs and must never be offered.
const INTERNAL: [&str; 3] = ["--detached", "--scheduled", "count-scan"];

#[track_caller]
fn check(shell: &str, offered: impl Fn(&str) -> String) {
    for (line, words) in CASES {
        let text = offered(line);
        let offered: Vec<_> = text.split_whitespace().collect();
        for word in words {
            assert!(
                offered.contains(word),
                "{shell}: {word} after `{line}` in {text}"
            );
        }
        for internal in INTERNAL {
            assert!(
                !offered.contains(&internal),
                "{shell}: {internal} after `{line}`"
            );
        }
    }
}

#[test]
fn bash_completes_at_every_level() {
    if !has("bash") {
        return;
    }
    let world = World::new();
    let script = world.cwd().join("completion.bash");
    std::fs::write(&script, completions(&world, "bash")).expect("writes");
    check("bash", |line| {
        let words: Vec<_> = line.split(' ').collect();
        let program = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; \
             _jmo__telemetry jmo-telemetry '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words
                .iter()
                .map(|word| format!("'{word}' "))
                .collect::<String>(),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        text_of(Command::new("bash").args(["--norc", "-c", &program]))
    });
}

#[test]
fn fish_completes_at_every_level() {
    if !has("fish") {
        return;
    }
    let world = World::new();
    let script = world.cwd().join("completion.fish");
    std::fs::write(&script, completions(&world, "fish")).expect("writes");
    check("fish", |line| {
        let program = format!("source {}; complete -C '{line}'", script.display());
        text_of(
            Command::new("fish")
                .args(["--no-config", "-c", &program])
                .env("HOME", world.cwd()),
        )
    });
}

#[test]
fn zsh_completes_at_every_level() {
    if !has("zsh") {
        return;
    }
    let world = World::new();
    let dir = world.cwd().join("functions");
    std::fs::create_dir(&dir).expect("makes it");
    std::fs::write(dir.join("_jmo-telemetry"), completions(&world, "zsh")).expect("writes");
    check("zsh", |line| zsh_offers(&world, &dir, line));
}

/// What zsh runs before the line is typed: it prints the completions and exits.
const ZSH: &str = r#"
PROMPT=
stty columns 10000
fpath=(FUNCTIONS $fpath)
autoload -U compinit
compinit -u -D
bindkey '^I' complete-word
comppostfuncs=(exit)
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
        builtin compadd "$@"
        return
    fi
    typeset -a found
    builtin compadd -A found "$@"
    print -l -- "" $found
}
print READY
"#;

/// Types a line and a tab into a new zsh. Returns what it offers.
fn zsh_offers(world: &World, functions: &Path, line: &str) -> String {
    let start = world.cwd().join("start.zsh");
    let text = ZSH.replace("FUNCTIONS", &functions.display().to_string());
    std::fs::write(&start, text).expect("writes");
    let program = format!(
        "zmodload zsh/zpty; zpty z zsh -f -i; zpty -w z 'source {}'; \
         zpty -r z out '*READY*'; zpty -w -n z '{line}'$'\\t'; \
         while zpty -r z out; do print -r -- $out; done",
        start.display()
    );
    let text = text_of(
        Command::new("timeout")
            .args(["20", "zsh", "-f", "-c", &program])
            .env("HOME", world.cwd())
            .env("TERM", "dumb"),
    );
    text.replace('\r', "\n")
}

#[test]
fn elvish_completes_commands_flags_and_closed_words_and_offers_nothing_after_an_argument() {
    if !has("elvish") {
        return;
    }
    let world = World::new();
    std::fs::write(
        world.cwd().join("completion"),
        completions(&world, "elvish"),
    )
    .expect("writes");
    for (line, words) in CASES {
        let offered = elvish_offers(&world, line);
        for word in words {
            let found = offered.lines().any(|line| line.starts_with(word));
            assert!(found, "{word} after `{line}` in {offered}");
        }
    }
    assert_eq!(elvish_offers(&world, "jmo-telemetry spool show 5 "), "");
}

/// Asks the completions for what may follow a line. Only an elvish on a terminal has an editor.
fn elvish_offers(world: &World, line: &str) -> String {
    let words: String = line.split(' ').map(|word| format!(" '{word}'")).collect();
    let program = format!(
        "eval (slurp < completion)\n\
         try {{\n\
           $edit:completion:arg-completer[jmo-telemetry]{words} | each {{|word|\n\
             if (eq (kind-of $word) string) {{ echo $word }} else {{ echo $word[stem] }} }} > offered\n\
         }} catch error {{\n\
           print $error[reason] > offered\n\
         }}\n\
         exit\n"
    );
    std::fs::write(world.cwd().join("start.elv"), program).expect("writes");
    text_of(
        Command::new("timeout")
            .args(["20", "script", "-qec", "elvish -rc start.elv", "/dev/null"])
            .current_dir(world.cwd())
            .env("HOME", world.cwd())
            .env("XDG_RUNTIME_DIR", world.cwd()),
    );
    std::fs::read_to_string(world.cwd().join("offered")).expect("elvish runs it")
}

fn text_of(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_other_shells_get_every_command_and_nothing_internal() {
    let world = World::new();
    for shell in ["powershell", "elvish"] {
        let text = completions(&world, shell);
        for word in [
            "record",
            "scan.started",
            "spool;list",
            "--deadline",
            "schedule",
        ] {
            assert!(text.contains(word), "{shell}: {word}");
        }
        let words = match shell {
            "elvish" => "&'jmo-telemetry;banner --mode'= ['cli' 'wizard' 'docker']",
            _ => "'jmo-telemetry;banner --mode' { 'cli', 'wizard', 'docker' }",
        };
        assert!(text.contains(words), "{shell}: {words}");
        for internal in INTERNAL {
            assert!(!text.contains(internal), "{shell}: {internal}");
        }
    }
}

#[test]
fn every_command_has_a_page_with_its_environment_files_and_exit_status() {
    let world = World::new();
    for args in [
        "man",
        "man record",
        "man spool list",
        "man record scan.started",
        "man forget",
    ] {
        let page = world.run(args.split(' ')).ok().stdout;
        for section in [
            ".SH SYNOPSIS",
            ".SH \"ENVIRONMENT\"",
            ".SH FILES",
            ".SH \"EXIT STATUS\"",
        ] {
            assert!(page.contains(section), "{section} of {args}: {page}");
        }
        for fact in ["JMO_TELEMETRY_HOME", "destination.json", "\\fB78\\fR"] {
            assert!(page.contains(fact), "{fact} of {args}");
        }
        assert!(!page.contains("detached"), "{args}");
        if Command::new("man")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok()
        {
            let file = world.cwd().join("page.1");
            std::fs::write(&file, &page).expect("writes");
            let output = Command::new("man")
                .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
                .arg(&file)
                .output()
                .expect("runs");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args}");
        }
    }
    world.run(["man", "nothing"]).exits(2);
}

#[test]
fn help_lists_variables_and_files() {
    let world = World::new();
    let help = world.run(["--help"]).ok().stdout;
    for fact in [
        "JMO_TELEMETRY_ENDPOINT",
        "overflow.jsonl",
        "DO_NOT_TRACK",
        "78 ",
    ] {
        assert!(help.contains(fact), "{fact} in {help}");
    }
}

#[test]
fn the_help_of_every_command_is_the_reviewed_one_and_fits_a_terminal() {
    let world = World::new();
    for command in COMMANDS {
        let words = command.split_whitespace().chain(["--help"]);
        let help = world.run(words).ok().stdout;
        let too_wide: Vec<_> = help
            .lines()
            .filter(|line| line.chars().count() > 80)
            .collect();
        assert!(too_wide.is_empty(), "{command}: {too_wide:?}");
        let examples = help.contains("Example:") || help.contains("Examples:");
        assert!(examples, "{command} has an example: {help}");
        let name = match command {
            "" => "help".to_owned(),
            command => command.replace(' ', "_"),
        };
        insta::assert_snapshot!(name, help);
    }
}

/// Every command that people use. (`command_line` has those of `record`.)
const COMMANDS: [&str; 26] = [
    "",
    "flush",
    "connect",
    "disconnect",
    "spool",
    "spool list",
    "spool show",
    "spool stats",
    "spool check",
    "spool prune",
    "spool purge",
    "spool retry",
    "schedule",
    "schedule install",
    "schedule show",
    "schedule remove",
    "status",
    "view",
    "enable",
    "disable",
    "info",
    "banner",
    "id",
    "forget",
    "completions",
    "man",
];
