//! A stateful stand-in for GitHub's Gist API on the loopback address, for tests that would be slow,
//! impolite or impossible with the real one.
//!
//! One server has one gist with all its revisions. It answers like GitHub ([`answer`]), fails on
//! request in every way that we have seen or can imagine ([`faults`]), records each violation of
//! GitHub's rules ([`rules`]), and lets the test look at everything. The HTTP code is in [`wire`].
//!
//! The server runs on its own thread with its own runtime. Its state is behind a `Mutex` and a
//! `Condvar`, so that synchronous tests can read it directly and wait for a condition instead of
//! sleeping.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a whole tool for the tests to pick from; `expect` would fail where all of it happens to be used"
)]

mod answer;
mod faults;
mod rules;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use hyper::Method;
use hyper::body::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

pub use self::faults::{Fault, RetryAfter};

/// The files of one revision. Contents are shared between revisions, so a revision costs little.
pub type Files = BTreeMap<String, Arc<str>>;

/// One commit of the gist, with everything it contained from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// 40 hex digits, counted up from 1.
    pub version: String,
    /// The gist's description.
    pub description: String,
    /// All files, not only the changed ones.
    pub files: Files,
}

/// One request, recorded as soon as its head has arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Counted up from 1, and not reset by [`GistServer::clear_requests`].
    pub id: u64,
    /// Whether it was sent to the host of the `raw_url`s and not to the API.
    pub raw: bool,
    /// `GET`, `PATCH`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Empty until it was received in full.
    pub body: Bytes,
    /// When the head had arrived.
    pub started: Instant,
    /// When the answer was sent, or the connection was found closed.
    pub finished: Option<Instant>,
    /// The status that was sent; `None` if there was no answer (yet).
    pub status: Option<u16>,
    /// Whether this request wrote a revision, whatever its answer was.
    pub committed: bool,
    /// Whether it ended without a complete answer, because the client has gone or the server hung up.
    abandoned: bool,
}

impl Recorded {
    /// Whether this was an attempt to change the gist.
    pub fn is_write(&self) -> bool {
        self.method == "PATCH"
    }

    /// The body as JSON, or `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The answer to a PATCH that changes nothing. Reports differ, so the uploader must handle both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identical {
    /// 200 and an empty revision.
    Ok,
    /// 409 "Gist cannot be updated.", and no revision.
    Conflict409,
}

/// The whole state of the server. Tests see it in [`GistServer::wait_for`].
#[derive(Debug)]
pub struct State {
    /// Since the start, or since [`GistServer::clear_requests`].
    pub requests: Vec<Recorded>,
    /// Oldest first, never empty; the last one is the current content.
    pub revisions: Vec<Revision>,
    /// Violations of GitHub's rules, oldest first.
    pub violations: Vec<String>,
    /// TCP connections to the API or the raw host, including refused ones.
    pub connections: usize,
    gist_id: String,
    token: String,
    readers: BTreeSet<String>,
    raw_base: String,
    plan: VecDeque<(Option<Method>, Fault)>,
    always: Option<Fault>,
    identical: Identical,
    refusing: bool,
    raw_missing: bool,
    refused_content: Option<String>,
    largest_body: Option<usize>,
    spacing_checked: bool,
    last_id: u64,
    in_flight: BTreeSet<u64>,
    last_write: Option<Instant>,
    wait_until: Option<Instant>,
    points_used: u32,
}

impl State {
    /// The current content of the gist.
    pub fn latest(&self) -> &Revision {
        self.revisions.last().expect("a gist has a first revision")
    }

    /// All lines of all `*.jsonl` files, in the order of the file names.
    pub fn lines(&self) -> Vec<String> {
        let segments = self
            .latest()
            .files
            .iter()
            .filter(|(name, _)| name.ends_with(".jsonl"));
        segments
            .flat_map(|(_, content)| content.lines())
            .map(str::to_owned)
            .collect()
    }

