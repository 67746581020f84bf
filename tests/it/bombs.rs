//! Endless answers: whatever a server sends, `flush` and `view` need little memory.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use crate::support::world::World;

const GIST: &str = "0123456789abcdef0123456789abcdef";

/// The memory limit of the program, in KiB.
const MEMORY_KIB: u64 = 300 * 1024;

/// The size of a bomb on the wire, in bytes. In memory it would take ten times as much.
const WEIGHT: usize = 32 * 1024 * 1024;

/// An answer: its beginning, and a part that is repeated with increasing numbers until the size is
/// reached.
struct Bomb {
    start: &'static str,
    part: fn(u64) -> String,
}

const BOMBS: [Bomb; 4] = [
    Bomb {
        start: r#""files":{"#,
        part: |n| format!(r#""{n}.jsonl":{{}},"#),
    },
    Bomb {
        start: r#""files":{"#,
        part: |n| {
            format!(r#""events-20260101-{n:016x}.jsonl":{{"content":"{{}}\n{{}}\n{{}}\n"}},"#)
        },
    },
    Bomb {
        start: r#""history":["#,
        part: |_| r#"{"version":"0"},"#.to_owned(),
    },
    Bomb {
        start: r#""owner":["#,
        part: |_| "{},[],".to_owned(),
    },
];

/// A server that answers every request with the bomb, as fast as the client reads.
fn serve(bomb: &'static Bomb) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut request = BufReader::new(&stream);
            let mut line = String::new();
            while request.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            // The client hangs up when it has read enough.
            let _ = throw(&stream, bomb);
        }
    });
    format!("http://{address}")
}

fn throw(mut to: impl Write, bomb: &Bomb) -> std::io::Result<()> {
    write!(
        to,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{{\"id\":\"{GIST}\",{}",
        bomb.start
    )?;
    let mut sent = 0;
    let mut n = 0;
    while sent < WEIGHT {
        let mut chunk = String::with_capacity(128 * 1024);
        while chunk.len() < 64 * 1024 {
            chunk.push_str(&(bomb.part)(n));
            n += 1;
        }
        to.write_all(chunk.as_bytes())?;
        sent += chunk.len();
    }
    Ok(())
}

/// Runs the program with limited memory.
fn in_little_memory(world: &World, args: &[&str]) -> Output {
    let program = world.command(args);
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            &format!("ulimit -v {MEMORY_KIB} && exec \"$@\""),
            "sh",
        ])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(world.cwd())
        .env_clear();
    for (name, value) in program.get_envs() {
        shell.env(name, value.expect("a variable that is set"));
    }
    shell.output().expect("runs")
}

#[test]
fn whatever_a_server_answers_flush_and_view_stay_under_300_mib() {
    for bomb in &BOMBS {
        let world = World::new()
            .with("JMO_TELEMETRY_GIST_ID", GIST)
            .with("JMO_TELEMETRY_GITHUB_TOKEN", "ghp_token")
            .with("JMO_TELEMETRY_GITHUB_API", &serve(bomb));
        world.record();
        for args in [
            &["flush", "--json", "--deadline", "60s"][..],
            &["view", "--json"],
        ] {
            let output = in_little_memory(&world, args);
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.code().is_some_and(|code| code != 101),
                "{}: {args:?}: {told}",
                bomb.start
            );
        }
        world.check();
        assert_eq!(world.count("sent"), 0);
    }
}
