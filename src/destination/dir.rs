//! A directory as a destination: the embedded one for trying it out, for air-gapped transfer, and
//! for tests. Files appear in one step and are durable.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Destination, Reply};
use crate::destination::Target;
use crate::destination::segment::{Receipt, SegmentFile};
use crate::files::NewFile;

/// A directory, made when the first file is written.
pub(super) struct Dir {
    path: PathBuf,
    target: Target,
}

impl Dir {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            target: Target::Dir(path.to_owned()),
        }
    }

    fn reply(&self, operation: &str, result: io::Result<Vec<Receipt>>) -> Reply {
        match result {
            Ok(receipts) => Reply::Proved {
                receipts,
                http_status: None,
            },
            Err(error) => Reply::Unproven {
                answer: None,
                error: format!("failed to {operation} `{}`: {error}", self.path.display()),
            },
        }
    }

    fn receipt(&self, file: &SegmentFile) -> Receipt {
        Receipt::of(file, self.path.join(&file.name).display().to_string())
    }
}

impl Destination for Dir {
    fn target(&self) -> &Target {
        &self.target
    }

    fn configuration(&self) -> String {
        String::new()
    }

    fn spacing(&self) -> Duration {
        Duration::ZERO
    }

    fn write(&mut self, segments: &[SegmentFile], _: Duration) -> Reply {
        let write = |file: &SegmentFile| {
            let mut new = NewFile::shared(&self.path.join(&file.name))?;
            new.write_all(file.content.as_bytes())?;
            new.finish()?;
            Ok(self.receipt(file))
        };
        let result =
            fs::create_dir_all(&self.path).and_then(|()| segments.iter().map(write).collect());
        self.reply("write to", result)
    }

    fn look(&mut self, segments: &[SegmentFile], _: Duration) -> Reply {
        let look = |file: &SegmentFile| {
            let same = fs::read(self.path.join(&file.name))? == file.content.as_bytes();
            same.then(|| self.receipt(file))
                .ok_or_else(|| io::Error::other("a file has another content"))
        };
        self.reply("look into", segments.iter().map(look).collect())
    }

    fn present(&mut self, names: &[String], _: Duration) -> Result<Vec<String>, Reply> {
        let present = |name: &&String| self.path.join(name).exists();
        Ok(names.iter().filter(present).cloned().collect())
    }

    fn delete(&mut self, names: &[String], _: Duration) -> Reply {
        let delete = |name: &String| match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        self.reply(
            "delete from",
            names.iter().try_for_each(delete).map(|()| Vec::new()),
        )
    }

    fn probe(&mut self, _: Duration) -> Reply {
        let probe = || {
            fs::create_dir_all(&self.path)?;
            let file = self.path.join(".jmo-telemetry.probe");
            fs::write(&file, b"")?;
            fs::remove_file(&file)
        };
        let result = probe().map(|()| Vec::new());
        self.reply("write to", result)
    }
}
