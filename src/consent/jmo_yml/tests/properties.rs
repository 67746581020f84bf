//! Property tests: whatever a file contains, no opt-out is missed and nothing panics.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// A document that disables telemetry, in one of many ways.
fn opted_out() -> impl Strategy<Value = String> {
    let key = |name: &'static str| {
        select(vec![
            name.to_owned(),
            format!("'{name}'"),
            format!("\"{name}\""),
            format!("!!str {name}"),
            format!("&k{name} {name}"),
        ])
    };
    let filler = select(vec![
        "",
        "# telemetry: yes\n",
        "tools: [\n  trivy,\n]\n",
        "a: 'telemetry: {enabled: yes}'\n",
        "b: |\n  telemetry:\n    enabled: yes\n",
        "on: &on {enabled: yes}\n",
        "c: \"x\ty\"\n",
        "profiles:\n  fast: {telemetry: {enabled: yes}}\n",
        "d:\n- e: f\n  telemetry: yes\n",
    ]);
    let many = prop::collection::vec(filler.clone(), 0..3).prop_map(|mut parts| {
        parts.dedup();
        parts.concat()
    });
    (key("telemetry"), key("enabled"), select(NO), 0..5_usize, many, filler).prop_map(
        |(telemetry, enabled, no, form, before, after)| {
            let flow_no = if no.contains('\n') || no.is_empty() { "no" } else { no.split(" #").next().unwrap_or("no") };
            let body = match form {
                0 => format!("{telemetry}:\n  {enabled}: {no}\n"),
                1 => format!("{telemetry}: {{x: 1, {enabled}: {flow_no}}}\n"),
                2 => format!("base: &base\n  {enabled}: {no}\n{telemetry}:\n  <<: *base\n  x: 1\n"),
                3 => format!("{telemetry}:\n  {enabled}: {no}\n  enabled: yes\n"),
                _ => format!(
                    "base: &base {{{enabled}: {flow_no}}}\n{telemetry}: {{<<: [{{x: 1}}, *base, {{enabled: yes}}]}}\n"
                ),
            };
            let after = if before.contains(after) { "" } else { after };
            before + &body + after
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_opt_out_is_recognized_wherever_and_however_it_is_written(text in opted_out()) {
        prop_assert!(matches!(read(&text), Ok(Setting::Disabled(_))), "{:?}", read(&text));
    }

    #[test]
    fn windows_line_ends_and_a_byte_order_mark_change_nothing(text in opted_out()) {
        let text = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        prop_assert!(matches!(read(&text), Ok(Setting::Disabled(_))), "{:?}", read(&text));
    }

    #[test]
    fn truncation_or_a_stray_byte_does_not_turn_a_no_into_a_yes(
        no in select(NO), at in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>(),
    ) {
        // One byte can turn "n" into "on", and "0" into "1". Those are new answers, not misread ones.
        prop_assume!(!["n", "N"].contains(&no));
        let mut text = enabled_is(no).replace("yes", "x").into_bytes();
        let at = at.index(text.len());
        if insert { text.insert(at, byte) } else { text[at] = byte }
        let is_yes = |text: &[u8]| matches!(telemetry_enabled(text), Ok(Setting::Enabled(_)));
        prop_assert!(!is_yes(&text) || byte == b'1', "{:?}", String::from_utf8_lossy(&text));
        prop_assert!(!is_yes(&text[..at]));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = telemetry_enabled(&bytes);
    }

    #[test]
    fn no_yaml_panics_and_no_message_repeats_it(
        words in prop::collection::vec(select(vec![
            "telemetry", "enabled", ": ", ":", "\n", "\n  ", "- ", "? ", "[", "]", "{", "}", ",", "&a ", "*a", "<<: ",
            "!!str ", "!x ", "'", "\"", "|\n", ">", "#", "\t", "\r", "---", "...", "%", "no", "yes", "0", "SECRET", "é", "\u{2028}",
        ]), 0..40),
    ) {
        if let Err(problem) = read(&words.concat()) {
            prop_assert!(!problem.to_string().contains("SECRET"));
        }
    }
}
