//! A stateful stand-in for a collector, for tests without Node: it accepts batches like the
//! service, recognizes each event by its id, and keeps the lines.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::collector::{Seen, answer, header, read_request};

/// Its state.
#[derive(Default)]
struct Known {
    /// The lines by event id.
    lines: BTreeMap<String, String>,
    /// A batch that contains this text gets 413.
    refused: Option<String>,
    /// Whether requests to forget get 503.
    keeps: bool,
}

/// A running stand-in. Its thread ends with the process.
pub(crate) struct StandIn {
    port: u16,
    known: Arc<Mutex<Known>>,
}

impl StandIn {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let known = Arc::<Mutex<Known>>::default();
        let for_thread = Arc::clone(&known);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let known = Arc::clone(&for_thread);
                std::thread::spawn(move || serve(stream, &known));
            }
        });
        Self { port, known }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every line that it has, sorted by `event_id`.
    pub(crate) fn lines(&self) -> Vec<String> {
        locked(&self.known).lines.values().cloned().collect()
    }

    /// From now on, a batch that contains this text gets 413.
    pub(crate) fn refuse_content_containing(&self, needle: &str) {
        locked(&self.known).refused = Some(needle.to_owned());
    }

    /// Whether requests to forget get 503 from now on.
    pub(crate) fn keep_everything(&self, keeps: bool) {
        locked(&self.known).keeps = keeps;
    }

    /// The ids of all events that it has.
    pub(crate) fn event_ids(&self) -> Vec<String> {
        locked(&self.known).lines.keys().cloned().collect()
    }
}

fn locked(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, known: &Mutex<Known>) {
    let Some((_, seen)) = read_request(&mut stream) else {
        return;
    };
    let (status, body) = match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/v1/events") => take(&seen, known),
        ("POST", "/v1/forget") => forget(&seen, known),
        ("GET", "/healthz") => (200, json!({"ok": true})),
        _ => (404, json!({"error": "not found"})),
    };
    let bytes = answer(
        status,
        "application/json",
        None,
        body.to_string().as_bytes(),
    );
    // The client may have gone.
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Write);
}

/// Deletes the events with this anonymous id.
fn forget(seen: &Seen, known: &Mutex<Known>) -> (u16, Value) {
    let mut known = locked(known);
    if known.keeps {
        return (503, json!({"error": "unavailable"}));
    }
    let asked: Value = serde_json::from_slice(&seen.body).expect("JSON");
    let id = asked["anonymous_id"].as_str().expect("an id");
    let before = known.lines.len();
    known.lines.retain(|_, line| !line.contains(id));
    (200, json!({"forgotten": before - known.lines.len()}))
}

/// Accepts a whole batch, or nothing of it.
fn take(seen: &Seen, known: &Mutex<Known>) -> (u16, Value) {
    let mut text = String::new();
    if GzDecoder::new(seen.body.as_slice())
        .read_to_string(&mut text)
        .is_err()
    {
        return (400, json!({"error": "bad_gzip"}));
    }
    let mut known = locked(known);
    if known
        .refused
        .as_ref()
        .is_some_and(|refused| text.contains(refused))
    {
        return (413, json!({"error": "too_large"}));
    }
    let (mut accepted, mut duplicates) = (0, 0);
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).expect("a line of ours is JSON");
        let id = event["event_id"].as_str().expect("it has an id").to_owned();
        match known.lines.insert(id, line.to_owned()) {
            None => accepted += 1,
            Some(before) => {
                assert_eq!(before, line, "an event never changes");
                duplicates += 1;
            }
        }
    }
    let sha256: String = Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let said = json!({
        "batch": header(seen, "idempotency-key"),
        "sha256": sha256,
        "accepted": accepted,
        "duplicates": duplicates,
        "rejected": [],
    });
    (200, said)
}
