//! Chooses when in its interval a machine flushes, so that thousands of machines don't send to one
//! server in the same minute.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::Every;
use crate::env::Environment;

/// The offset in minutes, less than the interval. It is always the same on one machine but reveals
/// nothing about it: it is derived from a hash of names that are never sent.
pub(super) fn offset(environment: &Environment, home: &Path, every: Every) -> u32 {
    let mut hash = Sha256::new();
    hash.update(b"jmo-telemetry schedule");
    for name in [machine_id(), host_name(environment)].into_iter().flatten() {
        hash.update(b"\0");
        hash.update(name);
    }
    hash.update(b"\0");
    hash.update(home.as_os_str().as_encoded_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d]) % every.in_minutes()
}

/// The id of a Linux installation.
fn machine_id() -> Option<Vec<u8>> {
    if cfg!(target_os = "linux") {
        std::fs::read("/etc/machine-id").ok()
    } else {
        None
    }
}

#[cfg(unix)]
fn host_name(_: &Environment) -> Option<Vec<u8>> {
    let name = nix::unistd::gethostname().ok()?;
    Some(name.into_encoded_bytes())
}

#[cfg(not(unix))]
fn host_name(environment: &Environment) -> Option<Vec<u8>> {
    Some(environment.get("COMPUTERNAME")?.as_bytes().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_spread_evenly_and_each_stays_where_it_is() {
        let every = Every::minutes(15).expect("allowed");
        let mut counts = [0_u32; 15];
        for home in 0..1500 {
            let home = format!("/home/{home}/.jmo-security");
            let at = offset(&Environment::default(), Path::new(&home), every);
            assert_eq!(at, offset(&Environment::default(), Path::new(&home), every));
            counts[at as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (50..200).contains(count)),
            "{counts:?}"
        );
    }
}
