//! Market lines into books, marks and matching.

use super::{exchange::Exchange, refused::Refused, text};
use crate::capture::MarketLine;
use serde_json::Value;
use tickpath_hotpath::{
    market::{Level, MarketHeader, MarketKind},
    venue::Decoded,
};
use tickpath_shared::types::{Side, decimal};

/// Levels of the largest snapshot answer.
const SNAPSHOT_LEVELS: usize = 1000;
/// Receive time between two mark prices that the simulator makes up.
const MARK_NS: u64 = 1_000_000_000;
/// Funding is exchanged at multiples of eight hours.
const FUNDING_MS: u64 = 8 * 60 * 60 * 1000;

/// When funding is due next after a moment.
pub(super) fn next_funding_ms(ms: u64) -> u64 {
    (ms / FUNDING_MS + 1) * FUNDING_MS
}

impl Exchange {
    /// Takes a market line; returns lines of streams that the capture does not have.
    pub fn on_line(&mut self, line: &MarketLine) -> Vec<MarketLine> {
        let Some(index) = self.find(&line.symbol) else { return Vec::new() };
        if line.is_snapshot() {
            self.on_snapshot(index, line);
            return Vec::new();
        }
        let Ok(Decoded::Event) = self.decoder.decode_bytes(line.text.as_bytes()) else { return Vec::new() };
        let header = *self.decoder.header();
        let levels = self.decoder.levels().to_vec();
        self.on_event(index, &header, &levels, line);
        let mut extra = self.make_marks(index, line);
        let instrument = &self.instruments[index];
        extra.extend(self.derived.on_event(instrument, &header, &levels, line, &self.wanted));
        extra
    }

    fn on_snapshot(&mut self, index: usize, line: &MarketLine) {
        let Ok(header) = self.decoder.decode_snapshot(line.text.as_bytes(), index) else { return };
        let levels = self.decoder.levels().to_vec();
        let (bids, asks) = levels.split_at(usize::from(header.bids));
        let instrument = &mut self.instruments[index];
        let mut outcomes = Vec::new();
        instrument.matcher.on_snapshot(bids, asks, &mut outcomes);
        instrument.update_id = Some(header.last_update_id);
        for (early, levels) in std::mem::take(&mut instrument.early) {
            if early.last_update_id >= header.last_update_id {
                let (bids, asks) = levels.split_at(usize::from(early.bids));
                instrument.matcher.on_depth(bids, asks, &mut outcomes);
                instrument.update_id = Some(early.last_update_id);
            }
        }
        // The capture's own answer, as it was.
        for (token, _) in std::mem::take(&mut instrument.waiting) {
            self.answers.push((token, line.text.clone()));
        }
        self.book_outcomes(index, &outcomes);
    }

    fn on_event(&mut self, index: usize, header: &MarketHeader, levels: &[Level], line: &MarketLine) {
        let instrument = &mut self.instruments[index];
        instrument.venue_ms = instrument.venue_ms.max(header.venue_ms);
        let (bids, asks) = levels.split_at(usize::from(header.bids));
        let mut outcomes = Vec::new();
        match header.market_kind() {
            MarketKind::Depth if instrument.update_id.is_none() => {
                instrument.early.push((*header, levels.to_vec()));
            }
            MarketKind::Depth => {
                instrument.matcher.on_depth(bids, asks, &mut outcomes);
                instrument.update_id = Some(header.last_update_id);
            }
            MarketKind::Trade => {
                let aggressor = if header.asks == 1 { Side::Sell } else { Side::Buy };
                instrument.last_price = levels[0].price;
                instrument.matcher.on_trade(aggressor, levels[0], &mut outcomes);
            }
            MarketKind::Mark => {
                instrument.has_marks = true;
                instrument.mark_e8 = levels[0].price;
                instrument.funding = funding_of(&line.text).unwrap_or(instrument.funding);
            }
            _ => {}
        }
        self.book_outcomes(index, &outcomes);
        self.trigger_algos(index, header.market_kind());
    }

    /// A mark price a second from the mid, for captures that have none.
    fn make_marks(&mut self, index: usize, line: &MarketLine) -> Vec<MarketLine> {
        let instrument = &mut self.instruments[index];
        if instrument.has_marks || instrument.update_id.is_none() || line.time_ns < instrument.next_mark_ns {
            return Vec::new();
        }
        instrument.next_mark_ns = line.time_ns + MARK_NS;
        let definition = *instrument.definition();
        let mid_e8 = (definition.price_to_e8(instrument.matcher.top().mid_halves()) / 2) as i64;
        instrument.mark_e8 = mid_e8;
        let stream = format!("{}@markPrice@1s", definition.symbol.as_str().to_lowercase());
        let (ms, symbol) = (instrument.venue_ms, definition.symbol);
        let text = text::mark_price(&stream, symbol.as_str(), ms, mid_e8, next_funding_ms(ms));
        self.trigger_algos(index, MarketKind::Mark);
        vec![MarketLine { time_ns: line.time_ns, stream, symbol: symbol.as_str().to_owned(), text }]
    }

    /// The answer to a snapshot request, `None` while it waits for the capture's own.
    pub(super) fn snapshot(
        &mut self,
        index: usize,
        limit: usize,
        token: usize,
    ) -> Result<Option<String>, Refused> {
        if ![5, 10, 20, 50, 100, 500, SNAPSHOT_LEVELS].contains(&limit) {
            return Err(Refused::new(-4021, format!("{limit} is not valid depth limit.")));
        }
        let instrument = &mut self.instruments[index];
        let Some(update_id) = instrument.update_id else {
            instrument.waiting.push((token, limit));
            return Ok(None);
        };
        let (d, book, ms) = (instrument.definition(), instrument.matcher.book(), instrument.venue_ms);
        let bids = text::levels(d, book.bids().take(limit));
        let asks = text::levels(d, book.asks().take(limit));
        Ok(Some(format!(r#"{{"lastUpdateId":{update_id},"E":{ms},"T":{ms},"bids":{bids},"asks":{asks}}}"#)))
    }
}

/// Funding rate x 10^8 of a mark price's frame, and when it is due.
fn funding_of(text: &str) -> Option<(i64, u64)> {
    let frame: Value = serde_json::from_str(text).ok()?;
    let data = &frame["data"];
    let rate = decimal::parse(data["r"].as_str()?.as_bytes(), 8).ok()?;
    Some((rate, data["T"].as_u64()?))
}
