//! Neither collected data nor file names can control the terminal.

use std::process::Command;

use super::dir_of;
use crate::support::world::World;

/// Control characters of every kind, a sequence that sets the window's title, and marks that
/// reverse text.
const ORDERS: &str =
    "\u{7f}\u{80}\u{85}\u{9b}31m\u{9d}0;title\u{9c}\u{61c}\u{200e}\u{202e}\u{2066}\u{2028}\u{feff}";

fn line() -> String {
    format!(
        "{{\"event\":\"x{ORDERS}\\u001b[2J\",\"version\":\"{ORDERS}\",\"timestamp\":\"2026-11-01T00:00:00Z\",\
         \"metadata\":{{\"mode\":\"{ORDERS}\",\"tools\":[\"{ORDERS}\"]}}}}\n"
    )
}

/// The unsafe characters in a text, apart from line ends and our own colours.
fn orders(text: &str) -> Vec<char> {
    let ours = [
        "\u{1b}[1m",
        "\u{1b}[36m",
        "\u{1b}[2m",
        "\u{1b}[33m",
        "\u{1b}[0m",
    ];
    let text = ours
        .iter()
        .fold(text.to_owned(), |text, colour| text.replace(colour, ""));
    text.chars()
        .filter(|c| {
            (c.is_control() && !matches!(c, '\n' | '\r'))
                || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        })
        .collect()
}

/// The output on a terminal, which `script` provides.
fn on_a_terminal(world: &World, args: &str) -> String {
    let inner = world.command(["-"; 0]);
    let mut command = Command::new("script");
    let program = env!("CARGO_BIN_EXE_jmo-telemetry");
    command
        .args(["-qec", &format!("{program} {args}"), "/dev/null"])
        .current_dir(world.cwd())
        .env_clear()
        .env("TERM", "xterm-256color");
    for (name, value) in inner.get_envs() {
        command.env(name, value.expect("a variable that is set"));
    }
    let output = command.output().expect("script runs (bsdutils)");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn no_form_of_output_controls_the_terminal() {
    let world = World::new();
    let dir = dir_of(&world, &line());
    for form in ["", "--raw", "--json"] {
        let shown = on_a_terminal(&world, &format!("view --from {dir} {form}"));
        assert_eq!(orders(&shown), Vec::<char>::new(), "{form}: {shown:?}");
        assert!(shown.contains('x'), "{form}: {shown:?}");
    }
    let raw = on_a_terminal(&world, &format!("view --from {dir} --raw"));
    let meant = |json: &str| serde_json::from_str::<serde_json::Value>(json).expect("JSON");
    assert_eq!(meant(raw.trim_end()), meant(line().trim_end()), "{raw:?}");
}

#[test]
fn a_pipe_gets_raw_lines_byte_for_byte_and_json_that_means_the_same() {
    let world = World::new();
    let dir = dir_of(&world, &line());
    let raw = world.run(["view", "--raw", "--from", &dir]).ok();
    assert_eq!(raw.stdout, line());
    let json = world.run(["view", "--json", "--from", &dir]).ok();
    assert_eq!(orders(&json.stdout), Vec::<char>::new());
    assert_eq!(json.json()["by_mode"][ORDERS], 1, "{json}");
    for form in [&[][..], &["--export", "-"]] {
        let ran = world.run(["view", "--from", &dir].iter().chain(form)).ok();
        assert!(ran.stdout.contains('x'));
    }
    let dashboard = world.run(["view", "--from", &dir]).ok();
    assert_eq!(orders(&dashboard.stdout), Vec::<char>::new());
}

#[test]
fn file_names_in_messages_do_not_control_the_terminal() {
    let world = World::new();
    let dir = dir_of(&world, "{\"event\":\"x\"}\n");
    let name = format!("a\u{1b}]0;title\u{7}{ORDERS}.jsonl");
    std::os::unix::fs::symlink("nowhere", world.out().join(&name)).expect("a link");
    let ran = world.run(["view", "--json", "--from", &dir]).ok();
    assert!(ran.stderr.contains("failed to read"), "{ran}");
    assert_eq!(orders(&ran.stderr), Vec::<char>::new(), "{:?}", ran.stderr);
    for args in [
        &["--from", &name][..],
        &["--from", &dir, "--html", &format!("no/{name}")],
    ] {
        let ran = world.run(["view"].iter().chain(args));
        assert_ne!(ran.code, Some(0));
        assert_eq!(orders(&ran.stderr), Vec::<char>::new(), "{:?}", ran.stderr);
    }
}
