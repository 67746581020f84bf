//! Rules of this repository that the compiler does not check, verified on the sources and the
//! documents.

use std::fs;
use std::path::{Path, PathBuf};

use jmo_telemetry::consent::CI_VARIABLES;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `src/`, as a path from the root of the repository.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path.strip_prefix(root()).expect("is in it").to_owned());
            }
        }
    }
    assert!(found.len() > 100, "the sources were found");
    found
}

/// The places that may name a kind of destination, and why.
const MAY_NAME_A_KIND: [(&str, &str); 6] = [
    ("src/destination/", "each kind has its file there"),
    (
        "src/view/source/",
        "reading back has one file per kind, too",
    ),
    (
        "src/flush/protocol/",
        "the tests' model of the protocol has each kind",
    ),
    ("src/limits.rs", "every limit stands there, with its reason"),
    ("src/fuzzing.rs", "names each parser that the fuzzer tries"),
    ("src/lib.rs", "explains to newcomers where events go"),
];

/// Names that look like a kind of destination but are none.
const HARMLESS: [&str; 1] = ["GITHUB_ACTIONS"];

/// Whether a line names a kind. The word may be the beginning of a longer name (`GistReader`), but
/// not its end (`registry`).
fn names_a_kind(line: &str) -> bool {
    let line = HARMLESS
        .iter()
        .fold(line.to_owned(), |line, harmless| line.replace(harmless, ""));
    let lower = line.to_ascii_lowercase();
    ["gist", "github", "collector", "dir:/", "target::dir"]
        .iter()
        .any(|word| {
            lower.match_indices(word).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let starts = line[at..].starts_with(|first: char| first.is_ascii_uppercase());
                starts || !before.is_some_and(char::is_alphabetic)
            })
        })
}

/// The lines of a source before its tests. (A test may compare with the collector's own files.)
fn without_tests(path: &Path) -> Vec<String> {
    if path.ends_with("tests.rs") {
        return Vec::new();
    }
    let text = fs::read_to_string(root().join(path)).expect("reads");
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
    lines.map(str::to_owned).collect()
}

#[test]
fn no_file_outside_of_the_destinations_names_a_kind_of_destination() {
    let mut named = Vec::new();
    for path in sources() {
        let name = path.to_string_lossy();
        if MAY_NAME_A_KIND
            .iter()
            .any(|(place, _)| name.starts_with(place))
        {
            continue;
        }
        for (number, line) in without_tests(&path).iter().enumerate() {
            if names_a_kind(line) {
                named.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(named.is_empty(), "{}", named.join("\n"));
}

#[test]
fn a_line_that_names_a_kind_is_recognized() {
    for line in [
        "Kind::Gist(_) =>",
        "a collector",
        "\"gist:ID\"",
        "the GitHub API",
        "Target::dir(path)",
    ] {
        assert!(names_a_kind(line), "{line}");
    }
    for line in [
        "<RegistrationInfo>",
        "\"GITHUB_ACTIONS\",",
        "the registry",
        "working_dir: &Path",
    ] {
        assert!(!names_a_kind(line), "{line}");
    }
}

/// Every file that a document names in backticks exists.
#[test]
fn the_documents_name_files_that_exist() {
    let mut missing = Vec::new();
    for document in [
        "docs/design.md",
        "docs/reference.md",
        "docs/events.md",
        "CONTRIBUTING.md",
    ] {
        let text = fs::read_to_string(root().join(document)).expect("reads");
        let names = text.split('`').skip(1).step_by(2);
        let is_path = |name: &&str| {
            let inside = name.starts_with("src/") || name.starts_with("tests/");
            inside || name.ends_with(".rs")
        };
        let paths = names.filter(is_path);
        let mut any = false;
        for path in paths {
            any = true;
            // It may be followed by arguments.
            let path = path.split([' ', ',']).next().unwrap_or_default();
            if !root().join(path).exists() {
                missing.push(format!("{document}: {path}"));
            }
        }
        assert!(
            any || document == "docs/events.md",
            "{document} names files"
        );
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Every item that docs/design.md names as `path::item` exists.
#[test]
fn the_design_names_items_that_exist() {
    let text = fs::read_to_string(root().join("docs/design.md")).expect("reads");
    let code: String = sources()
        .iter()
        .map(|path| fs::read_to_string(root().join(path)).expect("reads"))
        .collect();
    let is_name = |word: &str| {
        let mut letters = word.chars();
        letters.all(|c| c.is_ascii_alphanumeric() || c == '_') && !word.is_empty()
    };
    let is_defined = |name: &str| {
        let kinds = [
            "fn", "struct", "enum", "trait", "mod", "const", "static", "type",
        ];
        kinds.iter().any(|kind| {
            let definition = format!("{kind} {name}");
            code.match_indices(&definition).any(|(at, found)| {
                let next = code[at + found.len()..].chars().next();
                !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
            })
        })
    };
    let spans = text.split('`').skip(1).step_by(2);
    let paths: Vec<Vec<&str>> = spans
        .map(|span| span.split("::").collect::<Vec<_>>())
        .filter(|path| path.len() > 1 && path.iter().all(|name| is_name(name)))
        .collect();
    assert!(paths.len() > 10, "the design names items");
    let missing: Vec<_> = paths
        .iter()
        .flatten()
        .filter(|name| !is_defined(name))
        .collect();
    assert!(missing.is_empty(), "not defined any more: {missing:?}");
}

/// Files in other languages that list the variables of CI systems; they can't ask the program.
const LISTS_OF_CI_VARIABLES: [&str; 4] = [
    "python/jmo_telemetry/compat.py",
    "tests/main-job.sh",
    "packaging/check.sh",
    "tests/other-systems.sh",
];

#[test]
fn every_list_of_ci_variables_is_the_programs_own() {
    let all = CI_VARIABLES.join(" ");
    for path in LISTS_OF_CI_VARIABLES {
        let text = fs::read_to_string(root().join(path)).expect("reads");
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        assert!(
            words.join(" ").contains(&format!(" {all} ")),
            "{path} lists {all}"
        );
    }
}

/// The names in a mangled path: each is preceded by its length.
fn names_in(mangled: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = mangled;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[start..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (length, after) = rest.split_at(digits);
        let name = length.parse().ok().and_then(|length| after.get(..length));
        names.extend(name);
        rest = &after[name.map_or(0, str::len)..];
    }
    names
}

#[test]
fn the_script_for_the_linker_names_functions_that_exist() {
    let sources: String = sources()
        .iter()
        .map(|path| fs::read_to_string(root().join(path)).expect("a source"))
        .collect();
    let script = fs::read_to_string(root().join("src/record.ld")).expect("the linker's script");
    let ours: Vec<_> = script
        .lines()
        .filter(|line| line.contains("_ZN13jmo_telemetry"))
        .filter_map(|line| names_in(line).into_iter().rfind(|name| !name.contains('$')))
        .collect();
    assert!(ours.len() > 20, "the script lists our functions: {ours:?}");
    for name in ours {
        assert!(
            sources.contains(&format!("fn {name}(")) || sources.contains(&format!("fn {name}<")),
            "src/record.ld names the function `{name}`, which does not exist: rename it there too, or run \
             benches/order.py"
        );
    }
}
