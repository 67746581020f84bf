//! Files of the repository that are generated from the program's own tables. The tests fail when
//! one is stale.

use std::path::Path;

/// Checks that the part of a document between the comments `<!-- NAME: … -->` and `<!-- end -->` is
/// up to date. With `REGENERATE=1`, writes it.
pub(crate) fn part_is_fresh(path: &str, name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let document = std::fs::read_to_string(file).expect("reads");
    let begin = format!("<!-- {name}: ");
    let start = document.find(&begin).expect("the part begins");
    let start = start + document[start..].find("-->\n\n").expect("a comment ends") + 5;
    let end = start
        + document[start..]
            .find("\n<!-- end -->")
            .expect("the part ends");
    let fresh = format!("{}{text}{}", &document[..start], &document[end..]);
    is_fresh(path, &fresh);
}

/// Checks that a generated file is up to date. With `REGENERATE=1`, writes it.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests")]
pub(crate) fn is_fresh(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::write(&file, text).expect("writes");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "{path} is stale; run `REGENERATE=1 cargo test --lib generated`"
    );
}
