//! `view`: what was collected, for its maintainer.

use std::convert::Infallible;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args as ClapArgs;

use super::exit::{Code, Failure, code_of};
use super::out::Out;
use super::words;
use crate::clock;
use crate::destination::Target;
use crate::files::NewFile;
use crate::settings::Settings;
use crate::spool::Spool;
use crate::terminal::clean;
use crate::view::{
    Collected, Consumer, Csv, Cube, FileSource, Frame, Local, Moment, Period, Raw, Source,
    SpoolSource, StdinSource, collect, dashboard, page, source,
};

const EXAMPLES: &str = "\
Examples:
  view                              the dashboard, of the configured destination or else the local spool
  view --from gist:0123456789abcdef0123456789abcdef --since 30d
  view --from dir:/tmp/telemetry --json | jq .tools
  zcat old.jsonl.gz | jmo-telemetry view --from - --since 2026-01-01 --until 2026-06-30
  view --export events.csv          for a spreadsheet
  view --html report.html           one page with charts and filters, for a browser";

/// See what was collected: a dashboard, numbers, the events, or a page
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where the events are: gist, gist:ID, dir:PATH, https://… (a collector, with its maintainer's
    /// token in JMO_TELEMETRY_COLLECTOR_TOKEN), spool, a JSONL file, or - for stdin [default: the
    /// configured destination where it can be read, else spool]
    #[arg(long, value_name = "SOURCE")]
    from: Option<From>,
    /// Only events from then on: a length of time before now (30d), a day (2026-11-01, UTC), or a
    /// time in RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only events until then, in the same forms; a day is included
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// The numbers, as JSON
    #[arg(long, group = "form")]
    json: bool,
    /// The events, as JSONL
    #[arg(long, group = "form")]
    raw: bool,
    /// Write the events to this file (- is stdout), as CSV
    #[arg(long, group = "form", value_name = "FILE.csv")]
    export: Option<PathBuf>,
    /// Write a page with charts and filters to this file (- is stdout)
    #[arg(long, group = "form", value_name = "FILE")]
    html: Option<PathBuf>,
}

/// `--from`, as it is given.
#[derive(Debug, Clone)]
enum From {
    Gist,
    Target(Target),
    Spool,
    Stdin,
    Path(PathBuf),
}

impl FromStr for From {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, text.parse::<Target>()) {
            ("gist", _) => Self::Gist,
            ("spool", _) => Self::Spool,
            ("-", _) => Self::Stdin,
            (_, Ok(target)) => Self::Target(target),
            (path, Err(_)) => Self::Path(path.into()),
        })
    }
}

impl Args {
    pub(super) fn run(self, settings: &Settings, out: &mut Out) -> Result<Code, Failure> {
        if self.period().is_empty() {
            return Err(Failure::new(Code::Usage, "--since is not before --until")
                .hint("a length of time counts back from now: --since 30d --until 7d"));
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
        let configured = || Ok::<_, Failure>(settings.chosen(None)?.map(|chosen| chosen.target));
        let target = match &self.from {
            None => match settings.chosen(None)? {
                Some(chosen) if settings.shows(&chosen)? => chosen.target,
                _ => return Ok(Box::new(SpoolSource::new(settings.home.clone()))),
            },
            Some(From::Gist) => configured()?
                .filter(source::is_gist)
                .ok_or_else(|| {
                    Failure::new(Code::Configuration, "no Gist is configured")
                        .hint("name it: --from gist:ID, or JMO_TELEMETRY_GIST_ID, or `jmo-telemetry connect gist ID`")
                })?,
            Some(From::Target(target)) => target.clone(),
            Some(From::Spool) => return Ok(Box::new(SpoolSource::new(settings.home.clone()))),
            Some(From::Stdin) => return Ok(Box::new(StdinSource)),
            Some(From::Path(path)) if path.is_dir() => Target::dir(path),
            Some(From::Path(path)) => return Ok(Box::new(FileSource::new(path))),
        };
        Ok(source::of(&target, settings)?)
    }

    fn collect(
        &self,
        source: &mut dyn Source,
        consumer: &mut dyn Consumer,
        out: &Out,
    ) -> Result<Collected, Failure> {
        let mut progress = out.progress(&clean(&format!("reading {}", source.name())));
        Ok(collect(source, self.period(), consumer, &mut progress)?)
    }

    fn period(&self) -> Period {
        Period::new(self.since, self.until, clock::now())
    }

    fn raw(&self, source: &mut dyn Source, out: &mut Out) -> Result<(), Failure> {
        let to_terminal = out.is_terminal();
        // The lines themselves show progress; a bar between them would only disturb.
        let mut raw = Raw::new(out.stream(), to_terminal);
        let collected = collect(source, self.period(), &mut raw, &mut ())?;
        out.stream().flush()?;
        tell_notes(&collected, out);
        Ok(())
    }

    fn export(&self, source: &mut dyn Source, path: &Path, out: &mut Out) -> Result<(), Failure> {
        if path == Path::new("-") {
            let mut csv = Csv::new(out.stream())?;
            // As for `--raw`, the rows show progress.
            let collected = collect(source, self.period(), &mut csv, &mut ())?;
            csv.finish()?;
            out.stream().flush()?;
            tell_notes(&collected, out);
            return Ok(());
        }
        let fail = |error| cant_write(path, error);
        let mut csv = NewFile::given(path).and_then(Csv::new).map_err(fail)?;
        let collected = self.collect(source, &mut csv, out)?;
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
            write(out.stream())?;
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
        Ok(out.stream().flush()?)
    }
}

/// This machine's own numbers. A spool that can't be read is no failure; the dashboard says why.
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
        stats: stats.map_err(|error| Failure::from(error).told()),
    }
}

/// Says on stderr what a person should know about the numbers.
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
    // The reader of a pipe that was named as a file has seen enough.
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return error.into();
    }
    let text = format!("failed to write `{}`: {error}", path.display());
    Failure::new(code_of(&error), text)
        .hint("name a file in a directory that is there and writable")
}
