//! The session clock: the processor's counter calibrated against the monotonic clock.
//!
//! Reading costs a few nanoseconds and no system call. A cold thread compares the clock with the
//! system's every second ([`Clock::discipline`]) and bends the rate so that it never runs backwards.

#![expect(unsafe_code, reason = "reading the processor's counter is an intrinsic")]

use crate::Nanos;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering, fence},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A difference from the system's clock that no drift of an oscillator explains.
pub const JUMP_NS: u64 = 1_000_000;

const CALIBRATION: Duration = Duration::from_millis(20);
const RATE_SHIFT: u32 = 32;

/// A cheap handle; clones share the calibration.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Calibration>,
    start: Instant,
    start_unix_ns: u64,
    start_host_ns: u64,
    is_counter: bool,
}

/// Rate and base, changed under a sequence lock by the one thread that disciplines.
#[derive(Debug, Default)]
struct Calibration {
    version: AtomicU32,
    base_count: AtomicU64,
    base_ns: AtomicU64,
    /// Nanoseconds a count, times 2^32.
    rate: AtomicU64,
}

/// What one comparison with the system's clock found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discipline {
    /// Our clock minus the system's monotonic clock, in nanoseconds.
    pub drift_ns: i64,
    /// The difference was too large to bend away: all data must be taken as stale.
    pub is_jump: bool,
}

impl Clock {
    /// Calibrates for 20 ms and starts session time at zero.
    pub fn start() -> Self {
        let start = Instant::now();
        let start_unix_ns = unix_ns_now();
        let start_host_ns = host_ns_now();
        let is_counter = counter_is_stable();
        let shared = Arc::new(Calibration::default());
        let clock = Self { shared, start, start_unix_ns, start_host_ns, is_counter };
        let (count_0, ns_0) = clock.sample();
        std::thread::sleep(CALIBRATION);
        let (count_1, ns_1) = clock.sample();
        let counts = u128::from((count_1 - count_0).max(1));
        let rate = (u128::from(ns_1 - ns_0) << RATE_SHIFT) / counts;
        clock.shared.store(count_1, ns_1, rate as u64);
        clock
    }

    /// Nanoseconds since the session's start; never runs backwards on one thread.
    #[inline]
    pub fn now(&self) -> Nanos {
        if !self.is_counter {
            return self.start.elapsed().as_nanos() as u64;
        }
        self.shared.to_ns(counter())
    }

    /// Wall-clock nanoseconds since 1970 at session time zero, as the host believed then.
    pub fn start_unix_ns(&self) -> u64 {
        self.start_unix_ns
    }

    /// The host's monotonic clock at session time zero.
    pub fn start_host_ns(&self) -> u64 {
        self.start_host_ns
    }

    /// Session time of a [`host_ns_now`] stamp taken by another process; 0 for one before the session.
    pub fn from_host_ns(&self, host_ns: u64) -> Nanos {
        host_ns.saturating_sub(self.start_host_ns)
    }

    /// Name of the source, for the start report and the lanes' metadata.
    pub fn source(&self) -> &'static str {
        if self.is_counter { "processor counter" } else { "clock_gettime" }
    }

    /// Compares with the system's clock and bends the rate to meet it within the next second.
    pub fn discipline(&self) -> Discipline {
        if !self.is_counter {
            return Discipline { drift_ns: 0, is_jump: false };
        }
        let (count, system_ns) = self.sample();
        let ours_ns = self.shared.to_ns(count);
        let drift_ns = ours_ns as i64 - system_ns as i64;
        let is_jump = drift_ns.unsigned_abs() > JUMP_NS;
        if is_jump && drift_ns < 0 {
            // The counter stood still (suspend): stepping forward keeps time monotonic.
            self.shared.store(count, system_ns, self.shared.rate.load(Ordering::Relaxed));
        } else {
            self.shared.bend(count, ours_ns, drift_ns);
        }
        Discipline { drift_ns, is_jump }
    }

    /// Reads both clocks as close together as the scheduler allows.
    fn sample(&self) -> (u64, u64) {
        let read = || {
            let before = counter();
            let ns = self.start.elapsed().as_nanos() as u64;
            let after = counter();
            (after - before, before + (after - before) / 2, ns)
        };
        let mut best = read();
        for _ in 0..8 {
            let next = read();
            if next.0 < best.0 {
                best = next;
            }
        }
        (best.1, best.2)
    }
}

impl Calibration {
    #[inline]
    fn to_ns(&self, count: u64) -> u64 {
        loop {
            // Acquire: the three words belong to this version when it is even and unchanged below.
            let version = self.version.load(Ordering::Acquire);
            let base_count = self.base_count.load(Ordering::Relaxed);
            let base_ns = self.base_ns.load(Ordering::Relaxed);
            let rate = self.rate.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && version == self.version.load(Ordering::Relaxed) {
                // A count from before the last bend (another core) counts as the base.
                let counts = count.saturating_sub(base_count);
                return base_ns + ((u128::from(counts) * u128::from(rate)) >> RATE_SHIFT) as u64;
            }
            std::hint::spin_loop();
        }
    }

    /// One thread only: the version is odd while the words change.
    fn store(&self, base_count: u64, base_ns: u64, rate: u64) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.base_count.store(base_count, Ordering::Relaxed);
        self.base_ns.store(base_ns, Ordering::Relaxed);
        self.rate.store(rate, Ordering::Relaxed);
        // Release: publishes the words above.
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// Continues from `ours_ns` at a rate that removes `drift_ns` within a second, by at most 0.1 %.
    fn bend(&self, count: u64, ours_ns: u64, drift_ns: i64) {
        let rate = self.rate.load(Ordering::Relaxed);
        let per_mille_max = (rate / 1000) as i128;
        let change = -(i128::from(rate) * i128::from(drift_ns) / 1_000_000_000);
        let change = change.clamp(-per_mille_max, per_mille_max);
        self.store(count, ours_ns, (i128::from(rate) + change) as u64);
    }
}

/// The host's monotonic clock in nanoseconds, comparable between processes until the next boot.
pub fn host_ns_now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Wall-clock nanoseconds since 1970.
pub fn unix_ns_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and it has no memory effect.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn counter() -> u64 {
    let count: u64;
    // SAFETY: user space may read the virtual counter on Linux; the read has no memory effect.
    unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack)) };
    count
}

/// The counter ticks at one rate in every sleep state and the kernel trusts it too.
#[cfg(target_arch = "x86_64")]
fn counter_is_stable() -> bool {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    flags.contains("constant_tsc") && flags.contains("nonstop_tsc")
}

#[cfg(target_arch = "aarch64")]
fn counter_is_stable() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_monotonic_clock() {
        let clock = Clock::start();
        let (ours, system) = (clock.now(), clock.start.elapsed().as_nanos() as u64);
        assert!(system.abs_diff(ours) < 50_000_000, "{ours} against {system}");
        assert!(!clock.discipline().is_jump);
    }

    #[test]
    fn bending_keeps_time_monotonic() {
        let calibration = Calibration::default();
        calibration.store(1000, 5000, 1 << RATE_SHIFT);
        let before = calibration.to_ns(2000);
        calibration.bend(2000, before, 800);
        assert_eq!(calibration.to_ns(2000), before);
        assert!(calibration.to_ns(1_000_002_000) < before + 1_000_000_000);
        assert!(calibration.to_ns(1500) >= before);
    }
}
