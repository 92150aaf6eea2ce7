//! Orders that wait for a person, as the journal of a running session tells.

use super::why::strategy_label;
use anyhow::Result;
use serde::Serialize;
use std::{collections::BTreeMap, fmt};
use tickpath_shared::{
    Nanos,
    journal::{RecordBuf, open_session},
    paths::DataDir,
    record::{HeldRecord, Kind},
    types::{HeldChange, InstrumentDefinition, Side, decimal},
};

/// An order that waits.
#[derive(Clone, Debug, Serialize)]
pub struct Waiting {
    /// By what it is approved or denied: session and number of the intent, since another session counts anew.
    pub order: String,
    /// Name of the strategy.
    pub strategy: String,
    /// Symbol of the instrument.
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: &'static str,
    /// Quantity.
    pub qty: String,
    /// Limit price.
    pub price: String,
    /// Milliseconds that are left.
    pub left_ms: u64,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, strategy, symbol, side, qty, price, left_ms } = self;
        write!(f, "{order}: {strategy} {side} {qty} {symbol} at {price}, {} s left", left_ms / 1000)
    }
}

/// Orders of a session that wait at session time `now`, the oldest first.
///
/// # Errors
///
/// A record that is not sound, or a session that cannot be opened.
pub fn waiting(data: &DataDir, session: u64, now: Nanos) -> Result<Vec<Waiting>> {
    let mut definitions = BTreeMap::new();
    let mut held = BTreeMap::new();
    let mut buf = RecordBuf::default();
    for mut stream in open_session(data, session)?.into_iter().filter(|lane| lane.name() == "gateway") {
        while stream.next_into(&mut buf)?.is_some() {
            let record = buf.record();
            match record.kind() {
                Some(Kind::Definition) => {
                    if let Some(definition) = record.body::<InstrumentDefinition>() {
                        definitions.insert(definition.instrument, definition);
                    }
                }
                Some(Kind::Held) => {
                    if let Some(order) = record.body::<HeldRecord>() {
                        let waits = order.change == HeldChange::Held as u16;
                        held.remove(&order.intent);
                        held.extend(waits.then_some((order.intent, order)));
                    }
                }
                _ => {}
            }
        }
    }
    let is_open = |order: &HeldRecord| order.until_ns > now;
    let show = |order: HeldRecord| {
        let definition = definitions.get(&order.instrument)?;
        Some(Waiting {
            order: format!("{session}.{}", order.intent),
            strategy: strategy_label(order.strategy),
            symbol: definition.symbol.as_str().to_owned(),
            side: Side::from_repr(order.side).map_or("?", Side::label),
            qty: decimal::to_text(order.qty, definition.qty_scale),
            price: decimal::to_text(order.price, definition.price_scale),
            left_ms: (order.until_ns - now) / 1_000_000,
        })
    };
    Ok(held.into_values().filter(is_open).filter_map(show).collect())
}
