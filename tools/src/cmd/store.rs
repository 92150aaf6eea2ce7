//! Copies of the databases, and the proof that they are what the archive says.

use super::{print, process::DirArguments};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{path::PathBuf, process::ExitCode};
use tickpath_control::{
    audit::AuditLog,
    store::{copy, open},
};
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

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub(super) struct MigrateArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Only tell what would be done, tried on a copy; the store may be in use
    #[arg(long)]
    dry_run: bool,
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

/// A folder of its own for copies, without what an earlier call left there.
fn workshop(data: &DataDir, name: &str) -> Result<PathBuf> {
    let work = data.run().join(name);
    let _ = std::fs::remove_dir_all(&work);
    tickpath_shared::paths::create_private_dir(&work)?;
    Ok(work)
}

/// Brings the store to this build's schema, which the control process does by itself when it starts.
pub(super) fn migrate(a: &MigrateArguments) -> Result<ExitCode> {
    let data = a.dir.open()?;
    let store = data.store(mode(&data)?);
    if !store.exists() {
        bail!("{} is not there", store.display());
    }
    let _lock = (!a.dry_run).then(|| alone(&data)).transpose()?;
    let work = workshop(&data, "migrate")?;
    let rehearsed = copy::rehearse_migration(&store, &work);
    std::fs::remove_dir_all(&work)?;
    let copy::Migration { versions: [found, wanted], new, kept } = rehearsed?;
    let rows: u64 = kept.iter().map(|(_, rows)| rows).sum();
    if found == wanted {
        print(&format!("schema {found}, as this build writes it: nothing to do\n"));
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!(
        "schema {found} to {wanted}: {rows} rows of {} tables are kept; new: {}\n",
        kept.len(),
        if new.is_empty() { "columns alone".to_owned() } else { new.join(", ") }
    ));
    if a.dry_run {
        print("tried on a copy; nothing was changed\n");
    } else {
        drop(open(&store)?);
        print("done; `tickpath rebuild` fills in what came before\n");
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
        let work = workshop(&data, "verify")?;
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
