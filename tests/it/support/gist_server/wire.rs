//! The HTTP code: listeners, connections, and the ways in which an answer can fail to arrive.

use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    net,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
    time::{Sleep, sleep},
};

use super::{
    Recorded, Shared,
    answer::{Answer, Delivery},
};

/// How often to wait a millisecond for the end of an old connection, so that a client that hangs up
/// and reconnects at once does not look like two clients. This counts turns of the runtime instead
/// of time, because on a busy machine time can pass without any progress.
const SETTLING_TURNS: usize = 20;
/// The number of pieces in which a slow answer is sent.
const DRIBBLES: usize = 20;

/// Serves both hosts until the stop signal. Whatever is still running then ends with the runtime.
pub(super) fn run(
    shared: &Arc<Shared>,
    api: net::TcpListener,
    raw: net::TcpListener,
    stopped: oneshot::Receiver<Infallible>,
) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a thread can have a runtime");
    runtime.block_on(async {
        for (listener, raw) in [(api, false), (raw, true)] {
            let listener = TcpListener::from_std(listener).expect("the listener does not block");
            tokio::spawn(accept(listener, Arc::clone(shared), raw));
        }
        // Nothing is ever sent: dropping the other end is the signal.
        let _ = stopped.await;
    });
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, raw: bool) {
    loop {
        // A client that gave up before it was accepted does not matter.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let refused = shared.change(|state| {
            state.connections += 1;
            state.refusing
        });
        if !refused {
            tokio::spawn(converse(stream, Arc::clone(&shared), raw));
        }
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>, raw: bool) {
    let reset = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        Box::pin(serve(Arc::clone(&shared), Arc::clone(&reset), raw, request))
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // The client or a fault ended the connection; the recorded requests tell which.
    let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    if reset.load(Ordering::Relaxed) {
        let stream = connection.into_parts().io.into_inner();
        stream
            .set_zero_linger()
            .expect("an open socket takes options");
    }
}

async fn serve(
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
    raw: bool,
    request: Request<Incoming>,
) -> Result<Response<Chunks>, Hangup> {
    if shared.look().refusing {
        return Err(Hangup);
    }
    let (head, body) = request.into_parts();
    let (mut ticket, others) = Ticket::take(&shared, &head, raw);
    let rivals = settle(&shared, others).await;
    let body = body.collect().await.map_err(|_| Hangup)?.to_bytes();
    let (answer, delivery) = ticket.handle(body, &rivals);
    match delivery {
        Delivery::Whole => Ok(response(ticket, answer, 1, Duration::ZERO)),
        Delivery::Slowly(over) => Ok(response(ticket, answer, DRIBBLES, over)),
        Delivery::Half => Ok(half(response(ticket, answer, 2, Duration::ZERO))),
        Delivery::Cut => Err(Hangup),
        Delivery::Reset => {
            reset.store(true, Ordering::Relaxed);
            Err(Hangup)
        }
        Delivery::Stall(pause) => {
            sleep(pause).await;
            Err(Hangup)
        }
    }
}

