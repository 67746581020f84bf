//! How GitHub answers: who may do what, what a PATCH does, what a gist looks like as JSON, and how
//! a [`Fault`] changes the answer. Contains no network code.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

use super::{Fault, Files, Identical, Recorded, Revision, State};

/// The most files that a GET lists.
const MOST_FILES: usize = 300;
/// The most bytes of one file that a GET returns.
const LARGEST_CONTENT: usize = 1_000_000;
/// The most bytes of one file that the raw host returns.
const LARGEST_RAW: usize = 10_000_000;
/// Users report 409 for PATCH bodies of about 8 to 10 MB.
const LARGEST_PATCH: usize = 9_000_000;
/// Requests per hour, with and without a valid token.
const HOURLY: (u32, u32) = (5_000, 60);

/// An answer, and whether the request was carried out.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) committed: bool,
}

/// How much of an answer reaches the client, and how.
pub(super) enum Delivery {
    Whole,
    Half,
    Slowly(Duration),
    Cut,
    Reset,
    Stall(Duration),
}

/// Whose token a request carries.
#[derive(PartialEq)]
enum Caller {
    Anonymous,
    Unknown,
    Reader,
    Owner,
}

impl Answer {
    fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self {
            status,
            headers,
            body: body.into(),
            committed: false,
        }
    }

    fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    fn error(status: u16, message: &str) -> Self {
        Self::json(status, &error_body(message))
    }

    fn invalid(code: &str) -> Self {
        let mut body = error_body("Validation Failed");
        body["errors"] = json!([{"resource": "Gist", "code": code, "field": "files"}]);
        Self::json(422, &body)
    }

    fn conflict() -> Self {
        Self::error(409, "Gist cannot be updated.")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn with_header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    fn with_default(self, name: &str, value: impl ToString) -> Self {
        if self.header(name).is_some() {
            self
        } else {
            self.with_header(name, value)
        }
    }
}

/// The body of GitHub's errors.
pub(super) fn error_body(message: &str) -> Value {
    json!({"message": message, "documentation_url": "https://docs.github.com/rest/gists/gists"})
}

impl State {
    /// The answer to a request to the API, changed by the next fault, if there is one.
    pub(super) fn respond(&mut self, call: &Recorded, collides: bool) -> (Answer, Delivery) {
        let (answer, delivery) = if collides {
            (Answer::conflict(), Delivery::Whole)
        } else {
            match self.next_fault(&call.method) {
                Some(fault) => self.fail(call, fault),
                None => (self.handle(call, self.revisions.len() - 1), Delivery::Whole),
            }
        };
        let answer = self.with_limits(call, answer);
        if matches!(
            delivery,
            Delivery::Whole | Delivery::Half | Delivery::Slowly(_)
        ) {
            self.wait_until = wait_of(&answer)
                .map(|wait| Instant::now() + wait)
                .max(self.wait_until);
        }
        (answer, delivery)
    }

