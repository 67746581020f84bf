//! What the tests stand on: a world of their own, a Gist server, and a tracer.

pub(crate) mod gist_server;
#[cfg(target_os = "linux")]
pub(crate) mod tracer;
pub(crate) mod world;