/// The requests that were in flight when another one arrived and whose clients had not hung up by
/// then.
async fn settle(shared: &Shared, others: Vec<u64>) -> Vec<Recorded> {
    for _ in 0..SETTLING_TURNS {
        if !others.iter().any(|id| shared.look().in_flight.contains(id)) {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let mut state = shared.look();
    let rivals = others.iter().filter_map(|id| state.request(*id).cloned());
    rivals.filter(|rival| !rival.abandoned).collect()
}

/// The record of a request, from its head to the end of its answer.
struct Ticket {
    shared: Arc<Shared>,
    call: Recorded,
    done: bool,
}

impl Ticket {
    /// Records the request. Also returns which requests to the API are in flight.
    fn take(shared: &Arc<Shared>, head: &Parts, raw: bool) -> (Self, Vec<u64>) {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let (call, others) = shared.change(|state| {
            state.last_id += 1;
            let call = Recorded {
                id: state.last_id,
                raw,
                method: head.method.to_string(),
                path: head
                    .uri
                    .path_and_query()
                    .map_or_else(String::new, ToString::to_string),
                headers: head
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                    .collect(),
                body: Bytes::new(),
                started: Instant::now(),
                finished: None,
                status: None,
                committed: false,
                abandoned: false,
            };
            state.check_head(&call, call.started);
            let others = state.in_flight.iter().copied().filter(|_| !raw).collect();
            if !raw {
                state.in_flight.insert(call.id);
            }
            if call.is_write() && !raw {
                state.last_write = Some(call.started);
            }
            state.requests.push(call.clone());
            (call, others)
        });
        (
            Self {
                shared: Arc::clone(shared),
                call,
                done: false,
            },
            others,
        )
    }

    fn handle(&mut self, body: Bytes, rivals: &[Recorded]) -> (Answer, Delivery) {
        self.call.body = body;
        let call = &self.call;
        self.shared.change(|state| {
            let (answer, delivery) = if call.raw {
                (state.respond_raw(call), Delivery::Whole)
            } else {
                state.check_body(call);
                let collides = state.check_alone(call, rivals);
                state.respond(call, collides)
            };
            if let Some(request) = state.request(call.id) {
                request.body = call.body.clone();
                request.committed = answer.committed;
            }
            (answer, delivery)
        })
    }

    /// Records that the head of the answer is being sent.
    fn answered(&self, status: u16) {
        self.shared.change(|state| {
            state
                .request(self.call.id)
                .map(|request| request.status = Some(status))
        });
    }

    fn finish(&mut self, abandoned: bool) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        self.shared.change(|state| {
            let now = Instant::now();
            state.in_flight.remove(&self.call.id);
            if self.call.is_write() && !self.call.raw {
                state.last_write = Some(now);
            }
            if let Some(request) = state.request(self.call.id) {
                request.finished = Some(now);
                request.abandoned = abandoned;
            }
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.finish(true);
    }
}

fn response(mut ticket: Ticket, answer: Answer, pieces: usize, over: Duration) -> Response<Chunks> {
    ticket.answered(answer.status);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    if !matches!(answer.status, 204 | 304) {
        // Set here and not by the body, so that half a body can still announce the full length.
        response = response.header("content-length", answer.body.len());
    }
    let piece = answer.body.len().div_ceil(pieces).max(1);
    let chunks: VecDeque<_> = answer
        .body
        .chunks(piece)
        .map(Bytes::copy_from_slice)
        .collect();
    let pause = over / u32::try_from(chunks.len().max(1)).expect("a body comes in few pieces");
    if chunks.is_empty() {
        ticket.finish(false);
    }
    let body = Chunks {
        chunks,
        pause,
        sleep: None,
        hangup: false,
        ticket,
    };
    response
        .body(body)
        .expect("a fault names a valid status and valid headers")
}

fn half(mut response: Response<Chunks>) -> Response<Chunks> {
    let body = response.body_mut();
    body.chunks.truncate(1);
    body.hangup = true;
    // Without a pause the connection would end before hyper has sent the first half.
    body.pause = Duration::from_millis(5);
    response
}

/// A body that is sent in pieces with pauses, and may end with a broken connection.
struct Chunks {
    chunks: VecDeque<Bytes>,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    hangup: bool,
    ticket: Ticket,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Hangup;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Hangup>>> {
        let this = self.get_mut();
        if !this.pause.is_zero() {
            let pause = this
                .sleep
                .get_or_insert_with(|| Box::pin(sleep(this.pause)));
            ready!(pause.as_mut().poll(context));
            this.sleep = None;
        }
        let Some(chunk) = this.chunks.pop_front() else {
            return Poll::Ready(this.hangup.then_some(Err(Hangup)));
        };
        if this.is_end_stream() {
            // Finished before the last bytes are sent, because the client's next request can't
            // arrive earlier than that.
            this.ticket.finish(false);
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty() && !self.hangup
    }
}

/// Ends the connection without an answer.
#[derive(Debug)]
struct Hangup;

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server hung up")
    }
}

impl Error for Hangup {}
