//! Orders that wait for a person: what opens more than a bound is held until it is approved, denied or too old.

use super::{Gateway, GatewayPort};
use crate::{
    message::{Ask, Notice, OutcomeBody},
    order::Order,
    risk::{self, Breach, Context},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    command::{CommandOutcome, Verdict},
    record::{Cause, Class, HeldRecord, IntentRecord, Kind},
    types::{HeldChange, OrderType, Reason, Side, TimeInForce},
};
use zerocopy::IntoBytes;

/// Orders that may wait at once.
const HELD_MAX: usize = 16;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Held {
    intent: IntentRecord,
    since_ns: Nanos,
    until_ns: Nanos,
}

/// Orders that wait, the oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct HeldOrders(Vec<Held>);

impl HeldOrders {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(HELD_MAX))
    }

    fn take(&mut self, is_meant: impl Fn(&Held) -> bool) -> Option<Held> {
        self.0.iter().position(is_meant).map(|at| self.0.remove(at))
    }

    /// The state as words, for digests.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|held| [held.intent.number, held.until_ns])
    }
}

/// An order that the limits let through, and that a person has to approve all the same.
#[inline]
pub(super) fn needs_approval(context: &Context<'_>) -> bool {
    let bound = i128::from(context.limits.confirm_notional_over);
    context.limits.confirm && risk::order_e8(context) > bound && !risk::is_reducing(context)
}

impl Gateway {
    pub(super) fn hold(
        &mut self,
        now: Nanos,
        cause: Cause,
        intent: &IntentRecord,
        port: &mut impl GatewayPort,
    ) -> Verdict {
        let waiting = self.held.0.len();
        if waiting == HELD_MAX {
            let (value, bound) = (waiting as i64 + 1, HELD_MAX as i64);
            return self.refuse(now, cause, intent, Breach { reason: Reason::HeldMax, value, bound }, port);
        }
        let held = Held {
            intent: *intent,
            since_ns: now,
            until_ns: now + self.limits.confirm_within_ms * 1_000_000,
        };
        self.held.0.push(held);
        tell(now, cause, &held, HeldChange::Held, port);
        self.tell(intent.instrument, OutcomeBody::Held { intent: intent.number }, port);
        CommandOutcome::AwaitsApproval.into()
    }

    /// A person approves the order of an intent: every limit is looked at anew before it leaves. The book that it was
    /// decided on has changed by then, but it was never lost, or the order would wait no more; the person answers for
    /// the price, and the mark price bounds it.
    pub(super) fn approve(
        &mut self,
        now: Nanos,
        cause: Cause,
        intent: u64,
        port: &mut impl GatewayPort,
    ) -> Verdict {
        let Some(held) = self.held.take(|held| held.intent.number == intent && held.until_ns > now) else {
            return CommandOutcome::NotHeld.into();
        };
        let (Some(side), Some(time_in_force)) =
            (Side::from_repr(held.intent.side), TimeInForce::from_repr(held.intent.time_in_force))
        else {
            unreachable!("only what was an order is held: {held:?}")
        };
        tell(now, cause, &held, HeldChange::Approved, port);
        let price = self.price_by_now(&held.intent, side);
        let fresh = IntentRecord { price, book_ns: now, read_ns: now, is_book_valid: 1, ..held.intent };
        if let Err(breach) = risk::check(&self.context(now, &fresh, side, self.venue_ms(now), None)) {
            return self.refuse(now, cause, &fresh, breach, port);
        }
        port.on_risk_passed();
        // No tick led to it.
        let fresh = IntentRecord { read_ns: 0, ..fresh };
        self.place(now, cause, &fresh, side, time_in_force, 0, port)
    }

    /// An order of a person's without a price waits at the end of the collar, which moves with the mark price: it goes
    /// along, but never to a worse price than was approved. The price that an order does not tell the venue is a bound
    /// alone.
    fn price_by_now(&self, intent: &IntentRecord, side: Side) -> i64 {
        let index = intent.instrument as usize;
        let mark_e8 = self.marks[index].price_e8;
        let [lowest, highest] = self.definitions[index].price_bounds(mark_e8, self.limits.collar_bps);
        let is_priced_there = intent.order_type == OrderType::Market as u8 || intent.price_match != 0;
        match side {
            Side::Buy if is_priced_there => highest,
            Side::Sell if is_priced_there => lowest,
            _ if intent.strategy != Order::MANUAL => intent.price,
            Side::Buy => intent.price.min(highest),
            Side::Sell => intent.price.max(lowest),
        }
    }

    /// A person denies the order of an intent.
    pub(super) fn deny(
        &mut self,
        now: Nanos,
        cause: Cause,
        intent: u64,
        port: &mut impl GatewayPort,
    ) -> CommandOutcome {
        let Some(held) = self.held.take(|held| held.intent.number == intent) else {
            return CommandOutcome::NotHeld;
        };
        self.let_go(now, cause, &held, HeldChange::Denied, port);
        CommandOutcome::Done
    }

    /// Orders of these instruments are canceled: those that wait are not to leave any more either.
    pub(super) fn withdraw_held(
        &mut self,
        now: Nanos,
        cause: Cause,
        instruments: u32,
        port: &mut impl GatewayPort,
    ) {
        while let Some(held) = self.held.take(|held| instruments >> held.intent.instrument & 1 == 1) {
            self.let_go(now, cause, &held, HeldChange::Withdrawn, port);
        }
    }

    /// The engine wants an order that waits changed or canceled: what the person was asked for holds no more.
    pub(super) fn withdraw_intent(
        &mut self,
        now: Nanos,
        cause: Cause,
        intent: u64,
        port: &mut impl GatewayPort,
    ) {
        if let Some(held) = self.held.take(|held| held.intent.number == intent) {
            tell(now, cause, &held, HeldChange::Withdrawn, port);
        }
    }

    pub(super) fn expire_held(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        while let Some(held) = self.held.take(|held| held.until_ns <= now) {
            self.let_go(now, Cause::NONE, &held, HeldChange::Expired, port);
        }
    }

    fn let_go(
        &mut self,
        now: Nanos,
        cause: Cause,
        held: &Held,
        change: HeldChange,
        port: &mut impl GatewayPort,
    ) {
        tell(now, cause, held, change, port);
        let ms = |ns: Nanos| (ns / 1_000_000) as i64;
        let value = ms(now.saturating_sub(held.since_ns));
        let bound = ms(held.until_ns.saturating_sub(held.since_ns));
        self.refuse(now, cause, &held.intent, Breach { reason: Reason::NotApproved, value, bound }, port);
    }
}

fn tell(now: Nanos, cause: Cause, held: &Held, change: HeldChange, port: &mut impl GatewayPort) {
    let IntentRecord { number, price, qty, instrument, strategy, side, time_in_force, .. } = held.intent;
    let IntentRecord { order_type, price_match, .. } = held.intent;
    let record = HeldRecord {
        intent: number,
        price,
        qty,
        until_ns: held.until_ns,
        instrument,
        strategy,
        change: change as u16,
        side,
        time_in_force,
        order_type,
        price_match,
        reserved: [0; 4],
    };
    port.record(Kind::Held, Class::Audit, now, cause, &[record.as_bytes()]);
    port.ask(Ask::Tell(Notice::Held(record)));
}
