//! Where the process begins, and the exit code with which it ends.
//!
//! On Linux with glibc it begins without Rust's own start, which reads `/proc/self/maps` and sets up a
//! second stack, to be able to explain an overflow of the first: a twentieth of what a `record` costs
//! (README, "Cost"). An overflow is a plain SIGSEGV there. The rest of that start is here.

#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(test)), no_main)]

use jmo_telemetry::cli;
use jmo_telemetry::env::Environment;

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(test))))]
fn main() -> std::process::ExitCode {
    cli::main(Environment::of_process()).into()
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(test)))]
mod start {
    use std::fs::File;
    use std::os::fd::{AsRawFd, IntoRawFd};

    use nix::sys::signal::{SigHandler, Signal, signal};

    use super::{Environment, cli};

    /// What the C library calls. It has told Rust the arguments by then.
    #[expect(unsafe_code, reason = "the name is the one that the C library calls")]
    #[unsafe(no_mangle)]
    extern "C" fn main() -> i32 {
        open_standard_streams();
        ignore_sigpipe();
        std::process::exit(cli::main(Environment::of_process()).into())
    }

    /// Where one of the three is closed, the next file that is opened would take its place, and be
    /// written into by whoever says something.
    fn open_standard_streams() {
        while let Ok(null) = File::options().read(true).write(true).open("/dev/null")
            && null.as_raw_fd() <= 2
        {
            let _ = null.into_raw_fd();
        }
    }

    /// So that a reader that went away is an error and not the end.
    fn ignore_sigpipe() {
        #[expect(unsafe_code, reason = "so it is declared for handlers that run code")]
        // SAFETY: no code of ours runs in a signal's context.
        let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
    }
}
