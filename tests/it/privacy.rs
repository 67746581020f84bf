//! P5: only the words, numbers and versions of docs/events.md get through. Nothing else that a
//! caller writes reaches the disk, the destination or a message.

use std::collections::BTreeSet;

use fs2::FileExt;
use serde_json::Value;

use crate::support::poison::{CANARY, Dice, line};
use crate::support::traces::{found_in, traces_of};
use crate::support::world::{Ran, World};

/// Every word that a payload may contain, apart from ids, times and versions (docs/events.md).
const WORDS: &str = "scan.started scan.completed tool.failed wizard.completed report.generated policy.evaluated \
    Linux cli docker wizard fast slim balanced deep full custom trufflehog noseyparker semgrep semgrep-secrets bandit \
    syft trivy trivy-rbac checkov checkov-cicd hadolint zap nuclei prowler kubescape akto scancode cdxgen gosec \
    osv-scanner yara grype horusec dependency-check falco afl++ mobsf lynis opa shellcheck shfmt ruff falcoctl gitleaks \
    tfsec other timeout crash non_zero_exit native makefile shell gha json md yaml html simple-html sarif csv \
    zero-secrets owasp-top-10 pci-dss production-hardening hipaa-compliance first_time weekly daily \
    <5min 5-15min 15-30min >30min 0 1-10 10-100 100-1000 >1000 1 2-5 6-10 11-50 >50 1-5 5-20 20-100 >100 \
    <50ms 50-100ms 100-500ms >500ms";

/// Checks that the output contains none of the poison and no control characters.
#[track_caller]
fn is_clean(ran: &Ran) {
    for (name, said) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        let found = found_in(&[CANARY], said.as_bytes(), name);
        assert_eq!(found, Vec::<String>::new());
        let control = said
            .chars()
            .find(|c| c.is_control() && *c != '\n' && *c != '\t');
        assert_eq!(control, None, "{name}");
    }
}

/// Records these lines from a file.
fn record(world: &World, lines: &[Vec<u8>]) -> Ran {
    let path = world.cwd().join("input.jsonl");
    std::fs::write(&path, lines.join(&b'\n')).expect("writes");
    let mut command = world.command(["record", "--stdin", "--json"]);
    command.stdin(std::fs::File::open(&path).expect("opens"));
    let output = command.output().expect("runs");
    std::fs::remove_file(path).expect("removes");
    Ran::from_output(&command, output)
}

fn poisoned(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(seed);
    (0..count).map(|n| line(n, &mut dice)).collect()
}

/// Collects every string of the metadata, and the name, of a payload.
fn words_of(payload: &Value, words: &mut BTreeSet<String>) {
    match payload {
        Value::String(word) => drop(words.insert(word.clone())),
        Value::Array(items) => items.iter().for_each(|item| words_of(item, words)),
        Value::Object(fields) => fields.values().for_each(|value| words_of(value, words)),
        _ => {}
    }
}

