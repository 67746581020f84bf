//! The comparison with PyYAML itself is not here, because it needs Python; the differences that it
//! found are.

mod properties;

use std::time::Duration;

use super::*;

fn read(text: &str) -> Result<Setting, Problem> {
    telemetry_enabled(text.as_bytes())
}

/// Asserts that reading the text gives a value of this form.
macro_rules! assert_read {
    ($text:ident, $form:pat) => {{
        let read = read($text);
        assert!(matches!(read, $form), "{:?} gave {read:?}", $text);
    }};
}

#[track_caller]
fn assert_yes(text: &str) {
    assert_read!(text, Ok(Setting::Enabled(_)));
}

#[track_caller]
fn assert_no(text: &str) {
    assert_read!(text, Ok(Setting::Disabled(_)));
}

#[track_caller]
fn assert_nothing(text: &str) {
    assert_eq!(read(text), Ok(Setting::Unset), "{text:?}");
}

#[track_caller]
fn assert_senseless(text: &str) {
    assert_read!(text, Err(Problem::Senseless(_)));
}

#[track_caller]
fn assert_syntax(text: &str) {
    assert_read!(text, Err(Problem::Syntax { .. }));
}

fn enabled_is(value: &str) -> String {
    format!("default_profile: fast\ntelemetry:\n  enabled: {value}\nretries: 1\n")
}

const NO: &[&str] = &[
    "no",
    "No",
    "NO",
    "off",
    "Off",
    "OFF",
    "false",
    "False",
    "FALSE",
    "'no'",
    "\"off\"",
    "\"False\"",
    "' no '",
    "nO",
    "n",
    "N",
    "never",
    "Disabled",
    "disable",
    "none",
    "None",
    "\"0\"",
    "0",
    "-0",
    "00",
    "0x0",
    "0b0",
    "0_0",
    "0.0",
    ".0",
    "0.",
    "-0.0",
    "0:0.0",
    "~",
    "null",
    "",
    "!!bool \"no\"",
    "!!str no",
    "!!int \"0\"",
    "!!null x",
    "\"\\x6eo\"",
    "&a no",
    "no # yes",
    "|\n    no",
    ">-\n    no",
];
const YES: &[&str] = &[
    "yes",
    "Yes",
    "YES",
    "on",
    "On",
    "ON",
    "true",
    "True",
    "TRUE",
    "'yes'",
    "\"On\"",
    "'enabled'",
    "\"1\"",
    "1",
    "+1",
    "01",
    "0x1",
    "0b1",
    "!!bool 'yes'",
    "&a yes",
    "yes # no",
    "|\n    yes",
];
const SENSELESS: &[&str] = &[
    "y",
    "maybe",
    "''",
    "2",
    "-1",
    "0:0",
    "1.0",
    "0.5",
    ".nan",
    ".inf",
    "1e0",
    "08",
    "2020-01-01",
    "12:30",
    "[]",
    "[no]",
    "{}",
    "{a: no}",
    "no way",
    "no#",
    "yes no",
    "ja",
];

#[test]
fn every_spelling_of_a_no_is_a_no() {
    for value in NO {
        assert_no(&enabled_is(value));
    }
}

#[test]
fn every_spelling_of_a_yes_is_a_yes() {
    for value in YES {
        assert_yes(&enabled_is(value));
    }
}

#[test]
fn any_other_value_makes_no_sense() {
    for value in SENSELESS {
        assert_senseless(&enabled_is(value));
    }
}

#[test]
fn a_file_that_does_not_mention_telemetry_sets_nothing() {
    for text in [
        "",
        "\n",
        "# telemetry: no\n",
        "---\n",
        "~",
        "{}",
        "tools: [trivy]",
        "telemetry:",
        "telemetry: {}",
    ] {
        assert_nothing(text);
    }
    assert_nothing("telemetry:\n  # enabled: no\n  endpoint: x\n");
    assert_nothing("scan:\n  telemetry:\n    enabled: no\n");
    assert_nothing("TELEMETRY:\n  enabled: no\ntelemetry:\n  Enabled: no\n");
}

