//! What the tests stand on: a world of their own, a Gist server, places that are none, a tracer,
//! poison, and a search for traces.

pub(crate) mod collector;
pub(crate) mod collector_stand_in;
pub(crate) mod elsewhere;
pub(crate) mod gist_server;
pub(crate) mod poison;
pub(crate) mod tracer;
pub(crate) mod traces;
pub(crate) mod world;
