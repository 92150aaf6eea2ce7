//! What a simulator is made of.

use super::{FaultFile, Market, Speed, TlsFiles};
use std::net::SocketAddr;
use tickpath_hotpath::sim::FeeRates;

/// Rate limits of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request weight of an address in a minute.
    pub weight_1m: u64,
    /// Orders of the account in ten seconds.
    pub orders_10s: u64,
    /// Orders of the account in a minute.
    pub orders_1m: u64,
}

impl Limits {
    /// So high that they are never reached.
    pub const NONE: Self =
        Self { weight_1m: u64::MAX / 4, orders_10s: u64::MAX / 4, orders_1m: u64::MAX / 4 };
}

impl Limits {
    /// Those of an ordinary account in a market that runs at a speed.
    pub fn at(speed: Speed) -> Self {
        let usual = Self::default();
        match speed {
            Speed::Max => Self::NONE,
            Speed::Times(times) => {
                let scale = |limit: u64| (limit as f64 * times.max(1.0)).ceil() as u64;
                Self {
                    weight_1m: scale(usual.weight_1m),
                    orders_10s: scale(usual.orders_10s),
                    orders_1m: scale(usual.orders_1m),
                }
            }
        }
    }
}

impl Default for Limits {
    /// Those of an ordinary account.
    fn default() -> Self {
        Self { weight_1m: 2400, orders_10s: 300, orders_1m: 1200 }
    }
}

/// A key the simulator accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountKey {
    /// Shared secret.
    Hmac {
        /// API key.
        api_key: String,
        /// Secret.
        secret: String,
    },
    /// Public key.
    Ed25519 {
        /// API key.
        api_key: String,
        /// Public key.
        public: [u8; 32],
    },
}

/// What a simulator is made of.
#[derive(Clone, Debug)]
pub struct VenueOptions {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Market data.
    pub market: Market,
    /// Pace of the market data.
    pub speed: Speed,
    /// Keys of the one account.
    pub keys: Vec<AccountKey>,
    /// Certificate and key; `None` for plain TCP.
    pub tls: Option<TlsFiles>,
    /// What goes wrong.
    pub faults: FaultFile,
    /// Start the capture over at its end, as a new stretch of the same market.
    pub is_looped: bool,
    /// Rate limits.
    pub limits: Limits,
    /// The account at the start.
    pub account: AccountStart,
}

/// What the account of a simulator is like at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountStart {
    /// Wallet balance, quote x 10^8.
    pub balance_e8: i128,
    /// Long and short positions are held apart.
    pub is_hedge: bool,
    /// Its keys may withdraw.
    pub can_withdraw: bool,
    /// Commission.
    pub fees: FeeRates,
    /// Share of the displayed price x 10^8 by which what it takes is dearer.
    pub slippage_e8: i64,
    /// Number of the first trade, and a million less than that of the first order.
    pub first_id: u64,
}

/// Nothing in the wallet, numbers as long as those of a venue, the commission of a new account: 0.02 % maker, 0.05 %
/// taker.
impl Default for AccountStart {
    fn default() -> Self {
        Self {
            balance_e8: 0,
            is_hedge: false,
            can_withdraw: false,
            fees: FeeRates { maker_e8: 20_000, taker_e8: 50_000 },
            slippage_e8: 0,
            first_id: 1_700_000_000_000_001,
        }
    }
}
