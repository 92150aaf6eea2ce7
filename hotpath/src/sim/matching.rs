//! Matching of our orders against one instrument's replayed book.

use crate::{
    book::{Book, Top},
    market::Level,
};
use std::collections::BTreeMap;
use tickpath_shared::types::{ClientOrderId, OrderState, Side, TimeInForce};

/// An order as submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Venue order id.
    pub id: u64,
    /// Client order id.
    pub client_order_id: ClientOrderId,
    /// Side.
    pub side: Side,
    /// Time in force.
    pub time_in_force: TimeInForce,
    /// Limit price; `None` for a market order.
    pub price: Option<i64>,
    /// Quantity.
    pub qty: i64,
    /// May only reduce the position.
    pub is_reduce_only: bool,
}

/// An order the venue holds or held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimOrder {
    /// As submitted.
    pub submit: Submit,
    /// Quantity filled.
    pub filled: i64,
    /// State.
    pub state: OrderState,
    /// Displayed quantity in front of it, while it rests.
    queue_ahead: i64,
}

impl SimOrder {
    /// Quantity not filled.
    pub const fn remaining(&self) -> i64 {
        self.submit.qty - self.filled
    }

    fn is_resting(&self) -> bool {
        !self.state.is_terminal()
    }
}

/// One execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Price.
    pub price: i64,
    /// Quantity.
    pub qty: i64,
    /// The order was resting.
    pub is_maker: bool,
}

/// What happened to an order, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimOutcome {
    /// Accepted into the book or about to execute.
    Accepted(SimOrder),
    /// Executed.
    Executed(SimOrder, Execution),
    /// Ended without being filled completely.
    Ended(SimOrder),
    /// Refused: post-only that would take, or fill-or-kill that cannot.
    Refused(Submit, TimeInForce),
}

/// One instrument: replayed book, our orders.
pub struct Matcher {
    book: Book,
    resting: Vec<SimOrder>,
    /// Displayed quantity we have taken since the level last changed, by side (bids first) and price.
    taken: [BTreeMap<i64, i64>; 2],
}

impl Matcher {
    /// An empty market; see [`Book::new`].
    pub fn new(tick: i64, far_max: usize) -> Self {
        Self { book: Book::new(tick, far_max), resting: Vec::new(), taken: Default::default() }
    }

    /// The replayed book.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Best bid and ask.
    pub fn top(&self) -> Top {
        self.book.top()
    }

    /// Our resting orders.
    pub fn resting(&self) -> &[SimOrder] {
        &self.resting
    }

    /// Replaces the book; our orders keep their place in the queue.
    pub fn on_snapshot(&mut self, bids: &[Level], asks: &[Level], out: &mut Vec<SimOutcome>) {
        self.book.clear();
        self.taken = Default::default();
        self.on_depth(bids, asks, out);
    }

    /// Applies a diff and fills what the market moved through.
    pub fn on_depth(&mut self, bids: &[Level], asks: &[Level], out: &mut Vec<SimOutcome>) {
        self.book.apply(bids, asks);
        for (is_bid, levels) in [(true, bids), (false, asks)] {
            for level in levels {
                self.taken[usize::from(!is_bid)].remove(&level.price);
                self.shorten_queues(is_bid, *level);
            }
        }
        self.fill_crossed(out);
    }

    /// A level that shrank cannot have more than it shows in front of us.
    fn shorten_queues(&mut self, is_bid: bool, level: Level) {
        let side = if is_bid { Side::Buy } else { Side::Sell };
        for order in &mut self.resting {
            if order.submit.side == side && order.submit.price == Some(level.price) {
                order.queue_ahead = order.queue_ahead.min(level.qty);
            }
        }
    }

    /// The opposite side stands at or beyond our price: the market has traded through us.
    fn fill_crossed(&mut self, out: &mut Vec<SimOutcome>) {
        let top = self.book.top();
        for order in &mut self.resting {
            let Some(price) = order.submit.price else { continue };
            let is_through = match order.submit.side {
                Side::Buy => top.ask.qty > 0 && top.ask.price <= price,
                Side::Sell => top.bid.qty > 0 && top.bid.price >= price,
            };
            if is_through {
                let qty = order.remaining();
                execute(order, Execution { price, qty, is_maker: true }, out);
            }
        }
        self.resting.retain(SimOrder::is_resting);
    }

