//! Reads the plain command lines that programs write: full flag names, each followed by its value.
//! They are parsed here, with the same table, because clap needs a tenth of the time of a `record`
//! to build its definitions. Any other command line, including wrong ones, is left to clap.

use std::ffi::OsString;
use std::path::PathBuf;

use super::flags::{Given, parse};
use super::{Args, Options, What};
use crate::event::{EventSpec, Kind};
use crate::json::Value;

/// Reads `--config` and the other arguments; `None` if clap must read this command line.
pub(in crate::cli) fn read(arguments: &[OsString]) -> Option<(Option<PathBuf>, Args)> {
    let (event, rest) = arguments.split_first()?;
    let event = EventSpec::named(event.to_str()?)?;
    let mut given = Given::new(event);
    let mut options = Options::default();
    let mut config = None;
    let mut words = rest.iter().map(|word| word.to_str());
    while let Some(word) = words.next() {
        let flag = word?.strip_prefix("--")?;
        // A value that begins with `-` may be a flag or a negative number, so clap decides.
        let mut value = || {
            let word = words.next()?;
            word.filter(|word| !word.is_empty() && !word.starts_with('-'))
        };
        match flag {
            "config" => once(&mut config, PathBuf::from(value()?))?,
            "scanner-version" => once(&mut options.scanner_version, value()?.to_owned())?,
            "python-version" => once(&mut options.python_version, value()?.to_owned())?,
            "flush" => raise(&mut options.flush)?,
            "dry-run" => raise(&mut options.dry_run)?,
            "json" => raise(&mut options.json)?,
            _ => {
                let mut fields = event.flags().map(|(field, _)| field);
                let field = fields.find(|field| field.long() == Some(flag))?;
                let value = match field.kind {
                    Kind::Flag => Value::Bool(true),
                    kind => parse(kind, value()?).ok()?,
                };
                given.add(field, value)?;
            }
        }
    }
    let what = What::Event(given);
    Some((config, Args { what, options }))
}

fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

fn raise(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::RecordCli;
    use crate::event::{EVENTS, event_names};

    const OPTIONS: [&str; 7] = [
        "--config",
        "--scanner-version",
        "--python-version",
        "--flush",
        "--dry-run",
        "--json",
        "--stdin",
    ];

    fn words() -> Vec<String> {
        let fields = EVENTS.iter().flat_map(EventSpec::flags);
        let flags = fields.filter_map(|(field, _)| Some(format!("--{}", field.long()?)));
        let others = [
            "record",
            "fast",
            "trivy,zap",
            ",",
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
            .chain(OPTIONS.into_iter().chain(others).map(str::to_owned))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn clap_reads_the_same(
            event in prop::sample::select(event_names().collect::<Vec<_>>()),
            rest in prop::collection::vec(prop::sample::select(words()), 0..6),
        ) {
            let arguments: Vec<OsString> = std::iter::once(event.into())
                .chain(rest.into_iter().map(OsString::from))
                .collect();
            if let Some((config, args)) = read(&arguments) {
                let program = std::iter::once(OsString::from("record"));
                let by_clap = RecordCli::try_parse_from(program.chain(arguments.iter().cloned()));
                let by_clap = by_clap.map_err(|error| TestCaseError::fail(format!("{arguments:?}: {error}")))?;
                prop_assert_eq!((config, args), (by_clap.config, by_clap.args));
            }
        }
    }

    #[test]
    fn the_example_of_each_event_and_every_flag_is_read_here() {
        for event in EVENTS {
            let example = event.example.split(' ').map(OsString::from);
            let example: Vec<_> = std::iter::once(event.name.into()).chain(example).collect();
            assert!(read(&example).is_some(), "{}", event.name);
            for (field, _) in event.flags() {
                let mut arguments = vec![OsString::from(event.name)];
                arguments.push(format!("--{}", field.long().expect("a flag")).into());
                if field.kind != Kind::Flag {
                    arguments.push("3".into());
                }
                assert!(read(&arguments).is_some(), "{arguments:?}");
            }
        }
    }
}
