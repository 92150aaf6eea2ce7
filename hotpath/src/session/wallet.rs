//! The wallet against what is known to have moved it: trades of the configured instruments, and funding. Whatever else
//! did is told to people; nothing is decided on it.

use super::{account::AccountRead, keeper::Keeper};
use crate::venue::{self, Funding};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};
use tickpath_shared::{
    paths::DataDir,
    record::{FillRecord, PositionRecord},
    types::{InstrumentDefinition, Side, decimal},
};

/// Funding is listed by the time that it was due, and reaches the wallet up to a minute later: so much of the list is
/// looked at twice, milliseconds.
pub(super) const FUNDING_LAG_MS: u64 = 300_000;
/// A difference that rounding alone may make, x 10^8.
const ROUNDING_E8: i128 = 100;

/// What a reading of the account showed, and what trades have moved since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Venue's time of it, unix milliseconds.
    venue_ms: u64,
    /// Wallet x 10^8, by asset.
    wallets: BTreeMap<String, i64>,
    /// Positions by symbol.
    held: BTreeMap<String, Held>,
    /// Last trades that were counted, by symbol.
    trade_ids: BTreeMap<String, u64>,
    /// What trades brought since, x 10^8, by asset: positions at what they cost or brought, and commissions.
    flows: BTreeMap<String, i128>,
    /// How many these were.
    trades: u64,
    /// From when on the funding below was listed, unix milliseconds.
    funding_from_ms: u64,
    /// Sums x 10^8, by asset.
    funding: BTreeMap<String, i128>,
}

/// A position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    qty: i64,
    entry_price_e8: i64,
}

/// What the last complete reading showed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Wallet {
    kept: Option<Kept>,
}

impl Wallet {
    /// From when on funding has to be listed at the next reading, unix milliseconds by the venue's clock; 0 for what may be
    /// late only.
    pub fn funding_from_ms(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.funding_from_ms)
    }

    /// Takes a reading, whose trades are listed nowhere else again; returns a text for every asset whose wallet moved by
    /// more than is known. One without balances is compared with the next.
    pub fn take(&mut self, definitions: &[InstrumentDefinition], read: &AccountRead) -> Vec<String> {
        if let Some(kept) = &mut self.kept {
            kept.count(definitions, &read.trades);
        }
        let Some(mut now) = Kept::of(definitions, read) else { return Vec::new() };
        let Some(before) = &self.kept else {
            now.count(definitions, &read.trades);
            (now.flows, now.trades) = Default::default();
            self.kept = Some(now);
            return Vec::new();
        };
        let texts = now.unexplained(before, definitions, read);
        now.trade_ids.clone_from(&before.trade_ids);
        self.kept = Some(now);
        texts
    }
}

/// A wallet that the next start finds again.
pub(super) struct WalletFile {
    path: PathBuf,
    wallet: Wallet,
}

impl WalletFile {
    /// Reads the file of a data directory; without one, or with a damaged one, the first reading has nothing to be compared
    /// with.
    pub(super) fn load(data: &DataDir) -> Self {
        let path = data.run().join("wallet.json");
        let wallet = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path, wallet: wallet.unwrap_or_default() }
    }

    /// See [`Wallet::funding_from_ms`].
    pub(super) fn funding_from_ms(&self) -> u64 {
        self.wallet.funding_from_ms()
    }

    /// See [`Wallet::take`].
    pub(super) fn take(
        &mut self,
        definitions: &[InstrumentDefinition],
        read: &AccountRead,
        keeper: &Keeper,
    ) -> Vec<String> {
        let texts = self.wallet.take(definitions, read);
        keeper.store(&self.path, &self.wallet);
        texts
    }
}

impl Kept {
    /// `None` when the balances are not known.
    fn of(definitions: &[InstrumentDefinition], read: &AccountRead) -> Option<Self> {
        let venue_ms = read.balances.first()?.venue_ms;
        let held = |position: &PositionRecord| {
            let symbol = definitions[position.instrument as usize].symbol.as_str().to_owned();
            (symbol, Held { qty: position.qty, entry_price_e8: position.entry_price_e8 })
        };
        let funding_from_ms = venue_ms.saturating_sub(FUNDING_LAG_MS);
        Some(Self {
            venue_ms,
            wallets: read.balances.iter().map(|b| (b.asset(), b.wallet_e8)).collect(),
            held: read.positions.iter().map(held).collect(),
            trade_ids: BTreeMap::new(),
            flows: BTreeMap::new(),
            trades: 0,
            funding_from_ms,
            funding: sums(&read.funding, funding_from_ms),
        })
    }

