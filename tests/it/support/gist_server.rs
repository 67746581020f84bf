//! A stateful stand-in for GitHub's Gist API on the loopback, for tests that would be slow, rude or
//! impossible against the real one.
//!
//! One server holds one gist with all its revisions. It answers as GitHub does ([`answer`]), fails
//! on request in every way we have seen or fear ([`faults`]), writes down each breach of GitHub's
//! rules ([`manners`]), and lets the test look at everything. The HTTP itself is in [`wire`].
//!
//! The server runs on its own thread with its own runtime, and its state sits behind a `Mutex` and
//! a `Condvar`, so synchronous tests read it directly and wait for a condition instead of sleeping.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a whole tool for the tests to pick from; `expect` would fail where all of it happens to be used"
)]

mod answer;
mod faults;
mod manners;
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

/// One commit of the gist: everything it held from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// 40 hex digits, counted up from 1.
    pub version: String,
    /// The gist's description.
    pub description: String,
    /// All files, not only the changed ones.
    pub files: Files,
}

/// One request, from the arrival of its head on.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Counted up from 1, also over [`GistServer::clear_requests`].
    pub id: u64,
    /// Whether it came to the host of the `raw_url`s rather than to the API.
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
    /// When the answer was given, or the connection was found closed.
    pub finished: Option<Instant>,
    /// The status that was sent; `None` if there was no answer (yet).
    pub status: Option<u16>,
    /// Whether this request wrote a revision, whatever it was told.
    pub committed: bool,
    /// It ended without a whole answer: the client has gone, or the server hung up.
    abandoned: bool,
}

impl Recorded {
    /// Whether this was an attempt to change the gist.
    pub fn is_write(&self) -> bool {
        self.method == "PATCH"
    }

    /// The body as JSON, or `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What a PATCH that changes nothing gets: reports differ, so the uploader has to live with both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identical {
    /// 200 and an empty revision.
    Ok,
    /// 409 "Gist cannot be updated.", and no revision.
    Conflict409,
}

/// All that the server knows. Tests see it in [`GistServer::wait_for`].
#[derive(Debug)]
pub struct State {
    /// Since the start, or since [`GistServer::clear_requests`].
    pub requests: Vec<Recorded>,
    /// Oldest first, never empty; the last one is what the gist holds now.
    pub revisions: Vec<Revision>,
    /// Breaches of GitHub's rules, oldest first.
    pub violations: Vec<String>,
    /// TCP connections to the API or to the raw host, refused ones too.
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
    /// What the gist holds now.
    pub fn latest(&self) -> &Revision {
        self.revisions.last().expect("a gist has a first revision")
    }

    /// All lines of all `*.jsonl` files, in the order of the files' names.
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

    /// The `event_id` of each line that has one, with repeats.
    ///
    /// # Panics
    /// If a line is not JSON: a torn line is never what a test expects here.
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

    /// Takes the next planned fault that fits such a request, else the standing one.
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

/// The state and the bell that rings at each change of it.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// A test that panicked while it looked has changed nothing, so a poisoned lock is as good as
    /// any.
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
    /// Starts a server with a gist that holds one `README.md`, as a gist cannot be empty.
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
            // Another host name than the API's, so that a client can tell where its token must not
            // go.
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

    /// The base URL of the API, without a slash at its end.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// The base URL of the host that serves the `raw_url`s; no token may ever go there.
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

    /// Makes this a good token of somebody else: it reads, and gets 404 when it writes.
    pub fn add_reader_token(&self, token: &str) {
        self.shared
            .change(|state| state.readers.insert(token.to_owned()));
    }

    /// What the gist holds now.
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

    /// Another writer's commit: this file now has this content.
    pub fn put_file(&self, name: &str, content: &str) {
        self.shared.change(|state| {
            state.edit(|files| drop(files.insert(name.to_owned(), Arc::from(content))))
        });
    }

    /// Another writer's commit: these files now have these contents.
    pub fn put_files(&self, new: impl IntoIterator<Item = (String, String)>) {
        let new = new
            .into_iter()
            .map(|(name, content)| (name, Arc::from(content)));
        self.shared
            .change(|state| state.edit(|files| files.extend(new)));
    }

    /// Another writer's commit: this file is gone.
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

    /// Forgets the requests, not what they have done.
    pub fn clear_requests(&self) {
        self.shared.change(|state| state.requests.clear());
    }

    /// TCP connections so far: zero proves that nobody was contacted.
    pub fn connections(&self) -> usize {
        self.shared.look().connections
    }

    /// Breaches of GitHub's rules, oldest first, each as `request ID, METHOD: what was wrong`.
    pub fn violations(&self) -> Vec<String> {
        self.shared.look().violations.clone()
    }

    /// The next write is answered with this fault; a flush looks before it writes.
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

    /// Every request that finds no planned fault is answered with this one.
    pub fn set_always(&self, fault: Option<Fault>) {
        self.shared.change(|state| state.always = fault);
    }

    /// All is well from now on: no faults, planned or standing, and no wait that is still asked
    /// for.
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

    /// How many planned faults still wait for their request.
    pub fn planned(&self) -> usize {
        self.shared.look().plan.len()
    }

    /// While set, connections are closed as soon as they are made, and no request is recorded.
    pub fn set_refusing(&self, refusing: bool) {
        self.shared.change(|state| state.refusing = refusing);
    }

    /// From now on a PATCH with this text in any file's content gets 422.
    pub fn refuse_content_containing(&self, needle: &str) {
        self.shared
            .change(|state| state.refused_content = Some(needle.to_owned()));
    }

    /// From now on a PATCH whose body is longer gets 413.
    pub fn refuse_bodies_over(&self, bytes: usize) {
        self.shared.change(|state| state.largest_body = Some(bytes));
    }

    /// While set, the raw host has nothing.
    pub fn set_raw_missing(&self, missing: bool) {
        self.shared.change(|state| state.raw_missing = missing);
    }

    /// What a PATCH that changes nothing gets; at first [`Identical::Ok`].
    pub fn set_identical_patch(&self, identical: Identical) {
        self.shared.change(|state| state.identical = identical);
    }

    /// Whether a PATCH less than a second after the one before is a violation; at first it is.
    pub fn set_spacing_check(&self, checked: bool) {
        self.shared.change(|state| state.spacing_checked = checked);
    }

    /// Blocks until the state is so, at most for `bound`; says whether it came to be.
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
        // A dropped sender is the stop signal.
        self.stop = None;
        let ended = self.thread.take().map(JoinHandle::join);
        // A test that is failing already has its own, better reason.
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

/// Good enough to keep two servers apart, with nothing to depend on.
fn random() -> u64 {
    RandomState::new().hash_one(Instant::now())
}
