//! Searches for data that must not be there, in every byte of every file, including those of SQLite.

use std::path::{Path, PathBuf};

/// Every file below a directory; none if the directory does not exist.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Where any of the needles is found below a directory, as `file: needle`. Ignores case.
pub(crate) fn traces_of<N: AsRef<str>>(needles: &[N], dir: &Path) -> Vec<String> {
    let found = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("a readable file");
        found_in(needles, &bytes, &path.display().to_string())
    };
    files_below(dir).iter().flat_map(found).collect()
}

/// The needles that these bytes contain, as `name: needle`. Ignores case.
pub(crate) fn found_in<N: AsRef<str>>(needles: &[N], bytes: &[u8], name: &str) -> Vec<String> {
    // Latin-1: every byte one character, so that binary files can be searched as text.
    let text: String = bytes
        .iter()
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    needles
        .iter()
        .map(|needle| needle.as_ref().to_ascii_lowercase())
        .filter(|needle| text.contains(needle.as_str()))
        .map(|needle| format!("{name}: {needle}"))
        .collect()
}
