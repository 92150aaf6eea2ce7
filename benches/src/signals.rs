//! Operators and strategies over made-up series, for both kinds of benches.

use tickpath_hotpath::{
    market::{Level, MarketEvent, MarketHeader, MarketKind},
    message::EngineMessage,
    port::{EnginePort, Port},
    signal::{
        Atr, Bar, Bollinger, Changepoint, ChangepointPrior, Ema, Garch, GarchParameters, HedgeRatio, Macd,
        Rsi, Sma,
    },
    stage::engine::{Engine, EngineEvent},
    wire::simd::Isa,
};
use tickpath_shared::{
    Nanos,
    config::{self, Config},
    counters::Counter,
    record::{Cause, Class, Kind},
    types::{Grid, InstrumentDefinition, Symbol},
};

/// Longest run that the detector tells apart.
pub const RUN_MAX: usize = 500;

/// Uniform numbers in -0.5 to 0.5.
pub fn draws(n: usize) -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    (0..n).map(|_| draw()).collect()
}

/// Bars of a walk.
pub fn bars(n: usize) -> Vec<Bar> {
    let mut price = 60_000.0;
    let bar = |(i, draw): (u64, f64)| {
        let open = price;
        price += draw * 20.0;
        let (high, low) = (open.max(price) + 1.0, open.min(price) - 1.0);
        let (start_ms, end_ms) = (i * 60_000, (i + 1) * 60_000);
        Bar { open, high, low, close: price, volume: 10.0, start_ms, end_ms }
    };
    (0..).zip(draws(n)).map(bar).collect()
}

/// The classic indicators with their usual lengths.
pub struct Indicators {
    /// 20 values.
    pub sma: Sma,
    /// 20 values.
    pub ema: Ema,
    /// 14 values.
    pub rsi: Rsi,
    /// 12, 26 and 9 values.
    pub macd: Macd,
    /// 20 values, two deviations.
    pub bollinger: Bollinger,
    /// 14 bars.
    pub atr: Atr,
}

impl Default for Indicators {
    fn default() -> Self {
        Self {
            sma: Sma::new(20),
            ema: Ema::new(20),
            rsi: Rsi::new(14),
            macd: Macd::new(12, 26, 9),
            bollinger: Bollinger::new(20, 2.0, 2.0),
            atr: Atr::new(14),
        }
    }
}

/// A filter of two logarithms.
pub fn hedge_ratio() -> HedgeRatio {
    HedgeRatio::new(1.0, 1e-6, 1e-4)
}

/// The recursion with usual weights.
pub fn garch() -> Garch {
    Garch::new(GarchParameters { omega: 0.05, alpha: 0.05, beta: 0.9 })
}

/// A detector that has seen more than it can tell apart.
pub fn changepoint(isa: Isa) -> Changepoint {
    let prior = ChangepointPrior { lambda: 250.0, mu: 0.0, kappa: 1.0, alpha: 1.0, beta: 1.0 };
    let mut detector = Changepoint::new(prior, RUN_MAX, isa);
    for draw in draws(2 * RUN_MAX) {
        detector.push(draw);
    }
    detector
}

/// Where an engine's records and messages go.
struct Nowhere;

impl Port for Nowhere {
    fn record(&mut self, _: Kind, _: Class, _: Nanos, _: Cause, _: &[&[u8]]) {}

    fn count(&mut self, _: Counter, _: u64) {}
}

impl EnginePort for Nowhere {
    fn send(&mut self, _: &EngineMessage) {}

    fn ask_snapshot(&mut self, _: u32) {}
}

/// An engine of two instruments that gets new best prices all the time, too soon for a sample.
pub struct Ticks {
    engine: Engine,
    header: MarketHeader,
    now: Nanos,
}

impl Ticks {
    /// With the pairs strategy, or with none.
    ///
    /// # Panics
    ///
    /// When the configuration does not fit, which is a mistake here.
    pub fn new(has_pairs: bool) -> Self {
        let symbols = ["AAA", "BBB"];
        let instrument = |symbol: &str| config::Instrument {
            symbol: symbol.into(),
            depth_stream: "depth".into(),
            book_levels_max: 1_000,
            leverage: None,
        };
        let pairs = config::Pairs {
            is_enabled: has_pairs,
            base: symbols[0].into(),
            hedge: symbols[1].into(),
            sample_ms: 3_600_000,
            ..config::Pairs::default()
        };
        let config = Config { instrument: symbols.map(instrument).to_vec(), pairs, ..Config::default() };
        let definition = |(index, symbol): (u32, &str)| {
            let price = Grid { scale: 2, places: 2, step: 10 };
            let qty = Grid { scale: 3, places: 3, step: 1 };
            let Some(symbol) = Symbol::new(symbol) else { unreachable!("a constant") };
            InstrumentDefinition::on_grids(symbol, index, price, qty)
        };
        let definitions: Vec<_> = (0..).zip(symbols).map(definition).collect();
        let engine = Engine::new(&config, &definitions).unwrap_or_else(|e| panic!("{e}"));
        let header = MarketHeader {
            kind: MarketKind::Ticker as u16,
            venue_ms: 1_000,
            last_update_id: 10,
            bids: 1,
            asks: 1,
            ..MarketHeader::default()
        };
        let mut ticks = Self { engine, header, now: 1_000_000_000 };
        ticks.complete_books();
        ticks
    }

    /// Without a book a strategy asks for one at every tick.
    fn complete_books(&mut self) {
        let level = |price| Level { price, qty: 5 };
        let levels = [level(6_000_000), level(6_000_010)];
        for instrument in 0..2 {
            let diff = MarketHeader {
                kind: MarketKind::Depth as u16,
                instrument,
                first_update_id: 1,
                last_update_id: 1,
                bids: 0,
                asks: 0,
                ..self.header
            };
            let snapshot = MarketHeader { kind: MarketKind::Snapshot as u16, bids: 1, asks: 1, ..diff };
            for (header, levels) in [(diff, &[][..]), (snapshot, &levels[..])] {
                let event = EngineEvent::Market(MarketEvent { header: &header, levels });
                self.engine.on_event(self.now, Cause::NONE, event, &mut Nowhere);
            }
            assert!(self.engine.book(usize::from(instrument)).is_valid(), "a snapshot and its diff join");
        }
    }

    /// So many ticks; returns how many there were.
    pub fn run(&mut self, n: usize) -> u64 {
        for _ in 0..n {
            self.now += 1_000;
            // Where it was made, as a decoder keeps the header of the event decoded last.
            let Self { header, now, .. } = self;
            header.last_update_id += 1;
            header.instrument = (header.last_update_id % 2) as u16;
            header.read_ns = *now;
            let price = 6_000_000 + (header.last_update_id % 7) as i64 * 10;
            let level = |price| Level { price, qty: 5 };
            let levels = [level(price), level(price + 10)];
            let event = EngineEvent::Market(MarketEvent { header, levels: &levels });
            self.engine.on_event(self.now, Cause::NONE, event, &mut Nowhere);
        }
        n as u64
    }
}
