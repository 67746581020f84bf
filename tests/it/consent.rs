//! P4: the decision, for every way to enable or disable telemetry. While it is disabled there is no
//! row, no file, no request and no output.

use std::io::Write;
use std::process::Stdio;

use crate::support::gist_server::GistServer;
use crate::support::traces::files_below;
use crate::support::world::{ONE, World, lines};

/// What the user has set.
#[derive(Clone, Copy, Default)]
struct Case {
    variables: &'static [(&'static str, &'static str)],
    jmo_yml: Option<&'static str>,
    choice: Option<bool>,
}

const DISABLE: &str = "JMO_TELEMETRY_DISABLE";
const TRACK: &str = "DO_NOT_TRACK";
const YES: &str = "telemetry:\n  enabled: true\n";
const NO: &str = "telemetry:\n  enabled: false\n";

const fn variables(variables: &'static [(&'static str, &'static str)]) -> Case {
    Case {
        variables,
        jmo_yml: None,
        choice: None,
    }
}

const fn files(jmo_yml: Option<&'static str>, choice: Option<bool>) -> Case {
    Case {
        variables: &[],
        jmo_yml,
        choice,
    }
}

const fn jmo_yml(text: &'static str) -> Case {
    files(Some(text), None)
}

impl Case {
    /// A world with these settings and a Gist that could be written.
    fn said_in(self, mut world: World) -> World {
        for (name, value) in self.variables {
            world.set(name, value);
        }
        if let Some(text) = self.jmo_yml {
            std::fs::write(world.cwd().join("jmo.yml"), text).expect("writes");
        }
        if let Some(enabled) = self.choice {
            std::fs::create_dir_all(world.home()).expect("makes");
            let text = format!(r#"{{"enabled":{enabled},"at":"2026-11-22T10:00:00Z"}}"#);
            std::fs::write(world.file("consent.json"), text).expect("writes");
        }
        world
    }

    fn is_a_yes(self, rule: &str) {
        let server = GistServer::start();
        let world = self.said_in(World::with_gist(&server));
        let status = world.status();
        assert_eq!(
            (&status["enabled"], &status["rule"], &status["can_leave"]),
            (&true.into(), &rule.into(), &true.into()),
            "{self:?}: {status}"
        );
        world.record();
        world.record_many(2);
        assert_eq!(world.flush(["--to", &world.out_target()])["sent"], 3);
        assert_eq!(world.lines_out().len(), 3, "{self:?}");
    }

    fn is_a_no(self, rule: &str) {
        let server = GistServer::start();
        self.leaves_nothing(&server, rule);
        self.sends_nothing_that_waits(&server);
        assert_eq!(server.connections(), 0, "{self:?}");
    }

    fn leaves_nothing(self, server: &GistServer, rule: &str) {
        let world = self.said_in(World::with_gist(server));
        let before = files_below(&world.home());
        let existed = world.home().exists();
        let status = world.status();
        assert_eq!(
            (&status["enabled"], &status["rule"], &status["can_leave"]),
            (&false.into(), &rule.into(), &false.into()),
            "{self:?}: {status}"
        );
        world.record();
        let record = "record scan.started --mode cli --profile fast --flush";
        for ran in [
            world.run(record.split_whitespace()),
            world.run(["record", "scan.exploded"]),
            world.run_with(["record", "--stdin"], &lines(3)),
            world.run_with(["record", "--stdin"], "no event at all\n"),
            world.run(["flush", "--strict", "--now"]),
            world.run(["flush", "--dry-run"]),
            world.run(["banner", "--mode", "docker"]),
        ] {
            let ran = ran.ok();
            assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""), "{self:?}: {ran}");
        }
        assert_eq!(files_below(&world.home()), before, "{self:?}");
        assert_eq!(world.home().exists(), existed, "{self:?}");
    }

    fn sends_nothing_that_waits(self, server: &GistServer) {
        let world = World::with_gist(server);
        world.record_many(2);
        let world = self.said_in(world);
        let report = world.flush(["--now"]);
        assert_eq!(
            (&report["outcome"], &report["requests"]),
            (&"disabled".into(), &0.into()),
            "{self:?}: {report}"
        );
        assert_eq!(world.count("pending"), 2, "{self:?}");
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?}, jmo.yml {:?}, consent.json {:?}",
            self.variables, self.jmo_yml, self.choice
        )
    }
}

#[test]
fn the_variables_that_disable_telemetry_are_respected_and_named() {
    for value in ["1", "true", "TRUE", "yes", "On", "2", "please", "nein"] {
        let set: &'static [_] = Box::leak(Box::new([(DISABLE, value)]));
        variables(set).is_a_no(DISABLE);
    }
    for value in ["1", "true", "True", " 1 "] {
        let set: &'static [_] = Box::leak(Box::new([(TRACK, value)]));
        variables(set).is_a_no(TRACK);
    }
    variables(&[(DISABLE, "0"), (TRACK, "1")]).is_a_no(TRACK);
    variables(&[(DISABLE, "1"), (TRACK, "1"), ("CI", "1")]).is_a_no(DISABLE);
}

