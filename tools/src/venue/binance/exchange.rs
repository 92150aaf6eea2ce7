//! State of the simulated venue: instruments with their undamaged books, the account, its orders.

use super::{
    super::{
        AccountKey, INSTRUMENTS,
        connection::{ClientRole, percent_decode},
        definitions,
    },
    account::SimAccount,
    api, text,
};
use crate::capture::MarketLine;
use tickpath_hotpath::{
    market::{Level, MarketHeader, MarketKind},
    sim::{Matcher, SimOutcome},
    venue::{Decoded, MarketDecoder},
};
use tickpath_shared::{
    clock::unix_ns_now,
    types::{InstrumentDefinition, Side, decimal},
};

/// Levels a side that the simulator's book keeps.
const BOOK_LEVELS: usize = 65_536;
/// Levels of a snapshot answer.
pub(super) const SNAPSHOT_LEVELS: usize = 1000;
/// Receive time between two mark prices that the simulator makes up.
const MARK_NS: u64 = 1_000_000_000;

/// What the simulator answers on a WebSocket.
pub enum Reply {
    /// A text.
    Text(String),
    /// A text, then the connection is closed.
    Close(String),
}

/// One instrument.
pub(super) struct Instrument {
    pub(super) definition: InstrumentDefinition,
    pub(super) matcher: Matcher,
    /// Last update id of the book; `None` before its snapshot.
    pub(super) update_id: Option<u64>,
    /// Diffs that arrived before their snapshot.
    early: Vec<(MarketHeader, Vec<Level>)>,
    /// Venue's time of the last line, unix milliseconds.
    pub(super) venue_ms: u64,
    has_marks: bool,
    next_mark_ns: u64,
    /// Clients whose snapshot request waits for the capture's snapshot.
    waiting: Vec<usize>,
}

/// The venue.
pub struct Exchange {
    pub(super) instruments: Vec<Instrument>,
    pub(super) account: SimAccount,
    pub(super) keys: Vec<AccountKey>,
    decoder: MarketDecoder,
    pub(super) events: Vec<String>,
    answers: Vec<(usize, String)>,
    pub(super) listen_key: Option<String>,
}

impl Exchange {
    /// A venue without books, orders or positions.
    pub fn new(keys: &[AccountKey]) -> Self {
        let definitions = definitions();
        let instrument = |definition: &InstrumentDefinition| Instrument {
            definition: *definition,
            matcher: Matcher::new(definition.tick, BOOK_LEVELS),
            update_id: None,
            early: Vec::new(),
            venue_ms: 0,
            has_marks: false,
            next_mark_ns: 0,
            waiting: Vec::new(),
        };
        Self {
            instruments: definitions.iter().map(instrument).collect(),
            account: SimAccount::new(&definitions),
            keys: keys.to_vec(),
            decoder: MarketDecoder::new(&definitions, 1 << 20),
            events: Vec::new(),
            answers: Vec::new(),
            listen_key: None,
        }
    }

    /// The venue's clock in unix milliseconds.
    pub(super) fn now_ms() -> u64 {
        unix_ns_now() / 1_000_000
    }

    pub(super) fn find(&self, symbol: &str) -> Option<usize> {
        self.instruments.iter().position(|i| i.definition.symbol.as_str() == symbol)
    }

    /// Takes a market line; returns mark prices to send where the capture has none.
    pub fn on_line(&mut self, line: &MarketLine) -> Vec<MarketLine> {
        let Some(index) = self.find(&line.symbol) else { return Vec::new() };
        if line.is_snapshot() {
            self.on_snapshot(index, line);
            return Vec::new();
        }
        let Ok(Decoded::Event) = self.decoder.decode_bytes(line.text.as_bytes()) else { return Vec::new() };
        let header = *self.decoder.header();
        let levels = self.decoder.levels().to_vec();
        self.on_event(index, &header, &levels);
        self.make_marks(index, line)
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
        for token in std::mem::take(&mut instrument.waiting) {
            self.answers.push((token, line.text.clone()));
        }
        self.book_outcomes(index, &outcomes);
    }

