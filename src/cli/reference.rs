//! What the program reads and leaves behind besides its arguments, as data: for `--help` and for the
//! man pages.

use super::words;

/// The columns of a terminal that shows help without breaking its lines.
const COLUMNS: usize = 80;

/// The environment variables, and what each means.
pub(super) const ENVIRONMENT: [(&str, &str); 18] = [
    (
        "JMO_TELEMETRY_DISABLE",
        "1, true, yes, on: disabled. Empty, 0, false, no, off: not. Anything else: disabled",
    ),
    ("DO_NOT_TRACK", "1 or true: disabled"),
    (
        "CI, GITHUB_ACTIONS, GITLAB_CI, …",
        "any of them set and not empty: disabled",
    ),
    ("JMO_TELEMETRY_HOME", "another home than ~/.jmo-security"),
    ("JMO_TELEMETRY_GIST_ID", "the Gist to upload to"),
    ("JMO_TELEMETRY_GITHUB_TOKEN", "its owner's token"),
    (
        "JMO_TELEMETRY_GITHUB_TOKEN_FILE",
        "a file (0600) that holds the token",
    ),
    (
        "JMO_TELEMETRY_GITHUB_API",
        "the API's base, for GitHub Enterprise Server; plain http only to this machine",
    ),
    (
        "JMO_TELEMETRY_ENDPOINT",
        "a collector to upload to; plain http only to this machine",
    ),
    (
        "JMO_TELEMETRY_COLLECTOR_TOKEN",
        "the maintainer's token to read a collector",
    ),
    (
        "JMO_TELEMETRY_COLLECTOR_TOKEN_FILE",
        "a file (0600) that holds that token",
    ),
    (
        "JMO_TELEMETRY_SPOOL_MAX",
        "size limit of the spool, e.g. 2GiB [64MiB]",
    ),
    (
        "JMO_TELEMETRY_SHOWN",
        "1: no banner, because it was shown already",
    ),
    (
        "JMO_TELEMETRY_BIN",
        "the program that the Python client starts",
    ),
    ("HTTPS_PROXY", "a proxy for what is uploaded and read"),
    ("NO_PROXY", "hosts that are reached without it"),
    (
        "SSL_CERT_FILE",
        "certificates to trust instead of the system's",
    ),
    ("NO_COLOR", "no colours"),
];

/// The files of the home, and what each holds.
pub(super) const FILES: [(&str, &str); 10] = [
    ("spool.db", "the spool, with spool.db-wal and spool.db-shm"),
    (
        "spool.lock, flush.lock",
        "held by who writes, and by the one flush that runs",
    ),
    ("telemetry-id", "the anonymous id"),
    ("scan-count", "how many scans were counted"),
    ("consent.json", "what enable or disable chose, and when"),
    (
        "destination.json",
        "where connect pointed uploads; it may hold the token",
    ),
    ("notice-shown", "when the banner was first shown"),
    ("view-cache/", "answers that view may use again"),
    (
        "overflow.jsonl",
        "events that the database could not take yet; the next writer does",
    ),
    (
        "spool.db.corrupt-TIME",
        "a damaged database that was set aside",
    ),
];

/// The exit codes, and what each means.
pub(super) const EXIT_STATUS: [(&str, &str); 9] = [
    (
        "0",
        "done (flush: also nothing to do, and every network failure)",
    ),
    ("2", "usage"),
    ("65", "bad event"),
    ("73", "the home can't be used or written"),
    ("74", "I/O error"),
    ("75", "try later (flush --strict: something due stayed)"),
    ("78", "configuration (flush --strict: no destination works)"),
    ("130", "stopped by Ctrl-C"),
    ("143", "stopped by SIGTERM"),
];

/// Examples of the most common commands.
pub(super) const EXAMPLES: &str = "\
Examples:
  jmo-telemetry record scan.started --mode cli --profile balanced --tool trivy --repos 3
  jmo-telemetry flush --to dir:/tmp/telemetry
  jmo-telemetry spool list
  jmo-telemetry status
  jmo-telemetry view";

/// What stands below the options in `-h`.
pub(super) fn short_help() -> String {
    format!("{}\n\n{EXAMPLES}", section("Exit codes", &EXIT_STATUS, 5))
}

/// What stands below the options in `--help`.
pub(super) fn long_help() -> String {
    format!(
        "{}\n\n{}\n\n{}",
        section("Environment", &ENVIRONMENT, 36),
        section("Files, in ~/.jmo-security", &FILES, 24),
        short_help()
    )
}

fn section(title: &str, rows: &[(&str, &str)], width: usize) -> String {
    let mut text = format!("{title}:");
    for (name, meaning) in rows {
        let mut name = *name;
        for line in words::wrap(meaning, COLUMNS - 2 - width) {
            text.push_str(&format!("\n  {name:<width$}{line}"));
            name = "";
        }
    }
    text
}
