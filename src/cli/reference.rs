//! Reference tables: environment variables, files of the home, exit codes and examples. The help,
//! the man pages and tables in the documents are generated from them.

use super::words;
use crate::consent::CI_VARIABLES;
use crate::destination;

/// The width for which help texts are formatted.
pub(super) const COLUMNS: usize = 80;

/// The environment variables, and what each means.
pub(super) fn environment() -> Vec<(&'static str, String)> {
    let [ci, other_ci @ ..] = CI_VARIABLES;
    let switches = [
        (
            "JMO_TELEMETRY_DISABLE",
            "1, true, yes, on or any other value disables telemetry; 0, false, no, off or an empty \
             value does not"
                .to_owned(),
        ),
        ("DO_NOT_TRACK", "1 or true disables telemetry".to_owned()),
        (
            ci,
            format!(
                "any value disables telemetry, and so does any value of {}",
                words::one_of(&other_ci)
            ),
        ),
    ];
    let of_destinations = destination::variables();
    let others = [
        (
            "JMO_TELEMETRY_SPOOL_MAX",
            "the size limit of the spool, such as 2GiB [default: 64MiB]",
        ),
        (
            "JMO_TELEMETRY_SHOWN",
            "1: no banner, because another program has shown it already",
        ),
        (
            "JMO_TELEMETRY_BIN",
            "the program that the Python client starts",
        ),
        ("HTTPS_PROXY", "the proxy for all uploads and downloads"),
        ("NO_PROXY", "hosts that are reached without the proxy"),
        (
            "SSL_CERT_FILE",
            "certificates to trust instead of the system's",
        ),
        ("NO_COLOR", "any value turns colours off"),
    ];
    let home = (
        "JMO_TELEMETRY_HOME",
        "the home, if not ~/.jmo-security".to_owned(),
    );
    switches
        .into_iter()
        .chain([home])
        .chain(of_destinations.map(|variable| (variable.name, variable.help.to_owned())))
        .chain(others.map(|(name, help)| (name, help.to_owned())))
        .collect()
}

/// The files of the home, and what each holds.
pub(super) const FILES: [(&str, &str); 14] = [
    ("spool.db", "the spool, with spool.db-wal and spool.db-shm"),
    ("spool.lock", "locked by a writer while it writes"),
    ("flush.lock", "locked by a flush as long as it runs"),
    ("telemetry-id", "the anonymous id, a random UUID"),
    ("scan-count", "how many scans were counted"),
    ("consent.json", "what enable or disable chose, and when"),
    (
        "destination.json",
        "the destination set with connect; it may contain a token",
    ),
    ("notice-shown", "when the banner was first shown"),
    ("last-scheduled-flush", "when the schedule last ran a flush"),
    (
        "schedule-task.xml",
        "on Windows, the task that was given to Task Scheduler",
    ),
    ("view-cache/", "cached answers for view"),
    (
        "overflow.jsonl",
        "events recorded while the database could not be written; the next writer imports them",
    ),
    (
        "overflow.jsonl.corrupt",
        "lines of overflow.jsonl that could not be imported; status counts them",
    ),
    (
        "spool.db.corrupt-TIME",
        "a damaged database that was set aside; only forget deletes it",
    ),
];

/// The exit codes, and what each means.
pub(super) const EXIT_STATUS: [(&str, &str); 9] = [
    (
        "0",
        "done; a flush also exits with 0 when the network fails",
    ),
    ("2", "the command line is wrong"),
    ("65", "the event is wrong"),
    ("73", "the home can't be used or written"),
    ("74", "I/O error"),
    (
        "75",
        "try again later (flush --strict: not all events that were due were sent)",
    ),
    (
        "78",
        "the configuration is wrong (flush --strict: no destination works)",
    ),
    ("130", "stopped by Ctrl-C"),
    ("143", "stopped by SIGTERM"),
];

/// Examples of the most common commands.
pub(super) const EXAMPLES: &str = "\
Examples:
  jmo-telemetry record tool.failed --tool trivy --failure-type timeout \\
      --profile fast
  jmo-telemetry flush --dry-run
  jmo-telemetry spool list
  jmo-telemetry status
  jmo-telemetry view";

/// The text below the options in `-h`.
pub(super) fn short_help() -> String {
    format!("{}\n\n{EXAMPLES}", section("Exit codes", &EXIT_STATUS, 5))
}

/// The text below the options in `--help`.
pub(super) fn long_help() -> String {
    format!(
        "{}\n\n{}\n\n{}",
        section("Environment", &environment(), 36),
        section("Files, in ~/.jmo-security", &FILES, 24),
        short_help()
    )
}

fn section(title: &str, rows: &[(&str, impl AsRef<str>)], width: usize) -> String {
    let mut text = format!("{title}:");
    for (name, meaning) in rows {
        let mut name = *name;
        for line in words::wrap(meaning.as_ref(), COLUMNS - 2 - width) {
            text.push_str(&format!("\n  {name:<width$}{line}"));
            name = "";
        }
    }
    text
}

#[cfg(test)]
mod generated {
    use super::*;
    use crate::generated::part_is_fresh;

    #[test]
    fn the_documents_have_the_tables_of_the_help() {
        let variables = environment();
        part_is_fresh(
            "docs/reference.md",
            "variables",
            &table("variable", &variables),
        );
        part_is_fresh(
            "docs/reference.md",
            "exit codes",
            &table("code", &EXIT_STATUS),
        );
        part_is_fresh("docs/design.md", "files", &table("file", &FILES));
    }

    fn table(title: &str, rows: &[(&str, impl AsRef<str>)]) -> String {
        let rows = rows
            .iter()
            .map(|(name, meaning)| format!("| `{name}` | {} |\n", meaning.as_ref()));
        format!(
            "| {title} | meaning |\n| --- | --- |\n{}",
            rows.collect::<String>()
        )
    }
}
