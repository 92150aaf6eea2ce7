//! What the account endpoints show and set.

use super::events;
use super::{
    exchange::Exchange,
    orders::Answer,
    parameters::Parameters,
    refused::Refused,
    text::{self, amount_e8, position_side, qty_text},
};
use serde_json::{Value, json};
use tickpath_shared::types::{PositionSide, decimal};

/// Rows of a page.
const PAGE_MAX: usize = 1000;
const LEVERAGE_MAX: u32 = 125;
const SIDES: [PositionSide; 3] = [PositionSide::Both, PositionSide::Long, PositionSide::Short];

impl Exchange {
    fn symbols(&self, p: &Parameters) -> Result<Vec<usize>, Refused> {
        match p.get("symbol") {
            Some(_) => Ok(vec![self.symbol(p)?]),
            None => Ok((0..self.instruments.len()).collect()),
        }
    }

    /// `GET /fapi/v1/openOrders`.
    pub(super) fn open_orders(&mut self, p: &Parameters) -> Answer {
        let symbols = self.symbols(p)?;
        let open = self.account.open().filter(|row| symbols.contains(&row.instrument));
        Ok(open.map(|row| text::order(self.instruments[row.instrument].definition(), row)).collect())
    }

    /// `GET /fapi/v1/allOrders`.
    pub(super) fn all_orders(&mut self, p: &Parameters) -> Answer {
        let index = self.symbol(p)?;
        let (from, limit) = page(p, "orderId")?;
        let (start, end) = span(p)?;
        let rows = self.account.since(index, from).filter(|row| (start..=end).contains(&row.placed_ms));
        let definition = self.instruments[index].definition();
        Ok(rows.take(limit).map(|row| text::order(definition, row)).collect())
    }

    /// `GET /fapi/v1/userTrades`.
    pub(super) fn user_trades(&mut self, p: &Parameters) -> Answer {
        let index = self.symbol(p)?;
        let (from, limit) = page(p, "fromId")?;
        let (start, end) = span(p)?;
        let order: Option<u64> = p.parsed("orderId")?;
        // One numbering over all instruments, the oldest first.
        let trades = self.trades();
        let rows = trades[trades.partition_point(|t| t.trade_id < from)..]
            .iter()
            .filter(|t| t.instrument == index && (start..=end).contains(&t.venue_ms))
            .filter(|t| order.is_none_or(|id| t.order.submit.id == id));
        let definition = self.instruments[index].definition();
        Ok(rows.take(limit).map(|t| text::user_trade(definition, t)).collect())
    }

    /// Positions that are open, or whose symbol has open orders; all where `is_all`.
    fn positions(&self, symbols: &[usize], is_all: bool) -> Vec<(usize, PositionSide)> {
        let sides = if self.account.is_hedge { &SIDES[1..] } else { &SIDES[..1] };
        let is_shown = |index: usize, side: PositionSide| {
            is_all
                || self.account.ledger.position(index, side).qty != 0
                || self.account.open().any(|row| row.instrument == index)
        };
        let all = symbols.iter().flat_map(|&index| sides.iter().map(move |&side| (index, side)));
        all.filter(|&(index, side)| is_shown(index, side)).collect()
    }