    /// Counts trades that were not yet.
    fn count(&mut self, definitions: &[InstrumentDefinition], trades: &[FillRecord]) {
        for trade in trades {
            let definition = &definitions[trade.instrument as usize];
            let last = self.trade_ids.entry(definition.symbol.as_str().to_owned()).or_default();
            if trade.trade_id <= *last {
                continue;
            }
            *last = trade.trade_id;
            self.trades += 1;
            if let Some(asset) = self.asset_of(definition).cloned() {
                *self.flows.entry(asset).or_default() -= paid_e8(definition, trade);
            }
            *self.flows.entry(trade.fee_asset()).or_default() -= i128::from(trade.fee_e8);
        }
    }

    /// What an instrument is settled in.
    fn asset_of(&self, definition: &InstrumentDefinition) -> Option<&String> {
        let assets = self.wallets.keys().filter(|asset| venue::settles_in(definition, asset));
        assets.max_by_key(|asset| asset.len())
    }

    fn unexplained(
        &self,
        before: &Self,
        definitions: &[InstrumentDefinition],
        read: &AccountRead,
    ) -> Vec<String> {
        let funding = sums(&read.funding, before.funding_from_ms);
        let of = |sums: &BTreeMap<String, i128>, asset: &str| sums.get(asset).copied().unwrap_or(0);
        let mut texts = Vec::new();
        for (asset, wallet_e8) in &self.wallets {
            let Some(wallet_before) = before.wallets.get(asset) else { continue };
            let mut explained = of(&funding, asset) - of(&before.funding, asset) + of(&before.flows, asset);
            // Entry prices are told to eight decimals, profits are rounded trade by trade: not known better.
            let mut bound = ROUNDING_E8 + i128::from(before.trades);
            for definition in definitions.iter().filter(|d| self.asset_of(d) == Some(asset)) {
                let at = |kept: &Self| kept.held.get(definition.symbol.as_str()).copied().unwrap_or_default();
                let (then, now) = (at(before), at(self));
                explained += cost_e8(definition, now) - cost_e8(definition, then);
                let units = i128::from(now.qty.unsigned_abs()) + i128::from(then.qty.unsigned_abs());
                bound += units / i128::from(decimal::pow10(definition.qty_scale)) + 1;
            }
            let rest = i128::from(*wallet_e8) - i128::from(*wallet_before) - explained;
            if rest.abs() > bound {
                texts.push(text(asset, rest, before.venue_ms));
            }
        }
        texts
    }
}

/// What a trade took out of the wallet for what it put into the position: negative of a sell.
fn paid_e8(definition: &InstrumentDefinition, trade: &FillRecord) -> i128 {
    let sign = if trade.side == Side::Sell as u8 { -1 } else { 1 };
    sign * definition.notional_e8(trade.price, trade.qty)
}

/// What a position cost: negative of a short one.
fn cost_e8(definition: &InstrumentDefinition, held: Held) -> i128 {
    i128::from(held.entry_price_e8) * i128::from(held.qty) / i128::from(decimal::pow10(definition.qty_scale))
}

fn sums(funding: &[Funding], from_ms: u64) -> BTreeMap<String, i128> {
    let mut sums = BTreeMap::new();
    for row in funding.iter().filter(|row| row.venue_ms >= from_ms) {
        *sums.entry(row.asset.clone()).or_insert(0) += i128::from(row.amount_e8);
    }
    sums
}

