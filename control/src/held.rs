//! Orders that wait for a person, as the journal of a running session tells.

use serde::Serialize;
use std::{collections::BTreeMap, fmt};
use thiserror::Error;
use tickpath_shared::{
    Nanos,
    config::CONFIRM_WITHIN_MS_MAX,
    journal::{LaneReader, ReadError, RecordBuf, SessionError, StreamError, lane, lane_path, open_session},
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

/// The orders that wait, followed from one look to the next: only what is new of the lane is read.
#[derive(Default)]
pub struct HeldOrders {
    session: u64,
    /// The lane, as far as it was read; `None` before the first look, and where nothing is left in memory.
    reader: Option<LaneReader>,
    held: Held,
}

impl HeldOrders {
    /// Orders of a session that wait at session time `now`, the oldest first.
    ///
    /// # Errors
    ///
    /// A record that is not sound, or a session that cannot be opened.
    pub fn waiting(
        &mut self,
        data: &DataDir,
        status: &StatusReader,
        now: Nanos,
    ) -> Result<Vec<Waiting>, HeldError> {
        let session = status.identity().session;
        self.catch_up(data, session, now)?;
        let definitions = status.definitions();
        let show = |order: &HeldRecord| {
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
        Ok(self.held.values().filter_map(show).collect())
    }

    fn catch_up(&mut self, data: &DataDir, session: u64, now: Nanos) -> Result<(), HeldError> {
        // Whoever was overtaken by the writer begins anew.
        let is_followed = self.session == session && self.read_on().is_ok_and(|is_there| is_there);
        if !is_followed {
            let known = recent(data, session, now);
            *self = known.map_or_else(|| Self::since_the_start(data, session), Ok)?;
        }
        self.held.retain(|_, order| order.until_ns > now);
        Ok(())
    }

    /// Reads what is new; false where there is nothing to read.
    fn read_on(&mut self) -> Result<bool, ReadError> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        reader.check_file()?;
        let mut buf = RecordBuf::default();
        while reader.next_into(&mut buf)?.is_some() {
            take(&mut self.held, &buf.record());
        }
        Ok(true)
    }

    fn since_the_start(data: &DataDir, session: u64) -> Result<Self, HeldError> {
        let (mut held, mut buf, mut last) = (Held::new(), RecordBuf::default(), 0);
        for mut stream in open_session(data, session)?.into_iter().filter(|lane| lane.lane() == lane::GATEWAY)
        {
            while stream.next_into(&mut buf)?.is_some() {
                take(&mut held, &buf.record());
            }
            last = stream.sequence();
        }
        // From there on in memory, if that reaches back so far.
        let reader = open_live(data, session).and_then(|mut reader| {
            while reader.sequence() < last && reader.next_into(&mut buf).ok()?.is_some() {}
            (reader.sequence() == last).then_some(reader)
        });
        Ok(Self { session, reader, held })
    }
}

/// Orders by their intents, as far as they were not answered.
type Held = BTreeMap<u64, HeldRecord>;

fn take(held: &mut Held, record: &Record<'_>) {
    if let Some(order) = record.body::<HeldRecord>().filter(|_| record.kind() == Some(Kind::Held)) {
        held.remove(&order.intent);
        held.extend((order.change == HeldChange::Held as u16).then_some((order.intent, order)));
    }
}

/// The lane in memory, at the oldest record that is there.
fn open_live(data: &DataDir, session: u64) -> Option<LaneReader> {
    let current = data.current_session().ok()?.filter(|current| current.session == session)?;
    let name = lane::NAMES[usize::from(lane::GATEWAY)];
    let mut reader = LaneReader::open(&lane_path(&current.shared_dir, lane::GATEWAY, name)).ok()?;
    reader.seek_oldest();
    Some(reader)
}

/// What shared memory still has of the lane, if that reaches back as far as an order may wait.
fn recent(data: &DataDir, session: u64, now: Nanos) -> Option<HeldOrders> {
    let mut reader = open_live(data, session)?;
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
    Some(HeldOrders { session, reader: Some(reader), held })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::{
        journal::{ArchiveWriter, Lane, LaneSpec, LaneWriter, archive_path},
        paths::CurrentSession,
        record::{Cause, Class},
    };
    use zerocopy::{FromZeros, IntoBytes};

    const SECOND: Nanos = 1_000_000_000;

    fn append(writer: &mut LaneWriter, now: Nanos, intent: u64, change: HeldChange) {
        let held = HeldRecord {
            intent,
            change: change as u16,
            until_ns: now + 30 * SECOND,
            ..HeldRecord::new_zeroed()
        };
        writer.append(Kind::Held, Class::Audit, now, Cause::NONE, &[held.as_bytes()]).unwrap();
    }

    /// A lane of little room in memory, and a directory that names it.
    fn lane(dir: &std::path::Path) -> (DataDir, LaneWriter) {
        let (data, shared_dir) = (DataDir::open(&dir.join("data")).unwrap(), dir.join("shared"));
        std::fs::create_dir(&shared_dir).unwrap();
        let name = lane::NAMES[usize::from(lane::GATEWAY)].into();
        let spec = LaneSpec { session: 7, lane: lane::GATEWAY, name, segment_bytes: 4096, segments: 8 };
        let writer = Lane::create(&shared_dir, spec, "{}").unwrap();
        data.set_current_session(&CurrentSession { session: 7, shared_dir }).unwrap();
        (data, writer)
    }

    fn waiting(orders: &mut HeldOrders, data: &DataDir, now: Nanos) -> Vec<u64> {
        orders.catch_up(data, 7, now).unwrap();
        orders.held.keys().copied().collect()
    }

    #[test]
    fn from_look_to_look_only_what_is_new_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (data, mut writer) = lane(dir.path());
        append(&mut writer, SECOND, 1, HeldChange::Held);
        append(&mut writer, SECOND, 2, HeldChange::Held);
        let mut orders = HeldOrders::default();
        assert_eq!(waiting(&mut orders, &data, 2 * SECOND), [1, 2]);
        append(&mut writer, 3 * SECOND, 1, HeldChange::Denied);
        append(&mut writer, 20 * SECOND, 3, HeldChange::Held);
        // Nobody can open it a second time.
        std::fs::remove_file(data.run().join("session.toml")).unwrap();
        assert_eq!(waiting(&mut orders, &data, 21 * SECOND), [2, 3]);
        assert_eq!(waiting(&mut orders, &data, 32 * SECOND), [3]);
    }

    #[test]
    fn whoever_comes_late_reads_the_archive_first_and_the_lane_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let (data, mut writer) = lane(dir.path());
        let path = archive_path(&data.archive(), 7, lane::GATEWAY, lane::NAMES[usize::from(lane::GATEWAY)]);
        let (mut archive, _) = ArchiveWriter::open(&path, 7, lane::GATEWAY, "{}").unwrap();
        let live =
            lane_path(&dir.path().join("shared"), lane::GATEWAY, lane::NAMES[usize::from(lane::GATEWAY)]);
        let mut reader = LaneReader::open(&live).unwrap();
        let mut buf = RecordBuf::default();
        append(&mut writer, SECOND, 1, HeldChange::Held);
        // More than memory holds, in so short a time that the first order waits still.
        for at in 0..400 {
            while writer.append(Kind::Timer, Class::Audit, SECOND + at, Cause::NONE, &[&[0; 64]]).is_err() {
                while reader.next_into(&mut buf).unwrap().is_some() {
                    archive.push(&buf);
                }
                archive.write_block(reader.position()).unwrap();
                writer.shared().reclaim(reader.position());
            }
        }
        let mut orders = HeldOrders::default();
        assert_eq!(waiting(&mut orders, &data, 2 * SECOND), [1]);
        assert!(orders.reader.is_some(), "followed from here on");
        append(&mut writer, 3 * SECOND, 2, HeldChange::Held);
        assert_eq!(waiting(&mut orders, &data, 4 * SECOND), [1, 2]);
    }
}
