//! Two legs over an unreliable network: a strategy that opens and closes a pair all the time, in a real engine, through
//! the gateway, at the simulated venue. What counts is how long one leg stands without the other.

use super::{
    local::lock,
    world::{EPOCH_MS, MS, World},
};
use serde::{Deserialize, Serialize};
use tickpath_hotpath::{
    digest,
    market::MarketEvent,
    message::Outcome,
    port::EnginePort,
    stage::{
        engine::{Engine, EngineEvent},
        gateway::GatewayEvent,
    },
    strategy::{Desk, LegPair, LegRules, Strategy},
    venue::{Decoded, MarketDecoder},
};
use tickpath_shared::{
    Nanos,
    config::Config,
    record::Cause,
    types::{InstrumentDefinition, StrategyName},
};
use tickpath_tools::capture::MarketLine;

/// Rules under test; their times bound how long a leg may stand alone while the venue answers.
const RULES: LegRules = LegRules {
    aggression_ticks: 0,
    urgent_ticks: 200,
    order_ns: 1_500 * MS,
    open_ns: 500 * MS,
    complete_ns: 500 * MS,
    rest_ns: 50 * MS,
};
/// More than usually rests at the touch, so that fills are in part.
const ETH_QTY: &str = "4.000";
const BTC_QTY: &str = "0.200";
/// Time that a pair is held.
const HOLD: Nanos = 200 * MS;

/// Opens the pair as often as it can, long and short in turn.
#[derive(Serialize, Deserialize)]
struct Restless {
    legs: LegPair,
    openings: u64,
    openings_max: u64,
    settled_since: Nanos,
}

impl Strategy for Restless {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let legs = [("base", "ETHUSDT", ETH_QTY), ("hedge", "BTCUSDT", BTC_QTY)];
        let legs = LegPair::new("restless", RULES, legs, definitions)?;
        let openings_max = config.parameters["openings"] as u64;
        Ok(vec![Self { legs, openings: 0, openings_max, settled_since: 0 }])
    }

    fn number(&self) -> u16 {
        StrategyName::Pairs as u16
    }

    fn instruments(&self) -> Vec<u32> {
        self.legs.instruments().to_vec()
    }

    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, _: u32) {
        self.legs.poll(desk);
    }

    fn on_outcome(&mut self, desk: &mut Desk<'_, impl EnginePort>, outcome: &Outcome) {
        self.legs.on_outcome(desk.now(), outcome);
    }

    fn on_timer(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        let now = desk.now();
        if !self.legs.is_settled() {
            self.settled_since = now;
        } else if self.legs.target() != 0 && now > self.settled_since + HOLD {
            self.legs.aim(now, 0);
        } else if self.legs.target() == 0 && self.openings < self.openings_max && self.legs.may_open(desk) {
            self.openings += 1;
            self.legs.aim(now, if self.openings.is_multiple_of(2) { 1 } else { -1 });
        }
        self.legs.poll(desk);
    }

    fn digest(&self, seed: u64) -> u64 {
        digest::fold(seed, self.legs.words())
    }
}

/// What was seen of the legs.
#[derive(Clone, Copy, Debug, Default)]
pub struct LegsSeen {
    pub openings: u64,
    /// Openings that were given up and closed.
    pub undone: u64,
    /// Stretches in which one leg stood without the other.
    pub uneven: u64,
    /// The longest of them, without the time in which the venue did not answer.
    pub longest_ns: Nanos,
    /// Those beyond the stated time.
    pub too_long: u64,
}

/// An engine with the strategy, and its ends.
pub struct Legs {
    engine: Engine<Restless>,
    decoder: MarketDecoder,
    definitions: Vec<InstrumentDefinition>,
    uneven_ns: Nanos,
    last_look: Nanos,
    seen: LegsSeen,
}

impl Legs {
    pub fn new(config: &Config, definitions: &[InstrumentDefinition]) -> Self {
        Self {
            engine: Engine::new(config, definitions).unwrap(),
            decoder: MarketDecoder::new(definitions, 1 << 20),
            definitions: definitions.to_vec(),
            uneven_ns: 0,
            last_look: 0,
            seen: LegsSeen::default(),
        }
    }
}

/// A leg may stand alone for the time that an opening has, that its undoing takes, and that the proof of an unknown
/// outcome takes.
pub const ALONE_NS_MAX: Nanos = RULES.open_ns + RULES.complete_ns + 2 * RULES.order_ns + 8_000 * MS;

