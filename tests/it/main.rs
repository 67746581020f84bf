//! Tests the promises of the program with the real binary. The name of each test is a sentence that
//! states what must be true.

// Kills and faults are injected with ptrace.
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "these are tests"
)]

mod bombs;
mod choice;
mod clocks;
mod collector;
mod command_line;
mod conflicts;
mod consent;
mod copies;
mod crashes;
mod crowded;
mod damage;
mod delivery;
mod forget;
mod home;
mod house;
mod lifecycle;
mod limits;
mod model;
mod network;
mod notice;
mod overflow;
mod privacy;
mod recording;
mod scanner;
mod schedule;
mod shell;
mod spool_commands;
mod status;
mod storage;
mod support;
mod terminal;
mod token;
mod trouble;
mod view;
mod waits;
