//! `record --flush`: a flush of its own session that inherits nothing and is not waited for.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::exit::Failure;
use crate::settings::Settings;

/// Starts a flush in the background.
pub(super) fn start_flush(settings: &Settings, config: Option<&Path>) -> Result<(), Failure> {
    let mut command = Command::new(settings.environment.program()?);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command
        .args(["flush", "--detached"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    #[cfg(windows)]
    std::os::windows::process::CommandExt::creation_flags(
        &mut command,
        DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP,
    );
    #[cfg(unix)]
    close_inherited();
    // The event is safe, and the next flush takes it; that none can be started now harms nobody.
    let _ = command.spawn();
    Ok(())
}

/// No console of the caller's.
#[cfg(windows)]
const DETACHED_PROCESS: u32 = 0x0000_0008;
/// No Ctrl-C of the caller's.
#[cfg(windows)]
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// Closes what this process inherited besides the three standard streams, so that the flush keeps
/// no pipe of the caller's open and no lock of his held. Of our own files none is open any more,
/// and Rust gives none of them to another program.
#[cfg(unix)]
fn close_inherited() {
    let open = std::fs::read_dir("/dev/fd").map(|names| {
        let number = |name: std::ffi::OsString| name.to_str()?.parse().ok();
        let names = names.flatten().map(|entry| entry.file_name());
        names.filter_map(number).collect()
    });
    // Where the system does not list them, as many as are usual.
    let open: Vec<i32> = open.unwrap_or_else(|_| (0..1024).collect());
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The directory that was listed is closed by now, so this can fail.
        let _ = nix::unistd::close(descriptor);
    }
}
