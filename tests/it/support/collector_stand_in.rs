//! A stateful stand-in for a collector, for tests that need no Node: it takes batches as the service
//! does, knows each event by its id, and keeps the lines.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::collector::{Seen, answer, header, read_request};

/// Lines by the ids of their events.
type Lines = BTreeMap<String, String>;

/// A running stand-in. Its thread ends with the process.
pub(crate) struct StandIn {
    port: u16,
    lines: Arc<Mutex<Lines>>,
}

impl StandIn {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let lines = Arc::<Mutex<Lines>>::default();
        let for_thread = Arc::clone(&lines);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let lines = Arc::clone(&for_thread);
                std::thread::spawn(move || serve(stream, &lines));
            }
        });
        Self { port, lines }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every line that it holds, in order of `event_id`.
    pub(crate) fn lines(&self) -> Vec<String> {
        locked(&self.lines).values().cloned().collect()
    }

    /// The ids of all events that it holds.
    pub(crate) fn event_ids(&self) -> Vec<String> {
        locked(&self.lines).keys().cloned().collect()
    }
}

fn locked(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, lines: &Mutex<Lines>) {
    let Some((_, seen)) = read_request(&mut stream) else {
        return;
    };
    let (status, body) = match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/v1/events") => take(&seen, lines),
        ("GET", "/healthz") => (200, json!({"ok": true})),
        _ => (404, json!({"error": "not found"})),
    };
    let bytes = answer(
        status,
        "application/json",
        None,
        body.to_string().as_bytes(),
    );
    // Whoever asked may have gone.
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Write);
}

/// Takes a batch whole, or not at all.
fn take(seen: &Seen, lines: &Mutex<Lines>) -> (u16, Value) {
    let mut text = String::new();
    if GzDecoder::new(seen.body.as_slice())
        .read_to_string(&mut text)
        .is_err()
    {
        return (400, json!({"error": "bad_gzip"}));
    }
    let mut known = locked(lines);
    let (mut accepted, mut duplicates) = (0, 0);
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).expect("a line of ours is JSON");
        let id = event["event_id"].as_str().expect("it has an id").to_owned();
        match known.insert(id, line.to_owned()) {
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