    fn fail(&mut self, call: &Recorded, fault: Fault) -> (Answer, Delivery) {
        let latest = self.revisions.len() - 1;
        let nothing = || Answer::new(0, "", "");
        match fault {
            Fault::CutBeforeCommit => (nothing(), Delivery::Cut),
            Fault::CutAfterCommit => (self.handle(call, latest), Delivery::Cut),
            Fault::ResetBeforeCommit => (nothing(), Delivery::Reset),
            Fault::ResetAfterCommit => (self.handle(call, latest), Delivery::Reset),
            Fault::StallBeforeCommit(pause) => (nothing(), Delivery::Stall(pause)),
            Fault::StallAfterCommit(pause) => (self.handle(call, latest), Delivery::Stall(pause)),
            Fault::HalfBodyAfterCommit => (self.handle(call, latest), Delivery::Half),
            Fault::BrokenJsonAfterCommit => {
                let mut answer = self.handle(call, latest);
                answer.body.truncate(answer.body.len() / 2);
                (answer, Delivery::Whole)
            }
            Fault::EmptyBody(status, commit) => {
                let committed = commit && self.handle(call, latest).committed;
                (
                    Answer {
                        status,
                        headers: Vec::new(),
                        body: Vec::new(),
                        committed,
                    },
                    Delivery::Whole,
                )
            }
            Fault::CaptivePortal => {
                let page =
                    "<!doctype html><title>Hotel Wi-Fi</title><form>Room <input name=room></form>";
                (Answer::new(200, "text/html", page), Delivery::Whole)
            }
            Fault::CaptiveJson => (Answer::json(200, &json!({"ok": true})), Delivery::Whole),
            Fault::OtherGist => {
                let files = Files::from([("notes.md".to_owned(), Arc::from("Somebody else's.\n"))]);
                let other = Revision {
                    version: "f".repeat(40),
                    description: String::new(),
                    files,
                };
                (
                    Answer::json(200, &self.render(&"0".repeat(32), &other)),
                    Delivery::Whole,
                )
            }
            Fault::WrongSize => {
                let pretence = self.pretence(call, |files, name| {
                    if let Some(size) = files[name]["size"].as_u64() {
                        files[name]["size"] = json!(size + 1);
                    }
                });
                (pretence, Delivery::Whole)
            }
            Fault::MissingFile => (
                self.pretence(call, |files, name| drop(files.remove(name))),
                Delivery::Whole,
            ),
            Fault::Status {
                code,
                headers,
                body,
                commit,
            } => {
                let content_type = if body.starts_with('<') {
                    "text/html"
                } else {
                    "application/json; charset=utf-8"
                };
                let committed = commit && self.handle(call, latest).committed;
                let body = body.into_bytes();
                let answer = Answer {
                    status: code,
                    headers,
                    body,
                    committed,
                };
                (
                    answer.with_default("content-type", content_type),
                    Delivery::Whole,
                )
            }
            Fault::Redirect { code, location } => {
                let body = json!({"message": "Moved", "url": location});
                (
                    Answer::json(code, &body).with_header("location", location),
                    Delivery::Whole,
                )
            }
            Fault::SlowAnswer(over) => (self.handle(call, latest), Delivery::Slowly(over)),
            Fault::StaleRead => (self.handle(call, latest.saturating_sub(1)), Delivery::Whole),
            Fault::ConcurrentWriter => {
                let content = format!("Written before request {}.\n", call.id);
                self.edit(|files| {
                    drop(files.insert("another-writer.md".to_owned(), Arc::from(content)))
                });
                (Answer::conflict(), Delivery::Whole)
            }
            Fault::HugeHeaders => {
                let value = "x".repeat(1024);
                let add = |answer: Answer, n| answer.with_header(&format!("x-huge-{n}"), &value);
                (
                    (0..200).fold(self.handle(call, latest), add),
                    Delivery::Whole,
                )
            }
        }
    }

    /// What GitHub normally answers. A GET reads the revision at this index.
    fn handle(&mut self, call: &Recorded, revision: usize) -> Answer {
        if call.path != format!("/gists/{}", self.gist_id) {
            return Answer::error(404, "Not Found");
        }
        match (call.method.as_str(), self.caller(call)) {
            ("GET" | "PATCH", Caller::Unknown) => Answer::error(401, "Bad credentials"),
            ("PATCH", Caller::Anonymous) => Answer::error(401, "Requires authentication"),
            ("GET", _) => self.get(call, &self.revisions[revision]),
            ("PATCH", Caller::Owner) => self.patch(call).unwrap_or_else(|refusal| refusal),
            _ => Answer::error(404, "Not Found"),
        }
    }

    fn caller(&self, call: &Recorded) -> Caller {
        let Some(value) = call.headers.get("authorization") else {
            return Caller::Anonymous;
        };
        match value.strip_prefix("Bearer ") {
            Some(token) if token == self.token => Caller::Owner,
            Some(token) if self.readers.contains(token) => Caller::Reader,
            _ => Caller::Unknown,
        }
    }