#[test]
fn other_values_of_the_variables_leave_it_enabled() {
    for value in ["", "0", "false", "FALSE", "no", "No", "off"] {
        let set: &'static [_] = Box::leak(Box::new([(DISABLE, value)]));
        variables(set).is_a_yes("default");
    }
    for value in ["", "0", "false", "no"] {
        let set: &'static [_] = Box::leak(Box::new([(TRACK, value)]));
        variables(set).is_a_yes("default");
    }
    variables(&[("CI", ""), ("BUILD_ID", "")]).is_a_yes("default");
    variables(&[("JMO_TELEMETRY_SHOWN", "1")]).is_a_yes("default");
    variables(&[]).is_a_yes("default");
}

#[test]
fn in_a_ci_run_nothing_is_kept_or_sent() {
    for name in [
        "CI",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        "JENKINS_URL",
        "BUILD_ID",
        "CIRCLECI",
        "TRAVIS",
        "TF_BUILD",
        "BITBUCKET_PIPELINE_UUID",
    ] {
        let set: &'static [_] = Box::leak(Box::new([(name, "false")]));
        variables(set).is_a_no("CI");
    }
}

#[test]
fn every_way_to_write_a_no_into_jmo_yml_is_a_no() {
    for text in [
        NO,
        "telemetry:\n  enabled: no\n",
        "telemetry:\n  enabled: off\n",
        "telemetry:\n  enabled: False\n",
        "telemetry: {enabled: 'no'}\n",
        "telemetry: {enabled: \"off\"}\n",
        "telemetry:\n  enabled: 0\n",
        "telemetry:\n  enabled:\n",
        "telemetry: no\n",
        "# ours\nprofile: fast\n\"telemetry\": {\"enabled\": false}\n",
        "base: &base\n  enabled: no\ntelemetry: *base\n",
        "base: &base {enabled: off}\ntelemetry:\n  <<: *base\n  mode: cli\n",
        "no: &no false\ntelemetry: {enabled: *no}\n",
        "telemetry: {enabled: true}\ntelemetry: {enabled: false}\n",
        "telemetry.enabled: no\n",
    ] {
        jmo_yml(text).is_a_no("jmo.yml");
    }
}

#[test]
fn a_jmo_yml_that_says_yes_or_nothing_disables_nothing() {
    for text in [
        YES,
        "telemetry: {enabled: 'yes'}\n",
        "b: &b {enabled: on}\ntelemetry: {<<: *b}\n",
    ] {
        jmo_yml(text).is_a_yes("jmo.yml");
    }
    for text in ["", "# nothing\n", "profile: fast\ntools: [trivy]\n"] {
        jmo_yml(text).is_a_yes("default");
    }
}

#[test]
fn a_malformed_jmo_yml_is_a_no_that_says_where() {
    for (text, place) in [
        (
            "telemetry:\n  enabled: [true\n",
            "not valid YAML at line 2, column 12",
        ),
        (
            "telemetry:\n  enabled: perhaps\n",
            "neither a yes nor a no at line 2, column 12",
        ),
        ("telemetry: [1]\n", "line 1, column 12"),
        ("- a\n- list\n", "not a mapping at line 1, column 1"),
        (
            "telemetry: {enabled: true}\n---\nmore: 1\n",
            "a second document at line 2",
        ),
        ("telemetry:\n\tenabled: true\n", "line 2, column 2"),
        (
            "telemetry: {enabled: !!python/name:os.system x}\n",
            "an unknown tag at line 1, column 46",
        ),
    ] {
        let case = jmo_yml(Box::leak(text.to_owned().into_boxed_str()));
        case.is_a_no("jmo.yml");
        let world = case.said_in(World::new());
        let status = world.status();
        let reason = status["reason"].as_str().expect("a reason");
        assert!(
            reason.starts_with("jmo.yml: ") && reason.contains(place),
            "{text:?}: {reason}"
        );
        assert!(world.run(["status"]).ok().stdout.contains(place), "{text}");
    }
}

#[test]
fn a_no_of_the_project_or_of_the_user_wins() {
    files(Some(YES), Some(false)).is_a_no("consent.json");
    files(Some(NO), Some(true)).is_a_no("jmo.yml");
    files(Some(NO), Some(false)).is_a_no("jmo.yml");
    files(None, Some(false)).is_a_no("consent.json");
    files(Some("profile: fast\n"), Some(false)).is_a_no("consent.json");
    files(Some(YES), Some(true)).is_a_yes("jmo.yml");
    files(None, Some(true)).is_a_yes("consent.json");
    Case {
        variables: &[(TRACK, "1")],
        ..files(Some(YES), Some(true))
    }
    .is_a_no(TRACK);
    Case {
        variables: &[("GITLAB_CI", "true")],
        ..files(Some(YES), Some(true))
    }
    .is_a_no("CI");
}

