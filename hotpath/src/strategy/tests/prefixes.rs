//! No look-ahead: what a strategy did in the beginning of a series is the same whatever comes after it.

use super::{stand::Stand, *};
use tickpath_shared::{
    record::{ChangeRecord, IntentRecord},
    types::OrderState,
};

/// Beginnings a strategy is tried with.
const PREFIXES: u64 = 10_000;
/// Steps of a series.
const STEPS: u64 = 100;

struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What the market and the gateway do in a step. Numbers are draws: what they mean depends on what is there.
#[derive(Clone, Copy)]
struct Step {
    moves: [i64; 2],
    qty: i64,
    /// What becomes of orders.
    fate: u64,
    /// A signal from outside in tenths, if one comes.
    signal: Option<i64>,
    is_lost: bool,
}

fn step(draws: &mut Draws) -> Step {
    let mut walk = |reach: u64| draws.below(2 * reach + 1) as i64 - reach as i64;
    let moves = [walk(6), walk(1)];
    let signal = walk(10);
    Step {
        moves,
        qty: 1 + draws.below(9) as i64,
        fate: draws.below(4),
        signal: draws.0.is_multiple_of(7).then_some(signal),
        is_lost: draws.below(60) == 0,
    }
}

/// Answers what was wanted: orders fill, fill in part, end without a fill, or are refused.
fn answer<S: Strategy>(
    stand: &mut Stand<S>,
    intents: &[IntentRecord],
    changes: &[ChangeRecord],
    fate: u64,
    positions: &mut [i64; 2],
) {
    for intent in intents {
        let at = intent.instrument as usize;
        let sign = if intent.side == Side::Buy as u8 { 1 } else { -1 };
        let filled = [intent.qty, intent.qty / 2, 0, 0][fate as usize];
        positions[at] += sign * filled;
        match fate {
            3 => {
                let body = OutcomeBody::Refused { intent: intent.number, reason: Reason::PositionMax };
                stand.tell(intent.instrument, body);
            }
            _ => stand.fill(intent, positions[at]),
        }
    }
    for change in changes {
        let body = OutcomeBody::Done { intent: change.intent, state: OrderState::Canceled };
        stand.tell(change.instrument, body);
    }
}

/// What a strategy said at every step, and the state of its engine after `at` of them.
fn said<S: Strategy>(
    engine: &[u8],
    [start_ms, step_ms]: [u64; 2],
    steps: &[Step],
    at: usize,
    sent: &mut u64,
) -> (Vec<String>, u64) {
    let mut stand = Stand::<S>::of(serde_json::from_slice(engine).unwrap());
    stand.ms = start_ms;
    let (mut prices, mut positions) = ([100_000, 50_000], [0; 2]);
    let (mut all, mut state) = (Vec::new(), 0);
    for (index, step) in steps.iter().enumerate() {
        if step.is_lost {
            stand.lose_books();
        }
        for (instrument, price) in (0..).zip(&mut prices) {
            *price += step.moves[usize::from(instrument)] * 10;
            stand.book(instrument, *price);
        }
        stand.trade(0, prices[0], step.qty);
        if let Some(tenths) = step.signal {
            let (parameter, strategy) =
                (Parameter::SignalFollowSignal as u16, StrategyName::SignalFollow as u16);
            let value_bits = (tenths as f64 / 10.0).to_bits();
            stand.tell(0, OutcomeBody::Set { id: 1, value_bits, strategy, parameter });
        }
        stand.pass(step_ms);
        let (intents, passes) = (stand.intents(), stand.passes());
        let changes = std::mem::take(&mut stand.out.changes);
        *sent += intents.len() as u64;
        all.push(format!("{intents:?} {changes:?} {passes:?}"));
        answer(&mut stand, &intents, &changes, step.fate, &mut positions);
        if index + 1 == at {
            state = stand.engine.digest();
        }
    }
    (all, state)
}

