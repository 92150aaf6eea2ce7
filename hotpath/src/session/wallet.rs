//! The wallet against what is known to have moved it: trades of the configured instruments, and funding. Whatever else
//! did is told to people; nothing is decided on it. Positions and results are the gateway's, by fills alone.

use super::{account::AccountRead, keeper::Keeper};
use crate::venue::{self, Funding};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use tickpath_shared::{
    paths::DataDir,
    record::{FillRecord, PositionRecord},
    types::{InstrumentDefinition, Side, decimal},
};

/// Funding is listed by the time that it was due, and reaches the wallet up to a minute later: so much of the list is
/// looked at twice, milliseconds.
pub(super) const FUNDING_LAG_MS: u64 = 300_000;
/// A reading of longer ago is compared with nothing: venues forget what moved a wallet.
pub(super) const AGE_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;
/// A difference that rounding alone may make, x 10^8.
const ROUNDING_E8: i128 = 100;

/// What a reading of the account showed, and what trades have moved since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Venue's time of it, unix milliseconds.
    venue_ms: u64,
    /// Wallet x 10^8, by asset.
    wallets: BTreeMap<String, i64>,
    /// Positions by symbol, of every instrument that was configured.
    held: BTreeMap<String, Held>,
    /// Last trades that were counted, by symbol.
    trade_ids: BTreeMap<String, u64>,
    /// What trades brought since, x 10^8, by asset: positions at what they cost or brought, and commissions.
    flows: BTreeMap<String, i128>,
    /// What rounding may make of these trades, x 10^8.
    rounding_e8: i128,
    /// From when on the funding below was listed, unix milliseconds.
    funding_from_ms: u64,
    /// Sums x 10^8, by asset.
    funding: BTreeMap<String, i128>,
}

/// A position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    /// What it cost x 10^8: negative of a short one.
    cost_e8: i128,
    /// Its size in whole units, rounded up.
    units: i128,
}

/// A difference x 10^8, and how much of it rounding may have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Discrepancy {
    amount_e8: i128,
    rounding_e8: i128,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// What moved that nothing explains, in words.
    pub moved: Option<String>,
    /// Something seems to have moved; another reading shows whether only a list was late.
    pub is_doubtful: bool,
}

/// What the last complete reading showed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Wallet {
    kept: Option<Kept>,
    /// Differences that one reading has shown, by asset.
    doubts: BTreeMap<String, Discrepancy>,
}

impl Wallet {
    /// From when on funding has to be listed at the next reading, unix milliseconds by the venue's clock; 0 for what may be
    /// late only.
    pub fn funding_from_ms(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.funding_from_ms)
    }

    /// Last trade of an instrument that was counted; later ones have to be listed.
    pub fn last_trade(&self, symbol: &str) -> Option<u64> {
        self.kept.as_ref()?.trade_ids.get(symbol).copied()
    }

    /// Takes a reading. What it shows is told when the next one shows it too: lists may lag behind each other. Trades that
    /// were counted already are not counted again.
    pub fn take(&mut self, definitions: &[InstrumentDefinition], read: &AccountRead) -> Finding {
        if let Some(kept) = &mut self.kept {
            kept.count(definitions, &read.trades);
        }
        let Some(now) = Kept::of(definitions, read, self.kept.as_ref()) else { return Finding::default() };
        let rests = match (&self.kept, &read.funding) {
            (Some(before), Some(funding)) => now.unexplained(before, definitions, funding),
            _ => BTreeMap::new(),
        };
        let was_doubtful = !self.doubts.is_empty();
        if !rests.is_empty() && !is_same(&rests, &self.doubts) {
            self.doubts = rests;
            // What is still counted and compared is the reading before.
            return Finding { moved: None, is_doubtful: !was_doubtful };
        }
        let since_ms = self.kept.as_ref().map_or(0, |kept| kept.venue_ms);
        self.doubts.clear();
        self.kept = Some(now);
        Finding { moved: (!rests.is_empty()).then(|| text(&rests, since_ms)), is_doubtful: false }
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

    pub(super) fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// See [`Wallet::take`].
    pub(super) fn take(
        &mut self,
        definitions: &[InstrumentDefinition],
        read: &AccountRead,
        keeper: &Keeper,
    ) -> Finding {
        let finding = self.wallet.take(definitions, read);
        keeper.store(&self.path, &self.wallet);
        finding
    }
}

