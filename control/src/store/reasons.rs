//! Folding what strategies wanted, and what limits, breakers and the trading state did about it.

use super::{StoreError, fold::Row};
use rusqlite::{ToSql, params};
use tickpath_shared::{
    record::{BreakerRecord, IntentRecord, Record, RefusalRecord, StateReason, TradingStateRecord},
    types::{BreakerChange, BreakerMetric, Reason, Side, StrategyName, TimeInForce, TradingState},
};

/// A row of the risk events behind its place and time.
struct RiskEvent<'a> {
    kind: &'a str,
    name: &'a str,
    intent: Option<u64>,
    strategy: Option<String>,
    symbol: Option<String>,
    value: Option<f64>,
    bound: Option<f64>,
}

impl Row<'_> {
    pub(super) fn intent(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(intent) = record.body::<IntentRecord>() else { return Ok(()) };
        self.connection.execute(
            "INSERT OR IGNORE INTO decisions VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
            params![
                self.session(),
                record.header.lane,
                record.header.sequence as i64,
                self.unix_ns(),
                intent.number as i64,
                StrategyName::label_of(intent.strategy),
                self.symbol(intent.instrument),
                Side::from_repr(intent.side).map_or("", Side::label),
                TimeInForce::from_repr(intent.time_in_force).map_or("", TimeInForce::label),
                self.price_e8(intent.instrument, intent.price),
                self.qty_e8(intent.instrument, intent.qty),
                intent.is_reduce_only,
            ],
        )?;
        Ok(())
    }

    pub(super) fn refusal(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(refusal) = record.body::<RefusalRecord>() else { return Ok(()) };
        let event = RiskEvent {
            kind: "refusal",
            name: Reason::from_repr(refusal.reason).map_or("unknown", Reason::label),
            intent: Some(refusal.intent),
            strategy: Some(StrategyName::label_of(refusal.strategy)),
            symbol: Some(self.symbol(refusal.instrument)),
            value: Some(refusal.value as f64),
            bound: Some(refusal.bound as f64),
        };
        self.risk_event(record, &event)
    }

    pub(super) fn breaker(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(breaker) = record.body::<BreakerRecord>() else { return Ok(()) };
        let metric = BreakerMetric::from_repr(breaker.metric).map_or("unknown", BreakerMetric::label);
        let change = BreakerChange::from_repr(breaker.change).map_or("unknown", BreakerChange::label);
        let [value, bound] = [breaker.value_bits, breaker.threshold_bits].map(f64::from_bits);
        let event = RiskEvent {
            kind: &format!("breaker_{change}"),
            name: metric,
            intent: None,
            strategy: None,
            symbol: None,
            value: Some(value).filter(|value| value.is_finite()),
            bound: Some(bound),
        };
        self.risk_event(record, &event)
    }

    pub(super) fn trading_state(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(change) = record.body::<TradingStateRecord>() else { return Ok(()) };
        let state = TradingState::from_repr(change.to).map_or("unknown", TradingState::label);
        let event = RiskEvent {
            kind: &format!("trading_{state}"),
            name: StateReason::from_repr(change.reason).map_or("unknown", StateReason::label),
            intent: None,
            strategy: None,
            symbol: None,
            value: None,
            bound: None,
        };
        self.risk_event(record, &event)
    }

    fn risk_event(&self, record: &Record<'_>, event: &RiskEvent<'_>) -> Result<(), StoreError> {
        let intent = event.intent.map(|intent| intent as i64);
        let place: [&dyn ToSql; 4] =
            [&(self.session()), &record.header.lane, &(record.header.sequence as i64), &self.unix_ns()];
        let told: [&dyn ToSql; 7] =
            [&event.kind, &event.name, &intent, &event.strategy, &event.symbol, &event.value, &event.bound];
        let sql = "INSERT OR IGNORE INTO risk_events VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)";
        self.connection.execute(sql, [&place[..], &told[..]].concat().as_slice())?;
        Ok(())
    }
}
