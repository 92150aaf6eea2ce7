//! The volatility model of the pairs strategy, fitted to what a session has recorded, and handed to it as commands.

use super::garch::{Fit, FitError};
use std::collections::VecDeque;
use thiserror::Error;
use tickpath_shared::{
    command::{CommandOutcome, Detail, Order, Scope, Verb},
    journal::{RecordBuf, open_session},
    operator::{Operator, OperatorError},
    paths::DataDir,
    record::{Kind, SignalRecord},
    types::{Parameter, StrategyName},
};

/// Why there are no new parameters.
#[derive(Debug, Error)]
pub enum RefitError {
    /// The journal could not be read.
    #[error("journal: {0}")]
    Journal(String),
    /// There is no fit.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The session did not take them.
    #[error(transparent)]
    Operator(#[from] OperatorError),
}

/// Errors of the filter, newest last, at most the last `samples`.
///
/// # Errors
///
/// [`RefitError::Journal`].
pub fn innovations(data: &DataDir, session: u64, samples: usize) -> Result<Vec<f64>, RefitError> {
    let journal = |e: &dyn std::error::Error| RefitError::Journal(e.to_string());
    let mut found = VecDeque::new();
    let mut buf = RecordBuf::default();
    let lanes = open_session(data, session).map_err(|e| journal(&e))?;
    for mut lane in lanes.into_iter().filter(|lane| lane.name() == "engine") {
        while lane.next_into(&mut buf).map_err(|e| journal(&e))?.is_some() {
            let record = buf.record();
            if record.kind() != Some(Kind::Signal) {
                continue;
            }
            let Some(signal) = record.body::<SignalRecord>() else { continue };
            // While it warms up there is no model, and nothing is expected of the spread.
            if signal.strategy == StrategyName::Pairs as u16 && signal.volatility_bits != 0 {
                if found.len() == samples {
                    found.pop_front();
                }
                found.push_back(f64::from_bits(signal.spread_bits));
            }
        }
    }
    Ok(found.into())
}

/// Hands a fit to the running strategy.
///
/// # Errors
///
/// [`RefitError::Operator`] when it does not take both weights.
pub fn apply(data: &DataDir, fit: &Fit) -> Result<(), RefitError> {
    let operator = Operator::open(data)?;
    let set = |parameter: Parameter, value: f64| {
        let scope = Scope::Strategy(StrategyName::Pairs as u16);
        let detail = Detail::Setting(parameter as u16, value);
        operator.send(data, Order { verb: Verb::Set, scope, detail })
    };
    // Their sum stays below 1 at every moment: the one that would break it waits for the other.
    let (alpha, beta) = ((Parameter::PairsGarchAlpha, fit.alpha), (Parameter::PairsGarchBeta, fit.beta));
    match set(alpha.0, alpha.1) {
        Err(OperatorError::Refused(_, CommandOutcome::RefusedValue)) => {
            set(beta.0, beta.1)?;
            set(alpha.0, alpha.1)?;
        }
        answer => {
            answer?;
            set(beta.0, beta.1)?;
        }
    }
    Ok(())
}
