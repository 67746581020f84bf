//! What can go wrong between an uploader and GitHub, as data: each [`Fault`] is one kind of bad
//! answer.
//!
//! The names tell about the commit: *before* means that nothing was written, *after* that the PATCH
//! was carried out completely and only its answer is bad.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

/// One kind of bad answer to one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is closed without an answer; nothing was written.
    CutBeforeCommit,
    /// The PATCH is written, then the connection is closed without an answer.
    CutAfterCommit,
    /// As [`Fault::CutBeforeCommit`], with a TCP reset.
    ResetBeforeCommit,
    /// As [`Fault::CutAfterCommit`], with a TCP reset.
    ResetAfterCommit,
    /// No answer for this long, then the connection is closed; nothing was written.
    StallBeforeCommit(Duration),
    /// The PATCH is written at once, then there is no answer for this long, then the connection is
    /// closed.
    StallAfterCommit(Duration),
    /// The correct head with the length of the whole answer, but only half of the JSON before the
    /// connection ends.
    HalfBodyAfterCommit,
    /// A complete 200 whose JSON stops in the middle.
    BrokenJsonAfterCommit,
    /// This status without a body; the flag tells whether the PATCH is written.
    EmptyBody(u16, bool),
    /// 200 with the login page of a hotel's network; nothing was written.
    CaptivePortal,
    /// 200 with `{"ok":true}`; nothing was written.
    CaptiveJson,
    /// 200 with the valid answer of another gist; nothing was written.
    OtherGist,
    /// 200 as if written, but the files are listed one byte too long; nothing was written.
    WrongSize,
    /// 200 as if written, but without the files that the PATCH named (for a GET: without any
    /// `.jsonl` file); nothing was written.
    MissingFile,
    /// Any status; see the constructors below for those that GitHub is known to give.
    Status {
        /// The status.
        code: u16,
        /// Names and values of additional headers.
        headers: Vec<(String, String)>,
        /// Sent as HTML if it starts with `<`, else as JSON.
        body: String,
        /// Whether the PATCH is written nevertheless.
        commit: bool,
    },
    /// A redirect with this status; nothing was written.
    Redirect {
        /// 301, 302, 307 or 308.
        code: u16,
        /// An absolute URL or a path.
        location: String,
    },
    /// Everything works, but the body of the answer arrives slowly, over this time.
    SlowAnswer(Duration),
    /// A GET returns the revision before the last. Only used for a GET.
    StaleRead,
    /// Another writer changes another file first, and this PATCH gets 409 and is not written. Only
    /// used for a PATCH.
    ConcurrentWriter,
    /// Everything works, but the head carries 200 headers of 1 KiB each.
    HugeHeaders,
}

/// How an answer asks for a pause.
#[derive(Clone, Copy, Debug)]
pub enum RetryAfter {
    /// `Retry-After: N`.
    Seconds(u64),
    /// `Retry-After` with an HTTP date this long after the fault is created, rounded up to a
    /// second.
    Date(Duration),
    /// No such header: the client must know what to do.
    Absent,
}

impl Fault {
    /// 401: the token is wrong or revoked.
    pub fn unauthorized() -> Self {
        Self::refusal(401, "Bad credentials")
    }

    /// 403 because of a missing permission, not because of a limit.
    pub fn forbidden() -> Self {
        Self::refusal(403, "Resource not accessible by personal access token")
    }

    /// 403 because of the primary limit, which resets after this time (rounded up to a second).
    pub fn rate_limited(reset_in: Duration) -> Self {
        let reset = ceil_to_second(SystemTime::now() + reset_in);
        let epoch = reset
            .duration_since(UNIX_EPOCH)
            .expect("the clock is past 1970");
        Self::refusal(403, "API rate limit exceeded for user ID 1.")
            .with_header("x-ratelimit-remaining", "0")
            .with_header("x-ratelimit-reset", &epoch.as_secs().to_string())
    }

    /// 403 because of a secondary limit.
    pub fn secondary_limit(pause: RetryAfter) -> Self {
        let message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
        Self::refusal(403, message).with_pause(pause)
    }

    /// 404: no such gist, or not for this token.
    pub fn not_found() -> Self {
        Self::refusal(404, "Not Found")
    }

    /// 405 although the gist was written, as users have seen it.
    pub fn method_not_allowed_but_committed() -> Self {
        Self::refusal(405, "Method Not Allowed").committing(true)
    }

    /// 408, not written.
    pub fn request_timeout() -> Self {
        Self::refusal(408, "Request Timeout")
    }

    /// 409, written or not.
    pub fn conflict(commit: bool) -> Self {
        Self::refusal(409, "Gist cannot be updated.").committing(commit)
    }

    /// 410: deleted for good.
    pub fn gone() -> Self {
        Self::refusal(410, "Gone")
    }

    /// 413, not written.
    pub fn too_large() -> Self {
        Self::refusal(413, "Payload Too Large")
    }

    /// 422, not written.
    pub fn unprocessable() -> Self {
        Self::refusal(422, "Validation Failed")
    }

    /// 429, not written.
    pub fn too_many_requests(pause: RetryAfter) -> Self {
        Self::refusal(429, "Too Many Requests").with_pause(pause)
    }

    /// 500, 502, 503 or 504, written or not. From 502 on, a gateway answers, in HTML.
    pub fn server_error(code: u16, commit: bool) -> Self {
        let body = match code {
            500 => json!({"message": "Server Error"}).to_string(),
            _ => format!(
                "<html><head><title>{code}</title></head><body><h1>Unicorn!</h1></body></html>"
            ),
        };
        Self::Status {
            code,
            headers: Vec::new(),
            body,
            commit,
        }
    }

    /// A redirect to this place.
    pub fn redirect(code: u16, location: impl Into<String>) -> Self {
        Self::Redirect {
            code,
            location: location.into(),
        }
    }

    /// This status with GitHub's error body, not written.
    pub fn refusal(code: u16, message: &str) -> Self {
        let body = super::answer::error_body(message).to_string();
        Self::Status {
            code,
            headers: Vec::new(),
            body,
            commit: false,
        }
    }

    /// The same [`Fault::Status`] with one header more; other faults are left as they are.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same [`Fault::Status`], asking for a pause.
    pub fn with_pause(self, pause: RetryAfter) -> Self {
        match pause {
            RetryAfter::Seconds(seconds) => self.with_header("retry-after", &seconds.to_string()),
            RetryAfter::Date(wait) => {
                let date = ceil_to_second(SystemTime::now() + wait);
                self.with_header("retry-after", &httpdate::fmt_http_date(date))
            }
            RetryAfter::Absent => self,
        }
    }

    /// The same [`Fault::Status`], written or not.
    pub fn committing(mut self, written: bool) -> Self {
        if let Self::Status { commit, .. } = &mut self {
            *commit = written;
        }
        self
    }

    /// Whether this fault makes sense for a request of this kind.
    pub(super) fn suits(&self, write: bool) -> bool {
        match self {
            Self::StaleRead => !write,
            Self::ConcurrentWriter => write,
            _ => true,
        }
    }
}

/// HTTP dates and `x-ratelimit-reset` have whole seconds. Rounding up makes sure that a wait is not
/// too short.
fn ceil_to_second(time: SystemTime) -> SystemTime {
    let since = time
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    UNIX_EPOCH + Duration::from_secs(since.as_secs() + u64::from(since.subsec_nanos() > 0))
}
