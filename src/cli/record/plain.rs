//! The command line of `record` as programs write it: whole flag names, each followed by its value.
//! Reading it here costs a tenth of what clap takes to build its definitions. Whatever is not that
//! plain, or not right, is left to clap, which has the last word on everything.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use super::Args;
use super::flags::{FieldArgs, seconds};

/// `--config` and the rest, if that is all there is to them.
pub(in crate::cli) fn read(arguments: &[OsString]) -> Option<(Option<PathBuf>, Args)> {
    let mut config = None;
    let mut args = Args::default();
    let mut words = arguments.iter().map(|word| word.to_str());
    while let Some(word) = words.next() {
        let word = word?;
        let Some(flag) = word.strip_prefix("--") else {
            set(&mut args.event, Some(word).filter(|word| is_value(word)))?;
            continue;
        };
        let mut value = || words.next()?.filter(|word| is_value(word));
        match flag {
            "config" => set(&mut config, value())?,
            "stdin" => raise(&mut args.stdin)?,
            "flush" => raise(&mut args.flush)?,
            "json" => raise(&mut args.json)?,
            "scanner-version" => set(&mut args.scanner_version, value())?,
            "python-version" => set(&mut args.python_version, value())?,
            _ => field(&mut args.fields, flag, value)?,
        }
    }
    (args.event.is_some() != args.stdin).then_some((config, args))
}

fn field<'w>(
    fields: &mut FieldArgs,
    flag: &str,
    mut value: impl FnMut() -> Option<&'w str>,
) -> Option<()> {
    match flag {
        "mode" => set(&mut fields.mode, value()),
        "profile" => set(&mut fields.profile, value()),
        "tool" => add(&mut fields.tool, value()),
        "repos" => set(&mut fields.repos, value()),
        "images" => set(&mut fields.images, value()),
        "urls" => set(&mut fields.urls, value()),
        "iac" => set(&mut fields.iac, value()),
        "gitlab" => set(&mut fields.gitlab, value()),
        "k8s" => set(&mut fields.k8s, value()),
        "ci-detected" => raise(&mut fields.ci_detected),
        "multi-target" => raise(&mut fields.multi_target),
        "compliance" => raise(&mut fields.compliance),
        "frequency" => set(&mut fields.frequency, value()),
        "duration" => {
            let duration = value().and_then(|text| seconds(text).ok())?;
            fields.duration.replace(duration).is_none().then_some(())
        }
        "succeeded" => set(&mut fields.succeeded, value()),
        "failed" => set(&mut fields.failed, value()),
        "findings" => set(&mut fields.findings, value()),
        "failure-type" => set(&mut fields.failure_type, value()),
        "exit-code" => set(&mut fields.exit_code, value()),
        "execution-mode" => set(&mut fields.execution_mode, value()),
        "artifact" => set(&mut fields.artifact, value()),
        "format" => add(&mut fields.format, value()),
        "suppressions" => raise(&mut fields.suppressions),
        "policy" => add(&mut fields.policy, value()),
        "violations" => set(&mut fields.violations, value()),
        "evaluation-ms" => set(&mut fields.evaluation_ms, value()),
        "passed" => set(&mut fields.passed, value()),
        _ => None,
    }
}

/// What could be a flag, or a negative number, is for clap to tell apart.
fn is_value(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('-')
}

/// Once, and only what can be read.
fn set<T: FromStr>(slot: &mut Option<T>, value: Option<&str>) -> Option<()> {
    let value = value?.parse().ok()?;
    slot.replace(value).is_none().then_some(())
}

fn add(list: &mut Vec<String>, value: Option<&str>) -> Option<()> {
    list.push(value?.to_owned());
    Some(())
}

fn raise(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use proptest::prelude::*;

    use super::*;
    use crate::cli::RecordCli;

    fn words() -> Vec<String> {
        let flags = RecordCli::command();
        let flags = flags
            .get_arguments()
            .filter_map(|argument| argument.get_long());
        let others = [
            "tool.failed",
            "record",
            "fast",
            "3",
            "-3",
            "2.5",
            "7m 30s",
            "",
            "-",
            "--",
            "--mode=cli",
            "-h",
            "--no",
            "help",
        ];
        flags
            .map(|flag| format!("--{flag}"))
            .chain(others.map(str::to_owned))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn what_is_read_here_is_what_clap_reads(arguments in prop::collection::vec(prop::sample::select(words()), 0..7)) {
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
            if let Some((config, args)) = read(&arguments) {
                let program = std::iter::once(OsString::from("record"));
                let by_clap = RecordCli::try_parse_from(program.chain(arguments.iter().cloned()));
                let by_clap = by_clap.map_err(|error| TestCaseError::fail(format!("{arguments:?}: {error}")))?;
                prop_assert_eq!((config, args), (by_clap.config, by_clap.args));
            }
        }
    }

    #[test]
    fn every_flag_is_read_here() {
        let command = RecordCli::command();
        for argument in command.get_arguments() {
            let Some(flag) = argument.get_long().filter(|flag| *flag != "stdin") else {
                continue;
            };
            let mut arguments = vec!["tool.failed".into(), format!("--{flag}").into()];
            if argument.get_action().takes_values() {
                arguments.push("3".into());
            }
            if flag != "help" {
                assert!(read(&arguments).is_some(), "--{flag}");
            }
        }
        assert!(read(&["--stdin".into()]).is_some());
    }
}