#[test]
fn telemetry_itself_may_be_a_boolean() {
    for text in [
        "telemetry: no",
        "telemetry: off",
        "telemetry: False",
        "telemetry: 'disabled'",
        "telemetry: 0",
    ] {
        assert_no(text);
    }
    assert_yes("telemetry: yes");
    for text in [
        "telemetry: 'yes'",
        "telemetry: 1",
        "telemetry: [no]",
        "telemetry: enabled",
    ] {
        assert_senseless(text);
    }
}

#[test]
fn a_flat_key_can_only_say_no() {
    assert_no("telemetry.enabled: false\ntelemetry: {enabled: yes}\n");
    assert_nothing("telemetry.enabled: true\n");
    assert_senseless("telemetry.enabled: maybe\n");
}

#[test]
fn keys_are_the_same_in_every_style() {
    assert_no("\"telemetry\":\n  'enabled': no\n");
    assert_no("{\"\\x74elemetry\": {!!str enabled: no}}");
    assert_no("x: &t telemetry\ny: &e enabled\n*t :\n  *e : no\n");
    assert_no("? telemetry\n: ? |-\n    enabled\n  : no\n");
    assert_no("{\"telemetry\":{\"enabled\":false}}");
}

#[test]
fn merged_keys_count_as_in_pyyaml() {
    let bases = "no: &no {enabled: no}\nyes: &yes {enabled: yes}\nlist: &list [*yes, *no]\n";
    let telemetry = |body: &str| format!("{bases}telemetry: {{{body}}}\n");
    assert_no(&telemetry("<<: *no"));
    assert_yes(&telemetry("<<: *no, enabled: yes"));
    assert_no(&telemetry("enabled: no, <<: *yes"));
    assert_no(&telemetry("<<: [*no, *yes]"));
    assert_yes(&telemetry("<<: [*yes, *no]"));
    assert_yes(&telemetry("<<: *list"));
    assert_no(&telemetry("<<: *yes, <<: *no"));
    assert_no(&telemetry("<<: {<<: *no, x: 1}"));
    assert_no("base: &base {telemetry: {enabled: no}}\n<<: *base\n");
    assert_no("a: &a {telemetry: &t {enabled: no}}\ntelemetry: *t\n");
    assert_nothing(&telemetry("'<<': *no"));
    assert_syntax(&telemetry("<<: no"));
    assert_syntax(&telemetry("<<: [*no, no]"));
}

#[test]
fn a_no_among_repeated_keys_wins() {
    assert_no("telemetry:\n  enabled: no\n  enabled: yes\n");
    assert_no("telemetry: {enabled: no}\ntelemetry: {enabled: yes}\n");
    assert_no("telemetry: {enabled: maybe}\ntelemetry: {enabled: no}\n");
    assert_senseless("telemetry: {enabled: maybe, enabled: yes}\n");
    assert_yes("telemetry: {enabled: yes, enabled: on}\n");
}

#[test]
fn what_pyyaml_refuses_disables() {
    for rest in [
        "x: !python/object:os.system {}",
        "x: !!python/none",
        "x: !foo y",
        "x: !!set {a}",
        "x: !!int a",
        "x: !!bool maybe",
        "x: !!map []",
        "x: <<",
        "x: =",
        "x: 2020-02-30",
        "x: 0b_",
        "x: *unknown",
        "a: &a 1\nb: &a 2",
        "a: &a [*a]",
        "a: &b{c: 1}",
        "a: &b/c 1",
        "? [a]\n: b",
        "x: [1, !!str]",
        "x: 'open",
        "x: [",
        "x: }",
        " x: y",
        "x: \"\\z\"",
        "x: @y",
        "x: a: b",
        ": x",
        "x: {: y}",
        "x: {a\n  b: c}",
        "x: {a\n  : c}",
        "x: {?enabled : no}",
        "...\nx: y",
        "---\nx: y",
        "x:\ty",
        "x: y\t",
        "\tx: y",
        "x: a\tb",
        "x: |\t\n  y",
    ] {
        assert_syntax(&format!("telemetry: {{enabled: yes}}\n{rest}\n"));
    }
    assert_syntax("%TAG ! tag:yaml.org,2002:\n---\ntelemetry: {enabled: yes}\n");
    assert_syntax("%YAML 2.0\n---\ntelemetry: {enabled: yes}\n");
    assert_syntax("...\ntelemetry: {enabled: yes}\n");
}