    fn position_row(&self, index: usize, side: PositionSide) -> Value {
        let (instrument, ledger) = (&self.instruments[index], &self.account.ledger);
        let (d, position, mark) =
            (instrument.definition(), ledger.position(index, side), instrument.mark_e8());
        let entry = decimal::to_text(position.entry_price_e8(d), 8);
        let notional = instrument.filters.notional_e8(mark.into(), position.qty);
        let margin = notional.abs() / i128::from(ledger.leverage(index));
        let is_isolated = self.account.isolated.contains(&index);
        json!({
            "symbol": instrument.symbol(), "positionSide": position_side(side),
            "positionAmt": qty_text(d, position.qty), "entryPrice": entry, "breakEvenPrice": entry,
            "markPrice": decimal::to_text(mark, 8), "unRealizedProfit": amount_e8(position.unrealized_e8(d, mark)),
            "unrealizedProfit": amount_e8(position.unrealized_e8(d, mark)), "liquidationPrice": "0",
            "isolatedMargin": "0", "notional": amount_e8(notional), "marginAsset": "USDT", "isolatedWallet": "0",
            "initialMargin": amount_e8(margin), "maintMargin": amount_e8(notional.abs() / 200),
            "positionInitialMargin": amount_e8(margin), "openOrderInitialMargin": "0", "adl": 1,
            "bidNotional": "0", "askNotional": "0", "isolated": is_isolated,
            "marginType": if is_isolated { "isolated" } else { "cross" },
            "leverage": ledger.leverage(index).to_string(), "isAutoAddMargin": "false",
            "maxNotionalValue": "1000000000", "updateTime": position.updated_ms,
        })
    }

    /// `GET /fapi/v3/positionRisk`: a symbol without position and orders is absent.
    pub(super) fn position_risk(&mut self, p: &Parameters) -> Answer {
        let symbols = self.symbols(p)?;
        Ok(self.positions(&symbols, false).into_iter().map(|(i, side)| self.position_row(i, side)).collect())
    }

    /// `GET /fapi/v2/positionRisk`: every symbol has its row.
    pub(super) fn position_risk_v2(&mut self, p: &Parameters) -> Answer {
        let symbols = self.symbols(p)?;
        Ok(self.positions(&symbols, true).into_iter().map(|(i, side)| self.position_row(i, side)).collect())
    }

    fn asset(&self) -> Value {
        let (ledger, marks) = (&self.account.ledger, self.marks_e8());
        let each = || marks.iter().enumerate();
        let open: i128 = each().map(|(i, &mark)| ledger.unrealized_e8(i, mark)).sum();
        let margin: i128 = each().map(|(i, &mark)| ledger.position_margin_e8(i, mark)).sum();
        let available = amount_e8(self.account.available_e8(&self.all_filters(), &marks).max(0));
        let wallet = amount_e8(ledger.wallet_e8());
        json!({
            "accountAlias": "sim", "asset": "USDT", "walletBalance": wallet, "balance": wallet,
            "crossWalletBalance": wallet, "crossUnPnl": amount_e8(open), "unrealizedProfit": amount_e8(open),
            "marginBalance": amount_e8(ledger.wallet_e8() + open), "maintMargin": "0",
            "initialMargin": amount_e8(margin), "positionInitialMargin": amount_e8(margin),
            "openOrderInitialMargin": "0", "availableBalance": available, "maxWithdrawAmount": available,
            "marginAvailable": true, "updateTime": self.now_ms,
        })
    }

    /// `GET /fapi/v2/balance`, `v3/balance`, `v2/account.balance`.
    pub(super) fn balance(&mut self, _: &Parameters) -> Answer {
        Ok(json!([self.asset()]))
    }

    /// `GET /fapi/v2/account`, `v3/account`, `v2/account.status`.
    pub(super) fn account_status(&mut self, _: &Parameters) -> Answer {
        let asset = self.asset();
        let all: Vec<usize> = (0..self.instruments.len()).collect();
        let rows: Value =
            self.positions(&all, false).into_iter().map(|(i, s)| self.position_row(i, s)).collect();
        Ok(json!({
            "feeTier": 0, "feeBurn": false, "canTrade": true, "canDeposit": true, "canWithdraw": false,
            "updateTime": 0, "multiAssetsMargin": false, "tradeGroupId": -1,
            "totalInitialMargin": asset["initialMargin"], "totalMaintMargin": "0",
            "totalWalletBalance": asset["walletBalance"], "totalUnrealizedProfit": asset["unrealizedProfit"],
            "totalMarginBalance": asset["marginBalance"], "totalPositionInitialMargin": asset["initialMargin"],
            "totalOpenOrderInitialMargin": "0", "totalCrossWalletBalance": asset["walletBalance"],
            "totalCrossUnPnl": asset["crossUnPnl"], "availableBalance": asset["availableBalance"],
            "maxWithdrawAmount": asset["availableBalance"], "assets": [asset], "positions": rows,
        }))
    }