    fn get(&self, call: &Recorded, revision: &Revision) -> Answer {
        let etag = format!("\"{}\"", revision.version);
        let known = call
            .headers
            .get("if-none-match")
            .is_some_and(|tag| tag.trim_start_matches("W/") == etag);
        let answer = if known {
            Answer {
                status: 304,
                headers: Vec::new(),
                body: Vec::new(),
                committed: false,
            }
        } else {
            Answer::json(200, &self.render(&self.gist_id, revision))
        };
        answer.with_header("etag", format!("W/{etag}"))
    }

    /// Carries out a PATCH completely or not at all. Returns the answer, or the reason for the failure.
    fn patch(&mut self, call: &Recorded) -> Result<Answer, Answer> {
        let (description, files) = self.patched(call)?;
        let latest = self.latest();
        let identical = description == latest.description && files == latest.files;
        if identical && self.identical == Identical::Conflict409 {
            return Err(Answer::conflict());
        }
        self.commit(description, files);
        let answer = Answer::json(200, &self.render(&self.gist_id, self.latest()));
        Ok(Answer {
            committed: true,
            ..answer
        })
    }

    /// The content of the gist after this PATCH.
    fn patched(&self, call: &Recorded) -> Result<(String, Files), Answer> {
        if call.headers.contains_key("if-match") {
            return Err(Answer::error(
                400,
                "Conditional request headers are not allowed in unsafe requests",
            ));
        }
        if self
            .largest_body
            .is_some_and(|limit| call.body.len() > limit)
        {
            return Err(Answer::error(413, "Payload Too Large"));
        }
        if call.body.len() > LARGEST_PATCH {
            return Err(Answer::conflict());
        }
        let Ok(Value::Object(patch)) = serde_json::from_slice(&call.body) else {
            return Err(Answer::error(400, "Problems parsing JSON"));
        };
        let Revision {
            mut description,
            mut files,
            ..
        } = self.latest().clone();
        match patch.get("description") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => description.clone_from(text),
            Some(_) => return Err(Answer::invalid("invalid")),
        }
        match patch.get("files") {
            None | Some(Value::Null) => {}
            Some(Value::Object(changes)) => {
                changes
                    .iter()
                    .try_for_each(|(name, change)| self.apply(&mut files, name, change))?;
            }
            Some(_) => return Err(Answer::invalid("invalid")),
        }
        Ok((description, files))
    }

    fn apply(&self, files: &mut Files, name: &str, change: &Value) -> Result<(), Answer> {
        if name.is_empty() || name.contains('/') || is_reserved(name) {
            return Err(Answer::invalid("invalid"));
        }
        if change.is_null() {
            return files
                .remove(name)
                .map(drop)
                .ok_or_else(|| Answer::invalid("missing"));
        }
        let content = change["content"]
            .as_str()
            .filter(|content| !content.trim().is_empty());
        let content = content.ok_or_else(|| Answer::invalid("missing_field"))?;
        if self
            .refused_content
            .as_ref()
            .is_some_and(|needle| content.contains(needle.as_str()))
        {
            return Err(Answer::invalid("custom"));
        }
        files.insert(name.to_owned(), Arc::from(content));
        Ok(())
    }

    fn render(&self, id: &str, revision: &Revision) -> Value {
        let files = revision.files.iter().take(MOST_FILES);
        let files: Map<_, _> = files
            .map(|(name, content)| (name.clone(), self.render_file(id, revision, name, content)))
            .collect();
        let history = self.revisions.iter().rev().take(30);
        let history: Vec<_> = history
            .map(|revision| json!({"version": revision.version, "change_status": {}}))
            .collect();
        json!({
            "id": id,
            "html_url": format!("https://gist.github.com/{id}"),
            "description": revision.description,
            "public": false,
            "truncated": revision.files.len() > MOST_FILES,
            "files": files,
            "history": history,
        })
    }

    fn render_file(&self, id: &str, revision: &Revision, name: &str, content: &str) -> Value {
        json!({
            "filename": name,
            "type": "text/plain",
            "language": if name.ends_with(".jsonl") { json!("JSON") } else { Value::Null },
            "raw_url": format!("{}{}", self.raw_base, raw_path(id, &revision.version, name)),
            "size": content.len(),
            "truncated": content.len() > LARGEST_CONTENT,
            "content": &content[..content.floor_char_boundary(LARGEST_CONTENT)],
            "encoding": "utf-8",
        })
    }

    /// An answer as if this request had been carried out, but damaged for each file in the request.
    /// Nothing is carried out.
    fn pretence(
        &self,
        call: &Recorded,
        mut spoil: impl FnMut(&mut Map<String, Value>, &str),
    ) -> Answer {
        let (named, after) = match call.json()["files"].as_object() {
            Some(changes) => (
                changes.keys().cloned().collect::<Vec<_>>(),
                self.patched(call).ok(),
            ),
            None => (
                self.latest()
                    .files
                    .keys()
                    .filter(|name| name.ends_with(".jsonl"))
                    .cloned()
                    .collect(),
                None,
            ),
        };
        let latest = self.latest().clone();
        let (description, files) = after.unwrap_or((latest.description, latest.files));
        let mut gist = self.render(
            &self.gist_id,
            &Revision {
                version: latest.version,
                description,
                files,
            },
        );
        let files = gist["files"]
            .as_object_mut()
            .expect("a gist is rendered with its files");
        for name in named {
            if files.contains_key(&name) {
                spoil(files, &name);
            }
        }
        Answer::json(200, &gist)
    }

    /// Adds how many requests of this hour are left; a 304 does not count.
    fn with_limits(&mut self, call: &Recorded, answer: Answer) -> Answer {
        self.points_used += u32::from(answer.status != 304);
        let known = matches!(self.caller(call), Caller::Owner | Caller::Reader);
        let limit = if known { HOURLY.0 } else { HOURLY.1 };
        answer
            .with_default("x-ratelimit-limit", limit)
            .with_default(
                "x-ratelimit-remaining",
                limit.saturating_sub(self.points_used),
            )
            .with_default("x-ratelimit-reset", epoch().as_secs() + 3600)
    }

    /// The answer of the raw host: a file of any revision, without a token.
    pub(super) fn respond_raw(&self, call: &Recorded) -> Answer {
        let asked = |revision: &Revision, name: &str| {
            raw_path(&self.gist_id, &revision.version, name) == call.path
        };
        let find = |revision: &Revision| {
            let (_, content) = revision
                .files
                .iter()
                .find(|(name, _)| asked(revision, name))?;
            Some(Answer::new(
                200,
                "text/plain; charset=utf-8",
                &content[..content.floor_char_boundary(LARGEST_RAW)],
            ))
        };
        let revisions = self
            .revisions
            .iter()
            .rev()
            .filter(|revision| call.path.contains(&revision.version));
        revisions
            .filter(|_| call.method == "GET" && !self.raw_missing)
            .find_map(find)
            .unwrap_or_else(|| Answer::error(404, "Not Found"))
    }
}

/// Names such as `gistfile1`, which GitHub gives to files without a name.
fn is_reserved(name: &str) -> bool {
    let number = name
        .strip_prefix("gistfile")
        .map(|rest| rest.split('.').next().unwrap_or(rest));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn raw_path(id: &str, version: &str, name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    let name: String = name.bytes().map(encode).collect();
    format!("/octocat/{id}/raw/{version}/{name}")
}

/// How long an answer asks to wait.
fn wait_of(answer: &Answer) -> Option<Duration> {
    if let Some(after) = answer.header("retry-after") {
        let until = || {
            Some(
                httpdate::parse_http_date(after)
                    .ok()?
                    .duration_since(SystemTime::now())
                    .unwrap_or_default(),
            )
        };
        return after.parse().ok().map(Duration::from_secs).or_else(until);
    }
    let over =
        matches!(answer.status, 403 | 429) && answer.header("x-ratelimit-remaining") == Some("0");
    let reset = answer
        .header("x-ratelimit-reset")
        .filter(|_| over)?
        .parse()
        .ok()?;
    Some(Duration::from_secs(reset).saturating_sub(epoch()))
}

fn epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
}
