//! What the top of a book says about the next move.

use crate::book::Top;
use serde::{Deserialize, Serialize};

/// Share of the best bid in what rests at the touch, 0 to 1; `None` when nothing rests there.
pub fn imbalance(top: Top) -> Option<f64> {
    let sum = top.bid.qty + top.ask.qty;
    (sum > 0).then(|| top.bid.qty as f64 / sum as f64)
}

/// Mid weighted by the opposite sizes, in price units: it leans towards the side that is about to give way. `None`
/// when nothing rests at the touch.
pub fn weighted_mid(top: Top) -> Option<f64> {
    let share = imbalance(top)?;
    let (bid, ask) = (top.bid.price as f64, top.ask.price as f64);
    Some((bid + ask) / 2.0 + (share - 0.5) * (ask - bid))
}

/// Order flow imbalance of Cont, Kukanov and Stoikov (2014): what arrives at the bid less what arrives at the ask,
/// summed until it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFlow {
    /// Bid price and quantity, ask price and quantity; none before the first.
    before: Option<[i64; 4]>,
    sum: i64,
}

impl OrderFlow {
    /// Takes the next top of the book.
    pub fn push(&mut self, top: Top) {
        let next = [top.bid.price, top.bid.qty, top.ask.price, top.ask.qty];
        if let Some([bid, bid_qty, ask, ask_qty]) = self.before.replace(next) {
            let count = |holds: bool, qty: i64| if holds { qty } else { 0 };
            let bought = count(next[0] >= bid, next[1]) - count(next[0] <= bid, bid_qty);
            let offered = count(next[2] <= ask, next[3]) - count(next[2] >= ask, ask_qty);
            self.sum += bought - offered;
        }
    }

    /// The sum since it was taken last, in quantity units.
    pub fn take(&mut self) -> i64 {
        std::mem::take(&mut self.sum)
    }

    /// The book was lost: the next top is compared with nothing.
    pub fn reset(&mut self) {
        self.before = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Level;

    fn top(bid: (i64, i64), ask: (i64, i64)) -> Top {
        Top { bid: Level { price: bid.0, qty: bid.1 }, ask: Level { price: ask.0, qty: ask.1 } }
    }

    #[test]
    fn the_published_examples() {
        let uneven = top((1_000, 30), (1_005, 10));
        assert_eq!((imbalance(uneven), weighted_mid(uneven)), (Some(0.75), Some(1_003.75)));
        assert_eq!(imbalance(top((1_000, 0), (1_005, 0))), None);
        for (next, flow) in
            [(top((100, 14), (101, 5)), 7), (top((101, 3), (102, 9)), 8), (top((100, 14), (102, 9)), -3)]
        {
            let mut order_flow = OrderFlow::default();
            let first = if flow == -3 { top((101, 3), (102, 9)) } else { top((100, 10), (101, 8)) };
            let first = if flow == 8 { top((100, 14), (101, 5)) } else { first };
            order_flow.push(first);
            order_flow.push(next);
            assert_eq!(order_flow.take(), flow, "{next:?}");
            assert_eq!(order_flow.take(), 0);
        }
    }
}