    /// `GET /fapi/v1/accountConfig`.
    pub(super) fn account_config(&mut self, _: &Parameters) -> Answer {
        Ok(json!({
            "feeTier": 0, "canTrade": true, "canDeposit": true, "canWithdraw": false,
            "dualSidePosition": self.account.is_hedge, "updateTime": 0, "multiAssetsMargin": false,
            "tradeGroupId": -1,
        }))
    }

    /// `GET /fapi/v1/symbolConfig`.
    pub(super) fn symbol_config(&mut self, p: &Parameters) -> Answer {
        let row = |index: usize| {
            let is_isolated = self.account.isolated.contains(&index);
            json!({
                "symbol": self.instruments[index].symbol(),
                "marginType": if is_isolated { "ISOLATED" } else { "CROSSED" }, "isAutoAddMargin": false,
                "leverage": self.account.ledger.leverage(index), "maxNotionalValue": "1000000000",
            })
        };
        Ok(self.symbols(p)?.into_iter().map(row).collect())
    }

    /// `GET /fapi/v1/commissionRate`.
    pub(super) fn commission_rate(&mut self, p: &Parameters) -> Answer {
        let (index, fees) = (self.symbol(p)?, self.account.ledger.fees());
        Ok(json!({
            "symbol": self.instruments[index].symbol(), "makerCommissionRate": decimal::to_text(fees.maker_e8, 8),
            "takerCommissionRate": decimal::to_text(fees.taker_e8, 8), "rpiCommissionRate": "0.00005000",
        }))
    }

    /// `GET /fapi/v1/leverageBracket`: one bracket, since liquidation is not modelled.
    pub(super) fn leverage_bracket(&mut self, p: &Parameters) -> Answer {
        let row = |index: usize| {
            json!({"symbol": self.instruments[index].symbol(), "notionalCoef": 1.0, "brackets": [{
                "bracket": 1, "initialLeverage": LEVERAGE_MAX, "notionalCap": 1_000_000_000, "notionalFloor": 0,
                "maintMarginRatio": 0.005, "cum": 0,
            }]})
        };
        let mut rows: Vec<Value> = self.symbols(p)?.into_iter().map(row).collect();
        Ok(match p.get("symbol") {
            Some(_) => rows.remove(0),
            None => Value::Array(rows),
        })
    }

    /// `POST /fapi/v1/leverage`.
    pub(super) fn set_leverage(&mut self, p: &Parameters) -> Answer {
        let index = self.symbol(p)?;
        let leverage: u32 = p.parsed("leverage")?.ok_or_else(|| Refused::parameter("leverage"))?;
        if !(1..=LEVERAGE_MAX).contains(&leverage) {
            return Err(Refused::new(-4028, format!("Leverage {leverage} is not valid.")));
        }
        self.account.ledger.set_leverage(index, leverage);
        let symbol = self.instruments[index].symbol().to_owned();
        self.events.push(events::leverage_update(&symbol, leverage, self.now_ms));
        Ok(json!({"leverage": leverage, "maxNotionalValue": "1000000000", "symbol": symbol}))
    }

    /// `POST /fapi/v1/marginType`.
    pub(super) fn set_margin_type(&mut self, p: &Parameters) -> Answer {
        let index = self.symbol(p)?;
        let is_isolated = match p.required("marginType")? {
            "ISOLATED" => true,
            "CROSSED" => false,
            _ => return Err(Refused::parameter("marginType")),
        };
        if self.account.isolated.contains(&index) == is_isolated {
            return Err(Refused::new(-4046, "No need to change margin type."));
        }
        if self.account.ledger.net(index) != 0 {
            return Err(Refused::new(-4048, "Margin type cannot be changed if there exists position."));
        }
        if is_isolated {
            self.account.isolated.insert(index)
        } else {
            self.account.isolated.remove(&index)
        };
        Ok(json!({"code": 200, "msg": "success"}))
    }