#[track_caller]
fn has_our_words_alone(payloads: &[String]) {
    let allowed: BTreeSet<&str> = WORDS.split_whitespace().collect();
    let mut words = BTreeSet::new();
    for line in payloads {
        assert!(line.len() < 1024, "{line}");
        let payload: Value = serde_json::from_str(line).expect("JSON");
        words_of(&payload["metadata"], &mut words);
        words_of(&payload["event"], &mut words);
        words_of(&payload["platform"], &mut words);
        let version = payload["version"].as_str().expect("a version");
        assert!(["1.0.2", "0.0.0"].contains(&version), "{version}");
        let python = payload["python_version"].as_str().unwrap_or("3.11");
        assert!(["3.11", "3.12"].contains(&python), "{python}");
        for id in ["anonymous_id", "event_id"] {
            assert_eq!(payload[id].as_str().map(str::len), Some(36), "{line}");
        }
    }
    let others: Vec<_> = words
        .iter()
        .filter(|word| !allowed.contains(word.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn no_poison_of_ten_thousand_events_is_stored_sent_or_printed() {
    let world = World::new();
    let ran = record(&world, &poisoned(1, 10_000)).exits(65);
    is_clean(&ran);
    let report = ran.json();
    let recorded = report["recorded"].as_u64().expect("a number");
    let rejected = report["rejected"].as_array().map_or(0, Vec::len) as u64;
    assert_eq!(recorded + rejected, 10_000);
    assert!(recorded > 7_000, "most are kept in clean form: {recorded}");
    assert_eq!(traces_of(&[CANARY], &world.home()), Vec::<String>::new());

    for args in [
        "spool list --limit 0",
        "spool list --limit 0 --json",
        "spool check",
        "status",
        "status --json",
        "flush --dry-run --to dir:out",
        "flush -v --to dir:out --deadline 60s",
        "spool show 1",
    ] {
        is_clean(&world.run(args.split_whitespace()).ok());
    }
    let sent = world.lines_out();
    assert_eq!(sent.len() as u64, recorded);
    has_our_words_alone(&sent);
    assert_eq!(traces_of(&[CANARY], &world.out()), Vec::<String>::new());
    assert_eq!(traces_of(&[CANARY], &world.home()), Vec::<String>::new());
    world.check();
}

#[test]
fn the_overflow_accepts_no_more_than_the_spool_does() {
    let world = World::new();
    world.record();
    let lock = std::fs::File::open(world.file("spool.lock")).expect("opens");
    FileExt::lock_exclusive(&lock).expect("locks");
    let ran = record(&world, &poisoned(2, 150)).exits(65);
    is_clean(&ran);
    let waiting = std::fs::read_to_string(world.file("overflow.jsonl")).expect("the overflow");
    let recorded = ran.json()["recorded"].as_u64().expect("a number");
    assert_eq!(waiting.lines().count() as u64, recorded);
    assert!(recorded > 80, "{recorded}");
    let waiting: Vec<_> = waiting.lines().map(str::to_owned).collect();
    has_our_words_alone(&waiting);
    assert_eq!(traces_of(&[CANARY], &world.home()), Vec::<String>::new());
    drop(lock);
    // What somebody else wrote into it does not get any further, either.
    let mut foreign = waiting.clone();
    foreign.insert(
        0,
        waiting[0].replace("\"mode\":\"cli\"", "\"mode\":\"canary\""),
    );
    foreign.insert(1, waiting[1].replacen('{', "{\"note\":\"canary\",", 1));
    foreign.push("canary".to_owned());
    std::fs::write(world.file("overflow.jsonl"), foreign.join("\n")).expect("writes");
    assert_eq!(world.rows().len() as u64, recorded + 1);
    // It is set aside, where its writer can find it, and is in no other file.
    let aside = format!("{}: canary", world.file("overflow.jsonl.corrupt").display());
    assert_eq!(traces_of(&[CANARY], &world.home()), [aside]);
    has_our_words_alone(&world.payloads());
    std::fs::remove_file(world.file("overflow.jsonl.corrupt")).expect("is looked at and deleted");
    world.check();
}

/// Every option of `record` that takes a value, and one that does not exist.
const OPTIONS: [&str; 24] = [
    "--mode",
    "--profile",
    "--tool",
    "--repos",
    "--images",
    "--urls",
    "--iac",
    "--gitlab",
    "--k8s",
    "--frequency",
    "--duration",
    "--succeeded",
    "--failed",
    "--findings",
    "--failure-type",
    "--exit-code",
    "--execution-mode",
    "--artifact",
    "--format",
    "--policy",
    "--violations",
    "--evaluation-ms",
    "--scanner-version",
    "--python-version",
];

#[test]
fn poison_in_the_flags_is_neither_stored_nor_repeated() {
    const STARTS: [&str; 3] = [
        "record tool.failed --tool trivy --failure-type crash --profile fast",
        "record scan.started --profile fast",
        "record",
    ];
    let world = World::new();
    let mut dice = Dice::new(3);
    for (n, option) in OPTIONS.iter().enumerate() {
        let words = [dice.word(), "canary".to_owned(), "-canary".to_owned()];
        for word in words.map(|word| word.replace('\0', "")) {
            let start = STARTS[n % 3].split_whitespace().map(str::to_owned);
            for args in [
                vec![(*option).to_owned(), word.clone()],
                vec![format!("{option}={word}")],
            ] {
                is_clean(&world.run(start.clone().chain(args)));
            }
        }
    }
    for bad in [
        vec!["/home/CANARY"],
        vec!["tool.failed", "/home/CANARY"],
        vec!["tool.failed", "--CANARY"],
        vec!["tool.failed", "--CANARY=x"],
        vec!["tool.failed", "--canary/x"],
        vec!["tool.failed", "-CANARY"],
        vec!["--stdin=CANARY"],
        vec!["--stdin", "CANARY"],
        vec!["tool.failed", "--flush=CANARY"],
        vec!["\u{1b}[31mCANARY"],
        vec![
            "scan.started",
            "--mode",
            "cli",
            "--profile",
            "fast",
            "--",
            "CANARY",
        ],
    ] {
        let ran = world.run(["record"].into_iter().chain(bad));
        is_clean(&ran);
        assert!([Some(2), Some(65)].contains(&ran.code), "{ran}");
    }
    assert_eq!(traces_of(&[CANARY], &world.home()), Vec::<String>::new());
    has_our_words_alone(&world.payloads());
    world.check();
}

#[test]
fn a_usage_error_still_names_the_option_and_its_values() {
    let world = World::new();
    let start = ["record", "scan.started", "--repos", "canary/repo"];
    let ran = world.run(start).exits(2);
    assert!(ran.stderr.contains("'--repos <N>'"), "{ran}");
    let ran = world
        .run(["record", "scan.completed", "--duration", "canary"])
        .exits(2);
    assert!(
        ran.stderr.contains("--duration <TIME>") && ran.stderr.contains("e.g. 412s or 7m 30s"),
        "{ran}"
    );
    let ran = world
        .run(["record", "scan.started", "--modes", "canary"])
        .exits(2);
    assert!(
        ran.stderr.contains("'--modes'") && ran.stderr.contains("'--mode'"),
        "a slip of the pen is named: {ran}"
    );
    let ran = world.run(["banner", "--mode", "canary"]).exits(2);
    assert!(
        ran.stderr
            .contains("[possible values: cli, wizard, docker]"),
        "{ran}"
    );
    let ran = world.run(["record", "scan.started", "--repos"]).exits(2);
    assert!(ran.stderr.contains("none was supplied"), "{ran}");
    for ran in [
        world.run(["flush", "--to", "canary"]),
        world.run(["flush", "--deadline", "5 canaries"]),
        world.run(["spool", "show", "canary"]),
        world.run(["spool", "retry", "canary"]),
        world.run(["connect", "gist", "canary!"]),
    ] {
        is_clean(&ran.exits(2));
    }
}

#[test]
fn a_name_is_shown_only_if_it_looks_like_one() {
    let world = World::new();
    let named = |key: &str| {
        let metadata = format!(
            r#"{{"tool":"trivy","failure_type":"crash","profile":"fast",{}:"secret"}}"#,
            serde_json::to_string(key).expect("a key")
        );
        let input = format!("{{\"event\":\"tool.failed\",\"metadata\":{metadata}}}\n");
        let ran = world.run_with(["record", "--stdin"], &input).ok();
        assert!(!ran.stderr.contains("secret"), "{ran}");
        ran.stderr
    };
    assert!(named("repo_path").contains("warning: field repo_path is not known"));
    let longest = "a".repeat(40);
    assert!(named(&longest).contains(&longest));
    for key in [
        "",
        "Repo",
        "repo-path",
        "repo1",
        "a b",
        "a\nb",
        "é",
        &"a".repeat(41),
    ] {
        let said = named(key);
        assert!(
            said.contains("field (a name that is not shown) is"),
            "{key}: {said}"
        );
        assert!(
            key.is_empty() || !said.contains(&format!("field {key}")),
            "{said}"
        );
    }
}

#[test]
fn an_endless_line_of_input_costs_little_and_is_not_repeated() {
    let world = World::new();
    let deep = format!("{}canary{}", "[".repeat(300_000), "]".repeat(300_000));
    let wide = format!(
        "{{{}\"event\":1{}}}",
        "\"event\":1,".repeat(45_000),
        ",\"x\":1".repeat(80_000)
    );
    let long = "canary".repeat(500_000);
    let inputs = [deep, wide, long].map(String::into_bytes);
    let ran = record(&world, &inputs).exits(65);
    is_clean(&ran);
    assert_eq!(ran.json()["rejected"].as_array().map(Vec::len), Some(3));
    assert!(!world.home().exists());
}
