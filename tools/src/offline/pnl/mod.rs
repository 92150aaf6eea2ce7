//! Profit and loss of a session from its journal: by strategy and instrument, by average cost and by lots, with fees
//! and funding, and the equity curve.

mod fifo;

pub use fifo::Lots;

use super::journal::choose_session;
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tickpath_hotpath::account::Positions;
use tickpath_shared::{
    Nanos,
    journal::{RecordBuf, open_session},
    paths::DataDir,
    record::{FillRecord, FrameMeta, Kind, OrderRecord, PositionRecord, Record, TopOfBookRecord},
    types::{ClientOrderId, InstrumentDefinition, Side, StrategyName, decimal},
};

/// Strategy of fills behind which no order of the session stands.
const NOBODY: u16 = StrategyName::NOBODY;

/// One strategy on one instrument. Amounts are decimals of the quote currency.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// Strategy.
    pub strategy: String,
    /// Symbol.
    pub symbol: String,
    /// Executions.
    pub fills: u64,
    /// Notional of them.
    pub volume: String,
    /// Commission paid.
    pub fees: String,
    /// Realised against the average cost, before fees.
    pub realized: String,
    /// Realised by lots, first in first out, before fees.
    pub realized_fifo: String,
    /// Signed quantity that is open.
    pub open_qty: String,
    /// What it has gained at the last mark price.
    pub open_profit: String,
    /// Realised and open, after fees.
    pub result: String,
}

/// A point of the equity curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EquityPoint {
    /// Session time.
    pub time: Nanos,
    /// Realised and open, after fees and funding, quote x 10^8.
    pub equity_e8: i128,
}

/// The report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PnlReport {
    /// Session.
    pub session: u64,
    /// By strategy and instrument.
    pub rows: Vec<Row>,
    /// Funding received, quote currency.
    pub funding: String,
    /// Commission that was paid in other assets, which no result contains, by asset.
    pub other_fees: BTreeMap<String, String>,
    /// Realised and open, after fees and funding.
    pub result: String,
    /// After every fill and funding.
    #[serde(skip)]
    pub equity: Vec<EquityPoint>,
}

/// What is known of one strategy on one instrument.
struct Account {
    positions: Positions,
    lots: Lots,
    fills: u64,
    volume_e8: i128,
}

#[derive(Default)]
struct Books {
    definitions: BTreeMap<u32, InstrumentDefinition>,
    /// Strategy of an order.
    owners: HashMap<ClientOrderId, u16>,
    /// Strategy of an instrument.
    traders: BTreeMap<u32, u16>,
    accounts: BTreeMap<(u16, u32), Account>,
    marks_e8: BTreeMap<u32, i64>,
    funding_e8: i128,
    /// Commission in assets that are not the quote currency x 10^8.
    other_fees: BTreeMap<String, i128>,
    /// Fundings that were counted.
    fundings: BTreeSet<FundingName>,
    equity: Vec<EquityPoint>,
}

/// Reads a session.
///
/// # Errors
///
/// A record that is not sound, or a session that cannot be opened.
pub fn report(data: &DataDir, session: Option<u64>) -> Result<PnlReport> {
    let session = choose_session(data, session)?;
    let mut books = Books::default();
    let mut events = Vec::new();
    let mut buf = RecordBuf::default();
    for mut lane in open_session(data, session)? {
        if lane.name() == "feed" {
            continue;
        }
        let is_gateway = lane.name() == "gateway";
        while lane.next_into(&mut buf)?.is_some() {
            let record = buf.record();
            if record.kind() == Some(Kind::Definition) {
                if let Some(definition) = record.body::<InstrumentDefinition>() {
                    books.definitions.insert(definition.instrument, definition);
                }
            } else if let Some(event) = Event::of(&record, is_gateway) {
                events.push((record.header.time, event));
            }
        }
    }
    // Lanes are in order each; between them time tells.
    events.sort_by_key(|(time, _)| *time);
    for (_, event) in &events {
        if let Event::Order(order) = event
            && order.strategy != NOBODY
        {
            books.traders.entry(order.instrument).or_insert(order.strategy);
        }
    }
    events.iter().for_each(|(time, event)| books.take(*time, event));
    Ok(books.finish(session))
}

