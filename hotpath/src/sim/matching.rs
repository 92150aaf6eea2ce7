//! Matching of our orders against one instrument's replayed book.

use crate::{
    book::{Book, Top},
    market::Level,
};
use std::collections::BTreeMap;
use tickpath_shared::types::{OrderState, PositionSide, SelfTrade, Side, TimeInForce};

/// An order as submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Venue order id.
    pub id: u64,
    /// Side.
    pub side: Side,
    /// Position that its executions change.
    pub position: PositionSide,
    /// Time in force.
    pub time_in_force: TimeInForce,
    /// Limit price; `None` for a market order.
    pub price: Option<i64>,
    /// Quantity.
    pub qty: i64,
    /// May only reduce the position.
    pub is_reduce_only: bool,
    /// What happens when it meets a resting order of the same account.
    pub self_trade: SelfTrade,
}

/// An order the venue holds or held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimOrder {
    /// As submitted, or as amended since.
    pub submit: Submit,
    /// Quantity filled.
    pub filled: i64,
    /// State.
    pub state: OrderState,
    /// Displayed quantity in front of it, while it rests.
    queue_ahead: i64,
}

impl SimOrder {
    /// An order as it is submitted.
    pub const fn new(submit: Submit) -> Self {
        Self { submit, filled: 0, state: OrderState::Working, queue_ahead: 0 }
    }

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

/// Why an order ended without being filled completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Asked for, or a rule of amending.
    Canceled,
    /// What an immediate or market order could not fill.
    Remainder,
    /// It met an order of the same account.
    SelfTrade,
    /// It would have done more than reduce the position.
    ReduceOnly,
    /// Its time was over.
    GoodTill,
}

impl End {
    /// State of an order that ended so.
    pub const fn state(self) -> OrderState {
        match self {
            Self::Canceled | Self::GoodTill => OrderState::Canceled,
            Self::Remainder | Self::SelfTrade | Self::ReduceOnly => OrderState::Expired,
        }
    }
}

/// What happened to an order, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimOutcome {
    /// Accepted into the book or about to execute.
    Accepted(SimOrder),
    /// Price or quantity changed.
    Amended(SimOrder),
    /// Executed.
    Executed(SimOrder, Execution),
    /// Ended without being filled completely.
    Ended(SimOrder, End),
    /// Refused: post-only that would take, or fill-or-kill that cannot.
    Refused(Submit),
}

/// Why an order was not amended; it stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmendRefusal {
    /// No order of that id rests.
    NotResting,
    /// Price and quantity are what they were.
    Unchanged,
}

/// One instrument: replayed book, our orders.
pub struct Matcher {
    book: Book,
    tick: i64,
    /// Share of a price x 10^8 by which what is taken is dearer than what is displayed.
    slippage_e8: i64,
    resting: Vec<SimOrder>,
    /// Displayed quantity we have taken since the level last changed, by side (bids first) and price.
    taken: [BTreeMap<i64, i64>; 2],
}

impl Matcher {
    /// An empty market; see [`Book::new`].
    pub fn new(tick: i64, far_max: usize) -> Self {
        let book = Book::new(tick, far_max);
        Self { book, tick, slippage_e8: 0, resting: Vec::new(), taken: Default::default() }
    }