impl World {
    /// Runs so many openings, and until the dust has settled.
    pub fn run_legs(&mut self, openings: u64) -> LegsSeen {
        let mut over_since = None;
        self.run_while(|world| {
            if world.legs.as_ref().is_none_or(|legs| legs.seen.openings < openings) {
                return true;
            }
            world.now <= *over_since.get_or_insert(world.now) + 60_000 * MS
        });
        self.legs.as_ref().map(|legs| legs.seen).unwrap()
    }

    /// The engine takes a line of the market.
    pub(super) fn legs_on_line(&mut self, line: &MarketLine) {
        let now = self.now;
        let Some(legs) = &mut self.legs else { return };
        let header = if line.is_snapshot() {
            let index = legs.definitions.iter().position(|d| d.symbol.as_str() == line.symbol).unwrap();
            legs.decoder.decode_snapshot(line.text.as_bytes(), index).unwrap()
        } else {
            let Ok(Decoded::Event) = legs.decoder.decode_bytes(line.text.as_bytes()) else { return };
            *legs.decoder.header()
        };
        let header = tickpath_hotpath::market::MarketHeader {
            read_ns: now,
            // The market runs slower than its own clock says.
            venue_ms: EPOCH_MS + now / MS,
            ..header
        };
        let event = EngineEvent::Market(MarketEvent { header: &header, levels: legs.decoder.levels() });
        legs.engine.on_event(now, Cause::NONE, event, &mut self.io);
        self.settle_legs();
    }

    pub(super) fn legs_on_timer(&mut self) {
        let now = self.now;
        let Some(legs) = &mut self.legs else { return };
        legs.engine.on_event(now, Cause::NONE, EngineEvent::Timer, &mut self.io);
        self.settle_legs();
        self.judge_legs();
    }

    /// Lets engine and gateway talk until both are silent.
    pub(super) fn settle_legs(&mut self) {
        if self.legs.is_none() {
            return;
        }
        loop {
            for message in std::mem::take(&mut self.io.messages) {
                self.tell(GatewayEvent::Engine(&message));
            }
            let outcomes = std::mem::take(&mut self.io.outcomes);
            if outcomes.is_empty() {
                return;
            }
            let now = self.now;
            for outcome in outcomes {
                if let Some(legs) = &mut self.legs {
                    legs.engine.on_event(now, Cause::NONE, EngineEvent::Outcome(outcome), &mut self.io);
                }
            }
        }
    }

    /// Looks at the venue's own positions.
    fn judge_legs(&mut self) {
        let is_answering = self.links.iter().all(|link| link.role.is_some());
        let positions = {
            let venue = lock(&self.venue);
            [0, 1].map(|index| venue.net_position(index))
        };
        let now = self.now;
        let Some(legs) = &mut self.legs else { return };
        let [btc, eth] = [0, 1].map(|i| positions[i] as f64 / legs.full_size(i) as f64);
        // Against each other when whole.
        let is_uneven = (btc + eth).abs() > 0.01;
        let strategy = legs.engine.strategies().next().unwrap();
        (legs.seen.openings, legs.seen.undone) = (strategy.openings, strategy.legs.undone());
        if is_uneven {
            legs.seen.uneven += u64::from(legs.uneven_ns == 0);
            legs.uneven_ns += if is_answering { now - legs.last_look } else { 0 }.max(1);
        } else {
            legs.seen.too_long += u64::from(legs.uneven_ns > ALONE_NS_MAX);
            legs.uneven_ns = 0;
        }
        legs.seen.longest_ns = legs.seen.longest_ns.max(legs.uneven_ns);
        legs.last_look = now;
    }

    /// A request of the order session that the venue refuses, as for want of margin.
    pub(super) fn is_rejected(&mut self, text: &str) -> bool {
        self.legs.is_some()
            && text.contains("order.place")
            && !text.contains("reduceOnly")
            && self.random.chance(self.odds.reject)
    }
}

impl Legs {
    fn full_size(&self, index: usize) -> i64 {
        let qty = if index == 0 { BTC_QTY } else { ETH_QTY };
        tickpath_shared::types::decimal::parse(qty.as_bytes(), self.definitions[index].qty_scale).unwrap()
    }
}
