//! `tickpath latency`: measures the hot path as it is, in the program and over sockets, beside what a user would
//! otherwise write.

mod evidence;
mod frames;
mod generator;
mod in_process;
pub mod isolation;
mod loopback;
mod memory;
#[cfg(feature = "baseline")]
mod peer;
mod placement;
mod report;
mod rig;
mod save;
mod wire;

use crate::venue::generate_tls;
use anyhow::Result;
pub use frames::server_frame;
use frames::{Frames, MARKED};
use generator::Pace;
pub use in_process::Rehearsal;
use in_process::{Contender, Ours};
use loopback::{Comparison, Desk, Point};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tickpath_shared::config::{Host, Wait};

/// Why a comparison is not there.
#[cfg(not(feature = "baseline"))]
const NO_BASELINE: &str =
    "--baseline needs a build with the peers: cargo run --profile dist --features baseline -- latency ...";

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
    /// The core to measure on.
    pub core: usize,
}

/// Measures in the process; returns text for people.
///
/// # Errors
///
/// What keeps it from measuring.
pub fn in_process(options: &InProcessOptions, stop: &AtomicBool) -> Result<String> {
    let pinning = tickpath_hotpath::net::affinity::pin(Some(options.core));
    let frames = Arc::new(Frames::load(&options.captures, MARKED)?);
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(Ours::new(&frames)?)];
    if options.is_baseline {
        contenders.extend(baselines(&frames)?);
    }
    let series = in_process::run(&frames, &mut contenders, options.is_cold, stop)?;
    let caches = if options.is_cold { "L1 and L2 emptied between frames" } else { "as they are" };
    let mut out = format!(
        "frame's bytes in to order's bytes out, one thread, {pinning}; {} frames of {}; caches {caches}\n",
        frames.len(),
        frames.source
    );
    out += &report::table(&series);
    if let Some(turns) = contenders[0].turns() {
        out += &report::turns_line(&turns);
    }
    out += &report::stage_table(&contenders[0].stages());
    drop(contenders);
    if !options.is_cold {
        let all = Arc::new(Frames::load(&options.captures, "")?);
        out += &in_process::throughput(&all, options.passes, stop)?.text();
    }
    Ok(out)
}

#[cfg(feature = "baseline")]
fn baselines(frames: &Arc<Frames>) -> Result<Vec<Box<dyn Contender>>> {
    Ok(peer::contenders(frames))
}

#[cfg(not(feature = "baseline"))]
fn baselines(_frames: &Arc<Frames>) -> Result<Vec<Box<dyn Contender>>> {
    anyhow::bail!(NO_BASELINE)
}

/// What a measurement over sockets was asked for.
#[derive(Clone, Debug)]
pub struct LoopbackOptions {
    /// Core of the generator, core of the hot path.
    pub cores: [usize; 2],
    /// Wait strategy of the hot thread.
    pub wait: Wait,
    /// TLS on every connection.
    pub is_tls: bool,
    /// Settings of the sockets.
    pub host: Host,
    /// Offered loads of the curve, ticks a second; empty for none.
    pub rates: Vec<u64>,
    /// Time of a rate.
    pub duration: Duration,
    /// Rounds of the comparison with a raw echo; 0 for none.
    pub rounds: usize,
    /// Gaps between ticks of the comparison.
    pub gaps: Vec<Duration>,
    /// The comparison includes the user's pipeline.
    pub is_baseline: bool,
    /// Where files go; none are written without it.
    pub out: Option<PathBuf>,
}

/// Ticks of a round of the comparison last about so long.
const ROUND: Duration = Duration::from_millis(100);

/// Measures over loopback; `tell` gets text for people as it comes.
///
/// # Errors
///
/// What keeps it from measuring.
pub fn over_loopback(options: &LoopbackOptions, stop: &AtomicBool, tell: impl Fn(&str)) -> Result<()> {
    let [generator, hot] = options.cores;
    let pinning = tickpath_hotpath::net::affinity::pin(Some(generator));
    tell(&format!(
        "intended send of a tick to its order received, over loopback{}; generator {pinning}, hot path on core {hot}, \
         wait {:?}; diffs of 7 + 7 levels, each answered\n",
        if options.is_tls { ", TLS 1.3" } else { "" },
        options.wait
    ));
    let scratch = Scratch::new()?;
    let files = options.is_tls.then(|| generate_tls(&scratch.0)).transpose()?;
    let desk = Desk { cores: options.cores, wait: options.wait, tls: files.as_ref(), host: &options.host };
    for gap in &options.gaps {
        if options.rounds > 0 {
            tell(&compare(options, desk, *gap, stop)?);
        }
    }
    if !options.rates.is_empty() {
        sweep(options, &desk, stop, &tell)?;
    }
    Ok(())
}

/// A directory for a generated authority.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tickpath-latency-tls-{}", std::process::id()));
        tickpath_shared::paths::create_private_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn compare(options: &LoopbackOptions, desk: Desk<'_>, gap: Duration, stop: &AtomicBool) -> Result<String> {
    let gap_ns = (gap.as_nanos() as u64).max(1);
    let plan = Comparison {
        desk,
        rounds: options.rounds,
        pace: Pace { gap_ns, ticks: (ROUND.as_nanos() as u64 / gap_ns).max(200) },
        is_baseline: options.is_baseline,
    };
    let mut out = String::new();
    for (name, found) in ["near", "far"].iter().zip(loopback::compare(&plan, stop)?) {
        if found.hops_ns.is_empty() {
            continue;
        }
        out += &format!(
            "\none tick in {gap:?}, cores {name} in {} rounds (a cache line takes {:.0} ns, median)\n",
            found.hops_ns.len(),
            report::median(found.hops_ns.clone())
        );
        out += &report::table(&found.series);
    }
    Ok(out)
}

fn sweep(options: &LoopbackOptions, desk: &Desk<'_>, stop: &AtomicBool, tell: &impl Fn(&str)) -> Result<()> {
    tell(&format!("\n{}", report::curve_title()));
    let points = loopback::curve(desk, &options.rates, options.duration, stop, |point: &Point| {
        tell(&report::curve_line(point))
    })?;
    if let Some(point) = points.iter().rfind(|p| !p.is_saturated) {
        tell(&format!("\nat {} ticks a second, each stage:\n", point.per_second));
        tell(&report::stage_table(&point.stages));
        tell(&report::outlier_table(&point.outliers));
    }
    if let Some(dir) = &options.out {
        let title = format!("tickpath over loopback{}", if options.is_tls { ", TLS 1.3" } else { "" });
        save::curve(dir, &title, &points)?;
        tell(&format!("files: {}\n", dir.display()));
    }
    Ok(())
}
