//! The account as a whole: gross exposure, budgets of strategies, and how many instruments are held at once.

use super::{Breach, Context, exposure, narrow, require};
use crate::order::{Order, OrderTable};
use tickpath_shared::{
    status::INSTRUMENTS_MAX,
    types::{InstrumentDefinition, Reason, Side},
};

/// What does not belong to one instrument alone.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// Definitions in force.
    pub definitions: &'a [InstrumentDefinition],
    /// Signed notional of the positions at their marks, quote x 10^8, by instrument; the largest value for a position
    /// without a mark.
    pub marked_e8: &'a [i64],
    /// Strategy that an instrument's position belongs to.
    pub owners: &'a [u16],
    /// Orders not yet at their end.
    pub orders: &'a OrderTable,
    /// Strategies that have a budget, quote x 10^8.
    pub budgets: &'a [(u16, i64)],
    /// Bit set of the instruments that may be traded.
    pub allowed: u32,
}

#[inline(always)]
pub(super) fn check(context: &Context<'_>, notional: i128) -> Result<(), Breach> {
    let gross = gross(context, exposure::worth_e8(context, notional));
    let (limits, account) = (context.limits, &context.account);
    let bound = limits.gross_notional_max;
    require(gross.all <= i128::from(bound), Reason::GrossMax, narrow(gross.all), bound)?;
    for (_, bound) in account.budgets.iter().filter(|(strategy, _)| *strategy == context.intent.strategy) {
        let value = gross.strategy;
        require(value <= i128::from(*bound), Reason::BudgetMax, narrow(value), *bound)?;
    }
    let (held, bound) = (gross.instruments as usize, limits.positions_max);
    require(held <= bound, Reason::PositionsMax, held as i64, bound as i64)
}

/// Sums over what is held, on its way, and wanted.
#[derive(Default)]
struct Gross {
    all: i128,
    strategy: i128,
    instruments: u32,
}

/// The worst case of every instrument: all orders of one side fill, and none of the other; the order itself is worth
/// `wanted`.
fn gross(context: &Context<'_>, wanted: i128) -> Gross {
    if context.survey.open == 0 { gross_alone(context, wanted) } else { gross_beside_orders(context, wanted) }
}

/// The order is the only one: there is nothing to be sorted by instrument and side.
fn gross_alone(context: &Context<'_>, wanted: i128) -> Gross {
    let (intent, account) = (context.intent, &context.account);
    let own = intent.instrument as usize;
    let signed = i128::from(context.side.sign()) * wanted;
    let held = i128::from(account.marked_e8[own]);
    let worst = held.abs().max((held + signed).abs());
    let mut gross = Gross { all: worst, strategy: worst, instruments: 1 };
    for (instrument, held) in account.marked_e8.iter().enumerate() {
        if *held != 0 && instrument != own {
            let held = i128::from(held.unsigned_abs());
            gross.all += held;
            gross.strategy += if account.owners[instrument] == intent.strategy { held } else { 0 };
            gross.instruments += 1;
        }
    }
    gross
}

#[inline(never)]
fn gross_beside_orders(context: &Context<'_>, wanted: i128) -> Gross {
    let (intent, account) = (context.intent, &context.account);
    // Notional of buys and of sells that may open something.
    let mut sides = [[0; 2]; INSTRUMENTS_MAX];
    let mut busy = 1_u32 << intent.instrument;
    sides[intent.instrument as usize][usize::from(context.side == Side::Sell)] = wanted;
    let is_opening =
        |order: &&Order| !order.is_reduce_only && context.replaces != Some(&order.client_order_id);
    for order in account.orders.iter().filter(is_opening) {
        let definition = &account.definitions[order.instrument as usize];
        let sum = &mut sides[order.instrument as usize][usize::from(order.side == Side::Sell)];
        *sum += definition.notional_e8(order.dearest_price(), order.remaining());
        busy |= 1 << order.instrument;
    }
    let mut gross = Gross::default();
    for (instrument, [buys, sells]) in sides.iter().enumerate().take(account.marked_e8.len()) {
        let held = account.marked_e8[instrument];
        if held == 0 && busy >> instrument & 1 == 0 {
            continue;
        }
        let worst = (i128::from(held) + buys).abs().max((i128::from(held) - sells).abs());
        let is_new = instrument == intent.instrument as usize;
        gross.all += worst;
        gross.strategy += if is_new || account.owners[instrument] == intent.strategy { worst } else { 0 };
        gross.instruments += 1;
    }
    gross
}
