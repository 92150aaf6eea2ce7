//! The engine: books, signals and strategies of its instruments. Deterministic core.

mod books;
mod command;

use super::{DIGEST_NS, POLL_GAP_NS};
use crate::{
    book::{Listing, SyncedBook, Top},
    digest,
    market::{Level, MarketEvent, MarketHeader, MarketKind},
    message::{EngineBody, EngineMessage, Outcome, OutcomeBody},
    port::EnginePort,
    signal::{Bar, BarBuilder, Print},
    strategy::{Desk, DeskLimits, Passes, Shipped, Strategy},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    config::Config,
    counters::Counter,
    record::{BookChange, Cause, Class, DigestRecord, Kind, TopOfBookRecord},
    types::InstrumentDefinition,
};
use zerocopy::IntoBytes;

/// Session time between two top-of-book telemetry records of an instrument.
const TELEMETRY_NS: Nanos = 100_000_000;
/// Venue's time by which trades may lag behind what else says how late it is there.
const TRADE_LAG_MS: u64 = 250;
/// How far the venue's time may move on at once before a second event must say so, too.
const JUMP_MS: u64 = 1_800_000;
/// Beyond this it is no time in milliseconds (the year 2100).
const VENUE_MS_MAX: u64 = 4_102_444_800_000;

/// What an engine consumes.
#[derive(Clone, Copy, Debug)]
pub enum EngineEvent<'a> {
    /// Market data, or a snapshot from the session thread.
    Market(MarketEvent<'a>),
    /// What became of an intent.
    Outcome(Outcome),
    /// The engine's own timer.
    Timer,
}

/// A strategy, and the bars that are formed for it.
#[derive(Serialize, Deserialize)]
struct Slot<S> {
    strategy: S,
    number: u16,
    /// Bit set of the instruments that it hears of.
    instruments: u32,
    bars: Vec<(u32, BarBuilder)>,
    passes: Passes,
}

impl<S: Strategy> Slot<S> {
    fn new(strategy: S, instruments: usize) -> Self {
        let bits = strategy.instruments().into_iter().fold(0, |bits, instrument| bits | 1 << instrument);
        let bars = strategy.bars().into_iter().map(|(i, rule)| (i, BarBuilder::new(rule))).collect();
        let number = strategy.number();
        Self { strategy, number, instruments: bits, bars, passes: Passes::new(instruments) }
    }

    #[inline]
    fn hears(&self, instrument: usize) -> bool {
        self.instruments >> instrument & 1 == 1
    }
}

/// What an event has in common for all strategies that hear of it.
#[derive(Clone, Copy)]
struct Moment {
    now: Nanos,
    cause: Cause,
    read_ns: Nanos,
}

/// The engine's state. What was deserialised is for replay: its books may allocate as they grow.
#[derive(Serialize, Deserialize)]
#[serde(bound = "S: Strategy")]
pub struct Engine<S = Shipped> {
    listings: Vec<Listing>,
    slots: Vec<Slot<S>>,
    sent: u64,
    events: u64,
    last_now: Nanos,
    next_digest_ns: Nanos,
    next_telemetry_ns: Nanos,
    venue_ms: u64,
    /// A time of the venue's far ahead of that, until another event is as late; 0 for none.
    #[serde(default)]
    doubted_ms: u64,
    limits: DeskLimits,
}