#[test]
fn a_file_that_is_named_and_cannot_be_read_is_a_no() {
    let world = World::new();
    let status = |args: &[&str]| world.run(args).ok().json();
    let missing = status(&["status", "--json", "--config", "elsewhere.yml"]);
    assert_eq!(
        (&missing["enabled"], &missing["rule"]),
        (&false.into(), &"jmo.yml".into())
    );
    let reason = missing["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("elsewhere.yml: can't be read"),
        "{reason}"
    );
    let record = "--config elsewhere.yml record scan.started --mode cli --profile fast";
    world.run(record.split_whitespace()).ok();
    assert!(!world.home().exists());
    // Only the named file is read.
    std::fs::write(world.cwd().join("elsewhere.yml"), YES).expect("writes");
    std::fs::write(world.cwd().join("jmo.yml"), NO).expect("writes");
    assert_eq!(
        status(&["status", "--json", "--config", "elsewhere.yml"])["enabled"],
        true
    );
    assert_eq!(status(&["status", "--json"])["enabled"], false);

    let jmo_yml = world.cwd().join("jmo.yml");
    std::fs::remove_file(&jmo_yml).expect("removes");
    std::os::unix::fs::symlink("nowhere", &jmo_yml).expect("links");
    assert_eq!(
        status(&["status", "--json"])["rule"],
        "jmo.yml",
        "a dangling link"
    );
    std::fs::remove_file(&jmo_yml).expect("removes");
    std::fs::create_dir(&jmo_yml).expect("makes");
    assert_eq!(
        status(&["status", "--json"])["rule"],
        "jmo.yml",
        "a directory"
    );
}

#[test]
fn a_malformed_consent_json_is_a_no() {
    for text in ["", "{\"enabled\":", "{\"enabled\":\"yes\"}", "true"] {
        let world = World::new();
        std::fs::create_dir(world.home()).expect("makes");
        std::fs::write(world.file("consent.json"), text).expect("writes");
        let status = world.status();
        assert_eq!(
            (&status["enabled"], &status["rule"]),
            (&false.into(), &"consent.json".into()),
            "{text}: {status}"
        );
        let reason = status["reason"].as_str().expect("a reason");
        assert!(reason.contains("line "), "{reason}");
    }
}

#[test]
fn nothing_ever_writes_jmo_yml() {
    let world = World::new();
    let text = "# Ours, with comments.\ntelemetry:   # off, please\n    enabled: no\t# really\n";
    let path = world.cwd().join("jmo.yml");
    std::fs::write(&path, text).expect("writes");
    let seen = || {
        let metadata = std::fs::metadata(&path).expect("metadata");
        (
            std::fs::read(&path).expect("reads"),
            metadata.modified().expect("a time"),
        )
    };
    let before = seen();
    for args in [
        "enable",
        "disable",
        "disable --keep",
        "enable --json",
        "status",
        "info",
        "banner",
        "id --reset",
        "flush",
        "forget --yes",
    ] {
        world.run(args.split_whitespace()).ok();
    }
    world.record();
    assert_eq!(seen(), before);
}

#[test]
fn stdin_is_read_to_its_end_while_disabled() {
    let world = World::new().with(DISABLE, "1");
    let mut child = world
        .command(["record", "--stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = lines(10_000);
    assert!(input.len() > 1 << 20, "more than any pipe holds");
    stdin.write_all(input.as_bytes()).expect("nobody hangs up");
    drop(stdin);
    assert!(child.wait().expect("ends").success());
    assert!(!world.home().exists());
}

#[test]
fn errors_in_an_event_are_not_reported_while_telemetry_is_disabled() {
    let world = World::new().with("DO_NOT_TRACK", "1");
    for event in [
        &["record", "scan.exploded"][..],
        &["record", "scan.started", "--mode", "sideways"],
        &["record", "tool.failed", "--findings", "3"],
        &[&ONE[..], &["--scanner-version", "no version"]].concat(),
    ] {
        let ran = world.run(event).ok();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    }
    let no = world.cwd().join("other.yml");
    std::fs::write(&no, "telemetry: {enabled: false}\n").expect("writes");
    let joined = format!("--config={}", no.display());
    for config in [vec!["--config", no.to_str().expect("text")], vec![&joined]] {
        let event = ["record", "scan.started", "--modes", "cli"];
        let told = World::new().run(event).exits(2);
        assert!(told.stderr.contains("--modes"), "{told}");
        let ran = World::new().run(event.into_iter().chain(config)).ok();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    }
    let ran = world.run(["record", "scan.exploded", "--json"]).ok();
    assert_eq!(
        (&ran.json()["recorded"], ran.stderr.as_str()),
        (&0.into(), "")
    );
    assert!(!world.home().exists());
}
