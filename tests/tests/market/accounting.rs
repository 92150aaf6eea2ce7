//! The books of an account: ours by average cost and by lots, and the simulated venue's ledger, over a million fills
//! with fees and funding, to the last unit.

use tickpath_hotpath::{
    account::Positions,
    sim::{Account, Execution, FeeRates, SimOrder, Submit},
};
use tickpath_shared::types::{InstrumentDefinition, PositionSide, SelfTrade, Side, TimeInForce};
use tickpath_tests::random::Random;
use tickpath_tools::{offline::pnl::Lots, venue};

const FILLS: u64 = 1_000_000;
const WALLET: i128 = 1_000_000 * 100_000_000;
const FEES: FeeRates = FeeRates { maker_e8: -10_000, taker_e8: 50_000 };

fn order(id: u64, side: Side, price: i64, qty: i64) -> SimOrder {
    SimOrder::new(Submit {
        id,
        side,
        position: PositionSide::Both,
        time_in_force: TimeInForce::Ioc,
        price: Some(price),
        qty,
        is_reduce_only: false,
        self_trade: SelfTrade::Allow,
    })
}

/// What was paid for what is open, less for what is short.
fn signed_cost(positions: &Positions, instrument: u32) -> i128 {
    let position = positions.get(instrument);
    i128::from(position.qty.signum()) * position.cost_e8
}

#[test]
fn a_million_fills_leave_three_books_with_the_same_account() {
    let definitions: Vec<InstrumentDefinition> = venue::definitions();
    let mut random = Random::new(7);
    let mut ours = Account::new(&definitions, FEES, WALLET);
    // Whoever is on the other side of every trade, without fees.
    let mut theirs = Account::new(&definitions, FeeRates { maker_e8: 0, taker_e8: 0 }, WALLET);
    let mut positions = Positions::new(definitions.len());
    let mut lots = vec![Lots::default(); definitions.len()];
    let mut prices = [6_000_000_i64, 250_000];
    let (mut funding, mut flips, mut flat) = (0, 0_u64, 0_u64);
    for id in 1..=FILLS {
        let index = random.below(2) as usize;
        let definition = &definitions[index];
        let step = random.below(41) as i64 - 20;
        prices[index] = (prices[index] + step * definition.tick).max(1_000 * definition.tick);
        let held = positions.qty(index as u32);
        // Often exactly back to zero, often beyond it.
        let is_back = held != 0 && random.chance(0.2);
        let (side, qty) = if is_back {
            (if held > 0 { Side::Sell } else { Side::Buy }, held.abs())
        } else {
            let side = if random.chance(0.5) { Side::Buy } else { Side::Sell };
            (side, definition.lot * (1 + random.below(50) as i64))
        };
        let other = if side == Side::Buy { Side::Sell } else { Side::Buy };
        let execution = Execution { price: prices[index], qty, is_maker: random.chance(0.3) };
        let trade = ours.book(index, order(id, side, prices[index], qty), execution, id);
        theirs.book(index, order(id, other, prices[index], qty), execution, id);
        positions.fill(definition, side, execution.price, qty, trade.fee_e8);
        lots[index].fill(definition, side, execution.price, qty);
        if random.chance(0.001) {
            let mark_e8 = definition.price_to_e8(prices[index]) as i64;
            let received = ours.fund(index, mark_e8, random.below(40_001) as i64 - 20_000);
            funding += received;
        }
        let now = positions.qty(index as u32);
        flips += u64::from(now.signum() * held.signum() < 0);
        flat += u64::from(now == 0);
        // Cash is cash, however what was closed is matched with what was opened.
        let position = positions.get(index as u32);
        let by_average = position.realized_e8 - signed_cost(&positions, index as u32);
        let by_lots = lots[index].realized_e8() - lots[index].cost_e8(definition);
        assert_eq!(by_average, by_lots, "fill {id}");
        assert_eq!((now, lots[index].qty()), (ours.net(index), now), "fill {id}");
        if now == 0 {
            assert_eq!((position.realized_e8, position.cost_e8), (lots[index].realized_e8(), 0), "fill {id}");
        }
        assert_eq!(position.cost_e8, ours.position(index, PositionSide::Both).cost_e8, "fill {id}");
    }
    let sums = (0..2).map(|i| positions.get(i)).map(|p| (p.realized_e8, p.fees_e8));
    let (realized, fees) = sums.fold((0, 0), |(r, f), (realized, fee)| (r + realized, f + fee));
    println!("{FILLS} fills, {flips} through zero, {flat} to zero, fees {fees}, funding {funding}");
    assert!(flips > 10_000 && flat > 10_000 && funding != 0 && fees != 0);
    assert_eq!(ours.wallet_e8(), WALLET + realized - fees + funding);
    // What one side won the other lost, but for fees and funding.
    let costs: i128 = (0..2).map(|i| signed_cost(&positions, i)).sum();
    let theirs_cost: i128 = (0..2)
        .map(|i| theirs.position(i, PositionSide::Both))
        .map(|p| i128::from(p.qty.signum()) * p.cost_e8)
        .sum();
    let both = ours.wallet_e8() - costs + theirs.wallet_e8() - theirs_cost;
    assert_eq!(both, 2 * WALLET - fees + funding);
}
