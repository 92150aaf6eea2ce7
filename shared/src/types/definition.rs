//! Versioned instrument definitions: the units in which every price and quantity is an integer.

use super::decimal::pow10;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A venue's symbol, UTF-8, at most 32 bytes, zero padded.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Symbol([u8; Symbol::BYTES]);

impl Symbol {
    /// Longest symbol in bytes.
    pub const BYTES: usize = 32;

    /// The symbol, or `None` when the text is empty, too long or holds a zero byte.
    pub fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > Self::BYTES || bytes.contains(&0) {
            return None;
        }
        let mut out = [0; Self::BYTES];
        out[..bytes.len()].copy_from_slice(bytes);
        Some(Self(out))
    }

    /// The symbol's bytes without padding.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&b| b == 0).unwrap_or(Self::BYTES);
        &self.0[..len]
    }

    /// The symbol as text; empty when the bytes (from a damaged record) are no UTF-8.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl serde::Serialize for Symbol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Symbol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no symbol")))
    }
}

impl std::fmt::Debug for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// One version of an instrument's rules.
///
/// Prices are integers of `10^-price_scale` quote units, quantities of `10^-qty_scale` base units:
/// fine enough to keep off-tick market data, which is counted, while off-tick orders are refused.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct InstrumentDefinition {
    /// Venue symbol.
    pub symbol: Symbol,
    /// Index of the instrument in this session's configuration.
    pub instrument: u32,
    /// Starts at 1 in a session, plus one for every change of any rule below.
    pub version: u32,
    /// Decimal places of a price unit.
    pub price_scale: u8,
    /// Decimal places of a quantity unit.
    pub qty_scale: u8,
    /// 1 when the venue accepts orders on the instrument, else 0.
    pub is_trading: u8,
    /// Decimal places of a price in an order's text.
    pub price_places: u8,
    /// Decimal places of a quantity in an order's text.
    pub qty_places: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// Smallest step of an order price, in price units.
    pub tick: i64,
    /// Smallest step of an order quantity, in quantity units.
    pub lot: i64,
    /// Lowest order price, inclusive, in price units.
    pub price_min: i64,
    /// Highest order price, inclusive, in price units.
    pub price_max: i64,
    /// Smallest order quantity, inclusive, in quantity units.
    pub qty_min: i64,
    /// Largest order quantity, inclusive, in quantity units.
    pub qty_max: i64,
    /// Smallest order notional in quote currency x 10^8; reduce-only orders are exempt.
    pub notional_min_e8: i64,
    /// Highest price of a buy as parts of ten thousand of the mark price; 0 for no bound.
    pub price_up_e4: u32,
    /// Lowest price of a sell as parts of ten thousand of the mark price; 0 for no bound.
    pub price_down_e4: u32,
    /// Smallest quantity of a market order, inclusive, in quantity units; 0 for that of any order.
    pub market_qty_min: i64,
    /// Largest quantity of a market order, inclusive, in quantity units; 0 for that of any order.
    pub market_qty_max: i64,
    /// Smallest step of a market order's quantity, in quantity units; 0 for that of any order.
    pub market_lot: i64,
}

/// Which rule an order's price or quantity breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisfitKind {
    /// The price is no multiple of the tick or outside the venue's range.
    Price,
    /// The quantity is no multiple of the lot or outside the venue's range.
    Qty,
}

/// Units of a price or a quantity, and the steps orders take in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Decimal places of a unit.
    pub scale: u8,
    /// Decimal places in an order's text.
    pub places: u8,
    /// Smallest step of an order, in units.
    pub step: i64,
}

impl InstrumentDefinition {
    /// Version 1 of an instrument that trades on these grids, with no bound but the steps themselves.
    pub const fn on_grids(symbol: Symbol, instrument: u32, price: Grid, qty: Grid) -> Self {
        Self {
            symbol,
            instrument,
            version: 1,
            price_scale: price.scale,
            qty_scale: qty.scale,
            is_trading: 1,
            price_places: price.places,
            qty_places: qty.places,
            reserved: [0; 3],
            tick: price.step,
            lot: qty.step,
            price_min: price.step,
            price_max: i64::MAX,
            qty_min: qty.step,
            qty_max: i64::MAX,
            notional_min_e8: 0,
            price_up_e4: 0,
            price_down_e4: 0,
            market_qty_min: 0,
            market_qty_max: 0,
            market_lot: 0,
        }
    }

    /// A market order of `qty` keeps the rules that only market orders have.
    pub const fn is_market_qty(&self, qty: i64) -> bool {
        let is_in = qty >= self.market_qty_min && (self.market_qty_max == 0 || qty <= self.market_qty_max);
        is_in && (self.market_lot == 0 || qty % self.market_lot == 0)
    }

