//! What fields of payloads mean where their type does not say it.

use super::{BalanceRecord, CommandRecord, FillRecord, IntentRecord};
use crate::{
    command::{Ticket, Verb},
    types::{OrderTerms, Side, TimeInForce},
};
use zerocopy::FromZeros;

impl FillRecord {
    /// Name of the asset in which commission was paid.
    pub fn fee_asset(&self) -> String {
        String::from_utf8_lossy(&self.fee_asset).trim_end_matches('\0').to_owned()
    }

    /// Commission in the quote currency x 10^8; `None` when it was paid in another asset, whose price nobody here knows.
    /// The symbol ends with its quote currency.
    pub fn quote_fee_e8(&self, symbol: &str) -> Option<i64> {
        let asset = self.fee_asset.split(|byte| *byte == 0).next().unwrap_or_default();
        let is_quote = symbol.as_bytes().ends_with(asset);
        (is_quote || self.fee_e8 == 0).then_some(self.fee_e8)
    }
}

impl BalanceRecord {
    /// Name of the asset.
    pub fn asset(&self) -> String {
        String::from_utf8_lossy(&self.asset).trim_end_matches('\0').to_owned()
    }

    /// A name as it is stored; `None` for one that is too long.
    pub fn name(text: &str) -> Option<[u8; 16]> {
        let mut asset = [0; 16];
        asset.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(asset)
    }
}

impl CommandRecord {
    /// A command about everything, with no value.
    pub fn of(id: u64, verb: Verb) -> Self {
        Self { id, verb: verb as u16, ..Self::new_zeroed() }
    }

    /// The order that is to be placed; `None` for a side or a time in force of a later build.
    pub fn ticket(&self) -> Option<Ticket> {
        Some(Ticket {
            price: self.price,
            qty: self.qty,
            side: Side::from_repr(self.side)?,
            time_in_force: TimeInForce::from_repr(self.time_in_force)?,
            is_reduce_only: self.is_reduce_only == 1,
            terms: OrderTerms::from_codes(self.order_type, self.price_match, self.good_till_ms)?,
        })
    }
}

impl IntentRecord {
    /// A limit order with a price and no end of its own, as nearly all are.
    #[inline]
    pub const fn is_plain(&self) -> bool {
        let has_terms = self.order_type > 1 || self.price_match != 0 || self.good_till_ms != 0;
        !has_terms && self.time_in_force != TimeInForce::Gtd as u8
    }

    /// What it says besides side, price and quantity; `None` for terms of a later build.
    pub const fn terms(&self) -> Option<OrderTerms> {
        OrderTerms::from_codes(self.order_type, self.price_match, self.good_till_ms)
    }
}
