//! What the account stream shows besides orders: fills told early, positions by the venue's own count, notices.

use super::{Gateway, GatewayPort};
use crate::{
    message::{Ask, Notice, OutcomeBody},
    order::{OrderName, Report},
    venue::{AccountChange, EarlyFill},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    config::ForeignOrders,
    counters::Counter,
    record::{Cause, Class, FillRecord, Kind, PositionRecord, StateReason},
    types::{ClientOrderId, TradingState},
};
use zerocopy::IntoBytes;

/// Early fills waiting for their order's event. A full table only means that a fill is told with its event.
const EARLY_MAX: usize = 64;
/// Time in which the fills behind a shown position arrive.
const SETTLE_NS: Nanos = 2_000_000_000;

/// State of what was shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Shown {
    early: Vec<(Nanos, EarlyFill)>,
    /// The venue's position and when it was shown, by instrument; `None` once compared.
    positions: Vec<Option<(i64, Nanos)>>,
    /// Last fill, by instrument.
    moved_ns: Vec<Nanos>,
    /// What a list said that we do not: the venue's position, its last trade and ours.
    disputed: Vec<Option<(i64, u64, i64)>>,
}

impl Shown {
    pub(super) fn new(instruments: usize) -> Self {
        Self {
            early: Vec::with_capacity(EARLY_MAX),
            positions: vec![None; instruments],
            moved_ns: vec![0; instruments],
            disputed: vec![None; instruments],
        }
    }

    /// A position differs from the venue's, by one list so far.
    pub(super) fn is_disputed(&self) -> bool {
        self.disputed.iter().any(Option::is_some)
    }

    /// A fill was booked.
    pub(super) fn on_booked(&mut self, now: Nanos, fill: &FillRecord) {
        self.early.retain(|(_, e)| (e.instrument, e.trade_id) != (fill.instrument, fill.trade_id));
        self.moved_ns[fill.instrument as usize] = now;
    }

    fn early_qty(&self, instrument: u32) -> i64 {
        self.early.iter().filter(|(_, e)| e.instrument == instrument).map(|(_, e)| e.qty).sum()
    }

    /// The state as words, for digests.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.early.iter().flat_map(|(at, e)| [*at, e.trade_id, e.qty as u64])
    }
}

/// Pause between two notices of activity that is not ours.
const NOTICE_NS: Nanos = 1_000_000_000;

/// What is done about orders and fills that are not ours.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Foreign {
    policy: ForeignOrders,
    told_ns: Nanos,
    /// An order of others works that is not in the table: since when, 0 for none.
    #[serde(default)]
    strange_ns: Nanos,
}

impl Foreign {
    pub(super) fn new(policy: ForeignOrders) -> Self {
        Self { policy, told_ns: 0, strange_ns: 0 }
    }

    /// Open orders of others count as ours.
    pub(super) fn is_adopting(&self) -> bool {
        self.policy != ForeignOrders::Ignore
    }
}

impl Gateway {
    /// An order changed that may be somebody else's.
    pub(super) fn note_foreign(
        &mut self,
        now: Nanos,
        cause: Cause,
        instrument: u32,
        client_order_id: ClientOrderId,
        report: Report,
        port: &mut impl GatewayPort,
    ) {
        let name = OrderName { client_order_id, venue_order_id: report.venue_order_id };
        if self.is_foreign(&client_order_id) && !self.is_of_stop(&name, Some(instrument)) {
            self.on_foreign(now, cause, instrument, port);
            self.adopt_later(now, instrument, client_order_id, report);
        }
    }

    /// Somebody else trades on the account.
    pub(super) fn on_foreign(
        &mut self,
        now: Nanos,
        cause: Cause,
        instrument: u32,
        port: &mut impl GatewayPort,
    ) {
        if self.foreign.policy == ForeignOrders::Ignore {
            return;
        }
        if self.foreign.told_ns == 0 || now.saturating_sub(self.foreign.told_ns) > NOTICE_NS {
            self.foreign.told_ns = now.max(1);
            port.ask(Ask::Tell(Notice::Foreign { instrument }));
        }
        if self.foreign.policy == ForeignOrders::Block && self.state == TradingState::Armed {
            self.set_state(now, cause, TradingState::CancelOnly, StateReason::ForeignActivity, port);
        }
    }

    /// An order that somebody else has opened counts as ours once the list of open orders shows all of it.
    pub(super) fn adopt_later(
        &mut self,
        now: Nanos,
        instrument: u32,
        client_order_id: ClientOrderId,
        report: Report,
    ) {
        let name = OrderName { client_order_id, venue_order_id: report.venue_order_id };
        let is_strange =
            !report.state.is_terminal() && self.orders.find_named(&name, Some(instrument)).is_none();
        if is_strange && self.foreign.is_adopting() && self.foreign.strange_ns == 0 {
            self.foreign.strange_ns = now.max(1);
        }
    }