    /// A public trade: takes from the queue in front of us, then from us.
    pub fn on_trade(&mut self, aggressor: Side, trade: Level, out: &mut Vec<SimOutcome>) {
        for order in &mut self.resting {
            let Some(price) = order.submit.price else { continue };
            if order.submit.side == aggressor {
                continue;
            }
            let qty = if price == trade.price {
                let beyond = (trade.qty - order.queue_ahead).max(0);
                order.queue_ahead = (order.queue_ahead - trade.qty).max(0);
                beyond.min(order.remaining())
            } else if is_better(order.submit.side, price, trade.price) {
                trade.qty.min(order.remaining())
            } else {
                0
            };
            if qty > 0 {
                execute(order, Execution { price, qty, is_maker: true }, out);
            }
        }
        self.resting.retain(SimOrder::is_resting);
    }

    /// Takes an order: executes what crosses, then rests, expires or refuses the remainder.
    pub fn submit(&mut self, submit: Submit, out: &mut Vec<SimOutcome>) {
        let takeable = self.takeable(&submit);
        let displayed: i64 = takeable.iter().map(|l| l.qty).sum();
        let is_impossible = match submit.time_in_force {
            TimeInForce::Gtx => displayed > 0,
            TimeInForce::Fok => displayed < submit.qty,
            TimeInForce::Gtc | TimeInForce::Ioc => false,
        };
        if is_impossible {
            out.push(SimOutcome::Refused(submit, submit.time_in_force));
            return;
        }
        let mut order = SimOrder { submit, filled: 0, state: OrderState::Working, queue_ahead: 0 };
        out.push(SimOutcome::Accepted(order));
        for level in takeable {
            let qty = level.qty.min(order.remaining());
            if qty == 0 {
                break;
            }
            *self.taken[usize::from(submit.side == Side::Buy)].entry(level.price).or_default() += qty;
            execute(&mut order, Execution { price: level.price, qty, is_maker: false }, out);
        }
        match (order.state.is_terminal(), submit.time_in_force, submit.price) {
            (true, ..) => {}
            (false, TimeInForce::Gtc | TimeInForce::Gtx, Some(price)) => {
                order.queue_ahead = self.book.qty_at(submit.side == Side::Buy, price);
                self.resting.push(order);
            }
            (false, ..) => end(&mut order, OrderState::Expired, out),
        }
    }

    /// Displayed quantity that the order may take, best first, less what we took before.
    fn takeable(&self, submit: &Submit) -> Vec<Level> {
        let opposite: Box<dyn Iterator<Item = Level>> = match submit.side {
            Side::Buy => Box::new(self.book.asks()),
            Side::Sell => Box::new(self.book.bids()),
        };
        let taken = &self.taken[usize::from(submit.side == Side::Buy)];
        let mut wanted = submit.qty;
        opposite
            .take_while(|l| submit.price.is_none_or(|p| p == l.price || is_better(submit.side, p, l.price)))
            .map(|l| Level { qty: (l.qty - taken.get(&l.price).copied().unwrap_or(0)).max(0), ..l })
            .take_while(|l| {
                let is_wanted = wanted > 0;
                wanted -= l.qty;
                is_wanted
            })
            .filter(|l| l.qty > 0)
            .collect()
    }

    /// Cancels a resting order; `None` when there is none of that id.
    pub fn cancel(&mut self, id: u64, out: &mut Vec<SimOutcome>) -> Option<SimOrder> {
        let at = self.resting.iter().position(|o| o.submit.id == id)?;
        let mut order = self.resting.remove(at);
        end(&mut order, OrderState::Canceled, out);
        Some(order)
    }
}

/// A price at which `side` would rather not wait: higher for a buy, lower for a sell.
fn is_better(side: Side, price: i64, than: i64) -> bool {
    match side {
        Side::Buy => price > than,
        Side::Sell => price < than,
    }
}

