//! The processes themselves.

use super::{print, stop_flag};
use crate::supervisor::{Ended, Supervisor, standard_specs};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tickpath_shared::{
    command::set_kill_switch,
    config::{self, Config},
    paths::DataDir,
};

/// A data directory.
#[derive(Debug, Args)]
pub(super) struct DirArguments {
    /// Data directory
    #[arg(long)]
    pub(super) dir: PathBuf,
}

impl DirArguments {
    pub(super) fn open(&self) -> Result<DataDir> {
        DataDir::open(&self.dir).with_context(|| format!("data directory {}", self.dir.display()))
    }
}

fn load(data: &DataDir) -> Result<Config> {
    Ok(config::load(data, config::environment())?)
}

pub(super) fn hot(arguments: &DirArguments) -> Result<ExitCode> {
    Ok(tickpath_hotpath::main_with_args(Some(arguments.dir.display().to_string())))
}

pub(super) fn control(arguments: &DirArguments) -> Result<ExitCode> {
    Ok(tickpath_control::main_with_args(Some(arguments.dir.display().to_string())))
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Hot process with strategies of your own, a program that takes the data directory as its argument
    #[arg(long, value_name = "PROGRAM")]
    hot: Option<PathBuf>,
}

pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let data = arguments.dir.open()?;
    let config = load(&data)?;
    let Some(_lock) = data.try_lock("supervisor.lock")? else {
        bail!("another supervisor runs on {}", data.root().display());
    };
    let program = std::env::current_exe()?;
    let (stop, kill) = (stop_flag()?, Arc::new(AtomicBool::new(false)));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&kill))?;
    let specs = standard_specs(&program, arguments.hot.as_deref(), &data);
    let mut supervisor = Supervisor::new(&data, &config, specs, |line| print(&format!("{line}\n")));
    let is_stop = || {
        if kill.swap(false, Ordering::Relaxed)
            && let Err(e) = set_kill_switch(&data, "SIGUSR1")
        {
            eprintln!("tickpath: kill latch: {e}");
        }
        stop.load(Ordering::Relaxed)
    };
    match supervisor.run(is_stop) {
        Ok(()) | Err(Ended { code: 0, .. }) => Ok(ExitCode::SUCCESS),
        Err(Ended { process, code }) => {
            eprintln!(
                "tickpath: {process} ended with code {code}; see {}/logs/{process}.log",
                data.root().display()
            );
            Ok(ExitCode::from(code))
        }
    }
}
