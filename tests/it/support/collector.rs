//! The real collector for tests: workerd with a D1 file, started by `collector/serve.mjs`, and a
//! proxy in front of it that simulates network failures.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// The maintainer's token of all these services.
pub(crate) const TOKEN: &str = "the-maintainers-token";

/// The directory of the service's code.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("collector")
}

/// Whether the service can run here. `tests/all.sh` installs what is needed and requires it.
pub(crate) fn is_there() -> bool {
    let node = Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let found = node && source().join("node_modules/miniflare").exists();
    if !found {
        assert!(
            std::env::var_os("JMO_TELEMETRY_REQUIRE_NODE").is_none(),
            "JMO_TELEMETRY_REQUIRE_NODE is set, and there is no Node or no `npm ci` in collector/"
        );
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no Node here, or no packages (npm ci in collector/)"
        );
    }
    found
}

/// A service with its data.
pub(crate) struct Collector {
    data: tempfile::TempDir,
    settings: Vec<String>,
    process: Child,
    port: u16,
}

impl Collector {
    /// A new service, or `None` if there is no Node.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&["REQUESTS_A_MINUTE=100000"])
    }

    /// A new service with these settings.
    pub(crate) fn start_with(settings: &[&str]) -> Option<Self> {
        if !is_there() {
            return None;
        }
        let data = tempfile::tempdir().expect("a directory");
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        let (process, port) = spawn(data.path(), &settings, 0);
        Some(Self {
            data,
            settings,
            process,
            port,
        })
    }

    /// Kills it, whatever it is doing.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// Starts it again with the same data and port.
    pub(crate) fn restart(&mut self) {
        (self.process, self.port) = spawn(self.data.path(), &self.settings, self.port);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its answer to this request: status and body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: collector\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        let answer = forward(self.port, request.as_bytes()).expect("an answer");
        (answer.status, String::from_utf8(answer.body).expect("text"))
    }

    /// Its statistics.
    pub(crate) fn stats(&self) -> Value {
        let (status, body) = self.ask("GET", "/v1/stats");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Every line that it has, sorted by `event_id`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let after = lines.last().map(|line| {
                let line: Value = serde_json::from_str(line).expect("JSON");
                format!("?after={}", line["event_id"].as_str().expect("an id"))
            });
            let path = format!("/v1/events{}", after.unwrap_or_default());
            let (status, body) = self.ask("GET", &path);
            assert_eq!(status, 200, "{body}");
            if body.is_empty() {
                return lines;
            }
            lines.extend(body.lines().map(str::to_owned));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may already have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(data: &Path, settings: &[String], port: u16) -> (Child, u16) {
    let mut command = Command::new("node");
    command
        .current_dir(source())
        .args(["serve.mjs", "--stats-token", TOKEN])
        .args(["--port", &port.to_string()])
        .arg("--persist")
        .arg(data);
    for setting in settings {
        command.args(["--env", setting]);
    }
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut first = String::new();
    BufReader::new(process.stdout.take().expect("a pipe"))
        .read_line(&mut first)
        .expect("a line");
    let first: Value = serde_json::from_str(&first).expect("JSON");
    let url = first["url"].as_str().expect("a URL");
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    (process, port.expect("a port"))
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection is closed before the service gets the request.
    CutBeforeCommit,
    /// The service carries the request out, then the connection is closed.
    CutAfterCommit,
    /// The service carries the request out, then the connection is reset.
    ResetAfterCommit,
    /// The connection is reset before the service gets the request.
    ResetBeforeCommit,
    /// No answer arrives and the connection stays open. The service carries the request out or not.
    Silence { done: bool },
    /// The service carries the request out, but its answer is not JSON.
    BrokenJson,
    /// The service carries the request out, but only half of its answer arrives.
    HalfAnswer,
    /// The page of a captive portal.
    Portal,
    /// This status, possibly with a wait, without asking the service.
    Status(u16, Option<u32>),
    /// The service carries the request out, but this status is returned.
    StatusAfterCommit(u16),
    /// The answer has a wrong hash.
    WrongHash,
    /// The answer is for another batch.
    AnotherBatch,
    /// The answer's counts do not add up.
    WrongCount,
    /// The answer says that the second line was rejected.
    RejectsTheSecondLine,
    /// The answer rejects a line number that does not exist.
    NoSuchLine,
}

/// A request as the proxy received it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The status that the service returned, if it was asked.
    pub(crate) status: Option<u16>,
}

