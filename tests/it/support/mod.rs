//! The tools of the tests: a world with a home and the program, fake servers, a tracer for system
//! calls, poisoned events, and a search for traces.

pub(crate) mod cases;
pub(crate) mod collector;
pub(crate) mod collector_stand_in;
pub(crate) mod gist_server;
pub(crate) mod other_server;
pub(crate) mod poison;
pub(crate) mod terminal;
pub(crate) mod tracer;
pub(crate) mod traces;
pub(crate) mod world;
