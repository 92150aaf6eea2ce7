//! The venue's rules for prices and quantities, in scaled integers, with the codes of their refusals.

use super::refused::Refused;
use tickpath_shared::types::{
    InstrumentDefinition, Side,
    decimal::{self, DecimalError},
};

/// Rules of one instrument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filters {
    pub(super) definition: InstrumentDefinition,
    /// Largest quantity of a market order.
    pub(super) market_qty_max: i64,
    /// Furthest limit price from the mark, parts of ten thousand: a buy's upper and a sell's lower bound.
    pub(super) percent_up_e4: i128,
    pub(super) percent_down_e4: i128,
}

/// Open orders of an instrument.
pub(super) const ORDERS_MAX: usize = 200;

impl Filters {
    pub(super) fn new(definition: InstrumentDefinition) -> Self {
        let market_qty_max = 120 * decimal::pow10(definition.qty_scale);
        Self { definition, market_qty_max, percent_up_e4: 10_500, percent_down_e4: 9_500 }
    }

    /// A price from its text, on the grid and in bounds.
    pub(super) fn price(&self, text: &str) -> Result<i64, Refused> {
        let d = &self.definition;
        let price = parse("price", text, d.price_scale, d.price_scale)?;
        self.check_price(price)?;
        Ok(price)
    }

    fn check_price(&self, price: i64) -> Result<(), Refused> {
        let d = &self.definition;
        let show = |price| decimal::to_text(price, d.price_scale);
        match price {
            p if p <= 0 => Err(Refused::new(-4001, "Price less than 0.")),
            p if p < d.price_min => {
                Err(Refused::new(-4013, format!("Price less than min price {}.", show(d.price_min))))
            }
            p if p > d.price_max => {
                Err(Refused::new(-4002, format!("Price greater than max price {}.", show(d.price_max))))
            }
            p if (p - d.price_min) % d.tick != 0 => {
                Err(Refused::new(-4014, "Price not increased by tick size."))
            }
            _ => Ok(()),
        }
    }

    /// A quantity from its text, on the grid and in bounds.
    pub(super) fn qty(&self, text: &str, is_market: bool) -> Result<i64, Refused> {
        let d = &self.definition;
        let qty = parse("quantity", text, d.qty_places, d.qty_scale)?;
        let max = if is_market { self.market_qty_max.min(d.qty_max) } else { d.qty_max };
        match qty {
            q if q <= 0 => Err(Refused::new(-4003, "Quantity less than or equal to zero.")),
            q if q < d.qty_min => Err(Refused::new(-4004, "Quantity less than min quantity.")),
            q if q > max => Err(Refused::new(-4005, "Quantity greater than max quantity.")),
            q if (q - d.qty_min) % d.lot != 0 => {
                Err(Refused::new(-4023, "Quantity not increased by step size."))
            }
            _ => Ok(qty),
        }
    }

    /// A limit price may not be further beyond the mark than the filter allows, once there is a mark.
    pub(super) fn check_percent(&self, side: Side, price: i64, mark_e8: i64) -> Result<(), Refused> {
        let price_e8 = self.definition.price_to_e8(price);
        let bound = |e4: i128| i128::from(mark_e8) * e4 / 10_000;
        let show = |bound: i128| decimal::to_text(bound as i64, 8);
        let (up, down) = (bound(self.percent_up_e4), bound(self.percent_down_e4));
        match side {
            _ if mark_e8 == 0 => Ok(()),
            Side::Buy if price_e8 > up => {
                Err(Refused::new(-4016, format!("Limit price can't be higher than {}.", show(up))))
            }
            Side::Sell if price_e8 < down => {
                Err(Refused::new(-4024, format!("Limit price can't be lower than {}.", show(down))))
            }
            _ => Ok(()),
        }
    }

    /// Orders that may open a position have a smallest size.
    pub(super) fn check_notional(&self, price_e8: i128, qty: i64) -> Result<(), Refused> {
        let min = self.definition.notional_min_e8;
        if self.notional_e8(price_e8, qty) < i128::from(min) {
            let min = decimal::to_text(min / 100_000_000, 0);
            let text =
                format!("Order's notional must be no smaller than {min} (unless you choose reduce only).");
            return Err(Refused::new(-4164, text));
        }
        Ok(())
    }

    /// Notional x 10^8 of a quantity at a price x 10^8.
    pub(super) fn notional_e8(&self, price_e8: i128, qty: i64) -> i128 {
        price_e8 * i128::from(qty) / i128::from(decimal::pow10(self.definition.qty_scale))
    }
}

/// An amount with at most `places` decimal places, in units of `scale`.
fn parse(name: &str, text: &str, places: u8, scale: u8) -> Result<i64, Refused> {
    match decimal::parse(text.as_bytes(), places) {
        Ok(value) => Ok(value.saturating_mul(decimal::pow10(scale - places))),
        Err(DecimalError::TooPrecise { .. }) => {
            Err(Refused::new(-1111, format!("Precision is over the maximum defined for {name}.")))
        }
        Err(_) => Err(Refused::parameter(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters() -> Filters {
        Filters::new(super::super::super::definitions()[0])
    }

    #[test]
    fn every_rule_has_its_code() {
        let f = filters();
        let price = |text| f.price(text).map_err(|r| r.code);
        assert_eq!(price("60000.1"), Ok(6_000_010));
        assert_eq!(price("60000.15"), Err(-4014));
        assert_eq!((price("-1"), price("0"), price("0.05")), (Err(-4001), Err(-4001), Err(-4013)));
        assert_eq!((price("1e5"), price("")), (Err(-1102), Err(-1102)));
        let qty = |text, is_market| f.qty(text, is_market).map_err(|r| r.code);
        assert_eq!((qty("0.001", false), qty("0", false)), (Ok(10), Err(-4003)));
        assert_eq!(
            (qty("1001", false), qty("121", true), qty("121", false)),
            (Err(-4005), Err(-4005), Ok(1_210_000))
        );
        assert_eq!(qty("0.0015", false), Err(-1111));
    }

    #[test]
    fn limits_are_relative_to_the_mark_price() {
        let (f, mark) = (filters(), 60_000 * 100_000_000);
        assert!(f.check_percent(Side::Buy, 6_300_000, mark).is_ok());
        assert_eq!(f.check_percent(Side::Buy, 6_300_010, mark).unwrap_err().code, -4016);
        assert_eq!(f.check_percent(Side::Sell, 5_699_990, mark).unwrap_err().code, -4024);
        assert!(f.check_percent(Side::Sell, 9_000_000, mark).is_ok());
        assert!(f.check_notional(f.definition.price_to_e8(6_000_000), 10).is_ok());
        assert_eq!(f.check_notional(f.definition.price_to_e8(40_000), 10).unwrap_err().code, -4164);
    }
}
