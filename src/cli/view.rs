//! `view`: shows the maintainer what was collected.

use std::convert::Infallible;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args as ClapArgs;

use super::exit::{Code, Failure, code_of};
use super::out::Out;
use super::words;
use crate::clock;
use crate::destination::{KINDS, KindInfo, Target};
use crate::files::NewFile;
use crate::settings::Settings;
use crate::spool::Spool;
use crate::terminal::clean;
use crate::view::{
    Collected, Consumer, Csv, Cube, Frame, Local, Moment, Period, Raw, Source, ViewError, collect,
    dashboard, page, source,
};

fn examples() -> String {
    let destinations = KINDS.iter().filter_map(|kind| kind.view_example);
    destinations.fold(EXAMPLES.to_owned(), |text, example| {
        format!("{text}\n  {example}")
    })
}

const EXAMPLES: &str = "\
Examples:
  jmo-telemetry view
  jmo-telemetry view --from spool
  jmo-telemetry view --export events.csv
  jmo-telemetry view --html report.html
  zcat old.jsonl.gz | jmo-telemetry view --from - --until 2026-06-30";

/// Show what was collected: as a dashboard, as numbers, as events or as a web page
#[derive(Debug, ClapArgs)]
#[command(after_help = examples())]
pub(super) struct Args {
    #[arg(long, value_name = "SOURCE", help = from_help())]
    from: Option<From>,
    /// Only events since this time: a duration before now (30d), a day in UTC (2026-11-01), or a
    /// time in RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only events until this time, in the same forms; a day is included
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Print the numbers as JSON
    #[arg(long, group = "form")]
    json: bool,
    /// Print the events as JSONL
    #[arg(long, group = "form")]
    raw: bool,
    /// Write the events to this CSV file, or to stdout (-)
    #[arg(long, group = "form", value_name = "FILE.csv")]
    export: Option<PathBuf>,
    /// Write a web page with charts and filters to this file, or to stdout (-)
    #[arg(long, group = "form", value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The value of `--from`.
#[derive(Debug, Clone)]
enum From {
    /// The configured destination, which must be of this kind.
    Configured(&'static KindInfo),
    Target(Target),
    Spool,
    Stdin,
    Path(PathBuf),
}

impl FromStr for From {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let mut kinds = KINDS.into_iter();
        let kind = kinds.find(|kind| kind.word == text && kind.configure_hint.is_some());
        Ok(match (text, kind, text.parse::<Target>()) {
            (_, Some(kind), _) => Self::Configured(kind),
            ("spool", ..) => Self::Spool,
            ("-", ..) => Self::Stdin,
            (_, _, Ok(target)) => Self::Target(target),
            (path, _, Err(_)) => Self::Path(path.into()),
        })
    }
}

impl Args {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        if self.period().is_empty() {
            return Err(Failure::new(Code::Usage, "--since is not before --until")
                .hint("a duration counts back from now: --since 30d --until 7d"));
        }
        let mut source = self.source(settings)?;
        if self.json {
            let collected = self.collect(source.as_mut(), &mut (), out)?;
            tell_notes(&collected, out);
            out.json(&collected.summary)?;
        } else if self.raw {
            self.raw(source.as_mut(), out)?;
        } else if let Some(path) = &self.export {
            self.export(source.as_mut(), path, out)?;
        } else if let Some(path) = &self.html {
            self.html(source.as_mut(), path, out)?;
        } else {
            self.dashboard(settings, source.as_mut(), out)?;
        }
        Ok(Code::Done)
    }

    fn source(&self, settings: &Settings) -> Result<Box<dyn Source>, Failure> {
        let configured = || settings.chosen(None);
        let target = match &self.from {
            None => match configured()? {
                Some(chosen) if settings.is_viewable(&chosen)? => chosen.target,
                _ => return Ok(source::spool(&settings.home)),
            },
            Some(From::Configured(kind)) => match configured()? {
                Some(chosen) if chosen.target.info().word == kind.word => chosen.target,
                _ => return Err(none_configured(kind)),
            },
            Some(From::Target(target)) => target.clone(),
            Some(From::Spool) => return Ok(source::spool(&settings.home)),
            Some(From::Stdin) => return Ok(source::stdin()),
            Some(From::Path(path)) => return Ok(source::at(path)),
        };
        Ok(source::of(&target, settings)?)
    }

    fn collect(
        &self,
        source: &mut dyn Source,
        consumer: &mut dyn Consumer,
        out: &Out,
    ) -> Result<Collected, ViewError> {
        let mut progress = out.progress(&clean(&format!("reading {}", source.name())));
        collect(source, self.period(), consumer, &mut progress)
    }

