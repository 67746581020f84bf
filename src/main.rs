//! Parses, runs, says once what went wrong, and returns an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    jmo_telemetry::cli::main(jmo_telemetry::env::Environment::of_process())
}
