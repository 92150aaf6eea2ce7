//! Pinning, checked before and verified after: the crate used aborts on ids beyond the mask and says only
//! `false` otherwise.

use core_affinity::CoreId;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu};
use std::fmt;

/// Cores this process may run on, in order. Read it before any thread is pinned: threads inherit the mask.
pub fn allowed_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return vec![0] };
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

/// How pinning went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// Runs on the core asked for, verified.
    Taken(usize),
    /// Not asked for.
    NotAsked,
    /// The system refused although the core is allowed.
    Refused(usize),
}

impl fmt::Display for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(core) => write!(f, "pinned to core {core}"),
            Self::NotAsked => f.write_str("not pinned (no core configured)"),
            Self::Refused(core) => write!(f, "not pinned: the system refused core {core}"),
        }
    }
}

/// Checks that a core may be asked for at all.
///
/// # Errors
///
/// A text naming the core and the allowed set.
pub fn check_core(core: usize, allowed: &[usize]) -> Result<(), String> {
    if allowed.contains(&core) {
        return Ok(());
    }
    Err(format!("thread.core: {core} is outside the cores this process may use, {allowed:?}"))
}

/// Pins the calling thread to an allowed core.
pub fn pin(core: Option<usize>) -> Pinning {
    let Some(core) = core else { return Pinning::NotAsked };
    let is_taken = core_affinity::set_for_current(CoreId { id: core }) && sched_getcpu() == core;
    if is_taken { Pinning::Taken(core) } else { Pinning::Refused(core) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_outside_the_set_is_refused_with_the_set() {
        let text = check_core(4095, &allowed_cores()).unwrap_err();
        assert!(text.contains("4095") && text.contains("[0"), "{text}");
    }

    #[test]
    fn pinning_is_verified() {
        let core = allowed_cores()[0];
        let pinning = std::thread::spawn(move || pin(Some(core))).join().unwrap();
        assert_eq!(pinning, Pinning::Taken(core));
    }
}
