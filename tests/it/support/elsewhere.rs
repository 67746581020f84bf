//! Places that are not GitHub, and time that has passed: what tests of trouble need besides the
//! Gist server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::world::World;

/// The certificate of an authority that nobody trusts by himself. Its key is gone; it signed one
/// certificate, for the loopback, for a hundred years.
pub(crate) const LOOPBACK_CA: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/data/loopback-ca.pem");

/// A port where something listens that is no Gist server; it keeps what it is told. Its thread ends
/// with the process.
pub(crate) struct Elsewhere {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Elsewhere {
    /// Answers the first bytes of each connection with these and hangs up; with nothing it stays
    /// silent for ever.
    pub(crate) fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, heard| {
            listen(&mut stream, heard);
            if answer.is_empty() {
                // Until the other side gives up.
                while listen(&mut stream, heard) {}
            }
            let _ = stream.write_all(answer);
            let _ = stream.shutdown(Shutdown::Write);
            while listen(&mut stream, heard) {}
        })
    }

    /// Answers with a success whose body never ends.
    pub(crate) fn endless() -> Self {
        Self::start(|mut stream, heard| {
            listen(&mut stream, heard);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"id\":\"");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        })
    }

    /// Speaks TLS with a certificate of [`LOOPBACK_CA`], and says 401 to everybody.
    pub(crate) fn with_tls() -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("../data/loopback.pem"));
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../data/loopback.key"));
        let provider = rustls::crypto::ring::default_provider();
        let config = rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("PEM")], key.expect("PEM"))
            .expect("they belong together");
        let config = Arc::new(config);
        Self::start(move |stream, heard| {
            let Ok(connection) = rustls::ServerConnection::new(Arc::clone(&config)) else {
                return;
            };
            let mut stream = rustls::StreamOwned::new(connection, stream);
            if listen(&mut stream, heard) {
                let answer =
                    b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        })
    }

    fn start(talk: impl Fn(TcpStream, &Mutex<Vec<u8>>) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::default();
        let for_thread = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (talk, heard) = (talk.clone(), Arc::clone(&for_thread));
                std::thread::spawn(move || talk(stream, &heard));
            }
        });
        Self { port, heard }
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// All that anybody said to it.
    pub(crate) fn heard(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }
}

fn listen(stream: &mut impl Read, heard: &Mutex<Vec<u8>>) -> bool {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).unwrap_or(0);
    heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend_from_slice(&bytes[..count]);
    count > 0
}

/// The URL of a port where nobody listens.
pub(crate) fn nowhere() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// Makes the spool as it will be after so much time: every wait and pause in it is that much older.
pub(crate) fn later(world: &World, by: Duration) {
    let changed = database(world).execute(
        "UPDATE destination SET retry_at = retry_at - ?1, wait_until = wait_until - ?1, paused_at = paused_at - ?1,
         noted_at = noted_at - ?1, last_write_at = last_write_at - ?1",
        [i64::try_from(by.as_millis()).expect("not that late")],
    );
    changed.expect("the spool can be written");
}

/// The spool's database, for what no command shows.
pub(crate) fn database(world: &World) -> rusqlite::Connection {
    rusqlite::Connection::open(world.file("spool.db")).expect("the spool opens")
}

/// Runs `check` over all cases, several at a time, and tells all that failed.
pub(crate) fn all_of<C: Send>(
    cases: impl IntoIterator<Item = C>,
    name: impl Fn(&C) -> String + Sync,
    check: impl Fn(C) + Sync,
) {
    let cases = Mutex::new(cases.into_iter().collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(case) = cases.lock().expect("no panic here").pop() else {
                break;
            };
            let name = name(&case);
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case)));
            if checked.is_err() {
                failed.lock().expect("no panic here").push(name);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no panic here");
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
}