impl Kept {
    /// `None` when the reading proves nothing. Trades are counted from `before` on, and from this reading on for
    /// instruments that it does not know.
    fn of(definitions: &[InstrumentDefinition], read: &AccountRead, before: Option<&Self>) -> Option<Self> {
        let funding = read.funding.as_deref()?;
        let venue_ms = read.balances.first()?.venue_ms;
        let held = |position: &PositionRecord| {
            let definition = &definitions[position.instrument as usize];
            let per_unit = i128::from(decimal::pow10(definition.qty_scale));
            let cost_e8 = i128::from(position.entry_price_e8) * i128::from(position.qty) / per_unit;
            let units = i128::from(position.qty.unsigned_abs()) / per_unit + 1;
            (definition.symbol.as_str().to_owned(), Held { cost_e8, units })
        };
        let mut trade_ids = before.map_or_else(BTreeMap::new, |kept| kept.trade_ids.clone());
        for trade in &read.trades {
            let symbol = definitions[trade.instrument as usize].symbol.as_str().to_owned();
            let last = trade_ids.entry(symbol).or_default();
            *last = trade.trade_id.max(*last);
        }
        let funding_from_ms = venue_ms.saturating_sub(FUNDING_LAG_MS);
        Some(Self {
            venue_ms,
            wallets: read.balances.iter().map(|b| (b.asset(), b.wallet_e8)).collect(),
            held: read.positions.iter().map(held).collect(),
            trade_ids,
            flows: BTreeMap::new(),
            rounding_e8: 0,
            funding_from_ms,
            funding: sums(funding, funding_from_ms),
        })
    }