#[derive(Default)]
struct Plan {
    next: VecDeque<Fault>,
    always: Option<Fault>,
    seen: Vec<Seen>,
}

/// A proxy between a program and a service.
pub(crate) struct Proxy {
    port: u16,
    plan: Arc<Mutex<Plan>>,
}

impl Proxy {
    pub(crate) fn before(collector: &Collector) -> Self {
        Self::before_port(collector.port)
    }

    /// A proxy in front of whatever listens on this port.
    pub(crate) fn before_port(service: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let plan = Arc::<Mutex<Plan>>::default();
        let for_thread = Arc::clone(&plan);
        // Its thread ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let plan = Arc::clone(&for_thread);
                std::thread::spawn(move || pass(stream, service, &plan));
            }
        });
        Self { port, plan }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Applies these faults to the next requests, one each.
    pub(crate) fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.locked().next.extend(faults);
    }

    /// Applies this fault to every request without a planned one.
    pub(crate) fn set_always(&self, fault: Option<Fault>) {
        self.locked().always = fault;
    }

    /// Removes all faults.
    pub(crate) fn recover(&self) {
        let mut plan = self.locked();
        plan.next.clear();
        plan.always = None;
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.locked().seen.clone()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass(mut stream: TcpStream, service: u16, plan: &Mutex<Plan>) {
    let Some((head, seen)) = read_request(&mut stream) else {
        return;
    };
    let fault = {
        let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.seen.push(seen.clone());
        plan.next.pop_front().or(plan.always)
    };
    let index = plan
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .seen
        .len()
        - 1;
    let reply = |stream: &mut TcpStream, bytes: &[u8]| {
        // The client may have given up.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = std::io::copy(stream, &mut std::io::sink());
    };
    match fault {
        Some(Fault::CutBeforeCommit) => return,
        Some(Fault::ResetBeforeCommit) => return reset_at_close(&stream),
        Some(Fault::Silence { done: false }) => return until_it_gives_up(&mut stream),
        Some(Fault::Portal) => {
            let page = "<html><title>Log in</title></html>";
            reply(
                &mut stream,
                &answer(200, "text/html", None, page.as_bytes()),
            );
            return;
        }
        Some(Fault::Status(status, wait)) => {
            let body = b"{\"error\":\"unavailable\"}";
            reply(&mut stream, &answer(status, "application/json", wait, body));
            return;
        }
        _ => {}
    }
    let mut request = head;
    request.extend_from_slice(&seen.body);
    let Some(Forwarded {
        status, raw, body, ..
    }) = forward(service, &request)
    else {
        return;
    };
    plan.lock().unwrap_or_else(PoisonError::into_inner).seen[index].status = Some(status);
    let changed = |from: &str, to: &str| {
        let text = String::from_utf8_lossy(&body);
        let start = text.find(from).expect("the answer has it") + from.len();
        let end = start + text[start..].find([',', '"', '}']).expect("an end");
        let text = format!("{}{to}{}", &text[..start], &text[end..]);
        answer(status, "application/json", None, text.as_bytes())
    };
    match fault {
        None | Some(Fault::None) => reply(&mut stream, &raw),
        Some(Fault::ResetAfterCommit) => reset_at_close(&stream),
        Some(Fault::Silence { .. }) => until_it_gives_up(&mut stream),
        Some(Fault::BrokenJson) => {
            reply(
                &mut stream,
                &answer(200, "application/json", None, b"{\"batch\": \"ev"),
            );
        }
        Some(Fault::HalfAnswer) => reply(&mut stream, &raw[..raw.len() - body.len() / 2]),
        Some(Fault::StatusAfterCommit(status)) => {
            reply(&mut stream, &answer(status, "text/plain", None, b"trouble"));
        }
        Some(Fault::WrongHash) => {
            reply(&mut stream, &changed("\"sha256\":\"", &"0".repeat(64)));
        }
        Some(Fault::AnotherBatch) => {
            let other = "events-20200101-0123456789abcdef";
            reply(&mut stream, &changed("\"batch\":\"", other));
        }
        Some(Fault::RejectsTheSecondLine) => {
            let mut said: Value = serde_json::from_slice(&body).expect("JSON");
            said["accepted"] = (said["accepted"].as_u64().expect("a number") - 1).into();
            said["rejected"] =
                serde_json::json!([{"line": 2, "event_id": null, "reason": "schema"}]);
            let text = said.to_string();
            reply(
                &mut stream,
                &answer(200, "application/json", None, text.as_bytes()),
            );
        }
        Some(Fault::WrongCount) => reply(&mut stream, &changed("\"accepted\":", "0")),
        Some(Fault::NoSuchLine) => {
            let key = header(&seen, "idempotency-key");
            let text = format!(
                "{{\"batch\":\"{key}\",\"sha256\":\"{}\",\"accepted\":0,\"duplicates\":0,\"rejected\":[{{\"line\":9999,\"event_id\":null,\"reason\":\"schema\"}}]}}",
                "0".repeat(64)
            );
            reply(
                &mut stream,
                &answer(200, "application/json", None, text.as_bytes()),
            );
        }
        // All other faults close the connection.
        Some(_) => {}
    }
}

/// Sends nothing until the client hangs up.
fn until_it_gives_up(stream: &mut TcpStream) {
    let _ = std::io::copy(stream, &mut std::io::sink());
}

/// Makes closing the connection a reset.
fn reset_at_close(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &linger)
        .expect("a socket takes it");
}

