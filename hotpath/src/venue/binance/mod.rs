//! What the Binance family shares: signatures and symbol names.

pub mod sign;
pub mod usdm;
