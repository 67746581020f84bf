//! The promises of the contract, through the real binary. Each test is a sentence that would be false without the code.

#![allow(missing_docs, clippy::unwrap_used, reason = "these are tests")]

mod choice;
mod conflicts;
mod consent;
#[cfg(target_os = "linux")]
mod crashes;
mod delivery;
mod forget;
mod lifecycle;
mod model;
mod network;
mod notice;
mod privacy;
mod recording;
mod scanner;
mod storage;
mod support;
mod token;
mod trouble;
mod waits;
