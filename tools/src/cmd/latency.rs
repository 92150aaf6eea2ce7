//! `tickpath latency`.

use super::{print, stop_flag};
use crate::latency::{self, InProcessOptions};
use anyhow::Result;
use clap::Args;
use std::{path::PathBuf, process::ExitCode};

/// Arguments of `latency`.
#[derive(Debug, Args)]
pub(super) struct LatencyArguments {
    /// From frame bytes to order bytes on one thread, without sockets
    #[arg(long)]
    in_process: bool,
    /// Recorded captures instead of the synthetic market
    #[arg(long, num_args = 1..)]
    capture: Vec<PathBuf>,
    /// Empty the caches between two frames
    #[arg(long)]
    cold: bool,
    /// Beside the pipeline a user would otherwise write (needs the feature of this name)
    #[arg(long)]
    baseline: bool,
    /// Passes over all frames for the throughput
    #[arg(long, default_value_t = 9)]
    passes: usize,
}

pub(super) fn run(a: &LatencyArguments) -> Result<ExitCode> {
    let stop = stop_flag()?;
    let options = InProcessOptions {
        captures: a.capture.clone(),
        is_cold: a.cold,
        is_baseline: a.baseline,
        passes: a.passes,
    };
    print(&latency::in_process(&options, &stop)?);
    Ok(ExitCode::SUCCESS)
}
