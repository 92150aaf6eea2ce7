//! Streams that a capture does not have, made from those that it has: diffs at other speeds, the top of the book,
//! aggregated trades.

use super::{exchange::Instrument, text};
use crate::capture::MarketLine;
use std::collections::{BTreeMap, BTreeSet};
use tickpath_hotpath::market::{Level, MarketHeader, MarketKind};
use tickpath_shared::types::decimal;

/// A stream of the book: how many levels, none for diffs, and receive time between two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BookStream {
    levels: Option<usize>,
    every_ns: u64,
}

impl BookStream {
    /// Of a name after the `@`: `depth`, `depth@100ms`, `depth20`, `depth20@500ms`, ...
    fn parse(name: &str) -> Option<Self> {
        let (depth, speed) = name.split_once('@').unwrap_or((name, "250ms"));
        let levels = match depth {
            "depth" => None,
            "depth5" => Some(5),
            "depth10" => Some(10),
            "depth20" => Some(20),
            _ => return None,
        };
        let ms: u64 = speed.strip_suffix("ms")?.parse().ok()?;
        [0, 100, 250, 500].contains(&ms).then_some(Self { levels, every_ns: ms * 1_000_000 })
    }
}

/// What a stream of the book has gathered since its last event.
#[derive(Default)]
struct Gathered {
    first_id: u64,
    /// Last id of the event before, the one the next event follows.
    sent_id: u64,
    due_ns: u64,
    sides: [BTreeMap<i64, i64>; 2],
}

/// The derived streams.
#[derive(Default)]
pub(super) struct Derived {
    /// Names that the capture itself delivers.
    native: BTreeSet<String>,
    gathered: BTreeMap<String, Gathered>,
    aggregate_id: u64,
}

impl Derived {
    /// Lines of the wanted streams of an instrument that the capture does not have.
    pub(super) fn on_event(
        &mut self,
        instrument: &Instrument,
        header: &MarketHeader,
        levels: &[Level],
        line: &MarketLine,
        wanted: &BTreeSet<String>,
    ) -> Vec<MarketLine> {
        if !self.native.contains(&line.stream) {
            self.native.insert(line.stream.clone());
        }
        let prefix = format!("{}@", instrument.symbol().to_lowercase());
        let of_instrument = wanted.range(prefix.clone()..).take_while(|name| name.starts_with(&prefix));
        let mut out = Vec::new();
        for name in of_instrument.filter(|name| !self.native.contains(*name)) {
            let kind = &name[prefix.len()..];
            let data = match (header.market_kind(), BookStream::parse(kind)) {
                (MarketKind::Depth, Some(stream)) => {
                    let gathered = self.gathered.entry(name.clone()).or_default();
                    gathered.take(instrument, stream, header, levels, line.time_ns)
                }
                (MarketKind::Trade, None) if kind == "aggTrade" => {
                    self.aggregate_id += 1;
                    Some(aggregate(self.aggregate_id, instrument, header, levels))
                }
                _ => None,
            };
            out.extend(data.map(|data| MarketLine {
                time_ns: line.time_ns,
                stream: name.clone(),
                symbol: line.symbol.clone(),
                text: format!(r#"{{"stream":"{name}","data":{data}}}"#),
            }));
        }
        out
    }
}

impl Gathered {
    /// Takes a diff; returns the event when one is due.
    fn take(
        &mut self,
        instrument: &Instrument,
        stream: BookStream,
        header: &MarketHeader,
        levels: &[Level],
        now_ns: u64,
    ) -> Option<String> {
        let (bids, asks) = levels.split_at(usize::from(header.bids));
        for (side, levels) in self.sides.iter_mut().zip([bids, asks]) {
            side.extend(levels.iter().map(|l| (l.price, l.qty)));
        }
        if self.first_id == 0 {
            self.first_id = header.first_update_id;
        }
        if self.sent_id == 0 {
            self.sent_id = header.previous_update_id;
        }
        if now_ns < self.due_ns {
            return None;
        }
        self.due_ns = now_ns + stream.every_ns;
        let (definition, book) = (instrument.definition(), instrument.matcher.book());
        let [bids, asks] = match stream.levels {
            Some(n) => {
                [text::levels(definition, book.bids().take(n)), text::levels(definition, book.asks().take(n))]
            }
            None => self
                .sides
                .each_ref()
                .map(|side| text::levels(definition, side.iter().map(|(&price, &qty)| Level { price, qty }))),
        };
        let (first, last, before) = (self.first_id, header.last_update_id, self.sent_id);
        *self = Self { sent_id: last, due_ns: self.due_ns, ..Self::default() };
        let (ms, symbol) = (header.venue_ms, instrument.symbol());
        Some(format!(
            r#"{{"e":"depthUpdate","E":{ms},"T":{ms},"s":"{symbol}","U":{first},"u":{last},"pu":{before},"b":{bids},"a":{asks}}}"#
        ))
    }
}

fn aggregate(id: u64, instrument: &Instrument, header: &MarketHeader, levels: &[Level]) -> String {
    let (d, level, trade) = (instrument.definition(), levels[0], header.last_update_id);
    let ms = header.venue_ms;
    format!(
        r#"{{"e":"aggTrade","E":{ms},"s":"{}","a":{id},"p":"{}","q":"{}","f":{trade},"l":{trade},"T":{ms},"m":{}}}"#,
        instrument.symbol(),
        decimal::to_text(level.price, d.price_scale),
        text::qty_text(d, level.qty),
        header.asks == 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_the_book_have_levels_and_a_speed() {
        let stream = |levels, ms: u64| Some(BookStream { levels, every_ns: ms * 1_000_000 });
        assert_eq!(BookStream::parse("depth"), stream(None, 250));
        assert_eq!(BookStream::parse("depth@100ms"), stream(None, 100));
        assert_eq!(BookStream::parse("depth20"), stream(Some(20), 250));
        assert_eq!(BookStream::parse("depth5@500ms"), stream(Some(5), 500));
        assert_eq!((BookStream::parse("depth7"), BookStream::parse("depth@3ms")), (None, None));
    }
}
