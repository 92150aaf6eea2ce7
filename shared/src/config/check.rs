//! What cannot work is refused before anything starts, with the key, the value and the bound.

use super::{CONFIRM_WITHIN_MS_MAX, Config, ConfigError, Mode, SHARE_E8_MAX, StageName};
use crate::types::{InstanceId, StrategyName, Symbol, decimal};

/// Less than the supervisor's own patience with the control process, seconds.
const STOP_S_MAX: u64 = 25;
/// Requests a minute for the venue's countdown: what all instruments need at its default, half of the address's weight.
const COUNTDOWN_REQUESTS_MAX: u64 = 128;

impl Config {
    /// Checks ranges and relations. The messages name the key, the value and the bound.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with the first value that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_identity()?;
        self.check_instruments()?;
        self.check_threads()?;
        self.check_pairs()?;
        self.check_market_maker()?;
        self.check_probe()?;
        self.check_bars()?;
        self.check_signal_follow()?;
        self.check_shared()?;
        self.check_limits()?;
        self.check_venue()?;
        self.check_simulation()?;
        self.check_control()?;
        self.check_journal()
    }

    fn check_control(&self) -> Result<(), ConfigError> {
        let control = &self.control;
        for (key, list) in [
            ("control.webhook_sources", &control.webhook_sources),
            ("control.proxies", &control.proxies),
            ("control.sources", &control.sources),
        ] {
            let wrong = list.iter().find(|text| text.parse::<std::net::IpAddr>().is_err());
            ensure(wrong.is_none(), || {
                format!("{key}: {:?} is no IP address", wrong.map_or("", String::as_str))
            })?;
        }
        ensure(control.bind.parse::<std::net::SocketAddr>().is_ok(), || {
            format!("control.bind: {:?} is no address with port, as 127.0.0.1:8080", control.bind)
        })?;
        in_range("control.port_tries", control.port_tries.into(), 0, 100)?;
        let is_page = |text: &String| {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ']))
        };
        let wrong = control.origins.iter().find(|text| !is_page(text));
        ensure(wrong.is_none(), || {
            let text = wrong.map_or("", String::as_str);
            format!("control.origins: {text:?} is not of the form https://host or https://host:port")
        })?;
        let takes_jwt = [&control.jwt_secret_file, &control.jwt_public_key_file];
        let is_named = !control.jwt_issuer.is_empty() && !control.jwt_audience.is_empty();
        ensure(is_named || takes_jwt.iter().all(|file| file.as_os_str().is_empty()), || {
            "control.jwt_issuer: \"\" must name who issues tokens, and control.jwt_audience for whom".into()
        })?;
        in_range("control.log_days", control.log_days.into(), 1, 365)?;
        in_range("control.metric_days", control.metric_days.into(), 1, 365)?;
        in_range("control.stop_s", control.stop_s, 1, STOP_S_MAX)?;
        let export = &control.export_file;
        let is_inside = export.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let is_lines = export.as_os_str().is_empty() || export.extension().is_some_and(|e| e == "jsonl");
        ensure(is_inside && is_lines, || {
            format!(
                "control.export_file: {:?} is no path below the data directory that ends in .jsonl",
                export.display().to_string()
            )
        })?;
        in_range("control.webhook_age_s_max", control.webhook_age_s_max, 1, 3600)?;
        self.check_alerts()
    }

    fn check_alerts(&self) -> Result<(), ConfigError> {
        let (alert, notify) = (&self.alert, &self.notify);
        in_range("alert.error_percent_max", alert.error_percent_max, 0, 100)?;
        in_range("alert.drawdown_percent_max", alert.drawdown_percent_max, 0, 100)?;
        in_range("alert.capital", alert.capital as u64, 0, i64::MAX as u64)?;
        in_range("alert.free_percent_min", alert.free_percent_min, 0, 100)?;
        in_range("alert.outage_s_max", alert.outage_s_max, 0, 3_600)?;
        in_range("notify.queue_max", notify.queue_max as u64, 1, 10_000)?;
        in_range("notify.attempts_max", notify.attempts_max.into(), 1, 20)?;
        in_range("notify.timeout_ms", notify.timeout_ms, 100, 60_000)
    }

    fn check_simulation(&self) -> Result<(), ConfigError> {
        let s = &self.simulation;
        for (key, share, least) in [
            ("simulation.maker_fee", s.maker_fee, -SHARE_E8_MAX),
            ("simulation.taker_fee", s.taker_fee, -SHARE_E8_MAX),
            ("simulation.slippage", s.slippage, 0),
        ] {
            let text = |share| decimal::to_text(share, 8);
            ensure((least..=SHARE_E8_MAX).contains(&share), || {
                format!("{key}: {} is not within {} to {}", text(share), text(least), text(SHARE_E8_MAX))
            })?;
        }
        ensure(s.balance >= 0, || {
            format!("simulation.balance: {} is negative", decimal::to_text(s.balance, 8))
        })
    }

    fn check_identity(&self) -> Result<(), ConfigError> {
        InstanceId::new(&self.instance.id)
            .map_err(|e| ConfigError::invalid(format!("instance.id: {:?}: {e}", self.instance.id)))?;
        let is_live_armed = self.instance.mode == Mode::Live && self.instance.arm_at_start;
        ensure(!is_live_armed, || "instance.arm_at_start: true is for simulation only, mode is live".into())
    }

    fn check_instruments(&self) -> Result<(), ConfigError> {
        ensure(!self.instrument.is_empty(), || "instrument: none configured, at least one is needed".into())?;
        let bound = crate::status::INSTRUMENTS_MAX;
        ensure(self.instrument.len() <= bound, || {
            format!("instrument: {} configured, at most {bound}", self.instrument.len())
        })?;
        for (i, instrument) in self.instrument.iter().enumerate() {
            let symbol = &instrument.symbol;
            ensure(Symbol::new(symbol).is_some(), || {
                format!("instrument.symbol: {symbol:?} must have 1..={} bytes", Symbol::BYTES)
            })?;
            let is_repeated = self.instrument[..i].iter().any(|other| &other.symbol == symbol);
            ensure(!is_repeated, || format!("instrument.symbol: {symbol:?} is configured twice"))?;
            in_range("instrument.book_levels_max", instrument.book_levels_max as u64, 1_000, 65_536)?;
            if let Some(leverage) = instrument.leverage {
                in_range("instrument.leverage", leverage.into(), 1, 125)?;
            }
        }
        Ok(())
    }

    fn check_threads(&self) -> Result<(), ConfigError> {
        use StageName::{Engine, Feed, Gateway};
        let allowed: [&[StageName]; 6] =
            [&[Feed], &[Engine], &[Gateway], &[Feed, Engine], &[Engine, Gateway], &[Feed, Engine, Gateway]];
        in_range("host.busy_poll_us", self.host.busy_poll_us.into(), 0, 1000)?;
        for thread in &self.thread {
            if let Some(priority) = thread.realtime_priority {
                in_range("thread.realtime_priority", priority.into(), 1, 49)?;
            }
            ensure(allowed.contains(&thread.stages.as_slice()), || {
                format!(
                    "thread.stages: {:?} are not neighbours in the order feed, engine, gateway",
                    thread.stages
                )
            })?;
        }
        let mut stages: Vec<_> = self.thread.iter().flat_map(|t| t.stages.iter()).collect();
        stages.sort_by_key(|s| **s as u8);
        ensure(stages == [&Feed, &Engine, &Gateway], || {
            format!("thread.stages: each of feed, engine, gateway must run exactly once, found {stages:?}")
        })
    }

    fn check_limits(&self) -> Result<(), ConfigError> {
        let risk = &self.risk;
        in_range("risk.collar_bps", risk.collar_bps as u64, 1, 5000)?;
        if risk.resting_stop_bps != 0 {
            in_range("risk.resting_stop_bps (0 for none)", risk.resting_stop_bps as u64, 10, 5000)?;
        }
        in_range("risk.order_rate_max", risk.order_rate_max as u64, 1, 100_000)?;
        in_range("risk.order_rate_window_ms", risk.order_rate_window_ms, 1, 3_600_000)?;
        in_range("risk.open_orders_max", risk.open_orders_max as u64, 1, 256)?;
        in_range("risk.order_notional_max", risk.order_notional_max as u64, 1, i64::MAX as u64)?;
        in_range("risk.position_notional_max", risk.position_notional_max as u64, 1, i64::MAX as u64)?;
        in_range("risk.order_lots_max", risk.order_lots_max as u64, 1, i64::MAX as u64)?;
        in_range("risk.gross_notional_max", risk.gross_notional_max as u64, 1, i64::MAX as u64)?;
        in_range("risk.positions_max", risk.positions_max as u64, 1, 32)?;
        in_range("risk.trade_risk_max", risk.trade_risk_max as u64, 0, i64::MAX as u64)?;
        in_range("risk.reward_ratio_min", risk.reward_ratio_min as u64, 0, 1_000 * 100_000_000)?;
        in_range("risk.reduce_share_percent", risk.reduce_share_percent as u64, 0, 90)?;
        in_range("risk.message_rate_max", risk.message_rate_max as u64, 1, 1_000_000)?;
        in_range("risk.confirm_notional_over", risk.confirm_notional_over as u64, 0, i64::MAX as u64)?;
        in_range("risk.confirm_within_ms", risk.confirm_within_ms, 1_000, CONFIRM_WITHIN_MS_MAX)?;
        in_range("risk.identical_orders_max", risk.identical_orders_max as u64, 1, 256)?;
        in_range("risk.day_start_minutes", risk.day_start_minutes, 0, 1_439)?;
        in_range("breaker", self.breaker.len() as u64, 0, 32)?;
        for breaker in &self.breaker {
            in_range("breaker.samples", breaker.samples.into(), 1, 3_600)?;
            let threshold = breaker.threshold;
            ensure(threshold.is_finite() && threshold >= 0.0, || {
                format!("breaker.threshold: {threshold} of {} must be a number from 0 on", breaker.metric)
            })?;
        }
        in_range("risk.throttled_max", risk.throttled_max as u64, 1, 100_000)?;
        self.check_lists()?;
        ensure(risk.book_venue_age_ms_max != 0 || self.instance.mode == Mode::Simulation, || {
            "risk.book_venue_age_ms_max: 0 is for simulation only, mode is live".into()
        })?;
        in_range("supervisor.stall_ms", self.supervisor.stall_ms, 100, 600_000)
    }

    fn check_lists(&self) -> Result<(), ConfigError> {
        for symbol in &self.risk.symbols {
            ensure(self.instrument.iter().any(|i| &i.symbol == symbol), || {
                format!("risk.symbols: {symbol:?} is not among the instruments")
            })?;
        }
        for budget in &self.risk.budget {
            let number = StrategyName::number_of(&budget.strategy)
                .map_err(|why| ConfigError::invalid(format!("risk.budget.strategy: {why}")))?;
            ensure(number != StrategyName::Manual as u16, || {
                "risk.budget.strategy: \"manual\" has none: of positions nobody knows which were opened by hand".into()
            })?;
            in_range("risk.budget.notional_max", budget.notional_max as u64, 0, i64::MAX as u64)?;
        }
        Ok(())
    }

    fn check_venue(&self) -> Result<(), ConfigError> {
        let venue = &self.venue;
        in_range("venue.recv_window_ms", venue.recv_window_ms, 100, 2000)?;
        let silences = [
            ("venue.book_silence_ms", venue.book_silence_ms),
            ("venue.market_silence_ms", venue.market_silence_ms),
            ("venue.private_silence_ms", venue.private_silence_ms),
            ("venue.first_message_ms", venue.first_message_ms),
        ];
        for (key, ms) in silences.into_iter().filter(|(_, ms)| *ms != 0) {
            in_range(key, ms, 500, 60_000)?;
        }
        if venue.countdown_ms != 0 {
            in_range("venue.countdown_ms", venue.countdown_ms, 5_000, 600_000)?;
            // Each instrument is refreshed four times in that time, by requests of their own.
            let instruments = self.instrument.len() as u64;
            let (requests, bound) = (instruments * 240_000 / venue.countdown_ms, COUNTDOWN_REQUESTS_MAX);
            ensure(requests <= bound, || {
                format!(
                    "venue.countdown_ms: {} with {instruments} instruments takes {requests} requests a minute, at most \
                     {bound} are left for it",
                    venue.countdown_ms
                )
            })?;
        }
        in_range("venue.proof_deadline_s", venue.proof_deadline_s, 1, 86_400)?;
        in_range("venue.definitions_every_s", venue.definitions_every_s, 1, 86_400)?;
        in_range("venue.connection_life_s", venue.connection_life_s, 3, 86_100)?;
        ensure(venue.line.len() <= 3, || {
            format!("venue.line: {} further lines configured, at most 3", venue.line.len())
        })?;
        in_range("venue.answer_timeout_ms", venue.answer_timeout_ms, 10, 60_000)?;
        in_range("venue.frame_bytes_max", venue.frame_bytes_max as u64, 4096, 16 << 20)
    }

    fn check_journal(&self) -> Result<(), ConfigError> {
        let (journal, venue) = (&self.journal, &self.venue);
        in_range("journal.segment_mib", journal.segment_mib as u64, 1, 64)?;
        let pools = [
            ("journal.feed_mib", journal.feed_mib),
            ("journal.engine_mib", journal.engine_mib),
            ("journal.gateway_mib", journal.gateway_mib),
            ("journal.session_mib", journal.session_mib),
        ];
        for (key, mib) in pools {
            in_range(key, mib as u64, (crate::journal::SEGMENTS_MIN * journal.segment_mib) as u64, 65_536)?;
        }
        // Headers take a little of a segment; the largest frame must still fit.
        in_range(
            "venue.frame_bytes_max",
            venue.frame_bytes_max as u64,
            4096,
            (journal.segment_mib as u64) << 19,
        )
    }
}

pub(super) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::invalid(message())) }
}

pub(super) fn in_range(key: &str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    // A negative number arrives as a huge one; print what was written.
    ensure((min..=max).contains(&value), || format!("{key}: {} is outside {min}..={max}", value as i64))
}
