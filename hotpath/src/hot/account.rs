//! What an account must be like before anything trades on it: one position an instrument, the leverage that was
//! configured, and a key that cannot take money away.

use super::{HotError, ask_venue};
use crate::venue::{Credentials, Http, Rest};
use std::{sync::Arc, time::Duration};
use tickpath_shared::config::{Config, Mode};

/// Checks the account, and sets what may be set; returns what was done, for the start report.
///
/// # Errors
///
/// [`HotError::Forbidden`] for an account that must not be traded on, [`HotError::Venue`] when the venue does not
/// answer.
pub(super) fn prepare(
    config: &Config,
    rest: &Rest,
    roots: ureq::tls::RootCerts,
    credentials: &Arc<Credentials>,
) -> Result<Vec<String>, HotError> {
    let mut done = Vec::new();
    done.extend(check_rights(config, roots, credentials)?);
    if ask_venue("position mode", || rest.is_hedging(rest.server_time()?))? {
        let text = "the account holds long and short positions apart (hedge mode); only one-way mode is traded: \
                    change the position mode at the venue while no order and no position is open";
        return Err(HotError::Forbidden(text.into()));
    }
    done.push("account: one-way mode".into());
    set_leverage(config, rest, &mut done)?;
    Ok(done)
}

fn set_leverage(config: &Config, rest: &Rest, done: &mut Vec<String>) -> Result<(), HotError> {
    let wanted: Vec<(&str, u32)> =
        config.instrument.iter().filter_map(|i| Some((i.symbol.as_str(), i.leverage?))).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let current = ask_venue("leverages", || rest.leverages(rest.server_time()?))?;
    for (symbol, leverage) in wanted {
        if current.iter().any(|(of, is)| of == symbol && *is == leverage) {
            done.push(format!("{symbol}: leverage {leverage}"));
            continue;
        }
        ask_venue("leverage", || rest.set_leverage(symbol, leverage, rest.server_time()?))?;
        done.push(format!("{symbol}: leverage set to {leverage}"));
    }
    Ok(())
}

/// A key that can take money away is a risk that trading does not need.
fn check_rights(
    config: &Config,
    roots: ureq::tls::RootCerts,
    credentials: &Arc<Credentials>,
) -> Result<Option<String>, HotError> {
    let venue = &config.venue;
    if venue.rights_url.is_empty() {
        return match config.instance.mode {
            Mode::Simulation => Ok(None),
            Mode::Live => Err(HotError::Forbidden(
                "venue.rights_url is empty: whether the key may withdraw cannot be checked".into(),
            )),
        };
    }
    let http = Http::new(&venue.rights_url, roots, Duration::from_secs(10));
    let rest = Rest::new(Arc::new(http), Arc::clone(credentials), venue.recv_window_ms);
    if ask_venue("rights of the key", || rest.can_withdraw(super::unix_ms()))? {
        return Err(HotError::Forbidden("the key may withdraw: use one that may only trade".into()));
    }
    Ok(Some("key: may not withdraw".into()))
}
