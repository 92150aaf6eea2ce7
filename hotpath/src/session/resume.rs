//! Where reading the account starts after a restart: trade and order ids seen up to some moment. Older is
//! always safe, because every trade counts once by its id.

use super::{
    account::{AccountRead, ResumeFrom},
    keeper::Keeper,
    wallet::Wallet,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};
use tickpath_shared::{paths::DataDir, types::InstrumentDefinition};

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Ids {
    trade: u64,
    order: u64,
}

/// The stored ids, by symbol.
pub struct ResumeFile {
    path: PathBuf,
    by_symbol: BTreeMap<String, Ids>,
}

impl ResumeFile {
    /// Reads the file of a data directory; a missing or damaged one means to read from the beginning.
    pub fn load(data: &DataDir) -> Self {
        let path = data.run().join("resume.json");
        let by_symbol =
            std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        Self { path, by_symbol }
    }

    /// Ids from which the instruments are read, and from when on funding is: nothing that the wallet has not counted is left
    /// out.
    pub(super) fn start_ids(&self, definitions: &[InstrumentDefinition], wallet: &Wallet) -> ResumeFrom {
        let of =
            |d: &InstrumentDefinition| self.by_symbol.get(d.symbol.as_str()).copied().unwrap_or_default();
        ResumeFrom {
            trades: definitions
                .iter()
                .map(|d| {
                    wallet.last_trade(d.symbol.as_str()).map_or(of(d).trade, |last| last.min(of(d).trade))
                })
                .collect(),
            orders: definitions.iter().map(|d| of(d).order).collect(),
            funding_from_ms: wallet.funding_from_ms(),
        }
    }

    /// Remembers what a complete read of the account contained. The ids themselves are read again; a start that finds
    /// an older file reads more than it needs to.
    pub(super) fn keep(&mut self, definitions: &[InstrumentDefinition], read: &AccountRead, keeper: &Keeper) {
        for definition in definitions {
            let ids = self.by_symbol.entry(definition.symbol.as_str().to_owned()).or_default();
            let trades = read.trades.iter().filter(|t| t.instrument == definition.instrument);
            for trade in trades {
                ids.trade = ids.trade.max(trade.trade_id);
                ids.order = ids.order.max(trade.venue_order_id);
            }
            // An order that is still open may trade later under its old id.
            let open = read.open_orders.iter().filter(|o| o.instrument == definition.instrument);
            ids.order = open.map(|o| o.venue_order_id).fold(ids.order, u64::min);
        }
        keeper.store(&self.path, &self.by_symbol);
    }
}
