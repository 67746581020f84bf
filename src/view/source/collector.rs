//! A collector: its raw events, page by page, in the order of their ids. Each page is cached in the
//! home with its ETag, so that the next view only asks whether it has changed.

use std::io::Read as _;

use uuid::Uuid;

use super::{Pass, Source, ViewError};
use crate::destination::verdict::Verdict;
use crate::destination::{CollectorReader, EventsPage, ReadError, Unconfirmed};
use crate::event::Payload;
use crate::home::{CacheRoom, CachedLines, Home};
use crate::limits::COLLECTOR_PAGES;
use crate::request;

/// A collector, and the home with the cache.
#[derive(Debug)]
pub(super) struct CollectorSource {
    reader: CollectorReader,
    home: Home,
    room: CacheRoom,
}

impl CollectorSource {
    /// Contacts nobody yet.
    #[must_use]
    pub(super) fn new(reader: CollectorReader, home: Home) -> Self {
        Self {
            reader,
            home,
            room: CacheRoom::default(),
        }
    }

    fn fail(&self, source: ReadError) -> ViewError {
        ViewError::Destination {
            target: self.reader.target().clone(),
            source,
        }
    }

    /// The lines of a page, and whether another page follows.
    fn page(&mut self, address: &str) -> Result<(Vec<u8>, bool), ViewError> {
        let cached = self.home.cached_lines(address);
        let etag = cached.as_ref().map(|cached| cached.etag.as_str());
        let fetched = self.reader.fetch(address, etag);
        if let Err(ReadError::Limited { why, until, .. }) = &fetched {
            let limited = Unconfirmed {
                verdict: Verdict::RateLimited(*until),
                ..Unconfirmed::later(why.clone())
            };
            request::remember(&self.home, self.reader.target(), &limited);
        }
        let page = fetched.map_err(|error| self.fail(error))?;
        let lines = match (&page.lines, cached) {
            (Some(lines), _) => {
                self.keep(address, &page, lines);
                lines.clone()
            }
            (None, Some(cached)) => {
                self.room.take(cached.bytes);
                read(cached).map_err(|source| ViewError::Read {
                    path: "view-cache".into(),
                    source,
                })?
            }
            (None, None) => Vec::new(),
        };
        Ok((lines, page.has_next))
    }

    /// Caches a page. Failing to do so is not an error, because the numbers are the same without a
    /// cache.
    fn keep(&mut self, address: &str, page: &EventsPage, lines: &[u8]) {
        let Some(etag) = &page.etag else { return };
        if !self.room.take(lines.len() as u64) {
            return;
        }
        if let Ok(mut cache) = self.home.cache_lines(address, etag, &[])
            && cache.add(lines).is_ok()
        {
            let _ = cache.commit();
        }
    }
}

fn read(mut cached: CachedLines) -> std::io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    cached.lines.read_to_end(&mut lines)?;
    Ok(lines)
}

/// The id of the last event of a page.
fn last_id(lines: &[u8]) -> Option<Uuid> {
    let line = lines
        .trim_ascii_end()
        .rsplit(|byte| *byte == b'\n')
        .next()?;
    let id = Payload::event_id_of(std::str::from_utf8(line).ok()?);
    (!id.is_nil()).then_some(id)
}

impl Source for CollectorSource {
    fn name(&self) -> String {
        self.reader.target().to_string()
    }

    fn read(&mut self, pass: &mut Pass<'_>) -> Result<(), ViewError> {
        if let Some(until) = request::rate_limited(&self.home, self.reader.target()) {
            return Err(self.fail(ReadError::Limited {
                why: "the collector asked us to wait".to_owned(),
                until,
                with_token: true,
            }));
        }
        let since = pass.since_day();
        let mut after = None;
        for _ in 0..COLLECTOR_PAGES {
            let (lines, has_next) = self.page(&self.reader.page(since, after))?;
            pass.expect(lines.len() as u64);
            pass.lines("the collector's events", lines.as_slice())?;
            if !has_next {
                return Ok(());
            }
            let last = last_id(&lines);
            if last <= after {
                break;
            }
            after = last;
        }
        pass.incomplete("the collector's pages do not come to an end".to_owned());
        Ok(())
    }
}
