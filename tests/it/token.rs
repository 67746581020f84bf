//! P8: the token is in the header of requests and, if `connect` stored it, in `destination.json`.
//! It is nowhere else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::gist_server::{Fault, GistServer};
use crate::support::other_server::OtherServer;
use crate::support::traces::{files_below, found_in, traces_of};
use crate::support::world::{Ran, World};

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changes");
}

#[track_caller]
fn says_nothing_of(token: &str, ran: &Ran) {
    // Parts of the token must not appear, either.
    let needles = [token, &token[..20], &token[token.len() - 20..]];
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(
        found_in(&needles, said.as_bytes(), "output"),
        Vec::<String>::new(),
        "{ran}"
    );
}

/// Answers that might make a client print too much.
fn faults(token: &str) -> Vec<Fault> {
    let echo = || {
        Fault::refusal(403, &format!("Bad credentials: {token}"))
            .with_header("x-echo", token)
            .with_header("www-authenticate", token)
    };
    vec![
        echo(),
        Fault::unauthorized(),
        Fault::CaptivePortal,
        Fault::BrokenJsonAfterCommit,
        Fault::ResetBeforeCommit,
        Fault::CutAfterCommit,
        Fault::redirect(302, format!("http://localhost:1/{token}")),
        Fault::server_error(502, false),
        Fault::conflict(false),
    ]
}

#[test]
fn the_token_is_in_no_output_and_no_file_whatever_the_server_does() {
    let server = GistServer::start();
    server.set_spacing_check(false);
    let token = server.token().to_owned();
    for fault in faults(&token) {
        let world = World::with_gist(&server)
            .with("RUST_LOG", "trace")
            .with("RUST_BACKTRACE", "full");
        world.record_many(2);
        server.plan(fault.clone());
        for args in [
            "flush -v --now",
            "flush --json --now",
            "status",
            "status --json",
            "connect --show",
            "spool list --json",
            "banner --mode docker",
            "forget --yes",
        ] {
            says_nothing_of(&token, &world.run(args.split_whitespace()));
        }
        assert_eq!(
            traces_of(&[&token], &world.home()),
            Vec::<String>::new(),
            "{fault:?}"
        );
    }
    let headers = server.requests()[0].headers.clone();
    assert_eq!(headers["authorization"], format!("Bearer {token}"));
}

#[test]
fn a_token_in_the_wrong_place_is_not_repeated() {
    let server = GistServer::start();
    let token = server.token();
    let host = server.api().trim_start_matches("http://").to_owned();
    let wrong = [
        ("JMO_TELEMETRY_GIST_ID", token.to_owned()),
        ("JMO_TELEMETRY_GITHUB_API", token.to_owned()),
        ("JMO_TELEMETRY_GITHUB_API", format!("http://{token}")),
        ("JMO_TELEMETRY_GITHUB_API", format!("http://{token}@{host}")),
        (
            "JMO_TELEMETRY_GITHUB_API",
            format!("https://me:{token}@{host}"),
        ),
        ("JMO_TELEMETRY_GITHUB_TOKEN", format!("{token}\n{token}")),
        ("JMO_TELEMETRY_SPOOL_MAX", token.to_owned()),
    ];
    for (name, value) in wrong {
        let world = World::with_gist(&server).with(name, &value);
        world.run(["record", "tool.failed"]);
        for args in [
            "flush -v --now",
            "flush --json",
            "status",
            "status --json",
            "view --json",
            "view --from gist",
        ] {
            says_nothing_of(token, &world.run(args.split_whitespace()));
        }
        let connect = ["connect", "gist", server.gist_id()];
        says_nothing_of(token, &world.run_with(connect, token));
        assert!(
            !world.file("destination.json").exists() || !value.contains('@'),
            "{name}"
        );
        let kept = traces_of(&[token], &world.file("view-cache"));
        assert_eq!(kept, Vec::<String>::new(), "{name}");
    }
    assert!(
        server
            .requests()
            .iter()
            .all(|request| !request.path.contains(token)),
        "not in a URL either"
    );
    let world = World::new();
    for args in [
        ["connect", token, ""],
        ["connect", "gist", token],
        ["flush", "--to", token],
        [token, "", ""],
        ["disconnect", token, ""],
    ] {
        let args = args.iter().filter(|arg| !arg.is_empty());
        says_nothing_of(token, &world.run(args).exits(2));
    }
}

