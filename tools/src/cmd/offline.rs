//! `tickpath book`, `journal`, `pnl`, `replay` and `why`.

use super::{print, process::DirArguments};
use crate::offline::{
    book,
    journal::{self, Filter},
    pnl,
    replay::{self, ReplayPlan},
    why::{self, WhyPlan},
};
use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use std::{
    io::{BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};
use tickpath_shared::{Nanos, paths::DataDir};

/// Arguments of `book`.
#[derive(Debug, Args)]
pub(super) struct BookArguments {
    /// Files of one recording, in their order
    #[arg(long, num_args = 1.., required = true)]
    capture: Vec<PathBuf>,
}

/// Arguments of `journal`.
#[derive(Debug, Args)]
pub(super) struct JournalArguments {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Records and bytes by session, lane and kind
    Stat(DirArguments),
    /// Records as text
    Cat(CatArguments),
    /// Read everything and check lengths, checksums, sequences and hash chains
    Verify(DirArguments),
}

#[derive(Debug, Args)]
struct CatArguments {
    #[command(flatten)]
    of: SessionArguments,
    /// Only this lane: session, feed, engine, gateway
    #[arg(long)]
    lane: Option<String>,
    /// Only this kind
    #[arg(long)]
    kind: Option<String>,
    /// One JSON object a record
    #[arg(long)]
    json: bool,
}

/// A session of a data directory.
#[derive(Debug, Args)]
pub(super) struct SessionArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Session; the newest otherwise
    #[arg(long)]
    session: Option<u64>,
}

impl SessionArguments {
    pub(super) fn choose(&self) -> Result<(DataDir, u64)> {
        let data = self.dir.open()?;
        let session = journal::choose_session(&data, self.session)?;
        Ok((data, session))
    }
}

