//! Servers that are neither GitHub nor a collector: a strange host, a proxy, or nothing at all.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificate of an authority that nobody trusts by default. It signed one certificate, for
/// the loopback address, valid for a hundred years; its key was deleted.
pub(crate) const LOOPBACK_CA: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/data/loopback-ca.pem");

/// A server on a port of its own that keeps everything it receives. Its thread ends with the
/// process.
pub(crate) struct OtherServer {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl OtherServer {
    /// Answers the first bytes of each connection with `answer` and hangs up. If `answer` is empty,
    /// it never answers.
    pub(crate) fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, heard| {
            listen(&mut stream, heard);
            if answer.is_empty() {
                // Until the client gives up.
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

    /// Uses TLS with a certificate of [`LOOPBACK_CA`], and always answers 401.
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

    /// Everything that it has received.
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

/// The URL of a port on which nothing listens.
pub(crate) fn unused_url() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}