enum Event {
    Order(OrderRecord),
    Fill(FillRecord),
    Start(PositionRecord),
    Mark(u32, i64),
    Funding(FundingName, i128),
}

impl Event {
    fn of(record: &Record<'_>, is_gateway: bool) -> Option<Self> {
        match record.kind()? {
            Kind::Order => record.body().map(Self::Order),
            Kind::Fill => record.body().map(Self::Fill),
            Kind::StartPosition if is_gateway => record.body().map(Self::Start),
            Kind::TopOfBook => {
                record.body::<TopOfBookRecord>().map(|t| Self::Mark(t.instrument, t.mark_price))
            }
            Kind::PrivateFrame => {
                funding(record.text_after::<FrameMeta>()).map(|(name, e8)| Self::Funding(name, e8))
            }
            _ => None,
        }
    }
}

/// Which funding: the venue's time of it, the symbol as far as it is said, and the amount.
type FundingName = (u64, String, i128);

/// What an account event says was received or paid for funding, quote x 10^8.
fn funding(frame: &[u8]) -> Option<(FundingName, i128)> {
    // Nearly every frame is of another kind: no parser for those.
    frame.windows(13).any(|part| part == b"\"FUNDING_FEE\"").then_some(())?;
    let root: serde_json::Value = serde_json::from_slice(frame).ok()?;
    let event = root.get("data").unwrap_or(&root);
    let balances = event["a"]["B"].as_array()?;
    let change = |b: &serde_json::Value| decimal::parse(b["bc"].as_str()?.as_bytes(), 8).ok().map(i128::from);
    let received_e8 = balances.iter().filter_map(change).sum();
    let symbol = event["a"]["S"].as_str().unwrap_or_default().to_owned();
    Some(((event["T"].as_u64()?, symbol, received_e8), received_e8))
}

impl Books {
    fn account(&mut self, strategy: u16, instrument: u32) -> &mut Account {
        let instruments = self.definitions.keys().last().map_or(0, |last| *last as usize + 1);
        self.accounts.entry((strategy, instrument)).or_insert_with(|| Account {
            positions: Positions::new(instruments),
            lots: Lots::default(),
            fills: 0,
            volume_e8: 0,
        })
    }

    fn take(&mut self, time: Nanos, event: &Event) {
        match event {
            Event::Order(order) => _ = self.owners.insert(order.client_order_id, order.strategy),
            Event::Mark(instrument, price_e8) => _ = self.marks_e8.insert(*instrument, *price_e8),
            // The venue may tell it twice.
            Event::Funding(name, received_e8) if self.fundings.insert(name.clone()) => {
                self.funding_e8 += received_e8;
                self.point(time);
            }
            Event::Funding(..) => {}
            Event::Start(start) => {
                let Some(definition) = self.definitions.get(&start.instrument).copied() else { return };
                // A position belongs to the one strategy that trades the instrument.
                let owner = self.traders.get(&start.instrument).copied().unwrap_or(NOBODY);
                let account = self.account(owner, start.instrument);
                account.positions.start(&definition, start.qty, start.entry_price_e8);
                account.lots.start(&definition, start.qty, start.entry_price_e8);
            }
            Event::Fill(fill) => {
                self.fill(fill);
                self.point(time);
            }
        }
    }

    fn fill(&mut self, fill: &FillRecord) {
        let (Some(definition), Some(side)) =
            (self.definitions.get(&fill.instrument).copied(), Side::from_repr(fill.side))
        else {
            return;
        };
        // What the gateway closes by itself, or a person by hand, closes the strategy's position.
        let strategy = self.owners.get(&fill.client_order_id).copied().filter(|owner| *owner != NOBODY);
        let strategy = strategy.or_else(|| self.traders.get(&fill.instrument).copied()).unwrap_or(NOBODY);
        let account = self.account(strategy, fill.instrument);
        account.fills += 1;
        account.volume_e8 += definition.notional_e8(fill.price, fill.qty);
        let fee_e8 = fill.quote_fee_e8(definition.symbol.as_str());
        account.positions.fill(&definition, side, fill.price, fill.qty, fee_e8.unwrap_or(0));
        account.lots.fill(&definition, side, fill.price, fill.qty);
        if fee_e8.is_none() {
            *self.other_fees.entry(fill.fee_asset()).or_default() += i128::from(fill.fee_e8);
        }
    }