#[test]
fn characters_that_yaml_refuses_disable() {
    for character in [
        '\0', '\u{7}', '\u{1b}', '\u{7f}', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{ffff}',
    ] {
        assert_syntax(&format!(
            "# {character}telemetry: {{enabled: yes}}\ntelemetry: {{enabled: yes}}\n"
        ));
    }
    assert_eq!(
        telemetry_enabled(b"a: b\nc: \xff"),
        Err(Problem::NotUtf8(Place { line: 2, column: 4 }))
    );
    let utf16: Vec<u8> = "\u{feff}telemetry: {}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(matches!(
        telemetry_enabled(&utf16),
        Err(Problem::NotUtf8(_))
    ));
}

#[test]
fn what_pyyaml_accepts_is_accepted() {
    for rest in [
        "tools: [\n  trivy,\n  semgrep,\n]",
        "x:\n- a\n- b: c\n  d: e",
        "x: \"a\tb\" # c\td",
        "#\tc\n",
        "x: |\n  a\tb\n",
        "x: 'a\n\n  b'",
        "x: https://a.b/?c=d#e",
        "x: C:\\dir",
        "x: {a: {b: [c, \"d?\"]}}",
        "x: 2020-02-29 10:00:00 +01:00",
        "x: é 😀",
        "x: -a\ny: a-b",
        "? a\n: b",
        "x: !!float 1.5",
        "x: &a [1]\ny: [*a, *a]",
        "...",
        "x: 0o7",
        "x: 1_000",
    ] {
        assert_yes(&format!("telemetry: {{enabled: yes}}\n{rest}\n"));
    }
    assert_yes("\u{feff}telemetry:\r\n  enabled: yes\r\n");
    assert_yes("# c\n%YAML 1.2\n---\ntelemetry:\n  enabled: yes\n...\n");
    assert_yes("  telemetry:\r    enabled: yes");
}

#[test]
fn a_file_that_is_not_a_mapping_disables() {
    for text in ["- a", "text", "[telemetry]", "0"] {
        assert!(
            matches!(read(text), Err(Problem::NotAMapping(_))),
            "{text:?}"
        );
    }
}

#[test]
fn the_position_is_that_of_the_value() {
    assert_eq!(
        read("# é\ntelemetry:\n  'é': 1\n  enabled: no\n"),
        Ok(Setting::Disabled(Place {
            line: 4,
            column: 12
        }))
    );
    assert_eq!(
        read("é: {telemetry: 1}\ntelemetry: {é: 1, enabled: maybe}\n")
            .map_err(|problem| problem.to_string()),
        Err("neither a yes nor a no at line 2, column 28".to_owned())
    );
    assert_eq!(
        read("a: b\r\nc:\td\r\n").map_err(|problem| problem.to_string()),
        Err("a tab at line 2, column 3".to_owned())
    );
}

#[test]
fn a_hostile_file_costs_little() {
    let bomb = |levels: usize| {
        let mut text = String::from("l0: &l0 {x: 1}\n");
        for level in 1..levels {
            let below = format!("*l{}, ", level - 1).repeat(9);
            text += &format!("l{level}: &l{level} {{<<: [{below}], y: [{below}]}}\n");
        }
        text + &format!("telemetry: {{<<: *l{}}}\n", levels - 1)
    };
    let deadline = crate::clock::Deadline::after(Duration::from_secs(20));
    assert_nothing(&bomb(5_000));
    assert_syntax(&("[".repeat(MAX_BYTES)));
    assert_syntax(&("- ".repeat(MAX_BYTES / 2)));
    assert_syntax(&("? ".repeat(MAX_BYTES / 2)));
    assert_syntax(&("a".repeat(MAX_BYTES - 1) + "\t"));
    assert_eq!(read(&" ".repeat(MAX_BYTES + 1)), Err(Problem::TooLarge));
    assert!(!deadline.passed(), "it took more than 20 s");
}

#[test]
fn no_tag_of_the_whole_document_hides_its_content() {
    for header in [
        "!!null >",
        "!!null |",
        "!!null >-",
        "--- !!null >",
        "!!null |1",
        "!!str >",
    ] {
        let text = format!("{header}\ntelemetry:\n  enabled: false\n");
        let said = telemetry_enabled(text.as_bytes());
        assert!(
            !matches!(said, Ok(Setting::Unset | Setting::Enabled(_))),
            "{text}: {said:?}"
        );
    }
}
