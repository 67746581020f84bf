//! GitHub's answer: a Gist as JSON, parsed while it is received. Only the requested parts of its
//! files are kept, so that no answer takes more memory than those, however large or strange it is.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::limits::{ANSWER_BYTES, ANSWER_DEPTH, ANSWER_STRING_BYTES, GIST_FILES};

/// Which parts of a Gist's files are kept.
pub(super) trait Extract {
    /// What is kept of a file's content.
    type Content;
    /// Whether contents are parsed at all.
    const CONTENTS: bool = true;
    /// Whether the file of this name is kept.
    fn wants(&self, name: &str) -> bool;
    /// Extracts what is kept of this content; `None` to treat it as missing.
    fn content(&mut self, content: &str) -> Option<Self::Content>;
}

/// A Gist as the API returns it.
pub(super) struct GistAnswer<C> {
    pub(super) id: String,
    pub(super) description: Option<String>,
    /// Whether there are more files than the 300 that GitHub lists.
    pub(super) truncated: bool,
    /// The commit of this state of the Gist: the first in its history.
    pub(super) commit: Option<String>,
    /// The name and the `raw_url` of any one of the listed files.
    pub(super) example: Option<(String, String)>,
    /// The names of all listed files.
    pub(super) names: HashSet<String>,
    /// The files that were wanted.
    pub(super) files: BTreeMap<String, FileAnswer<C>>,
}

/// A file as the API returns it.
pub(super) struct FileAnswer<C> {
    pub(super) size: Option<u64>,
    pub(super) raw_url: Option<String>,
    /// Whether the content is incomplete.
    pub(super) truncated: bool,
    pub(super) content: Option<C>,
}

impl<C> Default for FileAnswer<C> {
    fn default() -> Self {
        Self {
            size: None,
            raw_url: None,
            truncated: false,
            content: None,
        }
    }
}

/// Reads a Gist.
pub(super) fn read<K: Extract>(
    body: impl Read,
    keep: &mut K,
) -> serde_json::Result<GistAnswer<K::Content>> {
    let bounded = Bounded {
        inner: body.take(ANSWER_BYTES),
        depth: 0,
        string: None,
        escaped: false,
    };
    let reader = BufReader::with_capacity(64 * 1024, bounded);
    let mut json = serde_json::Deserializer::from_reader(reader);
    let gist = GistSeed(keep).deserialize(&mut json)?;
    json.end()?;
    Ok(gist)
}

/// A JSON body that fails when a string is longer, or a value is nested more deeply, than in any
/// answer of GitHub. The parser would have to hold such a string or such nesting in memory.
struct Bounded<R> {
    inner: R,
    depth: usize,
    /// The length of the current string so far, inside a string.
    string: Option<usize>,
    escaped: bool,
}

impl<R> Bounded<R> {
    fn pass(&mut self, byte: u8) -> bool {
        match (&mut self.string, byte) {
            (Some(_), b'"') if !self.escaped => self.string = None,
            (Some(length), _) => {
                *length += 1;
                self.escaped = byte == b'\\' && !self.escaped;
            }
            (None, b'"') => self.string = Some(0),
            (None, b'{' | b'[') => self.depth += 1,
            (None, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            (None, _) => {}
        }
        self.depth <= ANSWER_DEPTH
            && self
                .string
                .is_none_or(|length| length <= ANSWER_STRING_BYTES)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let fits = buffer[..read].iter().all(|byte| self.pass(*byte));
        fits.then_some(read)
            .ok_or_else(|| io::Error::other("the answer is larger than any of GitHub's"))
    }
}

struct GistSeed<'k, K>(&'k mut K);

