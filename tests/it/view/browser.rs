//! The page in a real browser: headless Chromium, as Debian packages it. `.ci/run` installs it and
//! sets JMO_TELEMETRY_REQUIRE_BROWSER; without a browser these tests print a message and pass.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::dir_of;
use crate::support::world::{World, lines};

/// A headless browser that needs no graphics card and makes as few requests of its own as possible.
pub(super) const FLAGS: [&str; 9] = [
    "--headless",
    // A container has little shared memory.
    "--disable-dev-shm-usage",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

pub(crate) fn chromium() -> Option<PathBuf> {
    let found = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ]
    .iter()
    .map(PathBuf::from)
    .find(|path| path.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("JMO_TELEMETRY_REQUIRE_BROWSER").is_none(),
            "JMO_TELEMETRY_REQUIRE_BROWSER is set and there is no Chromium"
        );
        let _ = writeln!(
            std::io::stderr(),
            "skipped: there is no Chromium here (apt-get install chromium)"
        );
    }
    found
}

/// The result of opening a page: the document, the console, and the requests of the page.
struct Visit {
    dom: String,
    said: String,
    requests: Vec<String>,
}

impl Visit {
    /// Opens a page with this fragment in a new profile.
    fn to(browser: &Path, page: &Path, fragment: &str) -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        let log = profile.path().join("net-log.json");
        let output = Command::new(browser)
            .args(FLAGS)
            .args(["--enable-logging=stderr", "--v=0"])
            .args(["--virtual-time-budget=10000", "--dump-dom"])
            .arg(format!(
                "--user-data-dir={}",
                profile.path().join("profile").display()
            ))
            .arg(format!("--log-net-log={}", log.display()))
            .arg(format!("file://{}#{fragment}", page.display()))
            .env("HOME", profile.path())
            .output()
            .expect("the browser runs");
        let log = std::fs::read_to_string(log).expect("a log of the network");
        // The browser makes requests of its own. Requests of the page have the page as their
        // initiator.
        let requests = log
            .lines()
            .filter(|line| line.contains("\"initiator\":\"null\""))
            .map(str::to_owned)
            .collect();
        Self {
            dom: String::from_utf8_lossy(&output.stdout).into_owned(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
            requests,
        }
    }

    /// The text of the element with this id.
    fn text(&self, id: &str) -> &str {
        let start = self
            .dom
            .find(&format!("id=\"{id}\""))
            .unwrap_or_else(|| panic!("no {id}\n{}", self.said));
        let rest = &self.dom[start..];
        let rest = &rest[rest.find('>').expect("a tag") + 1..];
        &rest[..rest.find('<').expect("an end")]
    }

