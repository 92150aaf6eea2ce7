//! What moved the wallet, row by row.

use super::{
    account::Receipt, events, exchange::Exchange, orders::Answer, parameters::Parameters, text::amount_e8,
};
use serde_json::{Value, json};

/// Rows of an answer unless it says otherwise, and most of them.
const ROWS: usize = 100;
const ROWS_MAX: usize = 1_000;

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
        let mut rows: Vec<Receipt> = self.account.receipts.clone();
        for trade in self.account.ledger.trades() {
            let row = |kind: &str, amount_e8| Receipt {
                kind: kind.into(),
                instrument: Some(trade.instrument),
                amount_e8,
                venue_ms: trade.venue_ms,
            };
            let both = [row("REALIZED_PNL", trade.realized_e8), row("COMMISSION", -i128::from(trade.fee_e8))];
            rows.extend(both.into_iter().filter(|row| row.amount_e8 != 0));
        }
        rows.sort_by_key(|row| row.venue_ms);
        let is_wanted = |row: &&Receipt| {
            (from..=to).contains(&row.venue_ms)
                && kind.is_none_or(|kind| kind == row.kind)
                && symbol.is_none_or(|symbol| row.instrument == Some(symbol))
        };
        let wanted = rows.iter().zip(1_u64..).filter(|(row, _)| is_wanted(row));
        let shown = wanted.skip(page.saturating_sub(1) * limit).take(limit);
        Ok(shown.map(|(row, number)| self.income_row(row, number)).collect())
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
