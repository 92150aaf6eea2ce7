//! Where reading the account starts after a restart: trade and order ids up to which everything is in the archive. Older
//! is always safe, because every trade counts once by its id; newer would leave out what the process before read and
//! took with it to its grave.

use super::{
    account::{AccountRead, ResumeFrom},
    keeper::Keeper,
    wallet::Wallet,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
};
use tickpath_shared::{paths::DataDir, record::Cause, types::InstrumentDefinition};

/// Readings that may be on their way to the gateway at once. Forgetting one only makes the next start read more.
const TOLD_MAX: usize = 8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ids {
    trade: u64,
    order: u64,
}

type BySymbol = BTreeMap<String, Ids>;

/// The stored ids, by symbol, and those on their way there.
pub struct ResumeFile {
    path: PathBuf,
    /// After the last reading.
    by_symbol: BySymbol,
    /// Readings told to the gateway: the record that ended each, and what was known after it.
    told: VecDeque<(Cause, BySymbol)>,
    /// A reading that the gateway has journalled, and the end of its lane behind it.
    booked: Option<(u64, BySymbol)>,
}

impl ResumeFile {
    /// Reads the file of a data directory; a missing or damaged one means to read from the beginning.
    pub fn load(data: &DataDir) -> Self {
        let path = data.run().join("resume.json");
        let by_symbol =
            std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        Self { path, by_symbol, told: VecDeque::new(), booked: None }
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

    /// Remembers what a complete read of the account contained, which the record `end` tells the gateway. The ids
    /// themselves are read again.
    pub(super) fn on_told(&mut self, definitions: &[InstrumentDefinition], read: &AccountRead, end: Cause) {
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
        if self.told.len() == TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back((end, self.by_symbol.clone()));
    }

    /// The gateway has journalled everything that a reading contained, up to a position of its lane.
    pub(super) fn on_booked(&mut self, end: Cause, position: u64) {
        while self.told.front().is_some_and(|(told, _)| told.number() <= end.number()) {
            let Some((told, ids)) = self.told.pop_front() else { return };
            // One waits for the archive at a time: were it replaced by every newer one, none might ever get there.
            if told == end && self.booked.is_none() {
                self.booked = Some((position, ids));
            }
        }
    }

    /// The gateway's lane is on the disk up to a position: a start that finds the file finds the trades, too.
    pub(super) fn on_archived(&mut self, position: u64, keeper: &Keeper) {
        if let Some((_, ids)) = self.booked.take_if(|(end, _)| *end <= position) {
            keeper.store(&self.path, &ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::{
        record::FillRecord,
        types::{Grid, Symbol},
    };
    use zerocopy::FromZeros;

    #[test]
    fn a_start_reads_again_what_is_not_known_to_be_archived() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        std::fs::create_dir(data.run()).unwrap();
        let (price, qty) = (Grid { scale: 1, places: 1, step: 1 }, Grid { scale: 3, places: 3, step: 1 });
        let definitions = [InstrumentDefinition::on_grids(Symbol::new("BTCUSDT").unwrap(), 0, price, qty)];
        let next_start = || ResumeFile::load(&data).start_ids(&definitions, &Wallet::default()).trades[0];
        let end = |number| Cause::new(0, number);
        let read = |trade_id| {
            let trade = FillRecord { trade_id, venue_order_id: trade_id, ..FillRecord::new_zeroed() };
            AccountRead { trades: vec![trade], ..AccountRead::default() }
        };
        let mut file = ResumeFile::load(&data);
        let after = |file: &mut ResumeFile, archived| {
            let mut keeper = Keeper::start();
            file.on_archived(archived, &keeper);
            assert_eq!(keeper.finish(), Vec::<String>::new());
            next_start()
        };
        file.on_told(&definitions, &read(5), end(10));
        assert_eq!(after(&mut file, u64::MAX), 0, "the gateway may not have seen it");
        file.on_told(&definitions, &read(7), end(20));
        file.on_booked(end(10), 1_000);
        assert_eq!(after(&mut file, 999), 0, "the archive may not have it");
        file.on_booked(end(20), 2_000);
        assert_eq!(after(&mut file, 1_000), 5);
        assert_eq!(after(&mut file, 3_000), 5, "left out while the first one waited");
        file.on_told(&definitions, &read(9), end(30));
        file.on_told(&definitions, &read(11), end(40));
        file.on_booked(end(40), 4_000);
        assert_eq!(after(&mut file, 4_000), 11);
        (50..80).for_each(|number| file.on_told(&definitions, &read(number), end(number)));
        assert_eq!(file.told.len(), TOLD_MAX);
        file.on_booked(end(50), 5_000);
        assert_eq!(after(&mut file, 5_000), 11, "forgotten");
    }
}
