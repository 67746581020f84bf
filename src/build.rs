//! Links a release for Linux with glibc statically, because the dynamic linker took a third of the
//! time of a `record` (docs/performance.md). The program stays position-independent, and its
//! relocations are read-only before it starts: a program that parses answers from the network
//! should be protected like that, and it costs about a twentieth of a `record`.
//! The functions that a `record` runs are adjacent in the file (`record.ld`), which saves some of it.
//!
//! The flag that links a whole build statically (`-C target-feature=+crt-static`) can't be used:
//! without `--target` it also applies to procedural macros, which can't be static.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo passes everything to a build script in its environment"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-changed=src/record.ld");
    let glibc =
        variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let native = variable("TARGET") == variable("HOST");
    if !(glibc && native && variable("PROFILE") == "release") {
        return;
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    match statically(&out) {
        Ok(arguments) => pass(&arguments),
        Err(error) => println!("cargo::warning=linking dynamically: {error}"),
    }
    match in_order(&out) {
        Ok(argument) => pass(&[argument]),
        Err(error) => {
            println!("cargo::warning=leaving the order of functions to the linker: {error}")
        }
    }
}

/// Gives the linker these arguments, only for the program: tests and benchmarks are linked as usual.
fn pass(arguments: &[String]) {
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The linker arguments for a static program.
fn statically(out: &Path) -> io::Result<Vec<String>> {
    let directory = format!("-L{}", static_libraries(out)?.display());
    let arguments = [&directory, "-static-pie", "-Wl,-z,relro,-z,now"].map(str::to_owned);
    linking(out, &arguments)?;
    Ok(arguments.into())
}

/// The linker argument that makes the functions of a `record` adjacent.
fn in_order(out: &Path) -> io::Result<String> {
    // A copy, because another checkout may share the target directory and outlive this one.
    let script = out.join("record.ld");
    fs::copy("src/record.ld", &script)?;
    let argument = format!("-T{}", script.display());
    linking(out, std::slice::from_ref(&argument))?;
    Ok(argument)
}

/// Rust links the C library by name, and the linker prefers the shared one. So this creates a
/// directory that is searched first and in which the same names lead to the static libraries.
fn static_libraries(out: &Path) -> io::Result<PathBuf> {
    let c = archive("libc.a")?;
    let m = archive("libm.a")?;
    let c_and_compiler = format!(
        "GROUP ( {c} {} {} )\n",
        archive("libgcc.a")?,
        archive("libgcc_eh.a")?
    );
    let dir = out.join("static");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("libc.a"), &c_and_compiler)?;
    // There is no static libgcc_s; the group above contains its parts.
    fs::write(dir.join("libgcc_s.a"), &c_and_compiler)?;
    fs::write(dir.join("libm.a"), format!("GROUP ( {m} {c} )\n"))?;
    Ok(dir)
}

/// The path of a static library, as the C compiler knows it.
fn archive(name: &str) -> io::Result<String> {
    let output = Command::new("cc")
        .arg(format!("-print-file-name={name}"))
        .output()?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if Path::new(&path).is_absolute() {
        Ok(path)
    } else {
        Err(io::Error::other(format!("there is no {name}")))
    }
}

/// Tries to link a minimal program with these arguments, as cargo would.
fn linking(out: &Path, arguments: &[String]) -> io::Result<()> {
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let mut command = Command::new(variable("RUSTC"));
    command
        .args([
            "--crate-name=probe",
            "--crate-type=bin",
            "-Cpanic=abort",
            "-",
            "-o",
        ])
        .arg(out.join("probe"))
        .args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        command.arg(format!("-Clinker={linker}"));
    }
    for argument in arguments {
        command.arg(format!("-Clink-arg={argument}"));
    }
    let mut compiler = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut source) = compiler.stdin.take() {
        source.write_all(b"fn main() {}")?;
    }
    if compiler.wait()?.success() {
        Ok(())
    } else {
        let arguments = arguments.join(" ");
        Err(io::Error::other(format!("the linker refuses {arguments}")))
    }
}
