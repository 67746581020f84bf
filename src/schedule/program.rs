//! The path under which a scheduler finds this program, even after the next update.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::ScheduleError;
use crate::env::Environment;

/// The path at which this program is found through PATH, else its own path. `current_exe` resolves
/// links: with Homebrew it names the folder of one version, which the next upgrade deletes.
///
/// # Errors
/// When the program will not stay where it is.
pub(super) fn stable_path(environment: &Environment) -> Result<PathBuf, ScheduleError> {
    let own = environment
        .program()
        .map_err(|source| ScheduleError::File {
            operation: "find",
            path: PathBuf::from("jmo-telemetry"),
            source,
        })?;
    let temporary = temporary_dirs(environment);
    let name = format!("jmo-telemetry{}", std::env::consts::EXE_SUFFIX);
    let on_path = std::env::split_paths(environment.get("PATH").unwrap_or_default())
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(&name))
        .chain(homebrew_link(&own, &name));
    let path = on_path
        .filter(|path| !is_versioned(path) && is_same_file(path, &own))
        .find(|path| why_temporary(path, &temporary).is_none())
        .unwrap_or_else(|| own.clone());
    let reason = why_temporary(&path, &temporary).or_else(|| {
        is_versioned(&path)
            .then_some("the next upgrade deletes that folder; put Homebrew's bin folder into PATH")
    });
    match reason {
        Some(reason) => Err(ScheduleError::Temporary { path, reason }),
        None => Ok(path),
    }
}

fn is_same_file(path: &Path, other: &Path) -> bool {
    match (path.canonicalize(), other.canonicalize()) {
        (Ok(path), Ok(other)) => path == other,
        _ => false,
    }
}

/// The link that Homebrew creates for a program in its Cellar.
fn homebrew_link(own: &Path, name: &str) -> Option<PathBuf> {
    let prefix = own
        .ancestors()
        .find(|dir| dir.file_name() == Some(OsStr::new("Cellar")))?
        .parent()?;
    Some(prefix.join("bin").join(name))
}

/// Whether a path is in Homebrew's folder for one version.
fn is_versioned(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "Cellar")
}

fn temporary_dirs(environment: &Environment) -> Vec<PathBuf> {
    let mut dirs = vec![environment.temporary_dir()];
    if cfg!(unix) {
        dirs.extend(["/tmp", "/var/tmp", "/dev/shm", "/run"].map(PathBuf::from));
    }
    if cfg!(target_os = "macos") {
        dirs.extend(["/var/folders", "/private/tmp", "/private/var"].map(PathBuf::from));
    }
    let resolved: Vec<_> = dirs
        .iter()
        .filter_map(|dir| dir.canonicalize().ok())
        .collect();
    dirs.extend(resolved);
    dirs
}

/// Why a program will not stay at a path, if so.
fn why_temporary(path: &Path, temporary_dirs: &[PathBuf]) -> Option<&'static str> {
    let names: Vec<_> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        })
        .collect();
    let has = |test: fn(&str) -> bool| names.iter().any(|name| test(name));
    if has(|name| name.starts_with("_MEI")) {
        return Some(
            "PyInstaller deletes that folder when the program ends; install the program itself",
        );
    }
    if has(|name| name.starts_with("archive-v") || name.starts_with("environments-v"))
        && has(|name| name == "uv")
    {
        return Some("uvx keeps it in a cache; run `uv tool install jmo-telemetry` first");
    }
    if has(|name| name == "pipx") && has(|name| name == ".cache" || name == "cache") {
        return Some("`pipx run` keeps it in a cache; run `pipx install jmo-telemetry` first");
    }
    temporary_dirs
        .iter()
        .any(|dir| path.starts_with(dir))
        .then_some("it is in a folder for temporary files; install the program first")
}

/// Whether a scheduled flush finds this home without `--home`. It runs with the home directory of
/// the user's account, whatever HOME is here.
pub(super) fn is_default_home(environment: &Environment, dir: &Path) -> bool {
    let Some(user_home) = environment.user_home() else {
        return false;
    };
    dir == user_home.join(".jmo-security")
        && account_home().is_none_or(|account| account == user_home)
}

/// The home directory of the user's account, if a file of the system names it.
fn account_home() -> Option<PathBuf> {
    #[cfg(unix)]
    {
        let uid = nix::unistd::geteuid().as_raw();
        let accounts = std::fs::read("/etc/passwd").ok()?;
        home_of(&String::from_utf8_lossy(&accounts), uid)
    }
    #[cfg(not(unix))]
    None
}

/// The home directory of a user according to the text of `/etc/passwd`.
#[cfg(unix)]
fn home_of(accounts: &str, uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    accounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        (fields.get(2) == Some(&uid.as_str())).then(|| PathBuf::from(fields.get(5).unwrap_or(&"")))
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_program_is_recognized() {
        let dirs = [PathBuf::from("/tmp")];
        let temporary = |path: &str| why_temporary(Path::new(path), &dirs).is_some();
        for path in [
            "/tmp/jmo-telemetry",
            "/home/u/_MEI3f4a/jmo-telemetry",
            "/home/u/.cache/uv/archive-v0/Xy/bin/jmo-telemetry",
            "/home/u/.cache/pipx/0f1/bin/jmo-telemetry",
        ] {
            assert!(temporary(path), "{path}");
        }
        for path in [
            "/usr/bin/jmo-telemetry",
            "/home/u/.local/share/uv/tools/jmo-telemetry/bin/jmo-telemetry",
            "/home/u/.local/pipx/venvs/jmo-telemetry/bin/jmo-telemetry",
            "/home/u/tmp/venv/bin/jmo-telemetry",
        ] {
            assert!(!temporary(path), "{path}");
        }
    }

    #[test]
    fn homebrew_links_programs_in_its_cellar() {
        let own = Path::new("/opt/homebrew/Cellar/jmo-telemetry/0.1.0/bin/jmo-telemetry");
        assert_eq!(
            homebrew_link(own, "jmo-telemetry"),
            Some(PathBuf::from("/opt/homebrew/bin/jmo-telemetry"))
        );
        assert!(is_versioned(own));
    }

    #[test]
    fn an_account_has_its_home_in_the_sixth_field() {
        let accounts = "root:x:0:0:root:/root:/bin/bash\nu:x:1000:1000::/home/u:/bin/sh\n";
        assert_eq!(home_of(accounts, 1000), Some(PathBuf::from("/home/u")));
        assert_eq!(home_of(accounts, 7), None);
    }
}
