//! Refits on schedule: the model of volatility follows what the running session has recorded.

use crate::fit::{
    garch,
    session::{self, RefitError},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tickpath_shared::{config::Pairs, paths::DataDir};

const PAUSE: Duration = Duration::from_millis(200);

/// Starts refits as often as the configuration wants them; `None` when it wants none.
pub fn start(data: DataDir, pairs: &Pairs, stop: Arc<AtomicBool>) -> Option<JoinHandle<()>> {
    if !pairs.is_enabled || pairs.refit_minutes == 0 {
        return None;
    }
    let (every, samples) = (Duration::from_secs(pairs.refit_minutes * 60), pairs.refit_samples);
    Some(std::thread::spawn(move || {
        let mut last = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE);
            if last.elapsed() >= every {
                last = Instant::now();
                match refit(&data, samples) {
                    Ok((alpha, beta)) => tracing::info!(alpha, beta, samples, "volatility model refitted"),
                    Err(error) => tracing::warn!(%error, "volatility model not refitted"),
                }
            }
        }
    }))
}

fn refit(data: &DataDir, samples: usize) -> Result<(f64, f64), RefitError> {
    let current = data.current_session().map_err(|e| RefitError::Journal(e.to_string()))?;
    let current = current.ok_or_else(|| RefitError::Journal("no session has begun".into()))?;
    let fit = garch::fit(&session::innovations(data, current.session, samples)?)?;
    session::apply(data, &fit)?;
    Ok((fit.alpha, fit.beta))
}