impl<S: Strategy> Engine<S> {
    /// An engine for these instruments, or the reason why the configuration does not fit them.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let listings: Vec<_> = definitions
            .iter()
            .zip(&config.instrument)
            .map(|(definition, config)| Listing::new(definition, config.book_levels_max))
            .collect();
        let strategies = S::configured(config, definitions)?;
        let slots: Vec<Slot<S>> = strategies.into_iter().map(|s| Slot::new(s, listings.len())).collect();
        let is_repeated = |i: usize| slots[..i].iter().any(|slot| slot.number == slots[i].number);
        if let Some(i) = (0..slots.len()).find(|i| is_repeated(*i)) {
            return Err(format!("strategy {}: two strategies have this number", slots[i].number));
        }
        let shared = slots.iter().try_fold(0, |taken, slot| match taken & slot.instruments {
            0 => Ok(taken | slot.instruments),
            both => Err(both.trailing_zeros() as usize),
        });
        if let Err(both) = shared {
            let symbol = definitions[both].symbol.as_str();
            return Err(format!(
                "{symbol}: two strategies trade it, whose positions could not be told apart"
            ));
        }
        Ok(Self {
            listings,
            slots,
            sent: 0,
            events: 0,
            last_now: 0,
            next_digest_ns: DIGEST_NS,
            next_telemetry_ns: 0,
            venue_ms: 0,
            doubted_ms: 0,
            limits: DeskLimits {
                book_age_ns_max: config.risk.book_age_ms_max * 1_000_000,
                collar_bps: config.risk.collar_bps,
            },
        })
    }

    /// The one entry: takes an event at `now`; `cause` is where it came from.
    pub fn on_event(&mut self, now: Nanos, cause: Cause, event: EngineEvent<'_>, port: &mut impl EnginePort) {
        if self.events == 0 {
            self.tell_owners(port);
        }
        self.events += 1;
        self.check_poll_gap(now, port);
        match event {
            EngineEvent::Market(market) => self.on_market(now, cause, &market, port),
            EngineEvent::Outcome(Outcome {
                body: OutcomeBody::Set { id, value_bits, strategy, parameter },
                ..
            }) => {
                self.set_parameter(now, cause, id, strategy, parameter, value_bits, port);
            }
            EngineEvent::Outcome(Outcome { instrument, body: OutcomeBody::Place { id, ticket }, .. }) => {
                self.place_by_hand(Moment { now, cause, read_ns: now }, instrument, id, &ticket, port);
            }
            EngineEvent::Outcome(outcome) => {
                let instrument = outcome.instrument as usize;
                let moment = Moment { now, cause, read_ns: now };
                self.each(
                    moment,
                    port,
                    |slot| slot.hears(instrument),
                    |strategy, desk| {
                        strategy.on_outcome(desk, &outcome);
                    },
                );
            }
            EngineEvent::Timer => self.on_timer(now, port),
        }
    }

    /// Tells the gateway which instruments belong to which strategy.
    #[cold]
    fn tell_owners(&mut self, port: &mut impl EnginePort) {
        for at in 0..self.slots.len() {
            let (strategy, bits) = (self.slots[at].number, self.slots[at].instruments);
            for instrument in (0..self.listings.len() as u32).filter(|i| bits >> i & 1 == 1) {
                self.send(EngineBody::Owner { instrument, strategy }, 0, port);
            }
        }
    }

    /// Nothing that was known before a long pause may be traded on.
    fn check_poll_gap(&mut self, now: Nanos, port: &mut impl EnginePort) {
        let gap = now.saturating_sub(self.last_now);
        if self.last_now != 0 && gap > POLL_GAP_NS {
            port.count(Counter::PollGaps, 1);
            for index in 0..self.listings.len() {
                self.reset_book(now, index, BookChange::PollGap, port);
            }
            self.interrupt_bars();
        }
        self.last_now = now;
    }

    fn on_market(&mut self, now: Nanos, cause: Cause, event: &MarketEvent<'_>, port: &mut impl EnginePort) {
        let index = usize::from(event.header.instrument);
        let kind = event.header.market_kind();
        // A snapshot was read by the session thread, long after it was asked for: what is decided on it is as young as
        // the book that it completes.
        let read_ns = if kind == MarketKind::Snapshot { now } else { event.header.read_ns };
        let moment = Moment { now, cause, read_ns };
        if event.header.venue_ms > self.venue_ms {
            self.advance(event.header.venue_ms);
        }
        if event.header.off_tick != 0 {
            port.count(Counter::OffTickLevels, event.header.off_tick.into());
        }
        match kind {
            MarketKind::Depth => self.on_depth(now, index, event, port),
            MarketKind::Ticker => self.on_ticker(now, index, event, port),
            MarketKind::Snapshot => self.on_snapshot(now, index, event, port),
            MarketKind::Mark => self.on_mark(index, event, port),
            MarketKind::Trade => return self.on_trade(moment, index, event, port),
            MarketKind::LinkDown => {
                for index in 0..self.listings.len() {
                    self.reset_book(now, index, BookChange::Disconnected, port);
                }
                // All of them are without a book.
                self.interrupt_bars();
                for index in 0..self.listings.len() {
                    self.each(
                        moment,
                        port,
                        |slot| slot.hears(index),
                        |strategy, desk| strategy.on_book(desk, index as u32),
                    );
                }
                return;
            }
        }
        if kind == MarketKind::Mark {
            return;
        }
        if kind != MarketKind::Ticker {
            port.on_book_updated();
        }
        self.each(
            moment,
            port,
            |slot| slot.hears(index),
            |strategy, desk| {
                strategy.on_book(desk, index as u32);
            },
        );
        if kind != MarketKind::Snapshot {
            port.on_decided();
        }
    }

    /// It is later at the venue.
    #[inline(always)]
    fn advance(&mut self, told_ms: u64) {
        if told_ms - self.venue_ms <= JUMP_MS {
            (self.venue_ms, self.doubted_ms) = (told_ms, 0);
        } else {
            self.jump(told_ms);
        }
    }

    /// One wrong time must not hold the clock for ever: a jump is believed when the next event that is late says so, too.
    #[cold]
    fn jump(&mut self, told_ms: u64) {
        let is_believed = self.doubted_ms != 0 && told_ms >= self.doubted_ms;
        if is_believed && told_ms <= VENUE_MS_MAX {
            (self.venue_ms, self.doubted_ms) = (told_ms, 0);
        } else {
            self.doubted_ms = told_ms.min(VENUE_MS_MAX);
        }
    }

    /// Lets strategies have the word.
    #[inline(always)]
    fn each<P: EnginePort>(
        &mut self,
        moment: Moment,
        port: &mut P,
        is_meant: impl Fn(&Slot<S>) -> bool,
        mut call: impl FnMut(&mut S, &mut Desk<'_, P>),
    ) {
        for slot in self.slots.iter_mut().filter(|slot| is_meant(slot)) {
            let mut desk = Desk {
                now: moment.now,
                cause: moment.cause,
                read_ns: moment.read_ns,
                venue_ms: self.venue_ms,
                limits: self.limits,
                strategy: slot.number,
                listings: &self.listings,
                sent: &mut self.sent,
                passes: &mut slot.passes,
                port,
            };
            call(&mut slot.strategy, &mut desk);
        }
    }

    fn on_trade(
        &mut self,
        moment: Moment,
        index: usize,
        event: &MarketEvent<'_>,
        port: &mut impl EnginePort,
    ) {
        let Some(level) = event.levels.first() else { return };
        let MarketHeader { venue_ms, last_update_id: id, .. } = *event.header;
        let listing = &mut self.listings[index];
        // Told again by another line, or at a time that is doubted: bars and strategies take each trade once, in its time.
        let is_repeated = id != 0 && id <= listing.trade_id;
        if is_repeated || venue_ms > self.venue_ms {
            port.count(Counter::TradesRepeated, 1);
            return;
        }
        listing.trade_id = id;
        self.close_bars(moment, Some(index), venue_ms, port);
        let print = Print { venue_ms, price: level.price as f64, qty: level.qty as f64 };
        self.each(
            moment,
            port,
            |slot| slot.hears(index),
            |strategy, desk| {
                strategy.on_trade(desk, index as u32, &print);
            },
        );
        for at in 0..self.slots.len() {
            for which in 0..self.slots[at].bars.len() {
                let (instrument, builder) = &mut self.slots[at].bars[which];
                if *instrument as usize == index
                    && let Some(bar) = builder.push(print)
                {
                    self.tell_bar(moment, at, which, &bar, port);
                }
            }
        }
    }

    /// Trades may have been missed.
    fn interrupt_bars(&mut self) {
        self.slots.iter_mut().flat_map(|slot| &mut slot.bars).for_each(|(_, bars)| bars.interrupt());
    }

    /// Ends bars by time of one or all instruments that were over before `venue_ms`.
    fn close_bars(&mut self, moment: Moment, of: Option<usize>, venue_ms: u64, port: &mut impl EnginePort) {
        for at in 0..self.slots.len() {
            for which in 0..self.slots[at].bars.len() {
                if of.is_some_and(|index| index != self.slots[at].bars[which].0 as usize) {
                    continue;
                }
                while let Some(bar) = self.slots[at].bars[which].1.close_before(venue_ms) {
                    self.tell_bar(moment, at, which, &bar, port);
                }
            }
        }
    }

    fn tell_bar(&mut self, moment: Moment, at: usize, which: usize, bar: &Bar, port: &mut impl EnginePort) {
        let number = self.slots[at].number;
        self.each(
            moment,
            port,
            |slot| slot.number == number,
            |strategy, desk| strategy.on_bar(desk, which, bar),
        );
    }

    fn on_mark(&mut self, index: usize, event: &MarketEvent<'_>, port: &mut impl EnginePort) {
        let price_e8 = event.levels[0].price;
        self.listings[index].mark_e8 = price_e8;
        self.send(EngineBody::Mark { instrument: index as u32, price_e8 }, 0, port);
    }

    fn send(&mut self, body: EngineBody, book_venue_ms: u64, port: &mut impl EnginePort) {
        self.sent += 1;
        let decided_ns = port.decide();
        port.send(&EngineMessage { number: self.sent, decided_ns, book_venue_ms, body });
    }

    fn on_timer(&mut self, now: Nanos, port: &mut impl EnginePort) {
        for index in 0..self.listings.len() {
            self.want_snapshot(now, index, port);
        }
        let moment = Moment { now, cause: Cause::NONE, read_ns: now };
        self.close_bars(moment, None, self.venue_ms.saturating_sub(TRADE_LAG_MS), port);
        self.each(moment, port, |_| true, |strategy, desk| strategy.on_timer(desk));
        if now >= self.next_telemetry_ns {
            self.next_telemetry_ns = now + TELEMETRY_NS;
            self.tell_tops(now, port);
        }
        if now >= self.next_digest_ns {
            self.next_digest_ns = now + DIGEST_NS;
            let record = DigestRecord { events: self.events, digest: self.digest() };
            port.record(Kind::Digest, Class::Audit, now, Cause::NONE, &[record.as_bytes()]);
        }
    }

    fn tell_tops(&mut self, now: Nanos, port: &mut impl EnginePort) {
        for (index, instrument) in self.listings.iter_mut().enumerate() {
            if instrument.told_id == instrument.top_id {
                continue;
            }
            instrument.told_id = instrument.top_id;
            let Top {
                bid: Level { price: bid_price, qty: bid_qty },
                ask: Level { price: ask_price, qty: ask_qty },
            } = instrument.top;
            let record = TopOfBookRecord {
                update_id: instrument.top_id,
                bid_price,
                bid_qty,
                ask_price,
                ask_qty,
                mark_price: instrument.mark_e8,
                instrument: index as u32,
                is_valid: instrument.book.is_valid().into(),
                reserved: [0; 3],
            };
            port.record(Kind::TopOfBook, Class::Telemetry, now, Cause::NONE, &[record.as_bytes()]);
        }
    }

    /// The strategies, in the order in which they get the word.
    pub fn strategies(&self) -> impl Iterator<Item = &S> {
        self.slots.iter().map(|slot| &slot.strategy)
    }

    /// The book of an instrument.
    pub fn book(&self, instrument: usize) -> &SyncedBook {
        &self.listings[instrument].book
    }

    /// Definition of an instrument.
    pub fn definition(&self, instrument: usize) -> &InstrumentDefinition {
        &self.listings[instrument].definition
    }

    /// Hash of the whole state.
    pub fn digest(&self) -> u64 {
        let instruments = self.listings.iter().flat_map(|i| {
            [
                i.book.digest(),
                i.top_id,
                i.ticker_id,
                i.trade_id,
                i.mark_e8 as u64,
                i.book_ns,
                i.top.bid.qty as u64,
                i.top.ask.qty as u64,
            ]
        });
        let seed = digest::fold(self.sent, instruments.chain([self.venue_ms, self.doubted_ms]));
        self.slots.iter().fold(seed, |seed, slot| {
            let bars = slot.bars.iter().flat_map(|(_, builder)| builder.words());
            digest::fold(slot.strategy.digest(seed), bars.chain(slot.passes.words()))
        })
    }
}
