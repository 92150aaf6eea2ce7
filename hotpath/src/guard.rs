//! Who may trade real money: every guard must be there, and simulation never reaches a live host.

use crate::{session::connect::host_of, venue::is_live_host};
use tickpath_shared::config::{Config, Mode};

/// Environment variable with the operator's approval of live trading.
pub const APPROVAL_VARIABLE: &str = "TRADING_APPROVED";
/// Prefix of the keys that the simulator's set-up generates.
pub const SIMULATION_KEY_PREFIX: &str = "simulation-";

/// Checks all guards at once.
///
/// # Errors
///
/// Every guard that fails, one line each.
pub fn check(config: &Config, approval: Option<&str>, api_key: &str) -> Result<(), Vec<String>> {
    let hosts = hosts(config);
    let failures = match config.instance.mode {
        Mode::Simulation => simulation_failures(&hosts),
        Mode::Live => live_failures(config, approval, api_key),
    };
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

fn hosts(config: &Config) -> Vec<String> {
    let venue = &config.venue;
    let urls = [&venue.rest_url, &venue.public_url, &venue.market_url, &venue.private_url, &venue.order_url];
    let lines = venue.line.iter().flat_map(|line| [&line.public_url, &line.market_url]);
    urls.into_iter().chain(lines).map(|url| host_of(url).to_owned()).collect()
}

fn simulation_failures(hosts: &[String]) -> Vec<String> {
    let is_live = |host: &&String| is_live_host(host);
    hosts
        .iter()
        .filter(is_live)
        .map(|host| format!("instance.mode is simulation, but {host} is a live host"))
        .collect()
}

fn live_failures(config: &Config, approval: Option<&str>, api_key: &str) -> Vec<String> {
    let guards = [
        (approval == Some("true"), format!("{APPROVAL_VARIABLE} is {approval:?}, must be \"true\"")),
        (
            !api_key.is_empty() && !api_key.starts_with(SIMULATION_KEY_PREFIX),
            "venue.api_key_file: the key is missing or a simulation key".to_owned(),
        ),
        (
            config.instance.limits_confirmed,
            "instance.limits_confirmed is false: read [risk], then set it".to_owned(),
        ),
    ];
    guards.into_iter().filter(|(holds, _)| !holds).map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::config::Line;

    #[test]
    fn only_the_full_set_reaches_a_live_host() {
        for subset in 0..16_u32 {
            let has = |bit: u32| subset & (1 << bit) != 0;
            let mut config = Config::default();
            config.venue.rest_url = "https://fapi.binance.com".into();
            config.instance.mode = if has(0) { Mode::Live } else { Mode::Simulation };
            config.instance.limits_confirmed = has(1);
            let approval = has(2).then_some("true");
            let key = if has(3) { "abc" } else { "simulation-abc" };
            assert_eq!(check(&config, approval, key).is_ok(), subset == 15, "subset {subset:04b}");
        }
    }

    #[test]
    fn simulation_may_use_other_hosts() {
        let mut config = Config::default();
        config.venue.rest_url = "http://127.0.0.1:9000".into();
        assert!(check(&config, None, "simulation-abc").is_ok());
        config
            .venue
            .line
            .push(Line { public_url: "wss://fstream.binance.com/public".into(), ..Line::default() });
        assert!(check(&config, None, "simulation-abc").is_err(), "a further line counts too");
    }
}
