//! The promises of the contract, through the real binary. Each test is a sentence that would be false without the code.

#![allow(missing_docs, clippy::unwrap_used, reason = "these are tests")]

mod delivery;
mod lifecycle;
mod recording;
mod storage;
mod support;