/// Runs a strategy over series that share a beginning, and over the beginning alone.
fn check<S: Strategy>(name: &str, config: &Config, times: [u64; 2]) {
    // Read back it is small; one that is made has room for the largest books.
    let engine = serde_json::to_vec(&Stand::<S>::new(config.clone()).engine).unwrap();
    let mut sent = 0;
    for seed in 0..PREFIXES {
        let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        let prefix = 1 + draws.below(STEPS) as usize;
        let whole: Vec<Step> = (0..STEPS).map(|_| step(&mut draws)).collect();
        let alone = said::<S>(&engine, times, &whole[..prefix], prefix, &mut sent);
        let (all, state) = said::<S>(&engine, times, &whole, prefix, &mut 0);
        assert_eq!(alone.0, all[..prefix], "{name}, seed {seed}");
        assert_eq!(alone.1, state, "{name}, seed {seed}: another state");
    }
    println!("{name}: {PREFIXES} prefixes, {sent} intents in them, 0 differences");
    assert!(sent > PREFIXES / 20, "{name} has hardly wanted anything");
}

fn rules() -> config::TradeRules {
    config::TradeRules { rest_ms: 1_000, spread_ticks_max: 500, reward_ratio_min: 0.0, ..trade_rules() }
}

#[test]
fn of_pairs() {
    let pairs = config::Pairs {
        window: 10,
        sample_ms: 500,
        entry_z: 0.5,
        entry_z_min: 0.4,
        exit_z: 0.3,
        rest_ms: 1_000,
        change_probability: 0.9,
        change_run_max: 20,
        volatility_power: 0.5,
        ..pairs_config().pairs
    };
    check::<Pairs>("pairs", &Config { pairs, ..Config::default() }, [1_000, 500]);
}

#[test]
fn of_market_maker() {
    let market_maker =
        config::MarketMaker { is_enabled: true, symbol: "AAA".into(), ..config::MarketMaker::default() };
    check::<MarketMaker>("market_maker", &Config { market_maker, ..Config::default() }, [1_000, 500]);
}

#[test]
fn of_ta_combo() {
    let ta_combo = config::TaCombo {
        is_enabled: true,
        symbol: "AAA".into(),
        bar_ms: 1_000,
        fast: 2,
        slow: 4,
        signal: 2,
        rsi: 3,
        bands: 3,
        deviations: 1.0,
        atr: 3,
        votes: 2,
        trade: rules(),
        ..config::TaCombo::default()
    };
    check::<TaCombo>("ta_combo", &Config { ta_combo, ..Config::default() }, [1_000, 500]);
}

#[test]
fn of_orb() {
    let orb = config::Orb {
        is_enabled: true,
        symbol: "AAA".into(),
        bar_ms: 1_000,
        // The series is a minute and a half long.
        range_minutes: 1,
        entry_minutes: 3,
        session_minutes: 5,
        atr: 3,
        buffer_atr: 0.0,
        width_min_atr: 0.0,
        trade: rules(),
        ..config::Orb::default()
    };
    check::<Orb>("orb", &Config { orb, ..Config::default() }, [1_772_755_200_000 - 2_000, 900]);
}

#[test]
fn of_smart_money() {
    let smc = config::Smc {
        is_enabled: true,
        symbol: "AAA".into(),
        bar_ms: 1_000,
        swing_length: 2,
        atr: 3,
        trade: rules(),
        ..config::Smc::default()
    };
    check::<SmartMoney>("smc", &Config { smc, ..Config::default() }, [1_000, 500]);
}

#[test]
fn of_signal_follow() {
    let signal_follow = config::SignalFollow {
        is_enabled: true,
        symbol: "AAA".into(),
        hold_ms: 3_000,
        ..config::SignalFollow::default()
    };
    check::<SignalFollow>("signal_follow", &Config { signal_follow, ..Config::default() }, [1_000, 500]);
}
