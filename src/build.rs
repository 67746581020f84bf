//! Links a release for Linux with glibc statically and at a fixed address. `record` runs for about a
//! millisecond, and a third of that was the dynamic linker's (README, "Cost").
//!
//! The flag that does this for a whole build (`-C target-feature=+crt-static`) can't be used: without
//! `--target` it also applies to procedural macros, which can't be static. Where the C library has no
//! static archive, the program is linked as usual.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let glibc =
        variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let native = variable("TARGET") == variable("HOST");
    if !(glibc && native && variable("PROFILE") == "release") {
        return;
    }
    match static_libraries(&PathBuf::from(variable("OUT_DIR"))) {
        Ok(dir) => {
            // For the program alone: tests and benchmarks are linked as usual.
            println!("cargo::rustc-link-arg-bins=-L{}", dir.display());
            println!("cargo::rustc-link-arg-bins=-static");
            println!("cargo::rustc-link-arg-bins=-no-pie");
        }
        Err(error) => println!("cargo::warning=linking dynamically: {error}"),
    }
}

/// Rust links the C library by name and lets the linker prefer the shared one. This makes a
/// directory, searched first, in which the names stand for the static ones.
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
    // There is no static libgcc_s; its parts are in the group.
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
