//! What is different on a terminal: questions, a hidden prompt, tables and colour.

use crate::support::gist_server::GistServer;
use crate::support::terminal::{CTRL_D, Terminal};
use crate::support::world::World;

/// What the program shows on a terminal, without any input.
fn shown(world: &World, setup: &str, args: &[&str]) -> String {
    let (code, shown) = Terminal::start(world, setup, args).end();
    assert_eq!(code, Some(0), "{shown}");
    shown
}

#[test]
fn purge_deletes_only_what_somebody_confirms() {
    let world = World::new();
    world.record_many(2);
    for (answer, left) in [
        ("n\n", 2),
        ("\n", 2),
        (CTRL_D, 2),
        ("perhaps\n", 2),
        ("y\n", 0),
    ] {
        let mut terminal = Terminal::start(&world, ":", &["spool", "purge", "--all"]);
        terminal.wait_for("[y/N]");
        terminal.type_in(answer);
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(0), "{answer:?}: {shown}");
        assert_eq!(world.rows().len(), left, "{answer:?}: {shown}");
        let nothing = shown.contains("nothing was deleted");
        assert_eq!(nothing, left > 0, "{answer:?}: {shown}");
    }
}

#[test]
fn forget_deletes_nothing_when_the_question_is_not_answered() {
    let world = World::new();
    world.record_many(2);
    let mut terminal = Terminal::start(&world, ":", &["forget"]);
    terminal.wait_for("[y/N]");
    terminal.type_in(CTRL_D);
    let (_, shown) = terminal.end();
    assert_eq!(world.rows().len(), 2, "{shown}");
}

#[test]
fn a_token_that_is_typed_is_used_and_not_shown() {
    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    world.unset("JMO_TELEMETRY_GITHUB_TOKEN");
    world.unset("JMO_TELEMETRY_GIST_ID");
    let mut terminal = Terminal::start(&world, "tty", &["connect", "gist", server.gist_id()]);
    terminal.wait_until_hidden();
    terminal.type_in(server.token());
    terminal.type_in("\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains(server.token()), "{shown}");
    world.record();
    assert_eq!(world.flush([])["sent"], 1);
}

#[test]
fn connect_without_a_typed_token_says_how_to_give_one() {
    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    world.unset("JMO_TELEMETRY_GITHUB_TOKEN");
    for answer in [CTRL_D, "\n"] {
        let mut terminal = Terminal::start(&world, "tty", &["connect", "gist", server.gist_id()]);
        terminal.wait_until_hidden();
        terminal.type_in(answer);
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(78), "{answer:?}: {shown}");
        assert!(shown.contains("JMO_TELEMETRY_GITHUB_TOKEN_FILE"), "{shown}");
    }
}

#[test]
fn a_list_is_a_table_on_a_terminal_of_any_width() {
    let world = World::new();
    world.record_many(2);
    for setup in [
        "stty cols 80",
        "stty cols 0 rows 0",
        "stty cols 20",
        "stty cols 1",
    ] {
        let list = shown(&world, setup, &["spool", "list"]);
        assert!(list.contains("event"), "{setup}: {list}");
        assert!(!list.contains('\t'), "{setup}: {list}");
    }
    let list = shown(&world, "stty cols 80", &["spool", "list"]);
    assert!(
        list.lines()
            .all(|line| line.trim_end().chars().count() <= 80),
        "{list}"
    );
    let piped = world.run(["spool", "list"]).ok().stdout;
    assert!(piped.starts_with("seq\tage\tevent"), "{piped}");
}

#[test]
fn what_check_finds_breaks_between_words() {
    let world = World::new();
    world.record();
    std::fs::write(world.file("spool.db"), [0xa5; 9_000]).expect("damages it");
    let (code, shown) = Terminal::start(&world, "stty cols 80", &["spool", "check"]).end();
    assert_eq!(code, Some(74), "{shown}");
    assert!(shown.contains("damaged"), "{shown}");
    assert!(
        shown.lines().all(|line| line.trim_end().len() <= 80),
        "{shown}"
    );
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let world = World::new();
    world.record_many(3);
    const VIEW: [&str; 3] = ["view", "--from", "spool"];
    assert!(shown(&world, "stty cols 80", &VIEW).contains("\u{1b}["));
    assert!(!shown(&world, "stty cols 80; export NO_COLOR=1", &VIEW).contains("\u{1b}["));
    assert!(!world.run(VIEW).ok().stdout.contains('\u{1b}'));
}
