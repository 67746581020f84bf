//! Reads files beyond the 300 that GitHub lists of a Gist. Many machines can share one Gist. Each
//! knows the names of its own files, so it reads an unlisted file from an address next to that of a
//! listed one.
//!
//! The `raw_url` of a listed file gives the pattern: it is `…/raw/HASH/NAME`, and the hash may also
//! be that of a commit. The commit is that of the answer, so what is read is neither older nor
//! newer than the answer.

use std::io::Read as _;
use std::time::Duration;

use reqwest::{StatusCode, Url};

use super::Gist;
use super::answer::GistAnswer;
use super::api::Api;
use crate::clock::Deadline;
use crate::destination::RemoteFile;
use crate::limits::{REQUEST_TIMEOUT, SEGMENT_BYTES};

/// The files of a Gist that an answer does not list.
pub(super) struct Unlisted<'g> {
    gist: &'g Gist,
    commit: Option<&'g str>,
    example: Option<&'g (String, String)>,
    deadline: Deadline,
    /// Whether a file that is known to exist could be read in this way.
    works: Option<bool>,
}

impl<'g> Unlisted<'g> {
    /// The unlisted files of this answer. Contacts nobody yet.
    pub(super) fn of<C>(gist: &'g Gist, answer: &'g GistAnswer<C>, timeout: Duration) -> Self {
        Self {
            gist,
            commit: answer.commit.as_deref().filter(|commit| is_hash(commit)),
            example: answer.example.as_ref(),
            deadline: Deadline::after(timeout),
            works: None,
        }
    }

    /// Reads a file. `None` when it does not exist.
    ///
    /// # Errors
    /// When that can't be determined; a reason for people to read.
    pub(super) fn read(&mut self, name: &str) -> Result<Option<RemoteFile>, String> {
        let url = self.address(name).ok_or("GitHub does not say where")?;
        match self.get(&url)? {
            Some(content) => Ok(Some(RemoteFile::of(&content, url))),
            // "Not found" is also the answer of a server that does not serve such addresses at all.
            None if self.works()? => Ok(None),
            None => Err("HTTP 404: Not Found".to_owned()),
        }
    }

    /// Whether a file that the answer lists is found at an address of the same pattern.
    fn works(&mut self) -> Result<bool, String> {
        if let Some(works) = self.works {
            return Ok(works);
        }
        let url = self.example.and_then(|(name, _)| self.address(name));
        let works = match url {
            Some(url) => self.get(&url)?.is_some(),
            None => false,
        };
        self.works = Some(works);
        Ok(works)
    }

    fn get(&self, url: &str) -> Result<Option<Vec<u8>>, String> {
        read_raw(&self.gist.api, url, self.deadline.left())
    }

    /// The address of a file of this name, if it exists.
    fn address(&self, name: &str) -> Option<String> {
        let (_, example) = self.example?;
        address_beside(example, self.commit, name)
    }
}

/// Reads a segment from an address that an answer named. `None` when there is none.
///
/// # Errors
/// When that can't be determined; a reason for people to read.
pub(super) fn read_raw(
    api: &Api,
    address: &str,
    timeout: Duration,
) -> Result<Option<Vec<u8>>, String> {
    let response = api.raw(address, timeout.min(REQUEST_TIMEOUT))?;
    match response.status() {
        StatusCode::OK => {
            let mut content = Vec::new();
            response
                .take(4 * SEGMENT_BYTES as u64)
                .read_to_end(&mut content)
                .map_err(|_| "the answer broke off")?;
            Ok(Some(content))
        }
        StatusCode::NOT_FOUND => Ok(None),
        other => Err(format!("HTTP {}", other.as_u16())),
    }
}

/// The address of a file in the same commit as another file whose address is known. Without a
/// commit, the address of its newest version.
fn address_beside(example: &str, commit: Option<&str>, name: &str) -> Option<String> {
    let mut url = Url::parse(example).ok()?;
    url.set_query(None);
    url.path_segments_mut().ok()?.pop();
    if url.path_segments()?.next_back().is_some_and(is_hash) {
        url.path_segments_mut().ok()?.pop().extend(commit);
    }
    url.path_segments_mut().ok()?.push(name);
    Some(url.into())
}

fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_for_next_to_another_in_the_commit_of_the_answer() {
        let blob = "0".repeat(40);
        let commit = "1".repeat(40);
        let base = "https://gist.githubusercontent.com/octocat/aa5a315d61ae9438b18d/raw";
        let beside = |example: &str, commit| address_beside(example, commit, "events-1.jsonl");
        let example = format!("{base}/{blob}/a%20file.md?token=1");
        assert_eq!(
            beside(&example, Some(&commit)),
            Some(format!("{base}/{commit}/events-1.jsonl"))
        );
        assert_eq!(
            beside(&example, None),
            Some(format!("{base}/events-1.jsonl"))
        );
        assert_eq!(
            beside("https://ghe.example.com/raw/1/README.md", Some(&commit)),
            Some("https://ghe.example.com/raw/1/events-1.jsonl".to_owned())
        );
        assert_eq!(beside("mailto:x", None), None);
    }
}
