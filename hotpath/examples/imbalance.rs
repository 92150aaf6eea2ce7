//! A strategy of one's own: buys when nearly all that rests at the touch is bids, sells when it is asks.

use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use tickpath_hotpath::{
    digest, main_with,
    message::Outcome,
    port::EnginePort,
    signal::imbalance,
    strategy::{Desk, Idea, Reading, Strategy, Trade},
};
use tickpath_shared::{
    config::{Config, TradeRules},
    types::{InstrumentDefinition, Reason, Side},
};

#[derive(Serialize, Deserialize)]
struct Imbalance {
    trade: Trade,
    /// Share of the bids from which it buys, and of the asks from which it sells.
    share: f64,
    /// Distance of the stop in ticks.
    stop_ticks: f64,
}

impl Strategy for Imbalance {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let number = |name: &str, default: f64| config.parameters.get(name).copied().unwrap_or(default);
        let definition = definitions.first().ok_or("instrument: none configured")?;
        let rules = TradeRules { entry_ms: 100, rest_ms: 1_000, ..TradeRules::default() };
        let trade = Trade::new("imbalance", &rules, definition)?;
        Ok(vec![Self { trade, share: number("share", 0.95), stop_ticks: number("stop_ticks", 50.0) }])
    }

    fn number(&self) -> u16 {
        100
    }

    fn instruments(&self) -> Vec<u32> {
        vec![self.trade.instrument()]
    }

    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, instrument: u32) {
        self.trade.poll(desk);
        let Some(top) = desk.fresh_top(instrument) else { return };
        let Some(share) = imbalance(top) else { return };
        let side = match share {
            share if share >= self.share => Side::Buy,
            share if share <= 1.0 - self.share => Side::Sell,
            _ => return desk.pass(instrument, Reason::BelowEntry, share, self.share),
        };
        let distance = self.stop_ticks * desk.definition(instrument).tick as f64;
        let stop = top.mid_halves() as f64 / 2.0 - side.sign() as f64 * distance;
        self.trade.open(desk, &Idea { side, stop, target: None });
        let stance = self.trade.stance();
        desk.tell(&Reading { value: share, stance, bound: self.share, ..Reading::default() });
    }

    fn on_outcome(&mut self, desk: &mut Desk<'_, impl EnginePort>, outcome: &Outcome) {
        self.trade.on_outcome(desk.now(), outcome);
    }

    fn digest(&self, seed: u64) -> u64 {
        digest::fold(seed, self.trade.words())
    }
}

fn main() -> ExitCode {
    main_with::<Imbalance>(std::env::args().nth(1))
}
