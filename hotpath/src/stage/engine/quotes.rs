//! The market maker's quotes: placed, moved and taken away.

use super::{Engine, EnginePort, Terms};
use crate::{
    book::Top,
    message::EngineBody,
    strategy::{self, LegOrder, MarketMaker, QuoteAction},
};
use tickpath_shared::{
    Nanos,
    record::{Cause, ChangeRecord, Class, Kind},
    types::TimeInForce,
};
use zerocopy::IntoBytes;

impl Engine {
    /// What the quotes need, whatever the event was about: a lost book takes them away.
    #[inline]
    pub(super) fn quote(&mut self, now: Nanos, cause: Cause, read_ns: Nanos, port: &mut impl EnginePort) {
        let Some(maker) = &self.maker else { return };
        let top = self.fresh_top(now, maker);
        self.quote_at(now, cause, read_ns, top, port);
    }

    /// Without data no event would take the quotes away.
    pub(super) fn withdraw_stale(&mut self, now: Nanos, port: &mut impl EnginePort) {
        let Some(maker) = &self.maker else { return };
        if self.fresh_top(now, maker).is_none() {
            self.quote_at(now, Cause::NONE, now, None, port);
        }
    }

    /// Best prices of a book that quotes may stand on.
    fn fresh_top(&self, now: Nanos, maker: &MarketMaker) -> Option<Top> {
        let instrument = &self.instruments[maker.instrument() as usize];
        let is_fresh = now.saturating_sub(instrument.book_ns) <= self.book_age_ns_max;
        (is_fresh && instrument.book.is_valid()).then_some(instrument.top)
    }

    fn quote_at(
        &mut self,
        now: Nanos,
        cause: Cause,
        read_ns: Nanos,
        top: Option<Top>,
        port: &mut impl EnginePort,
    ) {
        let Some((index, actions)) = self.maker.as_ref().map(|m| (m.instrument(), m.quote(now, top))) else {
            return;
        };
        for action in actions.into_iter().flatten() {
            let number = match action {
                QuoteAction::Place { side, price, qty } => {
                    let order = LegOrder { instrument: index, side, price, qty, is_reduce_only: false };
                    let terms = Terms { time_in_force: TimeInForce::Gtx, strategy: strategy::MARKET_MAKER };
                    self.place(now, cause, read_ns, &order, terms, port)
                }
                QuoteAction::Move { intent, price, qty, .. } => {
                    self.change(now, cause, read_ns, index, (intent, price, qty), port)
                }
                QuoteAction::Cancel { intent, .. } => {
                    self.change(now, cause, read_ns, index, (intent, 0, 0), port)
                }
            };
            self.maker.iter_mut().for_each(|maker: &mut MarketMaker| maker.on_sent(now, &action, number));
        }
    }

    /// Journals a change of an intent's order to a price and a quantity, and sends it; returns its number.
    fn change(
        &mut self,
        now: Nanos,
        cause: Cause,
        read_ns: Nanos,
        index: u32,
        (intent, price, qty): (u64, i64, i64),
        port: &mut impl EnginePort,
    ) -> u64 {
        let instrument = &self.instruments[index as usize];
        let change = ChangeRecord {
            number: self.sent + 1,
            intent,
            price,
            qty,
            book_ns: instrument.book_ns,
            read_ns,
            instrument: index,
            strategy: strategy::MARKET_MAKER,
            is_book_valid: instrument.book.is_valid().into(),
            reserved: 0,
        };
        port.record(Kind::Change, Class::Audit, now, cause, &[change.as_bytes()]);
        let book_venue_ms = instrument.book_venue_ms;
        self.send(EngineBody::Change(change), book_venue_ms, port);
        change.number
    }
}
