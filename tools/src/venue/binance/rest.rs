//! REST endpoints of the simulator.

use super::{
    super::{AccountKey, NOTIONAL_MIN, connection::HttpRequest},
    exchange::{Exchange, grid, qty_text},
    text,
};
use tickpath_hotpath::venue::binance::sign::{verify_ed25519, verify_hmac};
use tickpath_shared::types::decimal;

/// Rows of a page.
const PAGE_MAX: usize = 1000;

/// A refusal: HTTP status, venue's code, text.
pub(super) type Refused = (u16, i32, &'static str);

impl Exchange {
    /// Answers a request; `None` when the answer has to wait.
    pub fn on_http(&mut self, request: &HttpRequest, token: usize) -> Option<(u16, String)> {
        if request.path == "/fapi/v1/depth" {
            return match request.parameter("symbol").and_then(|s| self.find(&s)) {
                Some(index) => self.snapshot(index, token).map(|body| (200, body)),
                None => Some(refusal((400, -1121, "Invalid symbol."))),
            };
        }
        Some(self.route(request).map_or_else(refusal, |body| (200, body)))
    }

    fn route(&mut self, request: &HttpRequest) -> Result<String, Refused> {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/fapi/v1/ping") => Ok("{}".into()),
            ("GET", "/fapi/v1/time") => Ok(format!(r#"{{"serverTime":{}}}"#, Self::now_ms())),
            ("GET", "/fapi/v1/exchangeInfo") => Ok(self.exchange_info()),
            (method, "/fapi/v1/listenKey") => self.listen_key(method, request),
            (method, path) => {
                self.check_signed(request)?;
                self.signed(method, path, request)
            }
        }
    }

    fn signed(&mut self, method: &str, path: &str, request: &HttpRequest) -> Result<String, Refused> {
        match (method, path) {
            ("GET", "/fapi/v3/account") => Ok(self.account_text()),
            ("GET", "/fapi/v3/positionRisk") => Ok(self.positions_text()),
            ("GET", "/fapi/v1/openOrders") => Ok(self.open_orders_text(request)),
            ("GET", "/fapi/v1/allOrders") => self.all_orders_text(request),
            ("GET", "/fapi/v1/userTrades") => self.user_trades_text(request),
            ("GET", "/fapi/v1/order") => self.order_text(request),
            ("DELETE", "/fapi/v1/allOpenOrders") => self.cancel_all(request),
            _ => Err((404, -1, "no such endpoint")),
        }
    }

    fn listen_key(&mut self, method: &str, request: &HttpRequest) -> Result<String, Refused> {
        self.find_key(&request.api_key).ok_or((
            401,
            -2015,
            "Invalid API-key, IP, or permissions for action.",
        ))?;
        match (method, &self.listen_key) {
            ("POST", Some(key)) => Ok(format!(r#"{{"listenKey":"{key}"}}"#)),
            ("POST", None) => {
                let key = format!("sim{:x}", Self::now_ms());
                self.listen_key = Some(key.clone());
                Ok(format!(r#"{{"listenKey":"{key}"}}"#))
            }
            ("PUT", Some(_)) => Ok("{}".into()),
            ("PUT", None) => Err((400, -1125, "This listenKey does not exist.")),
            ("DELETE", _) => {
                self.listen_key = None;
                Ok("{}".into())
            }
            _ => Err((405, -1, "method not allowed")),
        }
    }

    pub(super) fn find_key(&self, api_key: &str) -> Option<&AccountKey> {
        self.keys.iter().find(|key| match key {
            AccountKey::Hmac { api_key: of, .. } | AccountKey::Ed25519 { api_key: of, .. } => of == api_key,
        })
    }

    /// Signature and time stamp of a signed request. The string signed is the query as sent, followed by the
    /// body as sent, without the signature parameter.
    fn check_signed(&self, request: &HttpRequest) -> Result<(), Refused> {
        let key = self.find_key(&request.api_key).ok_or((
            401,
            -2015,
            "Invalid API-key, IP, or permissions for action.",
        ))?;
        let strip = |text: &str| -> String {
            text.split('&').filter(|p| !p.starts_with("signature=")).collect::<Vec<_>>().join("&")
        };
        let payload = strip(&request.query) + &strip(&request.body);
        let signature = request.parameter("signature").unwrap_or_default();
        if !verify(key, payload.as_bytes(), &signature) {
            return Err((400, -1022, "Signature for this request is not valid."));
        }
        let number = |name: &str| request.parameter(name).and_then(|v| v.parse::<u64>().ok());
        check_time(number("timestamp"), number("recvWindow"))
    }

    fn exchange_info(&self) -> String {
        let symbols: Vec<String> = self.instruments.iter().map(|i| {
            let d = &i.definition;
            let (symbol, (tick, lot)) = (d.symbol, grid(d.symbol.as_str()));
            format!(
                r#"{{"symbol":"{0}","pair":"{0}","contractType":"PERPETUAL","status":"TRADING","baseAsset":"{1}","quoteAsset":"USDT","marginAsset":"USDT","pricePrecision":2,"quantityPrecision":3,"filters":[{{"filterType":"PRICE_FILTER","maxPrice":"1000000","minPrice":"{tick}","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","maxQty":"1000","minQty":"{lot}","stepSize":"{lot}"}},{{"filterType":"MARKET_LOT_SIZE","maxQty":"120","minQty":"{lot}","stepSize":"{lot}"}},{{"filterType":"MAX_NUM_ORDERS","limit":200}},{{"filterType":"MIN_NOTIONAL","notional":"{NOTIONAL_MIN}"}},{{"filterType":"PERCENT_PRICE","multiplierUp":"1.0500","multiplierDown":"0.9500","multiplierDecimal":"4"}}],"orderTypes":["LIMIT","MARKET"],"timeInForce":["GTC","IOC","FOK","GTX"]}}"#,
                symbol.as_str(),
                symbol.as_str().trim_end_matches("USDT"),
            )
        }).collect();
        format!(
            r#"{{"timezone":"UTC","serverTime":{},"rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400}},{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300}},{{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200}}],"exchangeFilters":[],"symbols":[{}]}}"#,
            Self::now_ms(),
            symbols.join(",")
        )
    }

    fn account_text(&self) -> String {
        let rows: Vec<String> = self
            .instruments
            .iter()
            .enumerate()
            .filter(|(i, _)| self.account.ledger.position(*i) != 0)
            .map(|(i, instrument)| {
                let d = &instrument.definition;
                format!(
                    r#"{{"symbol":"{}","positionSide":"BOTH","positionAmt":"{}","unrealizedProfit":"0"}}"#,
                    d.symbol.as_str(),
                    qty_text(d, self.account.ledger.position(i))
                )
            })
            .collect();
        format!(
            r#"{{"totalWalletBalance":"10000.00000000","availableBalance":"10000.00000000","assets":[{{"asset":"USDT","walletBalance":"10000.00000000"}}],"positions":[{}]}}"#,
            rows.join(",")
        )
    }

    fn positions_text(&self) -> String {
        let ledger = &self.account.ledger;
        let rows: Vec<String> = self
            .instruments
            .iter()
            .enumerate()
            .filter(|(index, _)| ledger.position(*index) != 0)
            .map(|(index, instrument)| {
                let d = &instrument.definition;
                format!(
                    r#"{{"symbol":"{}","positionSide":"BOTH","positionAmt":"{}","entryPrice":"{}","markPrice":"0","unRealizedProfit":"0","marginAsset":"USDT"}}"#,
                    d.symbol.as_str(),
                    qty_text(d, ledger.position(index)),
                    decimal::to_text(ledger.entry_price_e8(index), 8)
                )
            })
            .collect();
        format!("[{}]", rows.join(","))
    }

    fn open_orders_text(&self, request: &HttpRequest) -> String {
        let symbol = request.parameter("symbol").and_then(|s| self.find(&s));
        let rows = self.account.open().filter(|row| symbol.is_none_or(|index| row.instrument == index));
        let texts: Vec<String> =
            rows.map(|row| text::order(&self.instruments[row.instrument].definition, row)).collect();
        format!("[{}]", texts.join(","))
    }

    fn symbol(&self, request: &HttpRequest) -> Result<usize, Refused> {
        request.parameter("symbol").and_then(|s| self.find(&s)).ok_or((400, -1121, "Invalid symbol."))
    }

    fn all_orders_text(&self, request: &HttpRequest) -> Result<String, Refused> {
        let index = self.symbol(request)?;
        let (from, limit) = page(request, "orderId");
        let rows = self.account.since(index, from).take(limit);
        let texts: Vec<String> =
            rows.map(|row| text::order(&self.instruments[index].definition, row)).collect();
        Ok(format!("[{}]", texts.join(",")))
    }

    fn user_trades_text(&self, request: &HttpRequest) -> Result<String, Refused> {
        let index = self.symbol(request)?;
        let (from, limit) = page(request, "fromId");
        // Trade ids are dense from 1 over all instruments.
        let trades = self.account.ledger.trades().iter().skip(from.saturating_sub(1) as usize);
        let rows = trades.filter(|t| t.instrument == index).take(limit);
        let texts: Vec<String> =
            rows.map(|t| text::user_trade(&self.instruments[index].definition, t)).collect();
        Ok(format!("[{}]", texts.join(",")))
    }

    fn order_text(&self, request: &HttpRequest) -> Result<String, Refused> {
        let index = self.symbol(request)?;
        let by_id = request.parameter("orderId").and_then(|id| self.account.get(id.parse().ok()?));
        let by_client =
            request.parameter("origClientOrderId").and_then(|id| self.account.by_client_id(index, &id));
        let row = by_id.or(by_client).ok_or((400, -2013, "Order does not exist."))?;
        Ok(text::order(&self.instruments[index].definition, row))
    }

    fn cancel_all(&mut self, request: &HttpRequest) -> Result<String, Refused> {
        let index = self.symbol(request)?;
        let ids: Vec<u64> =
            self.account.open().filter(|r| r.instrument == index).map(|r| r.order.submit.id).collect();
        for id in ids {
            self.cancel_order(index, id);
        }
        Ok(r#"{"code":200,"msg":"The operation of cancel all open order is done."}"#.into())
    }

    /// Cancels a resting order; false when it does not rest.
    pub(super) fn cancel_order(&mut self, index: usize, id: u64) -> bool {
        let mut outcomes = Vec::new();
        let is_canceled = self.instruments[index].matcher.cancel(id, &mut outcomes).is_some();
        self.book_outcomes(index, &outcomes);
        is_canceled
    }
}

fn page(request: &HttpRequest, from: &str) -> (u64, usize) {
    let number = |name: &str| request.parameter(name).and_then(|v| v.parse().ok());
    let limit = number("limit").map_or(500, |limit: u64| limit as usize).min(PAGE_MAX);
    (number(from).unwrap_or(0), limit)
}

pub(super) fn verify(key: &AccountKey, payload: &[u8], signature: &str) -> bool {
    match key {
        AccountKey::Hmac { secret, .. } => verify_hmac(secret.as_bytes(), payload, signature),
        AccountKey::Ed25519 { public, .. } => verify_ed25519(public, payload, signature),
    }
}

/// Time stamps must be recent by the venue's clock.
pub(super) fn check_time(timestamp: Option<u64>, recv_window: Option<u64>) -> Result<(), Refused> {
    let timestamp = timestamp.ok_or((
        400,
        -1102,
        "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.",
    ))?;
    let now = Exchange::now_ms();
    if timestamp >= now + 1000 || now.saturating_sub(timestamp) > recv_window.unwrap_or(5000) {
        return Err((400, -1021, "Timestamp for this request is outside of the recvWindow."));
    }
    Ok(())
}

pub(super) fn refusal((status, code, message): Refused) -> (u16, String) {
    (status, format!(r#"{{"code":{code},"msg":"{message}"}}"#))
}