pub(crate) fn header(seen: &Seen, name: &str) -> String {
    let found = seen.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

pub(super) fn answer(status: u16, kind: &str, wait: Option<u32>, body: &[u8]) -> Vec<u8> {
    let wait = wait.map_or_else(String::new, |wait| format!("retry-after: {wait}\r\n"));
    let mut bytes = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: {kind}\r\n{wait}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Reads one request. Returns it in raw form, changed so that the connection will be closed, and
/// parsed.
pub(super) fn read_request(stream: &mut TcpStream) -> Option<(Vec<u8>, Seen)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut head = first.into_bytes();
    for (name, value) in headers.iter().filter(|(name, _)| name != "connection") {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"connection: close\r\n\r\n");
    let seen = Seen {
        method,
        path,
        headers,
        body,
        status: None,
    };
    Some((head, seen))
}

struct Forwarded {
    status: u16,
    raw: Vec<u8>,
    body: Vec<u8>,
}

/// Makes a request and reads the whole answer.
fn forward(port: u16, request: &[u8]) -> Option<Forwarded> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(request).ok()?;
    // The service keeps the connection open, so the end of the answer can't be seen from the
    // connection.
    let mut raw = Vec::new();
    let mut reader = BufReader::new(stream);
    while !raw.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut raw).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&raw).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = if head.contains("transfer-encoding: chunked") {
        read_chunks(&mut reader, &mut raw)?
    } else {
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        raw.extend_from_slice(&body);
        body
    };
    Some(Forwarded { status, raw, body })
}

/// Reads a chunked body, and adds its raw bytes to `raw`.
fn read_chunks(reader: &mut impl std::io::BufRead, raw: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        raw.extend_from_slice(line.as_bytes());
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        // Each chunk is followed by a line end.
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk).ok()?;
        raw.extend_from_slice(&chunk);
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..length]);
    }
}
