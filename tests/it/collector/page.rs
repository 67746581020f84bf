//! The live page in a real browser.

use serde_json::{Value, json};

use super::connected;
use crate::support::collector::{Collector, TOKEN};
use crate::view::browser::chromium;
use crate::view::keyboard::Driver;

/// Types the token into its field and submits it.
fn unlock(driver: &mut Driver, token: &str) {
    driver.until("document.activeElement.id === 'token'");
    driver.call("Input.insertText", json!({ "text": token }));
    driver.text("document.getElementById('unlock').requestSubmit()");
}

#[test]
fn the_page_of_a_collector_is_unlocked_once_and_shows_new_events() {
    let Some(browser) = chromium() else { return };
    let Some(collector) = Collector::start() else {
        return;
    };
    let world = connected(&collector.url());
    world.record_many(60);
    world.flush([]);
    let mut driver = Driver::open(&browser, &format!("{}/", collector.url()));
    let events = "document.getElementById('n-events')?.textContent";
    let said = "document.getElementById('live').textContent";

    // Nothing is shown without a token, or with a wrong one.
    assert_eq!(driver.text("document.querySelector('main').hidden"), "true");
    unlock(&mut driver, "wrong");
    driver.until(&format!("{said}.includes('does not know this token')"));
    assert_eq!(driver.text("document.querySelector('main').hidden"), "true");
    assert_eq!(driver.text("sessionStorage.length"), "0");
    let refused = std::mem::take(&mut driver.said);
    assert!(
        refused
            .iter()
            .all(|message| is_own_request(message, &collector)
                || message.to_string().contains("401")),
        "{refused:?}"
    );

    unlock(&mut driver, TOKEN);
    driver.until(&format!("{events} === '60'"));
    assert_eq!(
        driver.text("document.getElementById('n-ids').textContent"),
        "1"
    );
    driver.until(&format!("{said}.startsWith('Live: refreshed at')"));

    // A filter stays set while new events arrive.
    driver.text("location.hash = '#event=tool.failed'");
    driver.until(&format!("{events} === '10'"));
    world.record_many(12);
    world.flush([]);
    driver.until(&format!("{events} === '12'"));
    assert_eq!(
        driver.text("document.getElementById('event').value"),
        "tool.failed"
    );
    driver.text("location.hash = ''");
    driver.until(&format!("{events} === '72'"));

    // The token is kept for this tab, so it is asked for only once.
    driver.call("Page.reload", json!({}));
    driver.until(&format!("{events} === '72'"));
    assert_eq!(
        driver.text("document.getElementById('unlock')?.hidden"),
        "true"
    );
    assert_eq!(
        driver.text("localStorage.length + document.cookie.length"),
        "0"
    );

    keep_a_picture(&mut driver);
    let strange: Vec<_> = driver
        .said
        .iter()
        .filter(|message| !is_own_request(message, &collector))
        .collect();
    assert_eq!(
        strange,
        Vec::<&Value>::new(),
        "no other host, no error, no violation of the policy"
    );
}

#[test]
fn a_page_whose_service_is_gone_says_so_and_continues_when_it_is_back() {
    let Some(browser) = chromium() else { return };
    let Some(mut collector) = Collector::start() else {
        return;
    };
    let world = connected(&collector.url());
    world.record_many(6);
    world.flush([]);
    let mut driver = Driver::open(&browser, &format!("{}/", collector.url()));
    unlock(&mut driver, TOKEN);
    driver.until("document.getElementById('n-events').textContent === '6'");
    collector.kill();
    driver.until(
        "document.getElementById('live').textContent.startsWith('The service does not answer')",
    );
    collector.restart();
    world.record_many(6);
    world.flush([]);
    driver.until("document.getElementById('n-events').textContent === '12'");
    driver.until("document.getElementById('live').textContent.startsWith('Live:')");
}

fn is_own_request(message: &Value, collector: &Collector) -> bool {
    let url = message["params"]["request"]["url"].as_str();
    url.is_some_and(|url| url.starts_with(&format!("{}/", collector.url())))
}

/// Saves a screenshot for people to look at, if JMO_TELEMETRY_PICTURES names a directory.
fn keep_a_picture(driver: &mut Driver) {
    use base64::Engine as _;
    let Some(directory) = std::env::var_os("JMO_TELEMETRY_PICTURES") else {
        return;
    };
    let size = json!({"width": 1400, "height": 1900, "deviceScaleFactor": 1, "mobile": false});
    driver.call("Emulation.setDeviceMetricsOverride", size);
    driver.until("[...document.querySelectorAll('canvas')].every((canvas) => canvas.offsetWidth <= canvas.parentNode.clientWidth)");
    let picture = driver.call("Page.captureScreenshot", json!({}));
    let data = picture["data"].as_str().expect("a picture");
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(data)
        .expect("base64");
    let path = std::path::Path::new(&directory).join("collector-page.png");
    std::fs::write(path, bytes).expect("writes");
}