    fn period(&self) -> Period {
        Period::new(self.since, self.until, clock::now())
    }

    fn raw(&self, source: &mut dyn Source, out: &mut Out) -> Result<(), Failure> {
        let to_terminal = out.is_terminal();
        // The printed lines show the progress; a bar between them would only be confusing.
        let mut raw = Raw::new(out.stream(), to_terminal);
        let collected = collect(source, self.period(), &mut raw, &mut ())?;
        out.stream().flush().map_err(Failure::stdout)?;
        tell_notes(&collected, out);
        Ok(())
    }

    fn export(&self, source: &mut dyn Source, path: &Path, out: &mut Out) -> Result<(), Failure> {
        if path == Path::new("-") {
            let mut csv = Csv::new(out.stream()).map_err(Failure::stdout)?;
            // As for `--raw`, the printed rows show the progress.
            let collected = collect(source, self.period(), &mut csv, &mut ())?;
            csv.finish().map_err(Failure::stdout)?;
            out.stream().flush().map_err(Failure::stdout)?;
            tell_notes(&collected, out);
            return Ok(());
        }
        let fail = |error| cant_write(path, error);
        let mut csv = NewFile::given(path).and_then(Csv::new).map_err(fail)?;
        let collected = self
            .collect(source, &mut csv, out)
            .map_err(|error| match error {
                ViewError::Write(error) => fail(error),
                other => other.into(),
            })?;
        csv.finish().and_then(NewFile::finish).map_err(fail)?;
        tell_notes(&collected, out);
        out.say(wrote(&collected, path));
        Ok(())
    }

    fn html(&self, source: &mut dyn Source, path: &Path, out: &mut Out) -> Result<(), Failure> {
        let mut cube = Cube::default();
        let collected = self.collect(source, &mut cube, out)?;
        let write = |out: &mut dyn Write| {
            page(&collected, &cube, &source.name(), clock::now(), out)?;
            out.flush()
        };
        if path == Path::new("-") {
            write(out.stream()).map_err(Failure::stdout)?;
            tell_notes(&collected, out);
            return Ok(());
        }
        let fail = |error| cant_write(path, error);
        let mut file = NewFile::given(path).map_err(fail)?;
        write(&mut file).map_err(fail)?;
        file.finish().map_err(fail)?;
        tell_notes(&collected, out);
        out.say(wrote(&collected, path));
        Ok(())
    }

    fn dashboard(
        &self,
        settings: &Settings,
        source: &mut dyn Source,
        out: &mut Out,
    ) -> Result<(), Failure> {
        let collected = self.collect(source, &mut (), out)?;
        let plain = settings.environment.get("NO_COLOR").is_some()
            || settings.environment.get("TERM") == Some("dumb");
        let frame = Frame {
            width: out.columns(),
            colour: out.is_terminal() && !plain,
            source: &source.name(),
            now: clock::now(),
            relative: words::relative,
            local: &local(settings),
        };
        out.text(&dashboard(&collected, &frame))?;
        out.stream().flush().map_err(Failure::stdout)
    }
}

fn from_help() -> String {
    format!(
        "Where the events are: {} [default: the configured destination where it can be read, else spool]",
        source::forms()
    )
}

fn none_configured(kind: &KindInfo) -> Failure {
    let error = format!("no {} is configured", kind.name);
    Failure::new(Code::Configuration, error).hint(kind.configure_hint.unwrap_or_default())
}

/// The numbers of this machine's own spool. If the spool can't be read, the dashboard says why.
fn local(settings: &Settings) -> Local {
    let stats = Spool::read(&settings.home, Spool::stats);
    Local {
        id: settings
            .home
            .known_anonymous_id()
            .ok()
            .flatten()
            .map(|id| id.to_string()),
        scans: settings.home.scan_count(),
        stats: stats.map_err(|error| Failure::from(error).message()),
    }
}

/// Prints notes about the numbers on stderr.
fn tell_notes(collected: &Collected, out: &mut Out) {
    for note in &collected.notes {
        out.say(note);
    }
}

fn wrote(collected: &Collected, path: &Path) -> String {
    let events = words::events(collected.summary.events);
    format!("wrote {events} to {}", path.display())
}

fn cant_write(path: &Path, error: std::io::Error) -> Failure {
    // The output was a pipe, and its reader has seen enough.
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure::stdout(error);
    }
    let text = format!("failed to write `{}`: {error}", path.display());
    Failure::new(code_of(&error), text)
        .hint("name a file in a directory that exists and is writable")
}
