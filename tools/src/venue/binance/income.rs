//! What moved the wallet, row by row.

use super::{
    account::Receipt, events, exchange::Exchange, orders::Answer, parameters::Parameters, text::amount_e8,
};
use serde_json::{Value, json};
use tickpath_hotpath::sim::LedgerTrade;

/// Rows of an answer unless it says otherwise, and most of them.
const ROWS: usize = 100;
const ROWS_MAX: usize = 1_000;

const PROFIT: &str = "REALIZED_PNL";
const COMMISSION: &str = "COMMISSION";

/// What a trade moved, with numbers that are its own among rows of a kind.
fn rows_of(trade: &LedgerTrade) -> impl Iterator<Item = (Receipt, u64)> {
    let LedgerTrade { instrument, venue_ms, trade_id, .. } = *trade;
    let of = move |(kind, amount_e8): (&str, i128)| {
        (Receipt { kind: kind.into(), instrument: Some(instrument), amount_e8, venue_ms }, trade_id)
    };
    let both = [(PROFIT, trade.realized_e8), (COMMISSION, -i128::from(trade.fee_e8))];
    both.into_iter().filter(|(_, amount_e8)| *amount_e8 != 0).map(of)
}

impl Exchange {
    /// `GET /fapi/v1/income`: profits and commissions of trades, funding, and whatever else moved the wallet.
    pub(super) fn income(&mut self, p: &Parameters) -> Answer {
        let limit = p.parsed("limit")?.unwrap_or(ROWS).min(ROWS_MAX);
        let page: usize = p.parsed("page")?.unwrap_or(1);
        let from: u64 = p.parsed("startTime")?.unwrap_or(0);
        let to: u64 = p.parsed("endTime")?.unwrap_or(u64::MAX);
        let kind = p.get("incomeType");
        let symbol = match p.get("symbol") {
            Some(_) => Some(self.symbol(p)?),
            None => None,
        };
        let is_wanted = |(row, _): &(Receipt, u64)| {
            (from..=to).contains(&row.venue_ms)
                && kind.is_none_or(|kind| kind == row.kind)
                && symbol.is_none_or(|symbol| row.instrument == Some(symbol))
        };
        // Trades make two kinds only; whoever wants another does not wait for all of them.
        let is_of_trades = kind.is_none_or(|kind| kind == PROFIT || kind == COMMISSION);
        let trades = self.account.ledger.trades().iter().filter(|_| is_of_trades).flat_map(rows_of);
        let receipts = self.account.receipts.iter().cloned().zip(1..);
        let mut rows: Vec<(Receipt, u64)> = receipts.chain(trades).filter(is_wanted).collect();
        rows.sort_by_key(|(row, _)| row.venue_ms);
        let skipped = page.saturating_sub(1).saturating_mul(limit);
        let shown = rows.iter().skip(skipped).take(limit);
        Ok(shown.map(|(row, number)| self.income_row(row, *number)).collect())
    }

    fn income_row(&self, row: &Receipt, number: u64) -> Value {
        json!({
            "symbol": row.instrument.map_or("", |index| self.instruments[index].symbol()),
            "incomeType": row.kind, "income": amount_e8(row.amount_e8), "asset": "USDT", "info": "",
            "time": row.venue_ms, "tranId": number, "tradeId": "",
        })
    }

    /// Moves money into the wallet, or out of it.
    pub fn receive(&mut self, kind: &str, amount: i64) {
        let amount_e8 = i128::from(amount);
        self.account.ledger.receive(amount_e8);
        let venue_ms = self.now_ms;
        self.account.receipts.push(Receipt { kind: kind.into(), instrument: None, amount_e8, venue_ms });
        let reason = if amount < 0 { "WITHDRAW" } else { "DEPOSIT" };
        let wallet = self.account.ledger.wallet_e8();
        self.events.push(events::account_update(reason, wallet, None, &[], venue_ms));
    }
}