    /// The `event_id` of each line that has one, including duplicates.
    ///
    /// # Panics
    /// If a line is not JSON, because no test expects a torn line here.
    pub fn event_ids(&self) -> Vec<String> {
        let id = |line: String| {
            let event: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("a collected line is not JSON ({error}): {line}"));
            event["event_id"].as_str().map(str::to_owned)
        };
        self.lines().into_iter().filter_map(id).collect()
    }

    fn commit(&mut self, description: String, files: Files) {
        let version = format!("{:040x}", self.revisions.len() + 1);
        self.revisions.push(Revision {
            version,
            description,
            files,
        });
    }

    fn edit(&mut self, change: impl FnOnce(&mut Files)) {
        let Revision {
            description,
            mut files,
            ..
        } = self.latest().clone();
        change(&mut files);
        self.commit(description, files);
    }

    fn request(&mut self, id: u64) -> Option<&mut Recorded> {
        self.requests
            .iter_mut()
            .rev()
            .find(|request| request.id == id)
    }

    /// Takes the next planned fault that fits such a request, else the permanent one.
    fn next_fault(&mut self, method: &str) -> Option<Fault> {
        let suits = |fault: &Fault| fault.suits(method == "PATCH");
        let fits = |(only, fault): &mut (Option<Method>, Fault)| {
            only.as_ref().is_none_or(|only| only == method) && suits(fault)
        };
        match self.plan.pop_front_if(fits) {
            Some((_, fault)) => Some(fault),
            None => self.always.clone().filter(suits),
        }
    }
}

/// The state, and a condition variable that signals each change.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// A test that panicked while reading has changed nothing, so a poisoned lock can still be
    /// used.
    fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.look());
        self.changed.notify_all();
        outcome
    }
}

