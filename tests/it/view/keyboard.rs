//! Interaction with the page: controls Chromium with the DevTools protocol, over a pair of pipes,
//! with a zero byte after each JSON object.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::browser::{FLAGS, chromium, page};
use crate::support::world::World;

/// A browser with one page open.
pub(crate) struct Driver {
    browser: Child,
    to: File,
    from: BufReader<File>,
    calls: u64,
    session: Option<String>,
    /// Console messages and exceptions of the page since it was opened.
    pub(crate) said: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Driver {
    pub(crate) fn open(chromium: &Path, url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        let pipe = |name: &str| {
            let path = profile.path().join(name);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
            path
        };
        let (to_path, from_path) = (pipe("to"), pipe("from"));
        // Opened for reading and writing, so that opening does not wait for the other end.
        let to = OpenOptions::new().read(true).write(true).open(&to_path);
        // The browser expects the pipes as descriptors 3 and 4.
        let browser = Command::new("sh")
            .args([
                "-c",
                "exec 3<\"$1\" 4>\"$2\"; shift 2; exec timeout 60 \"$@\"",
                "sh",
            ])
            .args([&to_path, &from_path])
            .arg(chromium)
            .args(FLAGS)
            .arg("--remote-debugging-pipe")
            .arg(format!(
                "--user-data-dir={}",
                profile.path().join("profile").display()
            ))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser runs");
        let mut driver = Self {
            browser,
            to: to.expect("opens"),
            // Opening waits for the browser; when the browser ends, reading ends.
            from: BufReader::new(File::open(&from_path).expect("opens")),
            calls: 0,
            session: None,
            said: Vec::new(),
            _profile: profile,
        };
        let target = driver.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = driver.call(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        driver.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            driver.call(&format!("{domain}.enable"), json!({}));
        }
        driver.call("Page.navigate", json!({"url": url}));
        driver.until("document.readyState === 'complete' && location.href !== 'about:blank'");
        driver
    }

    /// Calls a method and returns its result. Stores events that arrive meanwhile.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        write!(self.to, "{message}\0").expect("the browser listens");
        loop {
            let mut bytes = Vec::new();
            self.from
                .read_until(0, &mut bytes)
                .expect("the browser speaks");
            bytes.pop();
            let mut message: Value = serde_json::from_slice(&bytes).expect("JSON");
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            let loud = [
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Log.entryAdded",
            ];
            let event = message["method"].as_str().unwrap_or_default();
            let url = message["params"]["request"]["url"].as_str();
            let asks = event == "Network.requestWillBeSent"
                && !url.is_some_and(|url| url.starts_with("file:") || url.starts_with("data:"));
            if asks || loud.contains(&event) {
                self.said.push(message);
            }
        }
    }

    /// The value of an expression, as text.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        let result = self.call(
            "Runtime.evaluate",
            json!({"expression": format!("String({expression})")}),
        );
        result["result"]["value"]
            .as_str()
            .unwrap_or_else(|| panic!("{expression}: {result}"))
            .to_owned()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        for _ in 0..3000 {
            if self.text(expression) == "true" {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("never came true: {expression}");
    }

    /// Presses a key.
    fn press(&mut self, key: &str, code: u32) {
        let text = if key.len() == 1 {
            json!(key)
        } else {
            Value::Null
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_null() {
                event["text"] = text.clone();
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may already have ended.
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

const TAB: u32 = 9;

#[test]
fn the_filters_work_by_keyboard_and_the_address_keeps_them() {
    let Some(browser) = chromium() else { return };
    let world = World::new();
    let url = format!("file://{}", page(&world).display());
    let mut driver = Driver::open(&browser, &url);
    let events = "document.getElementById('n-events').textContent";
    assert_eq!(driver.text(events), "60");

    // The period, then the event; the date fields between them are visible only for a custom period.
    driver.press("Tab", TAB);
    driver.press("Tab", TAB);
    assert_eq!(driver.text("document.activeElement.id"), "event");
    for key in "tool".chars() {
        driver.press(&key.to_string(), key.to_ascii_uppercase() as u32);
    }
    driver.until(&format!("{events} === '10'"));
    assert_eq!(driver.text("location.hash"), "#event=tool.failed");
    let said = driver.text("document.querySelector('[role=status]').textContent");
    assert!(said.starts_with("10 of 60 events"), "{said}");

    driver.press("Tab", TAB);
    driver.press("1", '1' as u32);
    assert_eq!(driver.text("document.activeElement.value"), "1.1.0");
    driver.until(&format!("{events} === '4'"));

    driver.press("Tab", TAB);
    assert_eq!(driver.text("document.activeElement.id"), "reset");
    driver.press("Enter", 13);
    driver.call(
        "Input.dispatchKeyEvent",
        json!({"type": "char", "text": "\r"}),
    );
    driver.until(&format!("{events} === '60'"));
    assert_eq!(driver.text("location.hash"), "");

    // Every table can be reached and opened by keyboard, too.
    driver.press("Tab", TAB);
    assert_eq!(driver.text("document.activeElement.tagName"), "SUMMARY");
    driver.press(" ", 32);
    driver.until("document.querySelector('details').open");

    // Another address, as from a shared link.
    driver.text("location.hash = '#from=2026-11-10'");
    driver.until(&format!("{events} === '24'"));
    assert_eq!(
        driver.text("document.getElementById('from').offsetParent !== null"),
        "true"
    );
    driver.call(
        "Emulation.setEmulatedMedia",
        json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
    );
    driver.until("Chart.defaults.color === '#9fb0c0'");
    assert_eq!(driver.said, Vec::<Value>::new());
}