    /// Notional of `qty` at `price` in quote currency x 10^8, rounded away from zero.
    pub fn notional_e8(&self, price: i64, qty: i64) -> i128 {
        let product = i128::from(price) * i128::from(qty);
        let scale = self.price_scale + self.qty_scale;
        if scale <= 8 {
            return product * i128::from(pow10(8 - scale));
        }
        let divisor = i128::from(pow10(scale - 8));
        let quotient = product / divisor;
        if product % divisor == 0 { quotient } else { quotient + product.signum() }
    }

    /// First rule of the venue's filters that an order of `qty` at `price` breaks.
    pub fn misfit(&self, price: i64, qty: i64) -> Option<MisfitKind> {
        if price < self.price_min || price > self.price_max || price % self.tick != 0 {
            return Some(MisfitKind::Price);
        }
        if qty < self.qty_min || qty > self.qty_max || qty % self.lot != 0 {
            return Some(MisfitKind::Qty);
        }
        None
    }

    /// Lowest and highest price on the grid that an order may have: within `collar_bps` of a mark price x 10^8, the
    /// venue's band around it, and the venue's range. Without a mark price (0) only the range counts.
    pub fn price_bounds(&self, mark_e8: i64, collar_bps: i64) -> [i64; 2] {
        let Self { tick, price_min, price_max, price_up_e4, price_down_e4, .. } = *self;
        let [mut low, mut high] = [price_min, price_max];
        if mark_e8 > 0 {
            let (mark, unit) = (i128::from(mark_e8), self.price_to_e8(1) * 10_000);
            let up = 10_000 + collar_bps;
            let up = if price_up_e4 == 0 { up } else { up.min(price_up_e4.into()) };
            let down = (10_000 - collar_bps).max(price_down_e4.into());
            low = low.max(((mark * i128::from(down) + unit - 1) / unit) as i64);
            high = high.min((mark * i128::from(up) / unit) as i64);
        }
        [(low + tick - 1) / tick * tick, high / tick * tick]
    }

    /// The same units and steps: books, events and orders mean the same by both.
    pub fn has_grid_of(&self, other: &Self) -> bool {
        let grid = |d: &Self| {
            (d.price_scale, d.qty_scale, d.price_places, d.qty_places, d.tick, d.lot, d.symbol, d.instrument)
        };
        grid(self) == grid(other)
    }

    /// Price units as an amount of 10^-8 quote units; exact because scales are at most 8.
    pub fn price_to_e8(&self, price: i64) -> i128 {
        i128::from(price) * i128::from(pow10(8 - self.price_scale))
    }

    /// An amount of 10^-8 quote units, not negative, as price units, rounded up.
    #[inline]
    pub fn price_from_e8_up(&self, price_e8: i64) -> i64 {
        (price_e8 as u64).div_ceil(pow10(8 - self.price_scale) as u64) as i64
    }

    /// Price units as a float, for signals only.
    pub fn price_to_f64(&self, price: i64) -> f64 {
        price as f64 / pow10(self.price_scale) as f64
    }

    /// Why the definition cannot be used, or `None` when it is sound.
    pub fn fault(&self) -> Option<&'static str> {
        if self.tick <= 0 || self.lot <= 0 {
            return Some("tick or lot not positive");
        }
        if self.price_scale > 8 || self.qty_scale > 8 {
            return Some("more than eight decimal places");
        }
        if self.price_places > self.price_scale || self.qty_places > self.qty_scale {
            return Some("order text finer than the units");
        }
        let price_step = pow10(self.price_scale - self.price_places);
        let qty_step = pow10(self.qty_scale - self.qty_places);
        if self.tick % price_step != 0 || self.lot % qty_step != 0 {
            return Some("tick or lot finer than the order text");
        }
        if self.symbol.as_bytes().is_empty() {
            return Some("empty symbol");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn btc() -> InstrumentDefinition {
        let price = Grid { scale: 2, places: 1, step: 10 };
        let qty = Grid { scale: 3, places: 3, step: 1 };
        InstrumentDefinition::on_grids(Symbol::new("BTCUSDT").unwrap(), 0, price, qty)
    }

    #[test]
    fn notional_is_exact_and_rounds_away_from_zero() {
        let mut d = btc();
        assert_eq!(d.notional_e8(6_180_020, 14), 86_520_280_000);
        d.price_scale = 6;
        d.qty_scale = 6;
        assert_eq!(d.notional_e8(1, 1), 1);
        assert_eq!(d.notional_e8(-1, 1), -1);
        assert_eq!(d.notional_e8(100, 100), 1);
    }

    #[test]
    fn orders_off_the_grid_are_misfits() {
        let d = btc();
        assert_eq!(d.misfit(6_180_020, 14), None);
        assert_eq!(d.misfit(6_180_025, 14), Some(MisfitKind::Price));
        assert_eq!(d.misfit(6_180_020, 0), Some(MisfitKind::Qty));
    }

    #[test]
    fn symbols_have_a_bound() {
        assert!(Symbol::new("").is_none());
        assert!(Symbol::new(&"X".repeat(33)).is_none());
        assert_eq!(Symbol::new("币安人生USDT").unwrap().as_str(), "币安人生USDT");
    }
}
