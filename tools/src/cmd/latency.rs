//! `tickpath latency`.

use super::{print, stop_flag};
use crate::latency::{
    self, InProcessOptions, LoopbackOptions,
    isolation::{self, IsolationOptions},
};
use anyhow::{Result, ensure};
use clap::Args;
use std::{path::PathBuf, process::ExitCode, time::Duration};
use tickpath_hotpath::net::affinity::allowed_cores;
use tickpath_shared::config::{Host, Wait};

/// Offered loads when none are given, ticks a second.
const RATES: [u64; 8] = [1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 400_000];

/// Arguments of `latency`.
#[derive(Debug, Args)]
pub(super) struct LatencyArguments {
    /// From frame bytes to order bytes on one thread, without sockets
    #[arg(long)]
    in_process: bool,
    /// With --in-process: recorded captures instead of the synthetic market
    #[arg(long, num_args = 1.., requires = "in_process")]
    capture: Vec<PathBuf>,
    /// With --in-process: empty the L1 and L2 caches between two frames
    #[arg(long, requires = "in_process")]
    cold: bool,
    /// With --in-process: passes over all frames for the throughput
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    passes: u16,
    /// Beside the pipeline a user would otherwise write (a build with the feature of this name)
    #[arg(long)]
    baseline: bool,
    /// TLS 1.3 on every connection
    #[arg(long, conflicts_with = "in_process")]
    tls: bool,
    /// Sockets start with delayed acknowledgements, as `host.delay_acks` asks for
    #[arg(long, conflicts_with = "in_process")]
    delay_acks: bool,
    /// Offered loads, ticks a second
    #[arg(long, value_delimiter = ',', conflicts_with = "in_process")]
    rates: Vec<u64>,
    /// Seconds a rate
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    duration: f64,
    /// Rounds beside a raw echo of the same sizes, for every gap; 0 for none
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Gaps between two ticks of these rounds, microseconds
    #[arg(long, value_delimiter = ',', default_values_t = [20, 1000])]
    gaps: Vec<u64>,
    /// Cores of the generator and of the hot path; the first and the last allowed one otherwise
    #[arg(long, value_delimiter = ',', value_name = "GENERATOR,HOT")]
    cores: Vec<usize>,
    /// What the hot thread does when idle: spin, yield or park
    #[arg(long, default_value = "spin", value_parser = wait)]
    wait: Wait,
    /// Directory for latency.json, latency.svg, latency.hlog and a .hgrm a rate
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Arguments of `isolation`.
#[derive(Debug, Args)]
pub(super) struct IsolationArguments {
    /// Pairs of windows: control running, control away
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pairs: u16,
    /// Seconds a window
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    window: f64,
    /// Kill the control process instead of stopping it
    #[arg(long)]
    kill: bool,
    /// Pace of the synthetic market: N times faster
    #[arg(long, default_value_t = 20.0)]
    speed: f64,
    /// One JSON object at the end
    #[arg(long)]
    json: bool,
}

pub(super) fn isolation(a: &IsolationArguments) -> Result<ExitCode> {
    ensure!((0.1..=600.0).contains(&a.window), "--window: {} is outside 0.1..=600 seconds", a.window);
    ensure!((0.1..=1_000.0).contains(&a.speed), "--speed: {} is outside 0.1..=1000", a.speed);
    let options = IsolationOptions {
        pairs: a.pairs.into(),
        window: Duration::from_secs_f64(a.window),
        is_kill: a.kill,
        speed: a.speed,
    };
    let tell = |text: &str| {
        if !a.json {
            print(text);
        }
    };
    let stop = stop_flag()?;
    let found = isolation::run(&std::env::current_exe()?, &options, &stop, tell)?;
    print(&if a.json { format!("{}\n", serde_json::to_string(&found)?) } else { found.text() });
    Ok(if found.lost_records == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn wait(text: &str) -> Result<Wait, String> {
    match text {
        "spin" => Ok(Wait::Spin),
        "yield" => Ok(Wait::Yield),
        "park" => Ok(Wait::Park),
        other => Err(format!("{other:?} is none of spin, yield, park")),
    }
}

pub(super) fn run(a: &LatencyArguments) -> Result<ExitCode> {
    let stop = stop_flag()?;
    let cores = cores(a)?;
    if a.in_process {
        let options = InProcessOptions {
            captures: a.capture.clone(),
            is_cold: a.cold,
            is_baseline: a.baseline,
            passes: a.passes.into(),
            core: cores[1],
        };
        print(&latency::in_process(&options, &stop)?);
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        cores[0] != cores[1],
        "generator and hot path need a core each, and this process may use only {cores:?}"
    );
    let rates = if a.rates.is_empty() { RATES.to_vec() } else { a.rates.clone() };
    for rate in &rates {
        ensure!((1..=5_000_000).contains(rate), "--rates: {rate} is outside 1..=5000000 ticks a second");
    }
    for gap in &a.gaps {
        ensure!((1..=100_000).contains(gap), "--gaps: {gap} is outside 1..=100000 microseconds");
    }
    ensure!(
        (0.1..=3_600.0).contains(&a.duration),
        "--duration: {} is outside 0.1..=3600 seconds",
        a.duration
    );
    let options = LoopbackOptions {
        cores,
        wait: a.wait,
        is_tls: a.tls,
        host: Host { delay_acks: a.delay_acks, ..Host::default() },
        rates,
        duration: Duration::from_secs_f64(a.duration),
        rounds: a.rounds,
        gaps: a.gaps.iter().map(|us| Duration::from_micros(*us)).collect(),
        is_baseline: a.baseline,
        out: a.out.clone(),
    };
    latency::over_loopback(&options, &stop, print)?;
    Ok(ExitCode::SUCCESS)
}

fn cores(a: &LatencyArguments) -> Result<[usize; 2]> {
    let allowed = allowed_cores();
    ensure!(matches!(a.cores.len(), 0 | 2), "--cores: {:?} must name two cores", a.cores);
    for core in &a.cores {
        ensure!(
            allowed.contains(core),
            "--cores: {core} is outside the cores this process may use, {allowed:?}"
        );
    }
    Ok(match (a.cores.as_slice(), allowed.as_slice()) {
        ([generator, hot], _) => [*generator, *hot],
        (_, [first, .., last]) => [*first, *last],
        (_, [only]) => [*only, *only],
        (_, []) => [0, 0],
    })
}