fn text(asset: &str, rest_e8: i128, since_ms: u64) -> String {
    let amount = decimal::to_text(rest_e8.unsigned_abs().min(i64::MAX as u128) as i64, 8);
    let direction = if rest_e8 > 0 { "more" } else { "less" };
    format!(
        "{asset}: {amount} {direction} in the wallet than trades and funding explain since {since_ms} (unix \
         milliseconds): a transfer, a rebate, a liquidation fee, or trades of instruments that are not configured"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::{
        record::BalanceRecord,
        types::{ClientOrderId, Grid, Symbol},
    };
    use zerocopy::FromZeros;

    const START_MS: u64 = 1_700_000_000_000;

    fn definition() -> InstrumentDefinition {
        let price = Grid { scale: 2, places: 1, step: 10 };
        let qty = Grid { scale: 3, places: 3, step: 1 };
        InstrumentDefinition::on_grids(Symbol::new("BTCUSDT").unwrap(), 0, price, qty)
    }

    fn trade(trade_id: u64, side: Side, price: i64, qty: i64, fee: (&str, i64)) -> FillRecord {
        let mut fee_asset = [0; 8];
        fee_asset[..fee.0.len()].copy_from_slice(fee.0.as_bytes());
        let client_order_id = ClientOrderId::from_venue(b"x");
        let side = side as u8;
        FillRecord {
            trade_id,
            price,
            qty,
            fee_e8: fee.1,
            fee_asset,
            side,
            client_order_id,
            ..FillRecord::new_zeroed()
        }
    }

    /// A reading a number of seconds after the start.
    fn read(
        after_s: u64,
        wallets: &[(&str, i64)],
        qty: i64,
        entry_price: i64,
        trades: &[FillRecord],
    ) -> AccountRead {
        let venue_ms = START_MS + after_s * 1_000;
        let balance = |(name, wallet_e8): &(&str, i64)| BalanceRecord {
            asset: BalanceRecord::name(name).unwrap(),
            wallet_e8: *wallet_e8,
            cross_e8: *wallet_e8,
            venue_ms,
        };
        let entry_price_e8 = entry_price * 1_000_000;
        let position = PositionRecord { qty, entry_price_e8, ..PositionRecord::new_zeroed() };
        AccountRead {
            balances: wallets.iter().map(balance).collect(),
            positions: vec![position],
            trades: trades.to_vec(),
            ..AccountRead::default()
        }
    }

    /// What the readings had to say, one after the other.
    fn told(reads: &[AccountRead]) -> Vec<usize> {
        let mut wallet = Wallet::default();
        reads.iter().map(|read| wallet.take(&[definition()], read).len()).collect()
    }

    #[test]
    fn trades_explain_the_wallet_whichever_way_they_are_listed() {
        // 10 of 1,000 at 61,800.00 for 618.00, half of them sold with a profit of 0.50; commission in two assets.
        let bought = trade(7, Side::Buy, 6_180_000, 10, ("USDT", 30_000_000));
        let sold = trade(8, Side::Sell, 6_190_000, 5, ("BNB", 10_000));
        let start = [("BNB", 50_000), ("USDT", 100_000_000_000)];
        let end = [("BNB", 40_000), ("USDT", 100_000_000_000 - 30_000_000 + 50_000_000)];
        let first = read(0, &start, 0, 0, &[]);
        let last = read(60, &end, 5, 6_180_000, &[bought, sold]);
        assert_eq!(told(&[first.clone(), last.clone()]), [0, 0]);
        // Listed again, and one of the readings without balances.
        let blind = AccountRead { balances: Vec::new(), ..read(30, &[], 10, 6_180_000, &[bought]) };
        let rest = read(60, &end, 5, 6_180_000, &[sold]);
        let again = read(90, &end, 5, 6_180_000, &[sold]);
        assert_eq!(told(&[first.clone(), blind, rest, again]), [0, 0, 0, 0]);
        // Trades before the first reading are in its wallet.
        assert_eq!(told(&[last.clone(), last]), [0, 0]);
        // A trade that nobody listed.
        assert_eq!(told(&[first, read(60, &end, 5, 6_180_000, &[bought])]), [0, 2]);
    }

    #[test]
    fn funding_may_be_late_and_everything_else_is_told() {
        let funding = |due_s: u64, amount_e8| Funding {
            asset: "USDT".into(),
            amount_e8,
            venue_ms: START_MS + due_s * 1_000,
        };
        let at = |after_s, wallet_e8, funding: &[Funding]| AccountRead {
            funding: funding.to_vec(),
            ..read(after_s, &[("USDT", wallet_e8)], 0, 0, &[])
        };
        let (early, late) = (funding(10, -400), funding(58, -500));
        // The second one was due before the second reading, and is in wallet and list after it.
        let reads = [
            at(0, 10_000, &[]),
            at(60, 9_600, std::slice::from_ref(&early)),
            at(120, 9_100, &[early.clone(), late.clone()]),
            at(180, 9_100, &[early, late]),
        ];
        assert_eq!(told(&reads), [0, 0, 0, 0]);

        let mut wallet = Wallet::default();
        assert!(wallet.take(&[definition()], &at(0, 10_000, &[])).is_empty());
        assert_eq!(wallet.funding_from_ms(), START_MS - FUNDING_LAG_MS);
        let again: String = serde_json::to_string(&wallet).unwrap();
        let mut wallet: Wallet = serde_json::from_str(&again).unwrap();
        let texts = wallet.take(&[definition()], &at(60, 10_000 + 150_000_000, &[]));
        assert!(texts[0].starts_with("USDT: 1.50000000 more in the wallet"), "{texts:?}");
        let texts = wallet.take(&[definition()], &at(90, 10_000, &[]));
        assert!(texts[0].starts_with("USDT: 1.50000000 less in the wallet"), "{texts:?}");
        assert!(wallet.take(&[definition()], &at(120, 10_000 - ROUNDING_E8 as i64, &[])).is_empty());
    }
}
