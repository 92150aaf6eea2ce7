//! The venue simulator: the wire protocol of a real venue over real sockets, market data from a capture or
//! the synthetic market, our orders matched against it.
//!
//! One thread, one event loop: connections, market data and matching need no lock and have one order.

mod admin;
pub mod binance;
mod connection;
mod faults;
mod network;
mod options;
mod pace;
mod plan;
mod server;
mod tls;
mod upstream;

pub use binance::script;
pub use connection::HttpRequest;
pub use faults::{Channel, Fault, FaultError, FaultFile, FaultKind, Faults};
pub use options::{AccountKey, AccountStart, Limits, VenueOptions};
pub use pace::Speed;
pub use server::{Server, ServerReport};
pub use tls::{TlsFiles, generate_tls, server_config};
pub use upstream::Upstream;

use crate::capture::{CaptureError, CaptureReader, MarketSource, SyntheticMarket};
use std::path::PathBuf;
use tickpath_shared::types::{Grid, InstrumentDefinition, Symbol, decimal};

/// An instrument of the simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimInstrument {
    /// Symbol.
    pub symbol: &'static str,
    /// Smallest step of a price.
    pub tick: &'static str,
    /// Smallest step of a quantity.
    pub lot: &'static str,
}

/// Instruments the simulator trades.
pub const INSTRUMENTS: [SimInstrument; 2] = [
    SimInstrument { symbol: "BTCUSDT", tick: "0.10", lot: "0.001" },
    SimInstrument { symbol: "ETHUSDT", tick: "0.01", lot: "0.001" },
];

/// Smallest notional of an order.
pub const NOTIONAL_MIN: &str = "5";

/// Definitions of [`INSTRUMENTS`], in the units the simulator computes in.
pub fn definitions() -> Vec<InstrumentDefinition> {
    let scaled = |text: &str, scale: u8| {
        decimal::parse(text.as_bytes(), scale).unwrap_or_else(|e| unreachable!("constant {text}: {e}"))
    };
    let define = |(index, i): (usize, &SimInstrument)| InstrumentDefinition {
        // A million.
        price_max: 100_000_000,
        qty_max: scaled("1000", 4),
        notional_min_e8: scaled(NOTIONAL_MIN, 8),
        ..InstrumentDefinition::on_grids(
            Symbol::new(i.symbol).unwrap_or_else(|| unreachable!("constant symbol")),
            index as u32,
            Grid { scale: 2, places: 2, step: scaled(i.tick, 2) },
            Grid { scale: 4, places: 3, step: scaled(i.lot, 4) },
        )
    };
    INSTRUMENTS.iter().enumerate().map(define).collect()
}

/// Where market data comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Market {
    /// The synthetic market of a seed.
    Synthetic {
        /// The seed.
        seed: u64,
    },
    /// Recorded captures, merged on receive time.
    Captures(Vec<PathBuf>),
    /// What happens at another venue now.
    Upstream(Upstream),
}

impl Market {
    /// Opens the source. `start_ms` is the unix time at which a synthetic market starts.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] when a capture cannot be opened.
    pub fn open(&self, start_ms: u64) -> Result<Box<dyn MarketSource>, CaptureError> {
        Ok(match self {
            Self::Synthetic { seed } => Box::new(SyntheticMarket::new(*seed, start_ms)),
            Self::Captures(paths) => Box::new(CaptureReader::open(paths)?),
            Self::Upstream(from) => Box::new(upstream::LiveSource::start(from.clone())),
        })
    }
}
