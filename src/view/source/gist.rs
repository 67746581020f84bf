//! A Gist: our segments, and the former module's single file. Its content is cached in the home
//! with its ETag, so that viewing it again does not count against the rate limit.

use super::dir::is_jsonl;
use super::{Pass, Source, ViewError};
use crate::destination::Unconfirmed;
use crate::destination::verdict::Verdict;
use crate::destination::{Content, Fetched, GistFile, GistReader, Listing, ReadError};
use crate::home::{CachedLines, Home, NewCache};
use crate::request;
use crate::terminal::clean;

/// A Gist, and the home with the cache.
#[derive(Debug)]
pub(super) struct GistSource {
    reader: GistReader,
    home: Home,
}

impl GistSource {
    /// Contacts nobody yet.
    #[must_use]
    pub(super) fn new(reader: GistReader, home: Home) -> Self {
        Self { reader, home }
    }

    fn fresh(&self, listing: Listing, pass: &mut Pass<'_>) -> Result<(), ViewError> {
        let mut incomplete = Vec::new();
        if listing.more_files {
            incomplete.push(
                "the Gist has more files than GitHub lists (300); the others are not counted"
                    .to_owned(),
            );
        }
        let etag = listing.etag.as_deref();
        // Failing to write the cache is not an error, because the numbers are the same without it.
        let mut cache = etag.and_then(|etag| {
            self.home
                .cache_lines(self.reader.address(), etag, &incomplete)
                .ok()
        });
        for why in incomplete {
            pass.incomplete(why);
        }
        for file in listing.files {
            if !is_jsonl(&file.name) {
                continue;
            }
            let name = clean(&file.name);
            match self.content(file, pass) {
                Ok(content) => {
                    cache = cache.and_then(|cache| kept(cache, &content));
                    pass.lines(&name, content.as_slice())?;
                }
                Err(Missing { why, some }) => {
                    // Not cached, because the next request may return the whole file.
                    cache = None;
                    pass.incomplete(format!("failed to read all of {name}: {why}"));
                    pass.lines(&name, some.as_slice())?;
                }
            }
        }
        if let Some(cache) = cache {
            let _ = cache.commit();
        }
        Ok(())
    }

    /// The whole content of a file, from the answer or from its `raw_url`.
    fn content(&self, file: GistFile, pass: &mut Pass<'_>) -> Result<Vec<u8>, Missing> {
        let nothing = |why: String| Missing {
            why,
            some: Vec::new(),
        };
        let url = match file.content {
            Content::Whole(content) => return Ok(content.into_bytes()),
            Content::AtUrl(url) => url,
            Content::Unknown => return Err(nothing("GitHub does not say where it is".to_owned())),
        };
        let content = self
            .reader
            .fetch_raw(&url, &mut |bytes| pass.progress().advance(bytes))
            .map_err(nothing)?;
        match file.size {
            Some(size) if size != content.len() as u64 => Err(Missing {
                why: format!("{} of {size} bytes came", content.len()),
                some: content,
            }),
            _ => Ok(content),
        }
    }
}

/// A file that could not be read, or not completely.
struct Missing {
    why: String,
    some: Vec<u8>,
}

fn kept(mut cache: NewCache, content: &[u8]) -> Option<NewCache> {
    cache.add(content).ok().map(|()| cache)
}

impl Source for GistSource {
    fn name(&self) -> String {
        self.reader.target().to_string()
    }

    fn read(&mut self, pass: &mut Pass<'_>) -> Result<(), ViewError> {
        let fail = |source| ViewError::Destination {
            target: self.reader.target().clone(),
            source,
        };
        if let Some(until) = request::rate_limited(&self.home, self.reader.target()) {
            return Err(fail(ReadError::Limited {
                why: "GitHub asked us to wait".to_owned(),
                until,
                with_token: true,
            }));
        }
        let cached = self.home.cached_lines(self.reader.address());
        let etag = cached.as_ref().map(|cached| cached.etag.as_str());
        let fetched = self
            .reader
            .fetch(etag, &mut |bytes| pass.progress().advance(bytes));
        if let Err(ReadError::Limited {
            why,
            until,
            with_token: true,
        }) = &fetched
        {
            let limited = Unconfirmed {
                verdict: Verdict::RateLimited(*until),
                ..Unconfirmed::later(why.clone())
            };
            request::remember(&self.home, self.reader.target(), &limited);
        }
        let fetched = fetched.map_err(fail)?;
        match (fetched, cached) {
            (Fetched::Listing(listing), _) => self.fresh(listing, pass),
            (Fetched::NotModified, Some(cached)) => again(cached, pass),
            (Fetched::NotModified, None) => Ok(()),
        }
    }
}

/// Reads the cached content.
fn again(cached: CachedLines, pass: &mut Pass<'_>) -> Result<(), ViewError> {
    for why in cached.incomplete {
        pass.incomplete(why);
    }
    pass.expect(cached.bytes);
    pass.lines("view-cache", cached.lines)
}
