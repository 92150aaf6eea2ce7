//! `tickpath latency`: measures the hot path as it is, in the program and over sockets, beside what a user would
//! otherwise write.

mod frames;
mod in_process;
mod memory;
#[cfg(feature = "baseline")]
mod peer;
mod report;
mod rig;

use anyhow::Result;
use frames::{Frames, MARKED};
use in_process::{Contender, Ours};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

/// What a measurement in the process was asked for.
#[derive(Clone, Debug)]
pub struct InProcessOptions {
    /// Captures; empty for the synthetic market.
    pub captures: Vec<PathBuf>,
    /// Caches are emptied between two frames.
    pub is_cold: bool,
    /// Beside the pipeline a user would otherwise write.
    pub is_baseline: bool,
    /// Passes of the throughput measurement.
    pub passes: usize,
}

/// Measures in the process; returns text for people.
///
/// # Errors
///
/// What keeps it from measuring.
pub fn in_process(options: &InProcessOptions, stop: &AtomicBool) -> Result<String> {
    let frames = Arc::new(Frames::load(&options.captures, MARKED)?);
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(Ours::new(&frames)?)];
    if options.is_baseline {
        contenders.extend(baselines(&frames)?);
    }
    let series = in_process::run(&frames, &mut contenders, options.is_cold, stop)?;
    let mut out = format!(
        "{} frames of {}, caches {}\n",
        frames.len(),
        frames.source,
        if options.is_cold { "cold" } else { "as they are" }
    );
    out += &report::table(&series);
    out += &report::stage_table(&contenders[0].stages());
    drop(contenders);
    if !options.is_cold {
        let all = Arc::new(Frames::load(&options.captures, "")?);
        let t = in_process::throughput(&all, options.passes, stop)?;
        out += &format!(
            "throughput: {} frames a pass, {} passes, median {:.2} million frames/s, slowest {:.2}; unaccounted {}, journal records lost {}\n",
            t.frames,
            t.passes,
            t.median_per_second / 1e6,
            t.least_per_second / 1e6,
            t.unaccounted,
            t.lost_records
        );
    }
    Ok(out)
}

#[cfg(feature = "baseline")]
fn baselines(frames: &Arc<Frames>) -> Result<Vec<Box<dyn Contender>>> {
    Ok(peer::contenders(frames))
}

#[cfg(not(feature = "baseline"))]
fn baselines(_frames: &Arc<Frames>) -> Result<Vec<Box<dyn Contender>>> {
    anyhow::bail!("--baseline needs a build with the peers: cargo run --release --features baseline")
}