fn execute(order: &mut SimOrder, execution: Execution, out: &mut Vec<SimOutcome>) {
    order.filled += execution.qty;
    order.state = if order.remaining() == 0 { OrderState::Filled } else { OrderState::PartiallyFilled };
    out.push(SimOutcome::Executed(*order, execution));
}

fn end(order: &mut SimOrder, state: OrderState, out: &mut Vec<SimOutcome>) {
    order.state = state;
    out.push(SimOutcome::Ended(*order));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market() -> Matcher {
        let mut matcher = Matcher::new(1, 100);
        let level = |price, qty| Level { price, qty };
        matcher.on_snapshot(&[level(100, 5), level(99, 7)], &[level(101, 4), level(102, 6)], &mut Vec::new());
        matcher
    }

    fn order(side: Side, time_in_force: TimeInForce, price: i64, qty: i64) -> Submit {
        let client_order_id = ClientOrderId::from_venue(b"x");
        Submit { id: 1, client_order_id, side, time_in_force, price: Some(price), qty, is_reduce_only: false }
    }

    fn executed(out: &[SimOutcome]) -> Vec<(i64, i64)> {
        out.iter()
            .filter_map(|o| match o {
                SimOutcome::Executed(_, e) => Some((e.price, e.qty)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn an_ioc_takes_what_is_displayed_once_and_expires() {
        let (mut matcher, mut out) = (market(), Vec::new());
        matcher.submit(order(Side::Buy, TimeInForce::Ioc, 102, 8), &mut out);
        assert_eq!(executed(&out), [(101, 4), (102, 4)]);
        out.clear();
        matcher.submit(order(Side::Buy, TimeInForce::Ioc, 102, 8), &mut out);
        assert_eq!(executed(&out), [(102, 2)]);
        assert!(matches!(out.last(), Some(SimOutcome::Ended(o)) if o.state == OrderState::Expired));
        out.clear();
        matcher.on_depth(&[], &[Level { price: 101, qty: 3 }], &mut out);
        matcher.submit(order(Side::Buy, TimeInForce::Ioc, 101, 8), &mut out);
        assert_eq!(executed(&out), [(101, 3)]);
    }

    #[test]
    fn a_resting_order_waits_behind_the_queue() {
        let (mut matcher, mut out) = (market(), Vec::new());
        matcher.submit(order(Side::Buy, TimeInForce::Gtc, 100, 3), &mut out);
        out.clear();
        matcher.on_trade(Side::Sell, Level { price: 100, qty: 4 }, &mut out);
        assert_eq!(executed(&out), []);
        matcher.on_trade(Side::Sell, Level { price: 100, qty: 2 }, &mut out);
        assert_eq!(executed(&out), [(100, 1)]);
        matcher.on_depth(&[Level { price: 100, qty: 0 }], &[Level { price: 100, qty: 9 }], &mut out);
        assert_eq!(executed(&out), [(100, 1), (100, 2)]);
        assert!(matcher.resting().is_empty());
    }

    #[test]
    fn post_only_and_fill_or_kill_are_refused_when_impossible() {
        let (mut matcher, mut out) = (market(), Vec::new());
        matcher.submit(order(Side::Buy, TimeInForce::Gtx, 101, 1), &mut out);
        matcher.submit(order(Side::Buy, TimeInForce::Fok, 101, 5), &mut out);
        assert!(out.iter().all(|o| matches!(o, SimOutcome::Refused(..))) && out.len() == 2);
        matcher.submit(order(Side::Buy, TimeInForce::Fok, 102, 5), &mut out);
        assert_eq!(executed(&out), [(101, 4), (102, 1)]);
    }

    #[test]
    fn a_cancel_ends_a_resting_order_once() {
        let (mut matcher, mut out) = (market(), Vec::new());
        matcher.submit(order(Side::Sell, TimeInForce::Gtc, 105, 3), &mut out);
        assert!(matcher.cancel(1, &mut out).is_some());
        assert!(matcher.cancel(1, &mut out).is_none());
    }
}
