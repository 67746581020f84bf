//! `record --flush`: starts a flush in a session of its own. It inherits no open file, and `record`
//! does not wait for it.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::cli::exit::Failure;
use crate::settings::Settings;

/// Starts a flush in the background.
pub(super) fn start_flush(settings: &Settings, config: Option<&Path>) -> Result<(), Failure> {
    let program = settings.environment.program()?;
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(config) = config {
        arguments.extend(["--config".into(), config.into()]);
    }
    arguments.extend(["flush".into(), "--detached".into()]);
    // When it can't be started, the event is safe all the same, and the next flush sends it.
    let _ = start(&program, &arguments);
    Ok(())
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

/// Not by the standard library: there a child inherits our own streams even when it gets others,
/// and whoever reads our output would wait for the end of the flush.
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
        // Neither the caller's console nor his Ctrl-C.
        CREATE::DETACHED_PROCESS | CREATE::NEW_PROCESS_GROUP,
        &[],
        None,
        &mut winsafe::STARTUPINFO::default(),
    )
    .map(drop)
    .map_err(|error| io::Error::from_raw_os_error(error.raw().cast_signed()))
}

/// Closes what this process inherited besides the three standard streams, so that the flush keeps
/// none of the caller's pipes open and none of his locks held. Our own files are closed by now, and
/// Rust passes none of them on to another program.
#[cfg(unix)]
fn close_inherited() {
    let open = std::fs::read_dir("/dev/fd").map(|names| {
        let number = |name: std::ffi::OsString| name.to_str()?.parse().ok();
        let names = names.flatten().map(|entry| entry.file_name());
        names.filter_map(number).collect()
    });
    // Where the system does not list them, try the usual numbers.
    let open: Vec<i32> = open.unwrap_or_else(|_| (0..1024).collect());
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The directory that was listed is closed by now, so this can fail.
        let _ = nix::unistd::close(descriptor);
    }
}