/// Arguments of `why`.
#[derive(Debug, Args)]
pub(super) struct WhyArguments {
    #[command(flatten)]
    of: SessionArguments,
    /// From this second of the session on
    #[arg(long, value_name = "SECONDS")]
    from: Option<f64>,
    /// Up to this second of the session
    #[arg(long, value_name = "SECONDS")]
    to: Option<f64>,
    /// Only this strategy
    #[arg(long)]
    strategy: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Arguments of `pnl`.
#[derive(Debug, Args)]
pub(super) struct PnlArguments {
    #[command(flatten)]
    of: SessionArguments,
    /// Write the equity curve, a line with seconds and amount after every fill and funding
    #[arg(long)]
    equity: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    #[command(flatten)]
    of: SessionArguments,
    /// Start at the last checkpoint at or before this second of the session instead of the beginning
    #[arg(long, value_name = "SECONDS")]
    from: Option<f64>,
    /// Write a checkpoint every so many seconds of session time, below DIR/checkpoints
    #[arg(long, value_name = "SECONDS")]
    checkpoints: Option<f64>,
    /// Write the canonical text of every order that the replay makes, one a line
    #[arg(long)]
    orders: Option<PathBuf>,
}

pub(super) fn book(a: &BookArguments) -> Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let summary = book::run(&a.capture, |line| {
        if let Ok(text) = serde_json::to_string(line) {
            let _ = writeln!(out, "{text}");
        }
    })?;
    let _ = out.flush();
    eprintln!("{}", serde_json::to_string(&summary)?);
    let is_sound = summary.decode_errors == 0 && summary.gaps == 0;
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn journal(a: &JournalArguments) -> Result<ExitCode> {
    match &a.command {
        JournalCommand::Stat(dir) => {
            for stat in journal::stat(&dir.open()?)? {
                print(&format!("{}\n", serde_json::to_string(&stat)?));
            }
            Ok(ExitCode::SUCCESS)
        }
        JournalCommand::Cat(cat) => self::cat(cat),
        JournalCommand::Verify(dir) => verify(dir),
    }
}

fn cat(a: &CatArguments) -> Result<ExitCode> {
    let filter = Filter { session: a.of.session, lane: a.lane.clone(), kind: a.kind.clone() };
    let mut out = BufWriter::new(std::io::stdout().lock());
    journal::cat(&a.of.dir.open()?, &filter, |record| {
        let value = journal::to_json(record);
        let _ = if a.json {
            writeln!(out, "{value}")
        } else {
            let text = |key: &str| value[key].as_str().unwrap_or("-").to_owned();
            writeln!(
                out,
                "{:>15} ns  lane {} #{:<8} {:<16} {} {}",
                record.header.time,
                record.header.lane,
                record.header.sequence,
                text("kind"),
                value["body"],
                value["text"]
            )
        };
    })?;
    let _ = out.flush();
    Ok(ExitCode::SUCCESS)
}

fn verify(dir: &DirArguments) -> Result<ExitCode> {
    let stats = journal::stat(&dir.open()?)?;
    let mut is_sound = true;
    for stat in &stats {
        let verdict = stat.error.as_ref().map_or_else(|| "sound".to_owned(), |e| format!("DAMAGED: {e}"));
        is_sound &= stat.error.is_none();
        print(&format!("session {} lane {}: {} records, {verdict}\n", stat.session, stat.name, stat.records));
    }
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn replay(a: &ReplayArguments) -> Result<ExitCode> {
    let plan = ReplayPlan {
        session: a.of.session,
        from_ns: a.from.map(|s| nanos("--from", s, 0.0)).transpose()?,
        checkpoint_every_ns: a.checkpoints.map(|s| nanos("--checkpoints", s, 0.001)).transpose()?,
    };
    let report = replay::replay(&a.of.dir.open()?, &plan)?;
    if let Some(path) = &a.orders {
        std::fs::write(path, report.orders.join("\n"))?;
    }
    print(&format!("{}\n", serde_json::to_string(&report)?));
    if let Some(frame) = report.lost_frame {
        eprintln!(
            "the process was killed before frame {frame} was in its lane: {} orders decided on it cannot be made again",
            report.orders_on_lost_frame
        );
    }
    if let Some(difference) = report.first_difference.as_ref().or(report.first_state_difference.as_ref()) {
        eprintln!("tickpath: {difference}");
    }
    Ok(if report.is_identical() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn why(a: &WhyArguments) -> Result<ExitCode> {
    let plan = WhyPlan {
        session: a.of.session,
        from_ns: a.from.map(|s| nanos("--from", s, 0.0)).transpose()?,
        to_ns: a.to.map(|s| nanos("--to", s, 0.0)).transpose()?,
        strategy: a.strategy.clone(),
    };
    let story = why::tell(&a.of.dir.open()?, &plan)?;
    if a.json {
        print(&format!("{}\n", serde_json::to_string(&story)?));
        return Ok(ExitCode::SUCCESS);
    }
    story.lines.iter().for_each(|line| print(&format!("{line}\n")));
    print(&format!("\nsession {}\n", story.session));
    story.strategies.iter().for_each(|strategy| print(&why::summary(strategy)));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn pnl(a: &PnlArguments) -> Result<ExitCode> {
    let report = pnl::report(&a.of.dir.open()?, a.of.session)?;
    if let Some(path) = &a.equity {
        let line = |p: &pnl::EquityPoint| {
            format!("{}.{:09},{}\n", p.time / 1_000_000_000, p.time % 1_000_000_000, pnl::amount(p.equity_e8))
        };
        let lines: String = report.equity.iter().map(line).collect();
        std::fs::write(path, format!("seconds,equity\n{lines}"))?;
    }
    let text = if a.json { serde_json::to_string(&report)? + "\n" } else { pnl::table(&report) };
    print(&text);
    Ok(ExitCode::SUCCESS)
}

/// Seconds of an argument as nanoseconds.
fn nanos(name: &str, seconds: f64, min: f64) -> Result<Nanos> {
    ensure!((min..=1e9).contains(&seconds), "{name}: {seconds} is outside {min}..=1e9 seconds");
    Ok((seconds * 1e9) as Nanos)
}
