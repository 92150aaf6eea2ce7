//! Breakers of the account: once a second everything that they watch is looked at, and what they want is done.

use super::{Gateway, GatewayPort};
use crate::{
    breaker::Breaker,
    message::{Ask, Notice},
};
use tickpath_shared::{
    Nanos,
    record::{BreakerRecord, Cause, Class, DayRecord, Kind},
    types::{BreakerAction, BreakerChange, BreakerMetric},
};
use zerocopy::IntoBytes;

const SECOND_NS: Nanos = 1_000_000_000;
const ONE_E8: f64 = 1e8;

/// Values of the metrics by their numbers, `None` where there is none.
type Values = [Option<f64>; BreakerMetric::ALL.len() + 1];

impl Gateway {
    pub(super) fn watch(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        if now < self.next_watch_ns {
            return;
        }
        self.next_watch_ns = now + SECOND_NS;
        if self.is_reconciled {
            let values = self.values(now, port);
            let mut strongest = None;
            self.breakers.sample(
                |metric| values[metric as usize],
                |breaker, change, value| {
                    tell(now, breaker, change, value, port);
                    let is_trip = change == BreakerChange::Tripped;
                    strongest = strongest.max(is_trip.then_some(breaker.action));
                },
            );
            self.barrier = self.breakers.barrier();
            self.act(now, strongest, port);
            self.keep_day(port);
        }
        self.health.step();
    }

    fn act(&mut self, now: Nanos, action: Option<BreakerAction>, port: &mut impl GatewayPort) {
        if action >= Some(BreakerAction::Stop) {
            self.withdraw_held(now, Cause::NONE, u32::MAX, port);
        }
        if action >= Some(BreakerAction::Cancel) {
            self.cancel_all(now, Cause::NONE, port);
        }
        if action == Some(BreakerAction::Flatten) {
            self.flatten(u32::MAX);
        }
    }

    /// Everything that breakers may watch, and whether a day has begun.
    fn values(&mut self, now: Nanos, port: &mut impl GatewayPort) -> Values {
        let mut values = [None; BreakerMetric::ALL.len() + 1];
        let mut set = |metric: BreakerMetric, value: Option<f64>| values[metric as usize] = value;
        if let Some(open_e8) = self.open_profit_e8() {
            if self.day.look(self.venue_ms(now), open_e8) {
                self.breakers.on_day(|breaker, change, value| tell(now, breaker, change, value, port));
            }
            let result = self.day.result(open_e8);
            let quote = |e8: i128| Some(e8 as f64 / ONE_E8);
            set(BreakerMetric::DayLoss, quote(-result.all_e8));
            set(BreakerMetric::RealizedLoss, quote(-result.realized_e8));
            set(BreakerMetric::Drawdown, quote(result.drawdown_e8));
        }
        set(BreakerMetric::LossesInRow, Some(self.day.losses().into()));
        set(BreakerMetric::Rejects, Some(self.health.rejects().into()));
        set(BreakerMetric::Unknowns, Some(self.health.unknowns().into()));
        set(BreakerMetric::Slippage, self.health.slippage_bps());
        let [volatility, change] = self.health.regime();
        set(BreakerMetric::Volatility, volatility);
        set(BreakerMetric::ChangeProbability, change);
        set(BreakerMetric::TickToOrder, self.health.latency_p99_us());
        let ms = |ns: Nanos| ns as f64 / 1e6;
        let oldest = self.marks.iter().map(|mark| mark.seen_ns).min();
        set(BreakerMetric::FeedAge, oldest.map(|seen| ms(now.saturating_sub(seen))));
        set(BreakerMetric::JournalPressure, Some(self.pressure as u64 as f64));
        set(BreakerMetric::ClockError, self.clock.bound_ns.map(ms));
        let is_waited_for = self.orders.open() > 0;
        // Nothing was to be said before the oldest of them was sent.
        let asked = self.orders.iter().map(|order| order.sent_ns).min().unwrap_or(now);
        let silence = now.saturating_sub(self.private_ns.max(asked));
        set(BreakerMetric::PrivateAge, Some(if is_waited_for { ms(silence) } else { 0.0 }));
        values
    }

    /// What open positions have gained at their marks; `None` while one has no mark.
    fn open_profit_e8(&self) -> Option<i128> {
        let mut sum = 0;
        for (instrument, marked_e8) in (0..).zip(&self.marked_e8) {
            let position = self.positions.get(instrument);
            if position.qty != 0 {
                let is_known = self.marks[instrument as usize].price_e8 > 0;
                let signed_cost = i128::from(position.qty.signum()) * position.cost_e8;
                sum += is_known.then(|| i128::from(*marked_e8) - signed_cost)?;
            }
        }
        Some(sum)
    }

    /// Has what a restart must not forget stored when it changed.
    fn keep_day(&mut self, port: &mut impl GatewayPort) {
        let record = self.day.record(self.breakers.latched());
        if self.kept != Some(record) {
            self.kept = Some(record);
            port.ask(Ask::Day(record));
        }
    }

    /// The day of the process before goes on.
    pub(super) fn on_day(&mut self, now: Nanos, record: &DayRecord, port: &mut impl GatewayPort) {
        self.day.restore(record);
        let mut strongest = None;
        self.breakers.restore(record.latched, |breaker, change, value| {
            tell(now, breaker, change, value, port);
            strongest = strongest.max(Some(breaker.action));
        });
        self.barrier = self.breakers.barrier();
        // It may not have come to its end.
        if strongest == Some(BreakerAction::Flatten) {
            self.flatten(u32::MAX);
        }
    }

    /// A person lets all breakers go.
    pub(super) fn release_breakers(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        self.breakers.release(|breaker, change, value| tell(now, breaker, change, value, port));
        self.day.forget_losses();
        self.health.forget();
        self.barrier = self.breakers.barrier();
        self.keep_day(port);
    }
}

fn tell(now: Nanos, breaker: &Breaker, change: BreakerChange, value: f64, port: &mut impl GatewayPort) {
    let Breaker { metric, threshold, action, .. } = *breaker;
    let record = BreakerRecord {
        value_bits: value.to_bits(),
        threshold_bits: threshold.to_bits(),
        metric: metric as u16,
        change: change as u16,
        action: action as u16,
        reserved: 0,
    };
    port.record(Kind::Breaker, Class::Audit, now, Cause::NONE, &[record.as_bytes()]);
    port.ask(Ask::Tell(Notice::Breaker(record)));
}