    fn on_event(&mut self, index: usize, header: &MarketHeader, levels: &[Level]) {
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
                instrument.matcher.on_trade(aggressor, levels[0], &mut outcomes);
            }
            MarketKind::Mark => instrument.has_marks = true,
            _ => {}
        }
        self.book_outcomes(index, &outcomes);
    }

    /// A mark price a second from the mid, for captures that have none.
    fn make_marks(&mut self, index: usize, line: &MarketLine) -> Vec<MarketLine> {
        let instrument = &mut self.instruments[index];
        if instrument.has_marks || instrument.update_id.is_none() || line.time_ns < instrument.next_mark_ns {
            return Vec::new();
        }
        instrument.next_mark_ns = line.time_ns + MARK_NS;
        let mid_e8 = instrument.definition.price_to_e8(instrument.matcher.top().mid_halves()) / 2;
        let symbol = instrument.definition.symbol;
        let stream = format!("{}@markPrice@1s", symbol.as_str().to_lowercase());
        let text = text::mark_price(&stream, symbol.as_str(), instrument.venue_ms, mid_e8 as i64);
        vec![MarketLine { time_ns: line.time_ns, stream, symbol: symbol.as_str().to_owned(), text }]
    }

    /// Turns outcomes of matching into account state and events.
    pub(super) fn book_outcomes(&mut self, index: usize, outcomes: &[SimOutcome]) {
        let definition = self.instruments[index].definition;
        for outcome in outcomes {
            let event = self.account.book(&definition, outcome, Self::now_ms());
            self.events.extend(event);
        }
    }

    /// The answer to a snapshot request, `None` while it waits for the capture's own.
    pub(super) fn snapshot(&mut self, index: usize, token: usize) -> Option<String> {
        let instrument = &mut self.instruments[index];
        let Some(update_id) = instrument.update_id else {
            instrument.waiting.push(token);
            return None;
        };
        let book = instrument.matcher.book();
        let (d, ms) = (&instrument.definition, instrument.venue_ms);
        let bids = text::levels(d, book.bids().take(SNAPSHOT_LEVELS));
        let asks = text::levels(d, book.asks().take(SNAPSHOT_LEVELS));
        Some(format!(r#"{{"lastUpdateId":{update_id},"E":{ms},"T":{ms},"bids":{bids},"asks":{asks}}}"#))
    }

    /// Account events since the last call.
    pub fn take_events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }

    /// Answers to requests that had to wait: client and body.
    pub fn take_answers(&mut self) -> Vec<(usize, String)> {
        std::mem::take(&mut self.answers)
    }

    /// Events or answers wait to be sent.
    pub fn has_output(&self) -> bool {
        !self.events.is_empty() || !self.answers.is_empty()
    }

    /// An account event in combined mode.
    pub fn wrap_event(&self, event: &str) -> String {
        format!(r#"{{"stream":"{}","data":{event}}}"#, self.listen_key.as_deref().unwrap_or_default())
    }

    /// What a WebSocket at this target is for; `None` for an unknown endpoint.
    pub(in super::super) fn role_of(&self, target: &str) -> Option<ClientRole> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let listed = |names: &str| names.split('/').filter(|n| !n.is_empty()).map(percent_decode).collect();
        match parts.as_slice() {
            ["ws-fapi", "v1"] => Some(ClientRole::Api { logged_on: None }),
            ["private", "ws", key] if self.listen_key.as_deref() == Some(*key) => {
                Some(ClientRole::Account { is_combined: false })
            }
            ["private", "ws"] if self.listen_key.as_deref() == query_value(query, "listenKey") => {
                Some(ClientRole::Account { is_combined: false })
            }
            ["private", "stream"] if self.listen_key.as_deref() == query_value(query, "listenKey") => {
                Some(ClientRole::Account { is_combined: true })
            }
            [route @ ("public" | "market"), "stream"] => Some(ClientRole::Streams {
                route: (*route).to_owned(),
                is_combined: true,
                streams: listed(query_value(query, "streams").unwrap_or_default()),
            }),
            [route @ ("public" | "market"), "ws", names @ ..] => Some(ClientRole::Streams {
                route: (*route).to_owned(),
                is_combined: false,
                streams: listed(&names.join("/")),
            }),
            _ => None,
        }
    }

    /// Answers a text message of an upgraded client.
    pub(in super::super) fn on_text(&mut self, role: &mut ClientRole, text: &str) -> Reply {
        match role {
            ClientRole::Api { logged_on } => Reply::Text(self.on_api(logged_on, text)),
            ClientRole::Streams { streams, is_combined, .. } => api::control(streams, is_combined, text),
            ClientRole::Account { .. } | ClientRole::Http => {
                Reply::Text(r#"{"result":null,"id":1}"#.to_owned())
            }
        }
    }
}

fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Tick and lot of an instrument as the configuration writes them.
pub(super) fn grid(symbol: &str) -> (&'static str, &'static str) {
    INSTRUMENTS.iter().find(|i| i.symbol == symbol).map_or(("1", "1"), |i| (i.tick, i.lot))
}

/// A quantity as the venue writes it.
pub(super) fn qty_text(definition: &InstrumentDefinition, qty: i64) -> String {
    let divisor = decimal::pow10(definition.qty_scale - definition.qty_places);
    if qty % divisor == 0 {
        decimal::to_text(qty / divisor, definition.qty_places)
    } else {
        decimal::to_text(qty, definition.qty_scale)
    }
}
