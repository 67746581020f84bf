//! The entry point of the program.

use std::process::ExitCode;

use jmo_telemetry::cli;
use jmo_telemetry::env::Environment;

fn main() -> ExitCode {
    cli::main(Environment::of_process()).into()
}
