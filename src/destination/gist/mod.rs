//! A GitHub Gist as a destination. One request writes several of its files by name, and the answer
//! to each request is the whole Gist.

mod answer;
mod api;
mod info;
mod proof;
pub(super) mod read;
mod unlisted;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::Serialize;

#[cfg(fuzzing)]
pub(crate) use self::answer::read_for_fuzzing;
use self::answer::{Extract, FileAnswer, GistAnswer};
pub(super) use self::api::Access;
use self::api::Api;
pub(super) use self::info::{INFO, read_advice};
use self::unlisted::Unlisted;
use super::config::{Chosen, ConfigError};
use super::http::{describe, refusal, unproven};
use super::{
    Answer, Capabilities, Confirmed, Destination, RemoteFile, Seen, Target, Unconfirmed,
    UploadError, Wanted,
};
use crate::clock::Deadline;
use crate::destination::segment::{self, Receipt, SegmentFile};
use crate::destination::verdict::Verdict;
use crate::env::Environment;
use crate::limits::{GITHUB_WRITE_SPACING, REQUEST_TIMEOUT, SEGMENT_BYTES, SEGMENTS_PER_REQUEST};

/// What a Gist can do, and its limits.
pub(super) const CAPABILITIES: Capabilities = Capabilities {
    segments_grow: true,
    max_bytes: SEGMENT_BYTES,
    max_events: usize::MAX,
    segments_per_request: SEGMENTS_PER_REQUEST,
    spacing: GITHUB_WRITE_SPACING,
    can_look: true,
    uses_network: true,
};

/// The Gist that the environment names. It counts as the user's own choice.
pub(super) fn named_by(environment: &Environment) -> Result<Option<Chosen>, ConfigError> {
    let named = environment.get(info::ID).map(|id| Target::gist(id.trim()));
    let target = named.transpose().map_err(|source| ConfigError::Variable {
        name: info::ID,
        source,
    })?;
    Ok(target.map(Chosen::by_user))
}

/// One Gist, and the token of its owner.
pub(super) struct Gist {
    target: Target,
    id: String,
    api: Api,
    fingerprint: String,
}

impl Gist {
    /// Contacts nobody.
    pub(super) fn new(id: &str, access: &Access) -> Result<Self, UploadError> {
        let token = access.token.as_ref().ok_or(UploadError::NoToken)?;
        let api = Api::new(id, access)?;
        // Salted with the address and truncated, so that it reveals a change and nothing else.
        let fingerprint = segment::sha256(format!("{}\n{}", api.url(), token.expose()).as_bytes())
            [..16]
            .to_owned();
        Ok(Self {
            target: Target::gist(id).map_err(|_| UploadError::BadApi)?,
            id: id.to_owned(),
            api,
            fingerprint,
        })
    }

    fn get<K: Extract>(&self, timeout: Duration, keep: &mut K) -> Answer<GistAnswer<K::Content>> {
        self.send(&Method::GET, &[], timeout, keep)
    }

    /// Changes the Gist. The answer is the whole Gist.
    fn patch<K: Extract>(
        &self,
        body: &impl Serialize,
        timeout: Duration,
        keep: &mut K,
    ) -> Answer<GistAnswer<K::Content>> {
        let body = serde_json::to_vec(body).expect("strings serialize");
        self.send(&Method::PATCH, &body, timeout, keep)
    }

    /// Makes a request and reads the Gist from the answer.
    fn send<K: Extract>(
        &self,
        method: &Method,
        body: &[u8],
        timeout: Duration,
        keep: &mut K,
    ) -> Answer<GistAnswer<K::Content>> {
        let deadline = Deadline::after(timeout.min(REQUEST_TIMEOUT));
        let response = self.api.send(method, |request| {
            let request = request.timeout(deadline.left());
            if body.is_empty() {
                return request;
            }
            request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_vec())
        });
        let response = response.map_err(|error| Unconfirmed::later(describe(error)))?;
        let status = response.status();
        if status != StatusCode::OK && status != StatusCode::CREATED {
            return Err(with_advice(refusal(response)));
        }
        let status = status.as_u16();
        let gist = answer::read(response, keep).map_err(|error| {
            unproven(
                status,
                if error.is_io() {
                    "the answer broke off"
                } else {
                    "the answer is not a Gist's; is there a login page or proxy in between?"
                },
            )
        })?;
        if gist.id != self.id {
            return Err(unproven(status, "the answer is of another Gist"));
        }
        Ok(Confirmed {
            proof: gist,
            http_status: Some(status),
        })
    }

    fn place<C>(&self, file: &FileAnswer<C>) -> String {
        let url = || self.api.url().to_string();
        file.raw_url.clone().unwrap_or_else(url)
    }

    /// A file as it is there. GitHub omits the content of a file that is too large, and sometimes
    /// of others when one file is. If such a file matters, it is read from its `raw_url`.
    fn remote_file(
        &self,
        name: &str,
        file: FileAnswer<RemoteFile>,
        wanted: Wanted<'_>,
        timeout: Duration,
    ) -> Option<RemoteFile> {
        let url = self.place(&file);
        let whole = file.content.filter(|there| {
            !file.truncated
                && file
                    .size
                    .is_none_or(|size| size == there.receipt.bytes as u64)
        });
        let mut there = match (whole, file.raw_url) {
            (Some(there), _) => there,
            (None, Some(raw)) if wanted.files.contains(name) => {
                let content = unlisted::read_raw(&self.api, &raw, timeout).ok()??;
                RemoteFile::of(&content, String::new())
            }
            (None, _) => return None,
        };
        there.receipt.url = url;
        Some(there)
    }
}