    /// `GET /fapi/v1/positionSide/dual`.
    pub(super) fn position_mode(&mut self, _: &Parameters) -> Answer {
        Ok(json!({"dualSidePosition": self.account.is_hedge}))
    }

    /// `POST /fapi/v1/positionSide/dual`.
    pub(super) fn set_position_mode(&mut self, p: &Parameters) -> Answer {
        p.required("dualSidePosition")?;
        let is_hedge = p.flag("dualSidePosition")?;
        if is_hedge == self.account.is_hedge {
            return Err(Refused::new(-4059, "No need to change position side."));
        }
        if self.account.open().next().is_some() {
            return Err(Refused::new(-4067, "Position side cannot be changed if there exists open orders."));
        }
        if self.account.ledger.has_positions() {
            return Err(Refused::new(-4068, "Position side cannot be changed if there exists position."));
        }
        self.account.is_hedge = is_hedge;
        Ok(json!({"code": 200, "msg": "success"}))
    }

    /// `GET /fapi/v1/multiAssetsMargin`.
    pub(super) fn multi_assets(&mut self, _: &Parameters) -> Answer {
        Ok(json!({"multiAssetsMargin": false}))
    }

    /// `GET /fapi/v1/feeBurn`.
    pub(super) fn fee_burn(&mut self, _: &Parameters) -> Answer {
        Ok(json!({"feeBurn": false}))
    }

    /// `POST /fapi/v1/countdownCancelAll`.
    pub(super) fn set_countdown(&mut self, p: &Parameters) -> Answer {
        let index = self.symbol(p)?;
        let ms: u64 = p.parsed("countdownTime")?.ok_or_else(|| Refused::parameter("countdownTime"))?;
        let instrument = &mut self.instruments[index];
        instrument.countdown_ms = if ms == 0 { 0 } else { self.now_ms + ms };
        Ok(json!({"symbol": instrument.symbol(), "countdownTime": ms.to_string()}))
    }

    /// `GET /fapi/v1/rateLimit/order`.
    pub(super) fn order_limits(&mut self, _: &Parameters) -> Answer {
        let rows = self.usage.show(self.now_ms, false);
        Ok(rows
            .as_array()
            .into_iter()
            .flatten()
            .filter(|r| r["rateLimitType"] == "ORDERS")
            .cloned()
            .collect())
    }

    /// `GET /fapi/v1/apiTradingStatus`.
    pub(super) fn trading_status(&mut self, _: &Parameters) -> Answer {
        Ok(json!({"indicators": {}, "updateTime": self.now_ms}))
    }

    /// `GET /sapi/v1/account/apiRestrictions`: what the key may do.
    pub(super) fn key_rights(&mut self, _: &Parameters) -> Answer {
        Ok(json!({
            "ipRestrict": true, "createTime": 1_623_840_271_000_u64, "enableReading": true,
            "enableFutures": true, "enableWithdrawals": self.account.can_withdraw, "enableInternalTransfer": false,
            "permitsUniversalTransfer": false, "enableSpotAndMarginTrading": false, "enableMargin": false,
        }))
    }
}

/// First id and number of rows.
fn page(p: &Parameters, from: &str) -> Result<(u64, usize), Refused> {
    let limit: usize = p.parsed("limit")?.unwrap_or(500);
    Ok((p.parsed(from)?.unwrap_or(0), limit.min(PAGE_MAX)))
}

/// First and last moment, unix milliseconds.
fn span(p: &Parameters) -> Result<(u64, u64), Refused> {
    Ok((p.parsed("startTime")?.unwrap_or(0), p.parsed("endTime")?.unwrap_or(u64::MAX)))
}
