//! `tickpath demo`.

use super::{print, stop_flag, venue::FaultArguments};
use crate::demo::{self, DemoOptions};
use anyhow::Result;
use clap::Args;
use std::{path::PathBuf, process::ExitCode, time::Duration};
use tickpath_shared::config::KeyKind;

/// Arguments of the demo.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Recorded captures instead of the synthetic market, merged on receive time
    #[arg(long, num_args = 1..)]
    capture: Vec<PathBuf>,
    /// Pace of the market: 1 is original, N is N times faster, max is as fast as it is taken
    #[arg(long, default_value = "1")]
    speed: String,
    /// Stop after so many seconds
    #[arg(long)]
    duration: Option<f64>,
    /// Run directory, kept; a temporary one otherwise
    #[arg(long)]
    dir: Option<PathBuf>,
    /// No screen; one JSON object at the end
    #[arg(long)]
    json: bool,
    /// Seed of the synthetic market and of faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Hot threads: 1 (all stages fused) or 3 (one a stage)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    threads: u8,
    /// Sign every request with HMAC instead of logging the session on with Ed25519
    #[arg(long)]
    hmac: bool,
    /// TLS on every connection, with a generated authority
    #[arg(long)]
    tls: bool,
    /// Hot process with strategies of your own, a program that takes the data directory as its argument
    #[arg(long, value_name = "PROGRAM")]
    hot: Option<PathBuf>,
    #[command(flatten)]
    faults: FaultArguments,
}

impl Default for DemoArguments {
    fn default() -> Self {
        Self {
            capture: Vec::new(),
            speed: "1".into(),
            duration: None,
            dir: None,
            json: false,
            seed: 1,
            threads: 1,
            hmac: false,
            tls: false,
            hot: None,
            faults: FaultArguments::default(),
        }
    }
}

pub(super) fn run(a: &DemoArguments) -> Result<ExitCode> {
    let options = DemoOptions {
        captures: a.capture.clone(),
        speed: a.speed.clone(),
        duration: a.duration.map(Duration::from_secs_f64),
        dir: a.dir.clone(),
        is_json: a.json,
        seed: a.seed,
        threads: if a.threads == 1 { 1 } else { 3 },
        faults: a.faults.with_seed(a.seed),
        key_kind: if a.hmac { KeyKind::Hmac } else { KeyKind::Ed25519 },
        is_tls: a.tls,
        hot: a.hot.clone(),
    };
    let stop = stop_flag()?;
    let summary = demo::run(&std::env::current_exe()?, &options, &stop)?;
    if a.json {
        print(&format!("{}\n", summary.json));
    } else {
        print(&summary.text());
    }
    Ok(ExitCode::SUCCESS)
}