impl<'de, K: Extract> DeserializeSeed<'de> for GistSeed<'_, K> {
    type Value = GistAnswer<K::Content>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, K: Extract> Visitor<'de> for GistSeed<'_, K> {
    type Value = GistAnswer<K::Content>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Gist")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut id = None;
        let mut gist = GistAnswer {
            id: String::new(),
            description: None,
            truncated: false,
            commit: None,
            example: None,
            names: HashSet::new(),
            files: BTreeMap::new(),
        };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => id = Some(map.next_value()?),
                "description" => gist.description = map.next_value()?,
                "truncated" => gist.truncated = map.next_value::<Option<bool>>()?.unwrap_or(false),
                "files" => map.next_value_seed(FilesSeed(self.0, &mut gist))?,
                "history" => gist.commit = map.next_value::<Newest>()?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        gist.id = id.ok_or_else(|| serde::de::Error::missing_field("id"))?;
        Ok(gist)
    }
}

/// The newest commit of a history.
struct Newest(Option<String>);

impl<'de> Deserialize<'de> for Newest {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(NewestVisitor)
    }
}

struct NewestVisitor;

impl<'de> Visitor<'de> for NewestVisitor {
    type Value = Newest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the history of a Gist")
    }

    fn visit_unit<E>(self) -> Result<Newest, E> {
        Ok(Newest(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut commits: A) -> Result<Newest, A::Error> {
        #[derive(Deserialize)]
        struct Commit {
            version: Option<String>,
        }
        let newest = commits.next_element::<Option<Commit>>()?.flatten();
        while commits.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Newest(newest.and_then(|commit| commit.version)))
    }
}

struct FilesSeed<'k, K: Extract>(&'k mut K, &'k mut GistAnswer<K::Content>);

impl<'de, K: Extract> DeserializeSeed<'de> for FilesSeed<'_, K> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, K: Extract> Visitor<'de> for FilesSeed<'_, K> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the files of a Gist")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(keep, gist) = self;
        while let Some(name) = map.next_key::<String>()? {
            let known = gist.names.contains(&name);
            if name.len() > 255 || (!known && gist.names.len() == GIST_FILES) {
                gist.truncated = true;
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let wanted = keep.wants(&name);
            if !wanted && gist.example.is_some() {
                map.next_value::<IgnoredAny>()?;
            } else if let Some(file) = map.next_value_seed(FileSeed(keep))? {
                if gist.example.is_none() {
                    gist.example = file.raw_url.clone().map(|url| (name.clone(), url));
                }
                if wanted {
                    gist.files.insert(name.clone(), file);
                }
            }
            gist.names.insert(name);
        }
        Ok(())
    }
}

struct FileSeed<'k, K>(&'k mut K);

impl<'de, K: Extract> DeserializeSeed<'de> for FileSeed<'_, K> {
    type Value = Option<FileAnswer<K::Content>>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, K: Extract> Visitor<'de> for FileSeed<'_, K> {
    type Value = Option<FileAnswer<K::Content>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a file of a Gist")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut file = FileAnswer::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "size" => file.size = map.next_value()?,
                "raw_url" => {
                    let url: Option<String> = map.next_value()?;
                    file.raw_url = url.filter(|url| url.len() <= 4096);
                }
                "truncated" => file.truncated = map.next_value::<Option<bool>>()?.unwrap_or(false),
                "content" if K::CONTENTS => {
                    file.content = map.next_value_seed(ContentSeed(self.0, PhantomData))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(file))
    }
}

struct ContentSeed<'k, 'de, K>(&'k mut K, PhantomData<&'de ()>);

impl<'de, K: Extract> DeserializeSeed<'de> for ContentSeed<'_, 'de, K> {
    type Value = Option<K::Content>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_option(self)
    }
}

impl<'de, K: Extract> Visitor<'de> for ContentSeed<'_, 'de, K> {
    type Value = Option<K::Content>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a file's content")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }

    fn visit_str<E>(self, content: &str) -> Result<Self::Value, E> {
        Ok(self.0.content(content))
    }
}

/// Reads an answer, keeping every file.
#[cfg(fuzzing)]
pub(crate) fn read_for_fuzzing(body: &[u8]) {
    struct All;
    impl Extract for All {
        type Content = usize;
        fn wants(&self, _: &str) -> bool {
            true
        }
        fn content(&mut self, content: &str) -> Option<usize> {
            Some(content.len())
        }
    }
    let _ = read(body, &mut All);
}