#[test]
fn an_invalid_token_is_not_called_missing() {
    let server = GistServer::start();
    let world = World::new().with("JMO_TELEMETRY_GITHUB_API", server.api());
    for (given, said) in [
        ("", "no token was given"),
        ("my pass word", "is not a token"),
    ] {
        let ran = world
            .run_with(["connect", "gist", server.gist_id()], given)
            .exits(78);
        assert!(
            ran.stderr.contains(said) && !ran.stderr.contains("pass word"),
            "{ran}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn connect_keeps_the_token_in_its_own_file_alone_and_disconnect_removes_it() {
    let server = GistServer::start();
    let world = World::new().with("JMO_TELEMETRY_GITHUB_API", server.api());
    let token = server.token();
    let connect = ["connect", "gist", server.gist_id()];
    says_nothing_of(token, &world.run_with(connect, &format!("{token}\n")).ok());
    let found = traces_of(&[token], &world.home());
    assert_eq!(found.len(), 1, "{found:?}");
    let kept = world.file("destination.json");
    assert!(found[0].starts_with(&*kept.to_string_lossy()));
    let mode = std::fs::metadata(&kept)
        .expect("metadata")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    world.record_many(2);
    assert_eq!(world.flush([])["sent"], 2);
    for args in [
        "connect --show",
        "connect --show --json",
        "status --json",
        "status",
    ] {
        says_nothing_of(token, &world.run(args.split_whitespace()).ok());
    }
    // The leftover of a write that was killed.
    std::fs::copy(
        &kept,
        world.file(".destination.json.0011223344556677.partial"),
    )
    .expect("copies");
    world.run(["disconnect"]).ok();
    assert_eq!(traces_of(&[token], &world.home()), Vec::<String>::new());
}

#[test]
fn a_remembered_token_that_others_can_read_is_refused_with_a_command_to_fix_it() {
    let server = GistServer::start();
    let world = World::new().with("JMO_TELEMETRY_GITHUB_API", server.api());
    world
        .run_with(["connect", "gist", server.gist_id()], server.token())
        .ok();
    let kept = world.file("destination.json");
    world.record_many(2);
    let before = server.connections();
    for mode in [0o644, 0o640, 0o604, 0o660] {
        chmod(&kept, mode);
        let ran = world.run(["flush", "-v"]).ok();
        let advice = format!("chmod 600 {}", kept.display());
        assert!(ran.stderr.contains(&advice), "{ran}");
        says_nothing_of(server.token(), &ran);
        world.run(["flush", "--strict"]).exits(78);
        let status = world.status();
        assert_eq!(status["can_leave"], false);
        assert!(status["obstacle"].as_str().expect("why").contains(&advice));
    }
    assert_eq!(server.connections(), before);
    chmod(&kept, 0o600);
    server.set_spacing_check(false);
    assert_eq!(world.flush([])["sent"], 2);
}

#[test]
fn a_token_file_that_others_can_read_is_refused_with_a_command_to_fix_it() {
    let server = GistServer::start();
    let mut world = World::with_gist(&server);
    let file = world.cwd().join("token");
    std::fs::write(&file, format!("{}\n", server.token())).expect("writes");
    world.unset("JMO_TELEMETRY_GITHUB_TOKEN");
    world.set("JMO_TELEMETRY_GITHUB_TOKEN_FILE", &file.to_string_lossy());
    world.record_many(2);
    chmod(&file, 0o644);
    let ran = world.run(["flush"]).ok();
    let advice = format!("chmod 600 {}", file.display());
    assert!(ran.stderr.contains(&advice), "{ran}");
    says_nothing_of(server.token(), &ran);
    let ran = world.run(["connect", "gist", server.gist_id()]).exits(78);
    assert!(ran.stderr.contains(&advice), "{ran}");
    assert_eq!(server.connections(), 0);
    chmod(&file, 0o600);
    assert_eq!(world.flush([])["sent"], 2);
    assert_eq!(
        traces_of(&[server.token()], &world.home()),
        Vec::<String>::new()
    );
    std::fs::remove_file(&file).expect("removes");
    let ran = world.run(["flush", "--strict"]).exits(78);
    assert!(
        ran.stderr.contains("failed to read the token file"),
        "{ran}"
    );
}

#[test]
fn no_process_has_the_token_among_its_arguments() {
    let server = GistServer::start();
    let world = World::with_gist(&server);
    server.plan(Fault::SlowAnswer(Duration::from_secs(2)));
    let record = "record tool.failed --tool trivy --failure-type crash --profile fast --flush";
    world.run(record.split_whitespace()).ok();
    let bound = Duration::from_secs(20);
    assert!(server.wait_for(|state| !state.requests.is_empty(), bound));
    let arguments: Vec<_> = files_of_processes("cmdline");
    assert!(
        arguments
            .iter()
            .any(|line| String::from_utf8_lossy(line).contains("flush\0--detached")),
        "the flush is at work"
    );
    for line in arguments {
        assert_eq!(
            found_in(&[server.token()], &line, "argv"),
            Vec::<String>::new()
        );
    }
    assert!(server.wait_for(
        |state| state.requests.iter().all(|r| r.status.is_some()),
        bound
    ));
    assert!(files_below(&world.home()).len() > 3);
}

fn files_of_processes(name: &str) -> Vec<Vec<u8>> {
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    processes
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
        .filter_map(|entry| std::fs::read(entry.path().join(name)).ok())
        .collect()
}

#[test]
fn the_environments_token_goes_to_no_api_that_a_file_of_the_home_names() {
    const GIST: &str = "0123456789abcdef0123";
    let planted = OtherServer::answering(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
    // A proxy in front of the real API, so that no request of this test reaches it.
    let proxy = OtherServer::answering(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let world = World::new()
        .with("JMO_TELEMETRY_GITHUB_TOKEN", "ghp_environment")
        .with("HTTPS_PROXY", &proxy.url("http"));
    world.record();
    let file = json!({"destination": format!("gist:{GIST}"), "api": planted.url("http")});
    std::fs::write(world.file("destination.json"), file.to_string()).expect("writes");
    let calls: [&[&str]; 4] = [
        &["flush", "--now"],
        &["view"],
        &["connect", "gist", GIST],
        &["forget", "--yes"],
    ];
    for args in calls {
        world.run(args);
    }
    assert_eq!(planted.heard(), "");
    let heard = proxy.heard();
    assert!(heard.contains("CONNECT api.github.com:443"), "{heard}");
    assert!(!heard.contains("ghp_environment"), "{heard}");
}
