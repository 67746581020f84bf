//! `record --flush`: starts a flush in a session of its own. It inherits no open files, and
//! `record` does not wait for it.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::settings::Settings;

/// Starts a flush in the background. If it can't be started, the event is safe anyway, and the next
/// flush sends it.
pub(super) fn start_flush(settings: &Settings, config: Option<&Path>) {
    let Ok(program) = settings.environment.program() else {
        return;
    };
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(config) = config {
        arguments.extend(["--config".into(), config.into()]);
    }
    arguments.extend(["flush".into(), "--detached".into()]);
    let _ = start(&program, &arguments);
}

#[cfg(unix)]
fn start(program: &Path, arguments: &[OsString]) -> io::Result<()> {
    use std::process::{Command, Stdio};
    close_inherited();
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}

/// Starts a process without the standard library, which lets a child inherit our own streams even
/// when it gets others. A program that reads our output would then wait for the end of the flush.
#[cfg(windows)]
fn start(program: &Path, arguments: &[OsString]) -> io::Result<()> {
    use winsafe::co::CREATE;
    let line: Vec<String> = std::iter::once(program.as_os_str())
        .chain(arguments.iter().map(OsString::as_os_str))
        .map(|word| crate::command_line::quote(&word.to_string_lossy()))
        .collect();
    let inherit_handles = false;
    winsafe::CreateProcess(
        None,
        Some(&line.join(" ")),
        None,
        None,
        inherit_handles,
        // Detached from the caller's console and its Ctrl-C.
        CREATE::DETACHED_PROCESS | CREATE::NEW_PROCESS_GROUP,
        &[],
        None,
        &mut winsafe::STARTUPINFO::default(),
    )
    .map(drop)
    .map_err(|error| io::Error::from_raw_os_error(error.raw().cast_signed()))
}

/// Closes everything that this process inherited except the three standard streams, so that the
/// flush does not keep the caller's pipes open or its locks held. Our own files are already closed,
/// and Rust passes none of them to a child.
#[cfg(unix)]
fn close_inherited() {
    let open = std::fs::read_dir("/dev/fd").map(|names| {
        let number = |name: std::ffi::OsString| name.to_str()?.parse().ok();
        let names = names.flatten().map(|entry| entry.file_name());
        names.filter_map(number).collect()
    });
    // If the system can't list them, try the usual numbers.
    let open: Vec<i32> = open.unwrap_or_else(|_| (0..1024).collect());
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // This fails for the directory that was listed, which is closed by now.
        let _ = nix::unistd::close(descriptor);
    }
}