/// Adds what the user can do about it.
fn with_advice(unconfirmed: Unconfirmed) -> Unconfirmed {
    let advice = match (unconfirmed.verdict, unconfirmed.http_status) {
        (Verdict::Refused(_), Some(401)) => {
            "the token is not valid; make a new one with the scope `gist`, and connect again"
        }
        (Verdict::Refused(_), Some(403)) => {
            "the token may not write this Gist; it needs the scope `gist`"
        }
        (Verdict::Refused(_), _) => {
            "the Gist does not exist, or the token is not its owner's: only the owner can write a Gist"
        }
        _ => return unconfirmed,
    };
    Unconfirmed {
        advice: Some(advice.to_owned()),
        ..unconfirmed
    }
}

/// Keeps the sizes of these files.
struct Sizes<'n>(HashSet<&'n str>);

impl Extract for Sizes<'_> {
    type Content = ();
    const CONTENTS: bool = false;
    fn wants(&self, name: &str) -> bool {
        self.0.contains(name)
    }
    fn content(&mut self, _: &str) -> Option<()> {
        None
    }
}

/// Keeps the content of files that are named like segments.
struct Contents;

impl Extract for Contents {
    type Content = RemoteFile;
    fn wants(&self, name: &str) -> bool {
        segment::is_name(name)
    }
    fn content(&mut self, content: &str) -> Option<RemoteFile> {
        Some(RemoteFile::of(content.as_bytes(), String::new()))
    }
}

impl Destination for Gist {
    fn target(&self) -> &Target {
        &self.target
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn write(&mut self, files: &[SegmentFile], timeout: Duration) -> Answer<Vec<Receipt>> {
        let deadline = Deadline::after(timeout);
        // If somebody tampered with the database, a name could be that of any file of the Gist.
        if let Some(file) = files.iter().find(|file| !segment::is_name(&file.name)) {
            let name = file.name.escape_debug();
            return Err(Unconfirmed::later(format!(
                "`{name}` is not a segment's name"
            )));
        }
        let named = files.iter().map(|file| {
            let content = &file.content;
            (file.name.as_str(), Some(NewContent { content }))
        });
        let body = Patch {
            files: named.collect(),
        };
        let mut sizes = Sizes(files.iter().map(|file| file.name.as_str()).collect());
        let Confirmed { proof, http_status } = self.patch(&body, timeout, &mut sizes)?;
        let mut unlisted = Unlisted::of(self, &proof, deadline.left());
        let receipts = files
            .iter()
            .map(|file| self.proof_of_write(&proof, file, &mut unlisted))
            .collect::<Result<_, _>>()
            .map_err(|why| why.into_unconfirmed(http_status.unwrap_or_default()))?;
        Ok(Confirmed {
            proof: receipts,
            http_status,
        })
    }

    fn look(&mut self, wanted: Wanted<'_>, timeout: Duration) -> Answer<Seen> {
        let deadline = Deadline::after(timeout);
        let Confirmed {
            mut proof,
            http_status,
        } = self.get(timeout, &mut Contents)?;
        let mut seen = Seen {
            incomplete: proof.truncated,
            ..Seen::default()
        };
        for (name, file) in std::mem::take(&mut proof.files) {
            match self.remote_file(&name, file, wanted, deadline.left()) {
                Some(file) => seen.note_file(name, file, wanted),
                None => seen.note_unread(name, wanted),
            }
        }
        if proof.truncated {
            let mut unlisted = Unlisted::of(self, &proof, deadline.left());
            let unseen = wanted.files.difference(&proof.names);
            for name in unseen.filter(|name| segment::is_name(name)) {
                match unlisted.read(name) {
                    Ok(Some(file)) => seen.note_file(name.clone(), file, wanted),
                    Ok(None) => {}
                    Err(_) => seen.note_unread(name.clone(), wanted),
                }
            }
        }
        seen.names.extend(proof.names);
        Ok(Confirmed {
            proof: seen,
            http_status,
        })
    }

    fn delete(&mut self, names: &[String], timeout: Duration) -> Answer<()> {
        let body = Patch {
            files: names.iter().map(|name| (name.as_str(), None)).collect(),
        };
        let deadline = Deadline::after(timeout);
        let mut sizes = Sizes(HashSet::new());
        let Confirmed { proof, http_status } = self.patch(&body, timeout, &mut sizes)?;
        let mut unlisted = Unlisted::of(self, &proof, deadline.left());
        names
            .iter()
            .try_for_each(|name| self.proof_of_deletion(&proof, name, &mut unlisted))
            .map_err(|why| why.into_unconfirmed(http_status.unwrap_or_default()))?;
        Ok(Confirmed {
            proof: (),
            http_status,
        })
    }

    fn probe(&mut self, timeout: Duration) -> Answer<()> {
        let mut nothing = Sizes(HashSet::new());
        let seen = self.get(timeout, &mut nothing)?;
        // Writes the description that is already there, which only the owner may do.
        let description = seen.proof.description.unwrap_or_default();
        let unchanged = HashMap::from([("description", description)]);
        let http_status = match self.patch(&unchanged, timeout, &mut nothing) {
            Ok(answer) => answer.http_status,
            // A conflict means that nothing changed, which also shows that we may write.
            Err(answer) if answer.verdict == Verdict::Conflict => answer.http_status,
            Err(other) => return Err(other),
        };
        Ok(Confirmed {
            proof: (),
            http_status,
        })
    }
}

#[derive(Serialize)]
struct Patch<'a> {
    files: HashMap<&'a str, Option<NewContent<'a>>>,
}

#[derive(Serialize)]
struct NewContent<'a> {
    content: &'a str,
}
