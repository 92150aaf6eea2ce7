//! `tickpath fit`.

use super::{offline::SessionArguments, print};
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;
use tickpath_control::fit::{garch, session};

/// Arguments of `fit`.
#[derive(Debug, Args)]
pub(super) struct FitArguments {
    #[command(flatten)]
    session: SessionArguments,
    /// Fit to so many of the last samples
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..))]
    samples: u64,
    /// Hand the weights to the running strategy
    #[arg(long)]
    apply: bool,
}

pub(super) fn run(a: &FitArguments) -> Result<ExitCode> {
    let (data, session) = a.session.choose()?;
    let samples = session::innovations(&data, session, a.samples as usize)?;
    let fit = garch::fit(&samples)?;
    print(&format!(
        "session {session}, {} samples, log-likelihood {:.3}\n\n[pairs]\ngarch_alpha = {}\ngarch_beta = {}\n",
        samples.len(),
        fit.ln_likelihood,
        fit.alpha,
        fit.beta
    ));
    if a.apply {
        session::apply(&data, &fit)?;
        print("\ntaken by the running strategy\n");
    }
    Ok(ExitCode::SUCCESS)
}
