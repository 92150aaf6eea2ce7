//! `tickpath doctor`, `jitter` and `top`.

use super::{print, process::DirArguments, stop_flag};
use crate::host::{doctor, jitter, top};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::{
    io::IsTerminal,
    process::ExitCode,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tickpath_hotpath::net::affinity::{allowed_cores, check_core};
use tickpath_shared::status::StatusReader;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// Arguments of `jitter`.
#[derive(Debug, Args)]
pub(super) struct JitterArguments {
    /// Cores to watch, all allowed ones otherwise
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
    /// How long
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    duration: u64,
    /// Gaps from here on count as hiccups
    #[arg(long, default_value_t = 1_000, value_name = "NS")]
    threshold: u64,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(super) struct TopArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// One page and no more
    #[arg(long)]
    once: bool,
}

pub(super) fn doctor(a: &DoctorArguments) -> Result<ExitCode> {
    let checks = doctor::Host::this().checks();
    print(&if a.json { format!("{}\n", serde_json::to_string(&checks)?) } else { doctor::table(&checks) });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn jitter(a: &JitterArguments) -> Result<ExitCode> {
    let allowed = allowed_cores();
    for core in &a.cores {
        check_core(*core, &allowed).map_err(|e| anyhow::anyhow!(e))?;
    }
    ensure!((1..=86_400).contains(&a.duration), "--duration: {} is outside 1..=86400 seconds", a.duration);
    let cores = if a.cores.is_empty() { &allowed } else { &a.cores };
    let stop = stop_flag()?;
    let found = jitter::measure(cores, Duration::from_secs(a.duration), a.threshold, &stop)
        .map_err(|e| anyhow::anyhow!(e))?;
    print(&if a.json { format!("{}\n", serde_json::to_string(&found)?) } else { jitter::table(&found) });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn top(a: &TopArguments) -> Result<ExitCode> {
    let data = a.dir.open()?;
    let current = data.current_session()?.context("no session has run on this directory")?;
    let path = current.shared_dir.join("status");
    let status = StatusReader::open(&path).context("the session left no status file")?;
    let stop = stop_flag()?;
    let (start, mut before) = (Instant::now(), top::Before::default());
    let is_terminal = std::io::stdout().is_terminal();
    loop {
        let page = top::page(&status, &mut before, start.elapsed().as_nanos() as u64);
        let is_last = a.once || !is_terminal;
        print(&if is_last { page } else { format!("\x1b[H\x1b[J{page}") });
        let next = Instant::now() + Duration::from_secs(1);
        while !is_last && Instant::now() < next && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        if is_last || stop.load(Ordering::Relaxed) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}
