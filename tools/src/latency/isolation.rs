//! Whether the hot path feels the control process: a desk trades in simulation while its control process is stopped
//! and let go in turns, and the latencies of the windows are compared pair by pair.

use super::report::median;
use crate::offline::journal;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tickpath_hotpath::pipeline::lane::NAMES;
use tickpath_shared::{
    counters::{Counter, Stage},
    histogram::HistogramCopy,
    paths::DataDir,
    status::{LaneWord, StatusReader},
};

/// What to do, and for how long.
#[derive(Clone, Debug)]
pub struct IsolationOptions {
    /// Pairs of windows: control running, control away.
    pub pairs: usize,
    /// Length of a window.
    pub window: Duration,
    /// Kill the control process instead of stopping it; the supervisor starts another one.
    pub is_kill: bool,
    /// Pace of the synthetic market.
    pub speed: f64,
}

/// What was found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Isolation {
    /// Latencies with control away over latencies with control running, median of the pairs, and the upper end of
    /// its 95 % bootstrap interval.
    pub p50: Bounded,
    /// The same for the 99th percentile.
    pub p99: Bounded,
    /// Pairs compared.
    pub pairs: usize,
    /// Ticks in all windows.
    pub ticks: u64,
    /// Orders sent meanwhile.
    pub orders: u64,
    /// Records that did not find room in a lane.
    pub lost_records: u64,
    /// Records in the archive afterwards, all lanes, checked from end to end.
    pub archived_records: u64,
}

/// A median and how far up it may really lie.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Bounded {
    /// The median.
    pub median: f64,
    /// Not above this in 95 of 100 cases.
    pub upper: f64,
}

/// Settling time after a change, not measured.
const SETTLE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(60);
const RESAMPLES: usize = 4_000;

/// Runs a desk of `program` and takes its control process away in turns.
///
/// # Errors
///
/// A desk that does not come up, or an archive that is not sound afterwards.
pub fn run(
    program: &Path,
    options: &IsolationOptions,
    stop: &AtomicBool,
    tell: impl Fn(&str),
) -> Result<Isolation> {
    let desk = Desk::start(program, options)?;
    let status = desk.wait_until_trading(stop)?;
    let orders = status.counter(Counter::OrdersSent);
    tell("window  control   ticks      p50 ns    p99 ns\n");
    let mut windows = Vec::new();
    for number in 0..options.pairs * 2 {
        let is_away = number % 2 == 1;
        let found = desk.window(&status, is_away, options)?;
        tell(&format!(
            "{:>6}  {:<8} {:>7} {:>10} {:>9}\n",
            number + 1,
            if is_away { "away" } else { "running" },
            found.count(),
            found.quantile_ns(0.5),
            found.quantile_ns(0.99)
        ));
        windows.push(found);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let orders = status.counter(Counter::OrdersSent) - orders;
    let lost_records = lost(&status);
    let archived_records = desk.finish(&status)?;
    let ratios = |quantile: f64| -> Vec<f64> {
        let pairs = windows.as_chunks::<2>().0.iter();
        pairs
            .map(|[on, off]| off.quantile_ns(quantile) as f64 / on.quantile_ns(quantile).max(1) as f64)
            .collect()
    };
    Ok(Isolation {
        p50: bounded(ratios(0.5)),
        p99: bounded(ratios(0.99)),
        pairs: windows.len() / 2,
        ticks: windows.iter().map(HistogramCopy::count).sum(),
        orders,
        lost_records,
        archived_records,
    })
}

fn lost(status: &StatusReader) -> u64 {
    let words = [LaneWord::Skipped, LaneWord::Dropped];
    (0..NAMES.len() as u16).flat_map(|lane| words.map(|word| status.lane(lane, word))).sum()
}

/// The median of ratios, and the 95th percentile of the medians of resamples.
fn bounded(ratios: Vec<f64>) -> Bounded {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut pick = |len: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % len.max(1) as u64) as usize
    };
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| median((0..ratios.len()).map(|_| ratios[pick(ratios.len())]).collect()))
        .collect();
    medians.sort_by(f64::total_cmp);
    Bounded { median: median(ratios), upper: medians[RESAMPLES * 95 / 100] }
}

/// A desk in a directory of its own.
struct Desk {
    dir: PathBuf,
    data: DataDir,
    demo: Child,
}