    /// What an account has gained and not realised.
    fn open_e8(&self, instrument: u32, account: &Account) -> i128 {
        let position = account.positions.get(instrument);
        let (Some(definition), Some(mark)) =
            (self.definitions.get(&instrument), self.marks_e8.get(&instrument))
        else {
            return 0;
        };
        let units = i128::from(decimal::pow10(definition.qty_scale));
        let value = i128::from(*mark) * i128::from(position.qty.abs()) / units;
        i128::from(position.qty.signum()) * (value - position.cost_e8)
    }

    fn result_e8(&self, instrument: u32, account: &Account) -> i128 {
        let position = account.positions.get(instrument);
        position.realized_e8 - position.fees_e8 + self.open_e8(instrument, account)
    }

    fn equity_e8(&self) -> i128 {
        let accounts = self.accounts.iter().map(|((_, instrument), a)| self.result_e8(*instrument, a));
        accounts.sum::<i128>() + self.funding_e8
    }

    fn point(&mut self, time: Nanos) {
        let equity_e8 = self.equity_e8();
        self.equity.push(EquityPoint { time, equity_e8 });
    }

    fn finish(self, session: u64) -> PnlReport {
        let rows = self.accounts.iter().filter_map(|((strategy, instrument), account)| {
            let definition = self.definitions.get(instrument)?;
            let position = account.positions.get(*instrument);
            (account.fills > 0 || position.qty != 0).then(|| Row {
                strategy: StrategyName::label_of(*strategy),
                symbol: definition.symbol.as_str().to_owned(),
                fills: account.fills,
                volume: amount(account.volume_e8),
                fees: amount(position.fees_e8),
                realized: amount(position.realized_e8),
                realized_fifo: amount(account.lots.realized_e8()),
                open_qty: decimal::to_text(position.qty, definition.qty_scale),
                open_profit: amount(self.open_e8(*instrument, account)),
                result: amount(self.result_e8(*instrument, account)),
            })
        });
        PnlReport {
            session,
            rows: rows.collect(),
            funding: amount(self.funding_e8),
            other_fees: self.other_fees.iter().map(|(asset, e8)| (asset.clone(), amount(*e8))).collect(),
            result: amount(self.equity_e8()),
            equity: self.equity.clone(),
        }
    }
}

/// Quote currency x 10^8 as an exact decimal.
pub fn amount(e8: i128) -> String {
    let sign = if e8 < 0 { "-" } else { "" };
    let size = e8.unsigned_abs();
    format!("{sign}{}.{:08}", size / 100_000_000, size % 100_000_000)
}

/// The report for people.
pub fn table(report: &PnlReport) -> String {
    let mut text = format!(
        "session {}\n{:<14} {:<12} {:>6} {:>18} {:>14} {:>14} {:>14} {:>12} {:>14} {:>14}\n",
        report.session,
        "strategy",
        "symbol",
        "fills",
        "volume",
        "fees",
        "realised",
        "by lots",
        "open",
        "open profit",
        "result"
    );
    for r in &report.rows {
        text += &format!(
            "{:<14} {:<12} {:>6} {:>18} {:>14} {:>14} {:>14} {:>12} {:>14} {:>14}\n",
            r.strategy,
            r.symbol,
            r.fills,
            r.volume,
            r.fees,
            r.realized,
            r.realized_fifo,
            r.open_qty,
            r.open_profit,
            r.result
        );
    }
    text += &format!("funding {}, result {}\n", report.funding, report.result);
    for (asset, paid) in &report.other_fees {
        text += &format!("not contained: commission of {paid} {asset}\n");
    }
    text
}
