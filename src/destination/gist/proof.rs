//! What proves a write or a deletion: the answer, or the file itself if the answer does not list
//! all files.

use super::Gist;
use super::answer::GistAnswer;
use super::unlisted::Unlisted;
use crate::destination::Unconfirmed;
use crate::destination::http::unproven;
use crate::destination::segment::{Receipt, SegmentFile};

impl Gist {
    /// The proof of a write: the answer lists our file with our size. If it does not list all
    /// files: our file, read on its own, has our content.
    pub(super) fn proof_of_write(
        &self,
        gist: &GistAnswer<()>,
        file: &SegmentFile,
        unlisted: &mut Unlisted<'_>,
    ) -> Result<Receipt, Unproven> {
        let ours = Receipt::of(file.content.as_bytes(), String::new());
        let url = match gist.files.get(&file.name) {
            Some(found) if found.size == Some(ours.bytes as u64) => self.place(found),
            Some(_) => {
                return Err(Unproven::Answer(
                    "the answer gives a different size for our file",
                ));
            }
            None if !gist.truncated => {
                return Err(Unproven::Answer("the answer does not name our file"));
            }
            None => match unlisted.read(&file.name) {
                Ok(Some(there)) if there.receipt.sha256 == ours.sha256 => there.receipt.url,
                Ok(Some(_)) => {
                    return Err(Unproven::Unlisted("it is not what was sent".to_owned()));
                }
                Ok(None) => return Err(Unproven::Unlisted("it is not there".to_owned())),
                Err(why) => return Err(Unproven::Unlisted(why)),
            },
        };
        Ok(Receipt { url, ..ours })
    }

    /// The proof of a deletion: the answer does not list the file, and if it does not list all
    /// files, reading the file on its own finds nothing.
    pub(super) fn proof_of_deletion(
        &self,
        gist: &GistAnswer<()>,
        name: &str,
        unlisted: &mut Unlisted<'_>,
    ) -> Result<(), Unproven> {
        const STILL_THERE: Unproven = Unproven::Answer("a deleted file is still there");
        if gist.names.contains(name) {
            return Err(STILL_THERE);
        }
        if !gist.truncated {
            return Ok(());
        }
        match unlisted.read(name) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(STILL_THERE),
            Err(why) => Err(Unproven::Unlisted(why)),
        }
    }
}

/// Why an answer proves nothing.
pub(super) enum Unproven {
    /// Because of what it says.
    Answer(&'static str),
    /// It does not list all files, and one of ours could not be confirmed on its own.
    Unlisted(String),
}

impl Unproven {
    pub(super) fn into_unconfirmed(self, status: u16) -> Unconfirmed {
        match self {
            Self::Answer(why) => unproven(status, why),
            Self::Unlisted(why) => unproven(
                status,
                &format!(
                    "the Gist has more files than GitHub lists (300), and ours could not be read on its own ({why}); connect another Gist or a collector"
                ),
            ),
        }
    }
}
