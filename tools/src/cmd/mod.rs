//! Sub-commands, one file a group.

mod access;
mod config;
mod demo;
mod fit;
mod host;
mod latency;
mod offline;
mod operate;
mod process;
mod store;
mod venue;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::{
    io::Write,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};
use tickpath_hotpath::{hot::HotError, wire::simd::Isa};
use tickpath_shared::{command::Verb, config::ConfigError, operator::OperatorError};

/// Arguments of the command line.
#[derive(Debug, Parser)]
#[command(name = "tickpath", version, about = "A trading engine whose latency you can verify")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulator, engine and control process in one go, in simulation
    Demo(demo::DemoArguments),
    /// The venue simulator
    Venue(Box<venue::VenueArguments>),
    /// A new data directory for a simulation: configuration and keys
    Init(config::InitArguments),
    /// The configuration: a new one, what is wrong with one, what is in force
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Start and supervise the hot and the control process
    Run(process::RunArguments),
    /// The hot process alone
    Hot(process::DirArguments),
    /// The control process alone
    Control(process::DirArguments),
    /// Set the kill word: no order leaves, working orders are canceled, latched over restarts
    Kill(process::DirArguments),
    /// Allow orders
    Arm(operate::ArmArguments),
    /// Allow no new orders, cancel working ones
    Disarm(process::DirArguments),
    /// Open nothing more, for the account, a strategy or an instrument, until it is armed again
    Stop(operate::StopArguments),
    /// Cancel open orders of the account, a strategy or an instrument
    CancelAll(operate::ScopeArguments),
    /// Open nothing more, cancel orders and close positions of the account, a strategy or an instrument
    Flatten(operate::ScopeArguments),
    /// Let all breakers go; one whose threshold is still passed trips again
    ReleaseBreakers(process::DirArguments),
    /// Place an order, through the limits of all orders
    Order(operate::OrderArguments),
    /// Cancel one order
    Cancel(operate::CancelArguments),
    /// Orders that wait for a person
    Held(operate::HeldArguments),
    /// Let an order leave that waits, if the limits still do
    Approve(operate::HeldOrderArguments),
    /// Refuse an order that waits
    Deny(operate::HeldOrderArguments),
    /// Give a parameter of a strategy a new value while it runs, or a limit one up to the configured
    Set(operate::SetArguments),
    /// Fit the volatility model of the pairs strategy to what a session has recorded
    Fit(fit::FitArguments),
    /// Tokens of the HTTP interface
    #[command(subcommand)]
    Token(access::TokenCommand),
    /// Check the log of changes over HTTP and show its end
    Audit(access::AuditArguments),
    /// Copy the databases into a folder while they are in use
    Backup(store::BackupArguments),
    /// Put the databases of a backup into their places, or compare them with the archive
    Restore(store::RestoreArguments),
    /// Bring the store to this build's schema, or tell what that would do
    Migrate(store::MigrateArguments),
    /// Make the store anew from the archive
    Rebuild(process::DirArguments),
    /// What the hot process is doing
    Status(operate::StatusArguments),
    /// Books from captures: one JSON line a diff, a summary on stderr
    Book(offline::BookArguments),
    /// Look into a journal
    Journal(offline::JournalArguments),
    /// Run a session again from its journal and compare every order
    Replay(offline::ReplayArguments),
    /// The story of a session: what was wanted, what was left and why, what was refused, what was filled
    Why(offline::WhyArguments),
    /// Profit and loss of a session: by strategy and instrument, by average cost and by lots, with fees and funding
    Pnl(offline::PnlArguments),
    /// The hot path's latency: in the process, or over loopback against offered load
    Latency(latency::LatencyArguments),
    /// Whether the hot path feels the control process, which is stopped and let go in turns
    Isolation(latency::IsolationArguments),
    /// The host's checklist for low latency; changes nothing
    Doctor(host::DoctorArguments),
    /// Gaps that a thread which only reads the clock sees, a core each
    Jitter(host::JitterArguments),
    /// Counters, latencies, rings and lanes of a session, read-only
    Top(host::TopArguments),
}

/// Runs a command.
///
/// # Errors
///
/// What went wrong, with its causes; [`exit_code`] tells the code.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    Isa::choose().map_err(HotError::Environment)?;
    match arguments.command {
        None => demo::run(&demo::DemoArguments::default()),
        Some(Command::Demo(a)) => demo::run(&a),
        Some(Command::Venue(a)) => venue::run(&a),
        Some(Command::Init(a)) => config::init(&a),
        Some(Command::Config(a)) => config::config(&a),
        Some(Command::Run(a)) => process::run(&a),
        Some(Command::Hot(a)) => process::hot(&a),
        Some(Command::Control(a)) => process::control(&a),
        Some(Command::Kill(a)) => operate::kill(&a),
        Some(Command::Arm(a)) => operate::arm(&a),
        Some(Command::Disarm(a)) => operate::disarm(&a),
        Some(Command::Stop(a)) => operate::stop(&a),
        Some(Command::CancelAll(a)) => operate::scoped(&a, Verb::CancelAll),
        Some(Command::Flatten(a)) => operate::scoped(&a, Verb::Flatten),
        Some(Command::ReleaseBreakers(a)) => operate::release_breakers(&a),
        Some(Command::Order(a)) => operate::place(&a),
        Some(Command::Cancel(a)) => operate::cancel(&a),
        Some(Command::Held(a)) => operate::held(&a),
        Some(Command::Approve(a)) => operate::answer_held(&a, Verb::Approve),
        Some(Command::Deny(a)) => operate::answer_held(&a, Verb::Deny),
        Some(Command::Set(a)) => operate::set(&a),
        Some(Command::Fit(a)) => fit::run(&a),
        Some(Command::Token(a)) => access::token(&a),
        Some(Command::Audit(a)) => access::audit(&a),
        Some(Command::Backup(a)) => store::backup(&a),
        Some(Command::Restore(a)) => store::restore(&a),
        Some(Command::Migrate(a)) => store::migrate(&a),
        Some(Command::Rebuild(a)) => store::rebuild(&a),
        Some(Command::Status(a)) => operate::status(&a),
        Some(Command::Book(a)) => offline::book(&a),
        Some(Command::Journal(a)) => offline::journal(&a),
        Some(Command::Replay(a)) => offline::replay(&a),
        Some(Command::Why(a)) => offline::why(&a),
        Some(Command::Pnl(a)) => offline::pnl(&a),
        Some(Command::Latency(a)) => latency::run(&a),
        Some(Command::Isolation(a)) => latency::isolation(&a),
        Some(Command::Doctor(a)) => host::doctor(&a),
        Some(Command::Jitter(a)) => host::jitter(&a),
        Some(Command::Top(a)) => host::top(&a),
    }
}

/// 3 configuration, 4 risk or latch, 5 venue, 6 environment, 1 anything else.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(hot) = cause.downcast_ref::<HotError>() {
            return hot.exit_code();
        }
        if cause.is::<ConfigError>() {
            return 3;
        }
        if let Some(OperatorError::Limit(..)) = cause.downcast_ref() {
            return 4;
        }
        if let Some(OperatorError::Refused(_, outcome)) = cause.downcast_ref() {
            return if outcome.is_guard() { 4 } else { 1 };
        }
        if cause.is::<std::io::Error>() {
            return 6;
        }
    }
    1
}

/// Writes to standard output; a reader that has gone away is no error of ours.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// A flag that SIGINT and SIGTERM set.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