    /// The rows of a card's table, with a blank between cells.
    fn table(&self, card: &str) -> Vec<String> {
        let start = self.dom.find(&format!("id=\"t-{card}\"")).expect("a table");
        let rest = &self.dom[start..];
        let body =
            &rest[rest.find("<tbody>").expect("a body")..rest.find("</tbody>").expect("its end")];
        let rows = body.split("<tr>").skip(1);
        rows.map(|row| {
            let cells = row.split('>').filter_map(|part| part.split('<').next());
            cells
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
    }

    /// Checks that nothing was printed on the console and that the page made no requests.
    fn is_quiet(&self) {
        assert!(!self.said.contains("CONSOLE"), "{}", self.said);
        assert_eq!(self.requests, Vec::<String>::new());
    }
}

/// 60 events of our six kinds on two days, with two versions.
pub(super) fn page(world: &World) -> PathBuf {
    let stamped = |text: String, at: &str| {
        text.replace(
            "\"version\"",
            &format!("\"anonymous_id\":\"{at}\",\"timestamp\":\"{at}\",\"version\""),
        )
    };
    let text = stamped(lines(36), "2026-11-01T10:00:00Z")
        + &stamped(lines(24), "2026-11-20T10:00:00Z").replace("1.0.2", "1.1.0");
    let dir = dir_of(world, &text.replace("trivy", "</script><b>"));
    world
        .run(["view", "--from", &dir, "--html", "page.html"])
        .ok();
    world.cwd().join("page.html")
}

#[test]
fn the_page_is_self_contained_and_its_filters_change_every_number() {
    let Some(browser) = chromium() else { return };
    let world = World::new();
    let page = page(&world);

    let all = Visit::to(&browser, &page, "");
    all.is_quiet();
    assert_eq!(
        ["n-events", "n-ids", "n-scans", "n-failures"].map(|id| all.text(id)),
        ["60", "2", "10", "10"]
    );
    assert_eq!(all.text("said"), "All 60 events, 2026-11-01 to 2026-11-20");
    assert_eq!(
        all.table("tools"),
        ["&lt;/script&gt;&lt;b&gt; 10 100.0 %", "semgrep 10 100.0 %"]
    );
    assert_eq!(
        all.table("time").len(),
        20,
        "days without events are there too"
    );
    assert!(
        all.dom.contains("Chart of profiles: balanced 20, fast 20."),
        "what a screen reader says of a chart"
    );

    let filtered = Visit::to(
        &browser,
        &page,
        "from=2026-11-10&event=tool.failed&version=1.1.0",
    );
    filtered.is_quiet();
    assert_eq!(
        ["n-events", "n-ids", "n-scans", "n-failures"].map(|id| filtered.text(id)),
        ["4", "1", "0", "4"]
    );
    assert_eq!(filtered.table("time"), ["2026-11-20 4"]);
    assert_eq!(filtered.table("by_profile"), ["fast 4 100.0 %"]);
    assert_eq!(filtered.table("tools"), Vec::<String>::new());

    let nothing = Visit::to(&browser, &page, "from=2026-11-02&to=2026-11-03");
    nothing.is_quiet();
    assert_eq!(nothing.text("n-events"), "0");
}

#[test]
fn these_tests_notice_a_page_that_makes_a_request_or_fails() {
    let Some(browser) = chromium() else { return };
    let world = World::new();
    let page = world.cwd().join("loud.html");
    std::fs::write(
        &page,
        "<!doctype html><img src=http://127.0.0.1:9/x.png><script>nothing()</script>",
    )
    .expect("a page");
    let visit = Visit::to(&browser, &page, "");
    assert!(
        visit.said.contains("CONSOLE") && visit.said.contains("nothing is not defined"),
        "{}",
        visit.said
    );
    assert!(
        visit
            .requests
            .iter()
            .any(|request| request.contains("127.0.0.1:9/x.png")),
        "{:?}",
        visit.requests
    );
}

#[test]
fn a_wrong_clock_does_not_stretch_the_page_unless_requested() {
    let Some(browser) = chromium() else { return };
    let world = World::new();
    let at = |day: &str| format!("{{\"event\":\"x\",\"timestamp\":\"{day}T10:00:00Z\"}}\n");
    let usual = at("2026-11-01").repeat(150) + &at("2026-11-03").repeat(150);
    let dir = dir_of(&world, &(usual + &at("1970-01-01") + &at("2086-01-01")));
    world
        .run(["view", "--from", &dir, "--html", "page.html"])
        .ok();
    let page = world.cwd().join("page.html");
    let all = Visit::to(&browser, &page, "");
    all.is_quiet();
    assert_eq!(
        all.table("time"),
        ["2026-11-01 150", "2026-11-02 0", "2026-11-03 150"]
    );
    assert!(
        all.dom
            .contains("2 not drawn: dated in the future or years ago")
    );
    assert_eq!(all.text("n-events"), "302");
    let future = Visit::to(&browser, &page, "from=2080-01-01&to=2090-01-01");
    assert_eq!(future.table("time"), ["2086-01-01 1"]);
}

#[test]
fn a_page_of_nothing_and_of_one_event_loads() {
    let Some(browser) = chromium() else { return };
    for (events, said) in [
        (0, "Nothing was collected here yet."),
        (1, "The only event"),
    ] {
        let world = World::new();
        let dir = dir_of(&world, &lines(events));
        world
            .run(["view", "--from", &dir, "--html", "page.html"])
            .ok();
        let visit = Visit::to(&browser, &world.cwd().join("page.html"), "");
        visit.is_quiet();
        assert_eq!(visit.text("n-events"), events.to_string());
        assert!(
            visit.text("said") == said || events == 0,
            "{}",
            visit.text("said")
        );
    }
}

#[test]
fn the_page_names_nothing_to_load_and_forbids_it() {
    let world = World::new();
    let text = std::fs::read_to_string(page(&world)).expect("a page");
    let policy = text
        .split("http-equiv=\"Content-Security-Policy\" content=\"")
        .nth(1)
        .expect("a policy");
    let policy = policy.split('"').next().expect("its end");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    for reference in ["src=", "@import", "<link rel=\"stylesheet"] {
        assert!(
            !text.contains(&format!(" {reference}\"http")),
            "{reference}"
        );
    }
    assert!(text.len() < 300_000, "{} bytes", text.len());
}