    /// Has the list read, for all that were opened in the meantime.
    pub(super) fn adopt_strange(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        if self.foreign.strange_ns != 0 && now.saturating_sub(self.foreign.strange_ns) > NOTICE_NS {
            self.foreign.strange_ns = 0;
            port.ask(Ask::Adopt);
        }
    }

    /// Position that the engine knows: what is booked, and what was told early.
    pub(super) fn tell_position(&mut self, instrument: u32, port: &mut impl GatewayPort) {
        let qty = self.positions.qty(instrument) + self.shown.early_qty(instrument);
        self.tell(instrument, OutcomeBody::Position { qty }, port);
    }

    /// The engine learns of the fill now; it is booked when its event or the venue's list tells all of it. Limits
    /// need not know: they count an order's remainder as filled and as not filled, whichever is worse.
    pub(super) fn on_early_fill(&mut self, now: Nanos, fill: EarlyFill, port: &mut impl GatewayPort) {
        let is_told = self
            .shown
            .early
            .iter()
            .any(|(_, e)| (e.instrument, e.trade_id) == (fill.instrument, fill.trade_id));
        let is_booked = self.seen.contains(fill.instrument, fill.trade_id);
        if is_told || is_booked || self.shown.early.len() == EARLY_MAX {
            return;
        }
        port.count(Counter::FillsEarly, 1);
        self.shown.early.push((now, fill));
        self.tell_position(fill.instrument, port);
    }

    pub(super) fn on_account_change(
        &mut self,
        now: Nanos,
        cause: Cause,
        change: &AccountChange,
        port: &mut impl GatewayPort,
    ) {
        for balance in change.balances() {
            port.record(Kind::Balance, Class::Audit, now, cause, &[balance.as_bytes()]);
        }
        for (instrument, qty) in change.positions.iter() {
            self.shown.positions[instrument as usize] = Some((qty, now));
        }
        if let Some(funding) = change.funding {
            self.day.on_funding(funding);
        }
    }

    /// Compares what was shown with what is booked, once the events of both have had their time.
    pub(super) fn check_shown(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        for instrument in 0..self.definitions.len() as u32 {
            let index = instrument as usize;
            let Some((qty, since)) = self.shown.positions[index] else { continue };
            if now.saturating_sub(since.max(self.shown.moved_ns[index])) < SETTLE_NS {
                continue;
            }
            self.shown.positions[index] = None;
            if self.has_start_position[index] && qty != self.positions.qty(instrument) {
                // A fill is missing on the stream: nothing is proven until the account was read again.
                port.count(Counter::PositionMismatches, 1);
                self.is_reconciled = false;
                self.lose_orders_of(now, instrument, port);
                port.ask(Ask::CatchUp);
            }
        }
        self.chase_early(now, port);
    }

    /// An early fill whose event does not come: its order is asked about, and the fill counts when it is listed.
    fn chase_early(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        let timeout_ns = self.answer_timeout_ns;
        while let Some(at) = self.shown.early.iter().position(|(at, _)| now.saturating_sub(*at) > timeout_ns)
        {
            let (_, early) = self.shown.early.remove(at);
            // Of somebody else's order we know nothing; what it did to the position is shown and compared.
            if let Some(slot) = self.orders.find(&early.client_order_id) {
                self.lose(now, Cause::NONE, slot, 0, port);
            }
            self.tell_position(early.instrument, port);
        }
    }

    /// The account was read again: the venue's position must be ours if both contain the same trades. One list may
    /// lag behind another; when two reads in a row say the same, the venue is right, and that we were not is for a
    /// person to look at before new risk is opened.
    pub(super) fn compare_position(
        &mut self,
        now: Nanos,
        cause: Cause,
        shown: &PositionRecord,
        port: &mut impl GatewayPort,
    ) {
        let instrument = shown.instrument;
        let ours = self.positions.qty(instrument);
        let is_same_moment = self.seen.newest(instrument) == shown.through_trade_id;
        let dispute =
            (is_same_moment && shown.qty != ours).then_some((shown.qty, shown.through_trade_id, ours));
        let before = std::mem::replace(&mut self.shown.disputed[instrument as usize], dispute);
        if dispute.is_none() {
            return;
        }
        if before != dispute {
            port.ask(Ask::CatchUp);
            return;
        }
        self.shown.disputed[instrument as usize] = None;
        port.count(Counter::PositionMismatches, 1);
        port.ask(Ask::Tell(Notice::PositionMismatch { instrument, ours, venue: shown.qty }));
        self.take_position(now, cause, shown, port);
        if self.state == TradingState::Armed {
            self.set_state(now, cause, TradingState::CancelOnly, StateReason::PositionMismatch, port);
        }
    }
}