    /// Counts trades that were not yet, of the instruments that this reading knows.
    fn count(&mut self, definitions: &[InstrumentDefinition], trades: &[FillRecord]) {
        for trade in trades {
            let definition = &definitions[trade.instrument as usize];
            let symbol = definition.symbol.as_str();
            let last = self.trade_ids.get(symbol).copied().unwrap_or(0);
            if trade.trade_id <= last || !self.held.contains_key(symbol) {
                continue;
            }
            self.trade_ids.insert(symbol.to_owned(), trade.trade_id);
            let per_unit = i128::from(decimal::pow10(definition.qty_scale));
            self.rounding_e8 += i128::from(trade.qty) / per_unit + 1;
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

    /// Differences by asset. Readings with other instruments, or too long apart, are not compared.
    fn unexplained(
        &self,
        before: &Self,
        definitions: &[InstrumentDefinition],
        funding: &[Funding],
    ) -> BTreeMap<String, Discrepancy> {
        let is_comparable = self.held.keys().eq(before.held.keys())
            && self.venue_ms.saturating_sub(before.venue_ms) < AGE_MS_MAX;
        if !is_comparable {
            return BTreeMap::new();
        }
        let funding = sums(funding, before.funding_from_ms);
        let assets: BTreeSet<&String> = before.wallets.keys().chain(self.wallets.keys()).collect();
        let rest = |asset: &String| {
            let of = |sums: &BTreeMap<String, i128>| sums.get(asset).copied().unwrap_or(0);
            // An asset that is not listed is not there.
            let wallet = |kept: &Self| i128::from(kept.wallets.get(asset).copied().unwrap_or(0));
            let mut explained = of(&funding) - of(&before.funding) + of(&before.flows);
            // Entry prices are told to eight decimals, and profits rounded trade by trade.
            let mut rounding_e8 = ROUNDING_E8 + before.rounding_e8;
            let is_its = |kept: &Self, d: &InstrumentDefinition| kept.asset_of(d) == Some(asset);
            for definition in definitions.iter().filter(|d| is_its(before, d) || is_its(self, d)) {
                let symbol = definition.symbol.as_str();
                if let (Some(then), Some(now)) = (before.held.get(symbol), self.held.get(symbol)) {
                    explained += now.cost_e8 - then.cost_e8;
                    rounding_e8 += now.units + then.units;
                }
            }
            Discrepancy { amount_e8: wallet(self) - wallet(before) - explained, rounding_e8 }
        };
        let rests = assets.into_iter().map(|asset| (asset.clone(), rest(asset)));
        rests.filter(|(_, rest)| rest.amount_e8.abs() > rest.rounding_e8).collect()
    }
}

/// What a trade took out of the wallet for what it put into the position: negative of a sell.
fn paid_e8(definition: &InstrumentDefinition, trade: &FillRecord) -> i128 {
    let sign = if trade.side == Side::Sell as u8 { -1 } else { 1 };
    sign * definition.notional_e8(trade.price, trade.qty)
}

fn sums(funding: &[Funding], from_ms: u64) -> BTreeMap<String, i128> {
    let mut sums = BTreeMap::new();
    for row in funding.iter().filter(|row| row.venue_ms >= from_ms) {
        *sums.entry(row.asset.clone()).or_insert(0) += i128::from(row.amount_e8);
    }
    sums
}

/// Both readings show the same, but for what rounding makes.
fn is_same(rests: &BTreeMap<String, Discrepancy>, doubts: &BTreeMap<String, Discrepancy>) -> bool {
    let both = rests.iter().zip(doubts);
    rests.len() == doubts.len()
        && both.into_iter().all(|((asset, rest), (of, doubt))| {
            asset == of && (rest.amount_e8 - doubt.amount_e8).abs() <= rest.rounding_e8
        })
}

fn text(rests: &BTreeMap<String, Discrepancy>, since_ms: u64) -> String {
    let of = |(asset, rest): (&String, &Discrepancy)| {
        let amount = rest.amount_e8.unsigned_abs().min(i64::MAX as u128) as i64;
        let direction = if rest.amount_e8 > 0 { "more" } else { "less" };
        format!("{asset}: {} {direction}", decimal::to_text(amount, 8))
    };
    let amounts: Vec<String> = rests.iter().map(of).collect();
    format!(
        "{} in the wallet than trades and funding explain since {since_ms} (unix milliseconds): a transfer, a rebate, a \
         liquidation fee, or trades of instruments that are not configured",
        amounts.join(", ")
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
            funding: Some(Vec::new()),
            ..AccountRead::default()
        }
    }

    /// What the readings had to say, one after the other: nothing, a doubt, or that money moved.
    fn told(reads: &[AccountRead]) -> String {
        let mut wallet = Wallet::default();
        let say = |read: &AccountRead| match wallet.take(&[definition()], read) {
            Finding { moved: Some(_), .. } => '!',
            Finding { is_doubtful: true, .. } => '?',
            _ => '-',
        };
        reads.iter().map(say).collect()
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
        assert_eq!(told(&[first.clone(), last.clone()]), "--");
        // Listed again, one of the readings without balances, and one without funding.
        let blind = AccountRead { balances: Vec::new(), ..read(30, &[], 10, 6_180_000, &[bought]) };
        let busy = AccountRead { funding: None, ..read(40, &start, 10, 6_180_000, &[]) };
        let rest = read(60, &end, 5, 6_180_000, &[sold]);
        let again = read(90, &end, 5, 6_180_000, &[sold]);
        assert_eq!(told(&[first.clone(), blind, busy, rest, again]), "-----");
        // Trades before the first reading are in its wallet.
        assert_eq!(told(&[last.clone(), last.clone()]), "--");
        // A trade that is listed late is no matter, one that is never listed is told once.
        let late = read(60, &end, 5, 6_180_000, &[bought]);
        assert_eq!(told(&[first.clone(), late.clone(), last.clone(), last.clone()]), "-?--");
        assert_eq!(told(&[first.clone(), late.clone(), late.clone(), late]), "-?!-");
        // An asset that is gone.
        let gone = read(60, &end[1..], 5, 6_180_000, &[bought, sold]);
        assert_eq!(told(&[first, last, gone.clone(), gone]), "--?!");
    }

    #[test]
    fn an_instrument_that_is_new_brings_its_past_with_it() {
        let mut wallet = Wallet::default();
        let other =
            InstrumentDefinition { symbol: Symbol::new("ETHUSDT").unwrap(), instrument: 1, ..definition() };
        let at = |after_s, trades: &[FillRecord]| read(after_s, &[("USDT", 1_000)], 0, 0, trades);
        assert_eq!(wallet.take(&[definition()], &at(0, &[])), Finding::default());
        let past = [
            FillRecord { instrument: 1, ..trade(3, Side::Buy, 10_000, 1_000, ("USDT", 5)) },
            FillRecord { instrument: 1, ..trade(4, Side::Sell, 20_000, 1_000, ("USDT", 5)) },
        ];
        let both = |after_s, trades: &[FillRecord]| {
            let mut read = at(after_s, trades);
            read.positions.push(PositionRecord { instrument: 1, ..read.positions[0] });
            read
        };
        for after_s in [60, 90] {
            assert_eq!(wallet.take(&[definition(), other], &both(after_s, &past)), Finding::default());
        }
        assert_eq!([wallet.last_trade("BTCUSDT"), wallet.last_trade("ETHUSDT")], [None, Some(4)]);
    }

    #[test]
    fn funding_may_be_late_and_everything_else_is_told() {
        let funding = |due_s: u64, amount_e8| Funding {
            asset: "USDT".into(),
            amount_e8,
            venue_ms: START_MS + due_s * 1_000,
        };
        let at = |after_s, wallet_e8, funding: &[Funding]| AccountRead {
            funding: Some(funding.to_vec()),
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
        assert_eq!(told(&reads), "----");

        let mut wallet = Wallet::default();
        let mut take = |read: &AccountRead| {
            // Every time by another process.
            wallet = serde_json::from_str(&serde_json::to_string(&wallet).unwrap()).unwrap();
            let found = wallet.take(&[definition()], read);
            (wallet.funding_from_ms(), found)
        };
        assert_eq!(take(&at(0, 10_000, &[])), (START_MS - FUNDING_LAG_MS, Finding::default()));
        let doubt = Finding { is_doubtful: true, ..Finding::default() };
        for (wallet_e8, wanted) in
            [(150_010_000, "USDT: 1.50000000 more in"), (10_000, "USDT: 1.50000000 less in")]
        {
            assert_eq!(take(&at(60, wallet_e8, &[])).1, doubt);
            let Some(text) = take(&at(90, wallet_e8, &[])).1.moved else { panic!("told by the second") };
            assert!(text.starts_with(wanted), "{text}");
        }
        assert_eq!(take(&at(120, 10_000 - ROUNDING_E8 as i64, &[])).1, Finding::default());
        assert_eq!(take(&at(120 + AGE_MS_MAX / 1_000, 10, &[])).1, Finding::default(), "too long ago");
    }
}
