//! Copies of the databases, and the proof that they are what the archive says.

use super::{print, process::DirArguments};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{path::PathBuf, process::ExitCode};
use tickpath_control::{audit::AuditLog, store::copy};
use tickpath_shared::{
    config,
    paths::{DataDir, FileLock, remove_synced},
};

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(super) struct BackupArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Folder for the copies, created with mode 700
    #[arg(long)]
    to: PathBuf,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Folder with the copies
    #[arg(long)]
    from: PathBuf,
    /// Only compare the copies with the archive; nothing is replaced
    #[arg(long)]
    verify: bool,
}

fn mode(data: &DataDir) -> Result<&'static str> {
    Ok(config::load(data, config::environment())?.instance.mode.label())
}

/// Nobody else writes the databases while this is held.
fn alone(data: &DataDir) -> Result<FileLock> {
    data.try_lock("control.lock")?.context("the control process runs on this directory; stop it first")
}

pub(super) fn backup(a: &BackupArguments) -> Result<ExitCode> {
    let data = a.dir.open()?;
    for path in copy::backup(&data, mode(&data)?, &a.to)? {
        print(&format!("{}\n", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(a: &RestoreArguments) -> Result<ExitCode> {
    let data = a.dir.open()?;
    let mode = mode(&data)?;
    let [store, audit, _] = copy::names(mode).map(|name| a.from.join(name));
    if !store.exists() {
        bail!("{} is not there", store.display());
    }
    if audit.exists()
        && let Err(row) = AuditLog::open_to_read(&audit)?.verify()?
    {
        bail!("{}: row {row} is missing or was changed", audit.display());
    }
    if a.verify {
        let work = data.run().join("verify");
        // What an earlier one left is about another copy.
        let _ = std::fs::remove_dir_all(&work);
        tickpath_shared::paths::create_private_dir(&work)?;
        let found = copy::verify(&data, &store, &work);
        std::fs::remove_dir_all(&work)?;
        let found = found?;
        if !found.is_empty() {
            bail!("{}", found.join("; "));
        }
        print("what the archive folds to, to the last row\n");
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = alone(&data)?;
    for path in copy::restore(&data, mode, &a.from)? {
        print(&format!("{}\n", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the store anew from the archive.
pub(super) fn rebuild(arguments: &DirArguments) -> Result<ExitCode> {
    let data = arguments.open()?;
    let _lock = alone(&data)?;
    let store = data.store(mode(&data)?);
    let anew = store.with_extension("anew");
    remove_synced(&anew)?;
    let records = copy::rebuild(&data, &anew)?;
    let differences = if store.exists() { copy::differences(&store, &anew)? } else { Vec::new() };
    copy::replace(&anew, &store)?;
    print(&format!("{records} records folded\n"));
    match differences.len() {
        0 => print("the store was what the archive folds to\n"),
        _ => print(&format!("the store before was different: {}\n", differences.join("; "))),
    }
    Ok(ExitCode::SUCCESS)
}
