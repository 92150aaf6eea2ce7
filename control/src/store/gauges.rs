//! Folding what is as it was told last: balances and signals; and the values that parameters were given.

use super::{StoreError, fold::Row};
use rusqlite::params;
use tickpath_shared::{
    record::{BalanceRecord, ParameterRecord, Record, SignalRecord},
    types::{Parameter, StrategyName},
};

impl Row<'_> {
    /// The venue's last word on an asset, whichever lane it is in.
    pub(super) fn balance(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(balance) = record.body::<BalanceRecord>() else { return Ok(()) };
        self.connection.execute(
            "INSERT INTO balances VALUES (?1,?2,?3,?4,?5) ON CONFLICT DO UPDATE SET wallet_e8 = ?2, cross_e8 = ?3,
             venue_ms = ?4, time_ns = ?5 WHERE (?4, ?5) > (venue_ms, time_ns)",
            params![
                balance.asset(),
                balance.wallet_e8,
                balance.cross_e8,
                balance.venue_ms as i64,
                self.unix_ns()
            ],
        )?;
        Ok(())
    }

    pub(super) fn parameter(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(change) = record.body::<ParameterRecord>() else { return Ok(()) };
        let name = Parameter::from_repr(change.parameter)
            .map_or_else(|| change.parameter.to_string(), |parameter| parameter.label().to_owned());
        let value = f64::from_bits(change.value_bits);
        self.connection.execute(
            "INSERT OR IGNORE INTO parameters VALUES (?1,?2,?3,?4,?5,?6,?7,?8)",
            params![
                self.session(),
                record.header.lane,
                record.header.sequence as i64,
                self.unix_ns(),
                StrategyName::label_of(change.strategy),
                name,
                Some(value).filter(|value| value.is_finite()),
                change.is_taken,
            ],
        )?;
        Ok(())
    }

    /// What a strategy computed last.
    pub(super) fn signal(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(signal) = record.body::<SignalRecord>() else { return Ok(()) };
        let number = |bits| Some(f64::from_bits(bits)).filter(|number| number.is_finite());
        let unless_zero = |bits| number(bits).filter(|_| bits != 0);
        let stance = ["flat", "long", "short"].get(usize::from(signal.state)).copied().unwrap_or("unknown");
        let sql = "INSERT INTO signals VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) ON CONFLICT DO UPDATE SET
                   session = ?2, time_ns = ?3, venue_ms = ?4, stance = ?5, value = ?6, z = ?7, bound = ?8, beta = ?9,
                   volatility = ?10, change = ?11 WHERE (?2, ?3) >= (session, time_ns)";
        self.connection.prepare_cached(sql)?.execute(params![
            StrategyName::label_of(signal.strategy),
            self.session(),
            self.unix_ns(),
            signal.venue_ms as i64,
            stance,
            number(signal.spread_bits),
            unless_zero(signal.z_bits),
            unless_zero(signal.bound_bits),
            unless_zero(signal.beta_bits),
            unless_zero(signal.volatility_bits),
            unless_zero(signal.change_bits),
        ])?;
        Ok(())
    }
}