impl Desk {
    fn start(program: &Path, options: &IsolationOptions) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("tickpath-isolation-{}", std::process::id()));
        let data = DataDir::open(&dir)?;
        let demo = Command::new(program)
            .args(["demo", "--json", "--speed", &options.speed.to_string(), "--dir"])
            .arg(&dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the desk")?;
        Ok(Self { dir, data, demo })
    }

    fn wait_until_trading(&self, stop: &AtomicBool) -> Result<StatusReader> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            ensure!(
                Instant::now() < deadline && !stop.load(Ordering::Relaxed),
                "the desk did not begin to trade"
            );
            if let Ok(Some(current)) = self.data.current_session()
                && let Ok(status) = StatusReader::open(&current.shared_dir.join("status"))
                && status.counter(Counter::OrdersSent) > 0
                && self.control().is_some()
            {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Process id of the desk's control process.
    fn control(&self) -> Option<Pid> {
        let wanted = self.data.root().display().to_string();
        let entries = fs::read_dir("/proc").ok()?.flatten();
        let mut ids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let id = ids.find(|id| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0).skip(1);
            words.next() == Some(b"control") && words.any(|word| word == wanted.as_bytes())
        });
        id.and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.control() {
                Some(control) => return kill_process(control, signal).context("signal the control process"),
                // Killed a moment ago: the supervisor is about to start another one.
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                None => bail!("the desk has no control process"),
            }
        }
    }

    /// Latencies of every tick of one window.
    fn window(
        &self,
        status: &StatusReader,
        is_away: bool,
        options: &IsolationOptions,
    ) -> Result<HistogramCopy> {
        if is_away {
            self.signal(if options.is_kill { Signal::KILL } else { Signal::STOP })?;
        }
        if !options.is_kill {
            std::thread::sleep(SETTLE);
        }
        let before = status.histogram(Stage::TickToDecision);
        std::thread::sleep(options.window);
        let found = status.histogram(Stage::TickToDecision).since(&before);
        if is_away && !options.is_kill {
            self.signal(Signal::CONT)?;
        }
        ensure!(found.count() > 0, "no tick in a window: does the desk still run?");
        Ok(found)
    }

    /// Stops the desk in order and checks its archive; returns how many records it holds.
    fn finish(mut self, status: &StatusReader) -> Result<u64> {
        // What waits in the lanes is archived before the desk ends.
        let deadline = Instant::now() + PATIENCE;
        while self.control().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let id = Pid::from_raw(self.demo.id() as i32).context("process id")?;
        kill_process(id, Signal::TERM)?;
        while Instant::now() < deadline && self.demo.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut archived = 0;
        for lane in journal::stat(&self.data)? {
            if let Some(error) = lane.error {
                bail!("archive, lane {}: {error}", lane.lane);
            }
            let written = status.lane(lane.lane, LaneWord::Records);
            ensure!(
                lane.records >= written,
                "lane {}: {} of {written} records archived",
                lane.lane,
                lane.records
            );
            archived += lane.records;
        }
        Ok(archived)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(control) = self.control() {
            let _ = kill_process(control, Signal::CONT);
        }
        let _ = self.demo.kill();
        let _ = self.demo.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Isolation {
    /// For people.
    pub fn text(&self) -> String {
        format!(
            "control away against control running, {} pairs of windows, {} ticks, {} orders:\n  p50 x{:.3}, below x{:.3} \
             in 95 of 100 resamples\n  p99 x{:.3}, below x{:.3}\n  {} records lost, {} in the archive, every one checked\n",
            self.pairs,
            self.ticks,
            self.orders,
            self.p50.median,
            self.p50.upper,
            self.p99.median,
            self.p99.upper,
            self.lost_records,
            self.archived_records
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_lies_above_the_median_and_below_the_worst() {
        let ratios: Vec<f64> = (0..21).map(|i| 0.9 + f64::from(i) * 0.01).collect();
        let found = bounded(ratios);
        assert!((found.median - 1.0).abs() < 1e-9, "{found:?}");
        assert!(found.upper > 1.0 && found.upper < 1.1, "{found:?}");
        assert!((bounded(vec![1.0; 20]).upper - 1.0).abs() < 1e-9);
    }
}