    /// Whoever takes from the market gets a price that is worse than the displayed one by this share x 10^8, in whole
    /// ticks, and never beyond the limit of the order.
    #[must_use]
    pub fn with_slippage(self, slippage_e8: i64) -> Self {
        Self { slippage_e8, ..self }
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

    /// A public trade: at better prices it would have taken what is ours first, at its own what is displayed in front of
    /// us and then ours, the oldest first. What one order got the next one does not get.
    pub fn on_trade(&mut self, aggressor: Side, trade: Level, out: &mut Vec<SimOutcome>) {
        let mut left = trade.qty;
        for at in self.met_by(aggressor, trade.price) {
            let order = &mut self.resting[at];
            let price = order.submit.price.unwrap_or(trade.price);
            let ahead = if price == trade.price { order.queue_ahead } else { 0 };
            let qty = (left - ahead).clamp(0, order.remaining());
            if price == trade.price {
                order.queue_ahead = (ahead - left).max(0);
            }
            left -= qty;
            if qty > 0 {
                execute(order, Execution { price, qty, is_maker: true }, out);
            }
        }
        self.resting.retain(SimOrder::is_resting);
    }

    /// Our orders that a trade at `price` would have met, in the order in which it met them.
    fn met_by(&self, aggressor: Side, price: i64) -> Vec<usize> {
        let is_met = |order: &SimOrder| {
            let reaches = |own| own == price || is_better(order.submit.side, own, price);
            order.submit.side != aggressor && order.submit.price.is_some_and(reaches)
        };
        let mut met: Vec<usize> = (0..self.resting.len()).filter(|at| is_met(&self.resting[*at])).collect();
        // Stable: the oldest of a price stays the first.
        met.sort_by_key(|at| self.resting[*at].submit.price.map(|price| price * aggressor.sign()));
        met
    }

    /// Takes an order: executes what crosses, then rests, expires or refuses the remainder.
    pub fn submit(&mut self, submit: Submit, out: &mut Vec<SimOutcome>) {
        let is_impossible = match submit.time_in_force {
            TimeInForce::Gtx => self.would_take(&submit),
            TimeInForce::Fok => {
                self.takeable(&submit, submit.qty).iter().map(|l| l.qty).sum::<i64>() < submit.qty
            }
            TimeInForce::Gtc | TimeInForce::Gtd | TimeInForce::Ioc => false,
        };
        if is_impossible {
            out.push(SimOutcome::Refused(submit));
            return;
        }
        let order = SimOrder::new(submit);
        out.push(SimOutcome::Accepted(order));
        self.work(order, out);
    }

    /// Executes what crosses, then rests or ends the remainder.
    fn work(&mut self, mut order: SimOrder, out: &mut Vec<SimOutcome>) {
        self.take(&mut order, out);
        let submit = order.submit;
        match (order.state.is_terminal(), submit.time_in_force, submit.price) {
            (true, ..) => {}
            (false, TimeInForce::Gtc | TimeInForce::Gtd | TimeInForce::Gtx, Some(price)) => {
                order.queue_ahead = self.book.qty_at(submit.side == Side::Buy, price);
                self.resting.push(order);
            }
            (false, ..) => end(&mut order, End::Remainder, out),
        }
    }

    /// Meets our own orders on the other side, best first, and the market in front of each.
    fn take(&mut self, order: &mut SimOrder, out: &mut Vec<SimOutcome>) {
        for id in self.own_opposite(&order.submit) {
            let Some(at) = self.resting.iter().position(|o| o.submit.id == id) else { continue };
            let mut own = self.resting[at];
            self.take_market(order, own.submit.price, out);
            if order.state.is_terminal() {
                return;
            }
            match order.submit.self_trade {
                SelfTrade::Allow => {
                    let (price, qty) =
                        (own.submit.price.unwrap_or(0), own.remaining().min(order.remaining()));
                    execute(&mut own, Execution { price, qty, is_maker: true }, out);
                    execute(order, Execution { price, qty, is_maker: false }, out);
                }
                SelfTrade::ExpireMaker => end(&mut own, End::SelfTrade, out),
                SelfTrade::ExpireTaker => end(order, End::SelfTrade, out),
                SelfTrade::ExpireBoth => {
                    end(&mut own, End::SelfTrade, out);
                    end(order, End::SelfTrade, out);
                }
            }
            self.resting[at] = own;
            self.resting.retain(SimOrder::is_resting);
            if order.state.is_terminal() {
                return;
            }
        }
        self.take_market(order, order.submit.price, out);
    }

    /// Takes displayed quantity up to `limit`, any price without one.
    fn take_market(&mut self, order: &mut SimOrder, limit: Option<i64>, out: &mut Vec<SimOutcome>) {
        let side = order.submit.side;
        for level in self.takeable(&Submit { price: limit, ..order.submit }, order.remaining()) {
            let qty = level.qty.min(order.remaining());
            if qty == 0 {
                break;
            }
            *self.taken[usize::from(side == Side::Buy)].entry(level.price).or_default() += qty;
            let price = self.slipped(&order.submit, level.price);
            execute(order, Execution { price, qty, is_maker: false }, out);
        }
    }

    fn slipped(&self, submit: &Submit, displayed: i64) -> i64 {
        let units = i128::from(displayed) * i128::from(self.slippage_e8);
        let worse = (units / (100_000_000 * i128::from(self.tick))) as i64 * self.tick;
        match submit.side {
            Side::Buy => (displayed + worse).min(submit.price.unwrap_or(i64::MAX)),
            Side::Sell => (displayed - worse).max(submit.price.unwrap_or(self.tick)),
        }
    }

    /// Ids of our resting orders that an order would meet, best for it first.
    fn own_opposite(&self, submit: &Submit) -> Vec<u64> {
        let is_met = |o: &&SimOrder| {
            let Some(price) = o.submit.price else { return false };
            o.submit.side != submit.side
                && submit.price.is_none_or(|p| p == price || is_better(submit.side, p, price))
        };
        let mut met: Vec<&SimOrder> = self.resting.iter().filter(is_met).collect();
        met.sort_by_key(|o| o.submit.price.map(|price| price * submit.side.sign()));
        met.iter().map(|o| o.submit.id).collect()
    }

    fn would_take(&self, submit: &Submit) -> bool {
        !self.takeable(submit, 1).is_empty() || !self.own_opposite(submit).is_empty()
    }

    /// Displayed quantity that the order may take of `wanted`, best first, less what we took before.
    fn takeable(&self, submit: &Submit, mut wanted: i64) -> Vec<Level> {
        let opposite: Box<dyn Iterator<Item = Level>> = match submit.side {
            Side::Buy => Box::new(self.book.asks()),
            Side::Sell => Box::new(self.book.bids()),
        };
        let taken = &self.taken[usize::from(submit.side == Side::Buy)];
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

    /// Changes price and total quantity of a resting order, which goes to the end of the queue. It is canceled
    /// instead when it has filled that much already, or when it is post-only and would take now. An amended order
    /// does not prevent self-trades any more.
    ///
    /// # Errors
    ///
    /// [`AmendRefusal`]; the order is as it was.
    pub fn amend(
        &mut self,
        id: u64,
        price: i64,
        qty: i64,
        out: &mut Vec<SimOutcome>,
    ) -> Result<(), AmendRefusal> {
        let at = self.resting.iter().position(|o| o.submit.id == id).ok_or(AmendRefusal::NotResting)?;
        let before = self.resting[at].submit;
        if before.price == Some(price) && before.qty == qty {
            return Err(AmendRefusal::Unchanged);
        }
        let submit = Submit { price: Some(price), qty, self_trade: SelfTrade::Allow, ..before };
        let mut order = self.resting.remove(at);
        if qty <= order.filled || (submit.time_in_force == TimeInForce::Gtx && self.would_take(&submit)) {
            end(&mut order, End::Canceled, out);
            return Ok(());
        }
        order.submit = submit;
        out.push(SimOutcome::Amended(order));
        self.work(order, out);
        Ok(())
    }

    /// Ends a resting order for a reason of the venue; `false` when there is none of that id.
    pub fn end(&mut self, id: u64, why: End, out: &mut Vec<SimOutcome>) -> bool {
        let Some(at) = self.resting.iter().position(|o| o.submit.id == id) else { return false };
        let mut order = self.resting.remove(at);
        end(&mut order, why, out);
        true
    }

    /// Cuts the quantity of a resting order that may only reduce a position that has become smaller.
    pub fn cut(&mut self, id: u64, remaining: i64, out: &mut Vec<SimOutcome>) {
        if remaining == 0 {
            self.end(id, End::ReduceOnly, out);
        } else if let Some(order) = self.resting.iter_mut().find(|o| o.submit.id == id) {
            order.submit.qty = order.filled + remaining;
            out.push(SimOutcome::Amended(*order));
        }
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

fn end(order: &mut SimOrder, why: End, out: &mut Vec<SimOutcome>) {
    order.state = why.state();
    out.push(SimOutcome::Ended(*order, why));
}

#[cfg(test)]
mod tests;
