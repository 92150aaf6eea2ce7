//! Orders that wait for a person, as the journal of a running session tells.

use serde::Serialize;
use std::{collections::BTreeMap, fmt};
use thiserror::Error;
use tickpath_shared::{
    Nanos,
    config::CONFIRM_WITHIN_MS_MAX,
    journal::{LaneReader, RecordBuf, SessionError, StreamError, lane, lane_path, open_session},
    paths::DataDir,
    record::{HeldRecord, Kind, Record},
    status::StatusReader,
    types::{HeldChange, OrderTerms, Side, StrategyName, decimal},
};

/// Why it is not known what waits.
#[derive(Debug, Error)]
pub enum HeldError {
    /// The session cannot be opened.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A record is not sound.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

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
    /// How it is priced: `limit`, `market`, or a price of the venue's such as `opponent`.
    pub order_type: &'static str,
    /// Limit price; of another order the price by which the limits judged it, which it may pass.
    pub price: String,
    /// Milliseconds that are left.
    pub left_ms: u64,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, strategy, symbol, side, qty, order_type, price, left_ms } = self;
        write!(f, "{order}: {strategy} {side} {qty} {symbol} {order_type} {price}, {} s left", left_ms / 1000)
    }
}

/// Orders of a session that wait at session time `now`, the oldest first.
///
/// # Errors
///
/// A record that is not sound, or a session that cannot be opened.
pub fn waiting(data: &DataDir, status: &StatusReader, now: Nanos) -> Result<Vec<Waiting>, HeldError> {
    let session = status.identity().session;
    let held = match recent(data, session, now) {
        Some(held) => held,
        None => since_the_start(data, session)?,
    };
    let definitions = status.definitions();
    let is_open = |order: &HeldRecord| order.until_ns > now;
    let show = |order: HeldRecord| {
        let definition = definitions.get(order.instrument as usize)?;
        Some(Waiting {
            order: format!("{session}.{}", order.intent),
            strategy: StrategyName::label_of(order.strategy),
            symbol: definition.symbol.as_str().to_owned(),
            side: Side::from_repr(order.side).map_or("?", Side::label),
            qty: decimal::to_text(order.qty, definition.qty_scale),
            order_type: OrderTerms::label_of(order.order_type, order.price_match),
            price: decimal::to_text(order.price, definition.price_scale),
            left_ms: (order.until_ns - now) / 1_000_000,
        })
    };
    Ok(held.into_values().filter(is_open).filter_map(show).collect())
}

/// Orders by their intents, as far as they were not answered.
type Held = BTreeMap<u64, HeldRecord>;

fn take(held: &mut Held, record: &Record<'_>) {
    if let Some(order) = record.body::<HeldRecord>().filter(|_| record.kind() == Some(Kind::Held)) {
        held.remove(&order.intent);
        held.extend((order.change == HeldChange::Held as u16).then_some((order.intent, order)));
    }
}

/// What shared memory still has of the lane, if that reaches back as far as an order may wait.
fn recent(data: &DataDir, session: u64, now: Nanos) -> Option<Held> {
    let current = data.current_session().ok()?.filter(|current| current.session == session)?;
    let name = lane::NAMES[usize::from(lane::GATEWAY)];
    let mut reader = LaneReader::open(&lane_path(&current.shared_dir, lane::GATEWAY, name)).ok()?;
    reader.seek_oldest();
    let (mut held, mut buf, mut reaches) = (Held::new(), RecordBuf::default(), false);
    // Whoever is overtaken by the writer, or was too late from the start, reads everything.
    while reader.next_into(&mut buf).ok()?.is_some() {
        let header = buf.record().header;
        reaches |= header.sequence == 1 || header.time + CONFIRM_WITHIN_MS_MAX * 1_000_000 <= now;
        if !reaches {
            return None;
        }
        take(&mut held, &buf.record());
    }
    Some(held)
}

fn since_the_start(data: &DataDir, session: u64) -> Result<Held, HeldError> {
    let (mut held, mut buf) = (Held::new(), RecordBuf::default());
    for mut stream in open_session(data, session)?.into_iter().filter(|lane| lane.lane() == lane::GATEWAY) {
        while stream.next_into(&mut buf)?.is_some() {
            take(&mut held, &buf.record());
        }
    }
    Ok(held)
}