/// A running server. Dropping it closes every connection and waits for its thread.
#[derive(Debug)]
pub struct GistServer {
    shared: Arc<Shared>,
    api: String,
    gist_id: String,
    token: String,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl GistServer {
    /// Starts a server with a gist that contains one `README.md`, because a gist can't be empty.
    pub fn start() -> Self {
        let (api, api_port) = listen();
        let (raw, raw_port) = listen();
        let [gist_id, secret] = [(); 2].map(|()| format!("{:016x}{:016x}", random(), random()));
        let token = format!("ghp_{secret}Test");
        let first = Revision {
            version: format!("{:040x}", 1),
            description: "JMo telemetry".to_owned(),
            files: Files::from([("README.md".to_owned(), Arc::from("Collected telemetry.\n"))]),
        };
        let state = State {
            requests: Vec::new(),
            revisions: vec![first],
            violations: Vec::new(),
            connections: 0,
            gist_id: gist_id.clone(),
            token: token.clone(),
            readers: BTreeSet::new(),
            // A different host name than that of the API, so that a client can tell where its token
            // must not be sent.
            raw_base: format!("http://localhost:{raw_port}"),
            plan: VecDeque::new(),
            always: None,
            identical: Identical::Ok,
            refusing: false,
            raw_missing: false,
            refused_content: None,
            largest_body: None,
            spacing_checked: true,
            last_id: 0,
            in_flight: BTreeSet::new(),
            last_write: None,
            wait_until: None,
            points_used: 0,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || wire::run(&shared, api, raw, stopped)
        });
        let api = format!("http://127.0.0.1:{api_port}");
        Self {
            shared,
            api,
            gist_id,
            token,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The base URL of the API, without a trailing slash.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// The base URL of the host that serves the `raw_url`s. No token may ever be sent there.
    pub fn raw_base(&self) -> String {
        self.shared.look().raw_base.clone()
    }

    /// 32 hex digits.
    pub fn gist_id(&self) -> &str {
        &self.gist_id
    }

    /// The owner's token, the only one that may write.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Makes this a valid token of another user: it can read, and gets 404 when it writes.
    pub fn add_reader_token(&self, token: &str) {
        self.shared
            .change(|state| state.readers.insert(token.to_owned()));
    }

    /// The current content of the gist.
    pub fn files(&self) -> BTreeMap<String, String> {
        let state = self.shared.look();
        state
            .latest()
            .files
            .iter()
            .map(|(name, content)| (name.clone(), content.to_string()))
            .collect()
    }

    /// The gist's description.
    pub fn description(&self) -> String {
        self.shared.look().latest().description.clone()
    }

    /// Oldest first; the last one is what the gist holds now.
    pub fn revisions(&self) -> Vec<Revision> {
        self.shared.look().revisions.clone()
    }

    /// A commit by another writer: this file now has this content.
    pub fn put_file(&self, name: &str, content: &str) {
        self.shared.change(|state| {
            state.edit(|files| drop(files.insert(name.to_owned(), Arc::from(content))))
        });
    }

    /// A commit by another writer: these files now have these contents.
    pub fn put_files(&self, new: impl IntoIterator<Item = (String, String)>) {
        let new = new
            .into_iter()
            .map(|(name, content)| (name, Arc::from(content)));
        self.shared
            .change(|state| state.edit(|files| files.extend(new)));
    }

    /// A commit by another writer: this file is deleted.
    pub fn remove_file(&self, name: &str) {
        self.shared
            .change(|state| state.edit(|files| drop(files.remove(name))));
    }

    /// See [`State::lines`].
    pub fn lines(&self) -> Vec<String> {
        self.shared.look().lines()
    }

    /// See [`State::event_ids`].
    pub fn event_ids_across_files(&self) -> Vec<String> {
        self.shared.look().event_ids()
    }

    /// Every request since the start or the last [`GistServer::clear_requests`], to both hosts.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.look().requests.clone()
    }

    /// Forgets the recorded requests, but not their effects.
    pub fn clear_requests(&self) {
        self.shared.change(|state| state.requests.clear());
    }

    /// TCP connections so far: zero proves that nobody was contacted.
    pub fn connections(&self) -> usize {
        self.shared.look().connections
    }

    /// Violations of GitHub's rules, oldest first, each as `request ID, METHOD: what was wrong`.
    pub fn violations(&self) -> Vec<String> {
        self.shared.look().violations.clone()
    }

    /// The next write is answered with this fault. (A flush looks before it writes.)
    pub fn plan(&self, fault: Fault) {
        self.plan_many([fault]);
    }

    /// The next write and the requests after it are answered with these faults, one each.
    pub fn plan_many(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.change(|state| {
            for fault in faults {
                let only = state.plan.is_empty().then_some(Method::PATCH);
                state.plan.push_back((only, fault));
            }
        });
    }

    /// The next request with this method is answered with this fault.
    pub fn plan_on(&self, method: Method, fault: Fault) {
        self.shared
            .change(|state| state.plan.push_back((Some(method), fault)));
    }

    /// Every request without a planned fault is answered with this one.
    pub fn set_always(&self, fault: Option<Fault>) {
        self.shared.change(|state| state.always = fault);
    }

    /// Removes all faults, planned and permanent, and all waits that were asked for.
    pub fn recover(&self) {
        self.shared.change(|state| {
            state.plan.clear();
            state.always = None;
            state.refusing = false;
            state.wait_until = None;
            state.refused_content = None;
            state.largest_body = None;
        });
    }

    /// How many planned faults have not been used yet.
    pub fn planned(&self) -> usize {
        self.shared.look().plan.len()
    }

    /// While set, connections are closed at once, and no request is recorded.
    pub fn set_refusing(&self, refusing: bool) {
        self.shared.change(|state| state.refusing = refusing);
    }

    /// From now on, a PATCH with this text in the content of any file gets 422.
    pub fn refuse_content_containing(&self, needle: &str) {
        self.shared
            .change(|state| state.refused_content = Some(needle.to_owned()));
    }

    /// From now on, a PATCH with a longer body gets 413.
    pub fn refuse_bodies_over(&self, bytes: usize) {
        self.shared.change(|state| state.largest_body = Some(bytes));
    }

    /// While set, the raw host answers 404.
    pub fn set_raw_missing(&self, missing: bool) {
        self.shared.change(|state| state.raw_missing = missing);
    }

    /// Sets the answer to a PATCH that changes nothing; [`Identical::Ok`] by default.
    pub fn set_identical_patch(&self, identical: Identical) {
        self.shared.change(|state| state.identical = identical);
    }

    /// Sets whether a PATCH less than a second after the previous one is a violation; true by default.
    pub fn set_spacing_check(&self, checked: bool) {
        self.shared.change(|state| state.spacing_checked = checked);
    }

    /// Blocks until the condition is true, at most for `bound`. Returns whether it became true.
    #[must_use]
    pub fn wait_for(&self, mut so: impl FnMut(&State) -> bool, bound: Duration) -> bool {
        let waiting = self
            .shared
            .changed
            .wait_timeout_while(self.shared.look(), bound, |state| !so(state));
        let (_state, waited) = waiting.unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }
}

impl Drop for GistServer {
    fn drop(&mut self) {
        // Dropping the sender is the stop signal.
        self.stop = None;
        let ended = self.thread.take().map(JoinHandle::join);
        // A test that is already failing has a better reason of its own.
        if !thread::panicking() {
            ended
                .map_or(Ok(()), |ended| ended)
                .expect("the server thread ends in peace");
        }
    }
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the loopback has a free port");
    listener
        .set_nonblocking(true)
        .expect("a fresh socket takes options");
    let port = listener
        .local_addr()
        .expect("a bound socket has an address")
        .port();
    (listener, port)
}

/// Good enough to tell two servers apart, without a dependency.
fn random() -> u64 {
    RandomState::new().hash_one(Instant::now())
}
