//! REST of Binance USD-M: what the session thread asks for, and its answers as domain records.
//!
//! Blocking, cold, every body capped. Source: Binance USD-M Futures, REST API.

use super::super::sign::percent_encode;
use super::private::order_state;
use crate::venue::Credentials;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use thiserror::Error;
use tickpath_shared::{
    config::KeyKind,
    record::{FillRecord, OpenOrderRecord, OrderReportRecord, PositionRecord},
    types::{ClientOrderId, InstrumentDefinition, OrderState, Side, Symbol, decimal},
};

/// Largest answer read, and largest `exchangeInfo`.
const BODY_MAX: u64 = 1 << 20;
const EXCHANGE_INFO_MAX: u64 = 16 << 20;
/// Rows of a page of trades or orders.
const PAGE: usize = 1000;
/// Venue's code for an order it does not know.
const CODE_NO_SUCH_ORDER: i64 = -2013;

/// Why a request has no usable answer. For an order this always means: outcome unknown.
#[derive(Debug, Error)]
pub enum RestError {
    /// No answer: refused, timed out, broken off, too large.
    #[error("{path}: {source}")]
    Transport {
        /// Path of the request.
        path: String,
        /// What the client said.
        source: Box<ureq::Error>,
    },
    /// The venue refused.
    #[error("{path}: status {status}, code {code}: {message}")]
    Refused {
        /// Path of the request.
        path: String,
        /// HTTP status.
        status: u16,
        /// Venue's code, 0 when there is none.
        code: i64,
        /// Venue's text.
        message: String,
    },
    /// The answer is not what is documented.
    #[error("{path}: {what} missing or malformed in the answer")]
    Malformed {
        /// Path of the request.
        path: String,
        /// The field.
        what: String,
    },
}

/// A REST client of one account.
#[derive(Clone)]
pub struct Rest {
    agent: ureq::Agent,
    base: String,
    credentials: Arc<Credentials>,
    recv_window_ms: u64,
}

enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Rest {
    /// A client; `agent` carries timeouts and roots of trust.
    pub fn new(agent: ureq::Agent, base: &str, credentials: Arc<Credentials>, recv_window_ms: u64) -> Self {
        Self { agent, base: base.trim_end_matches('/').to_owned(), credentials, recv_window_ms }
    }

    fn call(&self, method: Method, path: &str, query: &str, body_max: u64) -> Result<Vec<u8>, RestError> {
        let transport = |source| RestError::Transport { path: path.to_owned(), source: Box::new(source) };
        let separator = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{separator}{query}", self.base);
        let key = &self.credentials.api_key;
        let mut response = match method {
            Method::Get => self.agent.get(&url).header("X-MBX-APIKEY", key).call(),
            Method::Delete => self.agent.delete(&url).header("X-MBX-APIKEY", key).call(),
            Method::Post => self.agent.post(&url).header("X-MBX-APIKEY", key).send_empty(),
            Method::Put => self.agent.put(&url).header("X-MBX-APIKEY", key).send_empty(),
        }
        .map_err(transport)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(body_max).read_to_vec().map_err(transport)?;
        if status == 200 { Ok(body) } else { Err(refusal(path, status, &body)) }
    }

    fn signed(&self, method: Method, path: &str, query: &str, venue_ms: u64) -> Result<Value, RestError> {
        let separator = if query.is_empty() { "" } else { "&" };
        let payload = format!("{query}{separator}recvWindow={}&timestamp={venue_ms}", self.recv_window_ms);
        let signature = self.credentials.secret.sign_to_string(payload.as_bytes());
        let query = format!("{payload}&signature={}", percent_encode(&signature));
        parse(path, &self.call(method, path, &query, BODY_MAX)?)
    }

    /// The venue's clock in unix milliseconds.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn server_time(&self) -> Result<u64, RestError> {
        let path = "/fapi/v1/time";
        let answer = parse(path, &self.call(Method::Get, path, "", BODY_MAX)?)?;
        answer["serverTime"].as_u64().ok_or_else(|| malformed(path, "serverTime"))
    }

    /// Definitions of the symbols, in their order, version 1.
    ///
    /// # Errors
    ///
    /// [`RestError`]; a symbol that is not listed is malformed.
    pub fn definitions(&self, symbols: &[&str]) -> Result<Vec<InstrumentDefinition>, RestError> {
        let path = "/fapi/v1/exchangeInfo";
        let answer = parse(path, &self.call(Method::Get, path, "", EXCHANGE_INFO_MAX)?)?;
        parse_definitions(&answer, symbols).map_err(|what| malformed(path, &what))
    }

    /// A book snapshot as received.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn snapshot(&self, symbol: &str) -> Result<Vec<u8>, RestError> {
        self.call(Method::Get, "/fapi/v1/depth", &format!("symbol={}&limit=1000", encode(symbol)), BODY_MAX)
    }

    /// Starts or extends the account stream and returns its key.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn listen_key(&self) -> Result<String, RestError> {
        let path = "/fapi/v1/listenKey";
        let answer = parse(path, &self.call(Method::Post, path, "", BODY_MAX)?)?;
        answer["listenKey"].as_str().map(str::to_owned).ok_or_else(|| malformed(path, "listenKey"))
    }

    /// Extends the account stream.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn keep_listen_key(&self) -> Result<(), RestError> {
        self.call(Method::Put, "/fapi/v1/listenKey", "", BODY_MAX).map(|_| ())
    }

    /// Positions of the instruments; an absent symbol is flat.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn positions(
        &self,
        definitions: &[InstrumentDefinition],
        venue_ms: u64,
    ) -> Result<Vec<PositionRecord>, RestError> {
        let path = "/fapi/v3/positionRisk";
        let answer = self.signed(Method::Get, path, "", venue_ms)?;
        let rows = answer.as_array().ok_or_else(|| malformed(path, "array"))?;
        definitions.iter().map(|definition| position(path, rows, definition)).collect()
    }

    /// Open orders of the instruments.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn open_orders(
        &self,
        definitions: &[InstrumentDefinition],
        venue_ms: u64,
    ) -> Result<Vec<OpenOrderRecord>, RestError> {
        let path = "/fapi/v1/openOrders";
        let answer = self.signed(Method::Get, path, "", venue_ms)?;
        let rows = answer.as_array().ok_or_else(|| malformed(path, "array"))?;
        let known = rows.iter().filter_map(|row| Some((row, by_symbol(definitions, row)?)));
        known.map(|(row, definition)| open_order(path, row, definition)).collect()
    }

    /// Trades of an instrument from `from_id` on, one page.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn trades(
        &self,
        definition: &InstrumentDefinition,
        from_id: u64,
        venue_ms: u64,
    ) -> Result<Vec<FillRecord>, RestError> {
        let path = "/fapi/v1/userTrades";
        let symbol = encode(definition.symbol.as_str());
        let answer = self.signed(
            Method::Get,
            path,
            &format!("symbol={symbol}&fromId={from_id}&limit={PAGE}"),
            venue_ms,
        )?;
        let rows = answer.as_array().ok_or_else(|| malformed(path, "array"))?;
        rows.iter().map(|row| trade(path, row, definition)).collect()
    }

    /// Orders of an instrument from venue order id `from_id` on, one page, as reports.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn orders(
        &self,
        definition: &InstrumentDefinition,
        from_id: u64,
        venue_ms: u64,
    ) -> Result<Vec<OrderReportRecord>, RestError> {
        let path = "/fapi/v1/allOrders";
        let symbol = encode(definition.symbol.as_str());
        let answer = self.signed(
            Method::Get,
            path,
            &format!("symbol={symbol}&orderId={from_id}&limit={PAGE}"),
            venue_ms,
        )?;
        let rows = answer.as_array().ok_or_else(|| malformed(path, "array"))?;
        rows.iter().map(|row| report(path, row, definition)).collect()
    }

    /// What the venue knows about one order; state `Absent` when it does not know it.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn order(
        &self,
        definition: &InstrumentDefinition,
        id: &ClientOrderId,
        venue_ms: u64,
    ) -> Result<OrderReportRecord, RestError> {
        let path = "/fapi/v1/order";
        let symbol = encode(definition.symbol.as_str());
        let query = format!("symbol={symbol}&origClientOrderId={}", id.as_str());
        match self.signed(Method::Get, path, &query, venue_ms) {
            Ok(row) => report(path, &row, definition),
            Err(RestError::Refused { code: CODE_NO_SUCH_ORDER, .. }) => Ok(OrderReportRecord {
                client_order_id: *id,
                venue_order_id: 0,
                filled: 0,
                state: OrderState::Absent as u8,
                reserved: [0; 7],
            }),
            Err(e) => Err(e),
        }
    }

    /// Cancels every open order of a symbol.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn cancel_all(&self, symbol: &str, venue_ms: u64) -> Result<(), RestError> {
        let query = format!("symbol={}", encode(symbol));
        self.signed(Method::Delete, "/fapi/v1/allOpenOrders", &query, venue_ms).map(|_| ())
    }
}

/// An HTTP client with the project's timeouts and roots of trust.
pub fn agent(roots: ureq::tls::RootCerts, timeout: Duration) -> ureq::Agent {
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .timeout_connect(Some(timeout.min(Duration::from_secs(5))))
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls)
        .build();
    ureq::Agent::new_with_config(config)
}

/// The request that logs an order session on (`session.logon`), `None` for keys that sign every request.
pub fn logon_request(credentials: &Credentials, venue_ms: u64) -> Option<String> {
    if credentials.kind != KeyKind::Ed25519 {
        return None;
    }
    let payload = format!("apiKey={}&timestamp={venue_ms}", credentials.api_key);
    let signature = credentials.secret.sign_to_string(payload.as_bytes());
    Some(format!(
        r#"{{"id":"logon","method":"session.logon","params":{{"apiKey":"{}","signature":"{signature}","timestamp":{venue_ms}}}}}"#,
        credentials.api_key
    ))
}

/// True when the answer to [`logon_request`] accepts the session.
pub fn is_logged_on(answer: &[u8]) -> bool {
    serde_json::from_slice::<Value>(answer).is_ok_and(|v| v["id"] == "logon" && v["status"] == 200)
}

/// Names of the streams of a connection.
pub fn streams(definitions: &[InstrumentDefinition], names: &[&str]) -> String {
    let of = |d: &InstrumentDefinition| {
        let symbol = d.symbol.as_str().to_lowercase();
        names.iter().map(|name| format!("{symbol}@{name}")).collect::<Vec<_>>()
    };
    definitions.iter().flat_map(of).collect::<Vec<_>>().join("/")
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (b as char).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn parse(path: &str, body: &[u8]) -> Result<Value, RestError> {
    serde_json::from_slice(body).map_err(|_| malformed(path, "JSON"))
}

fn malformed(path: &str, what: &str) -> RestError {
    RestError::Malformed { path: path.to_owned(), what: what.to_owned() }
}

fn refusal(path: &str, status: u16, body: &[u8]) -> RestError {
    let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let code = answer["code"].as_i64().unwrap_or(0);
    let message = answer["msg"].as_str().unwrap_or("no JSON body").chars().take(200).collect();
    RestError::Refused { path: path.to_owned(), status, code, message }
}

fn by_symbol<'a>(definitions: &'a [InstrumentDefinition], row: &Value) -> Option<&'a InstrumentDefinition> {
    let symbol = row["symbol"].as_str()?;
    definitions.iter().find(|d| d.symbol.as_str() == symbol)
}

fn amount(path: &str, row: &Value, key: &str, scale: u8) -> Result<i64, RestError> {
    let text = row[key].as_str().ok_or_else(|| malformed(path, key))?;
    decimal::parse(text.as_bytes(), scale).map_err(|e| malformed(path, &format!("{key} {text:?} ({e})")))
}

fn number(path: &str, row: &Value, key: &str) -> Result<u64, RestError> {
    row[key].as_u64().ok_or_else(|| malformed(path, key))
}

fn side(path: &str, row: &Value) -> Result<Side, RestError> {
    match row["side"].as_str() {
        Some("BUY") => Ok(Side::Buy),
        Some("SELL") => Ok(Side::Sell),
        _ => Err(malformed(path, "side")),
    }
}

fn client_id(path: &str, row: &Value) -> Result<ClientOrderId, RestError> {
    let text = row["clientOrderId"].as_str().ok_or_else(|| malformed(path, "clientOrderId"))?;
    Ok(ClientOrderId::from_venue(text.as_bytes()))
}

fn position(path: &str, rows: &[Value], d: &InstrumentDefinition) -> Result<PositionRecord, RestError> {
    let mut record = PositionRecord {
        instrument: d.instrument,
        reserved: 0,
        qty: 0,
        entry_price_e8: 0,
        through_trade_id: 0,
    };
    // Hedge mode shows two rows a symbol; their sum is what we would reduce.
    for row in rows.iter().filter(|row| row["symbol"] == d.symbol.as_str()) {
        record.qty += amount(path, row, "positionAmt", d.qty_scale)?;
        record.entry_price_e8 = amount(path, row, "entryPrice", 8)?;
    }
    Ok(record)
}

fn open_order(path: &str, row: &Value, d: &InstrumentDefinition) -> Result<OpenOrderRecord, RestError> {
    let client_order_id = client_id(path, row)?;
    Ok(OpenOrderRecord {
        client_order_id,
        venue_order_id: number(path, row, "orderId")?,
        instrument: d.instrument,
        side: side(path, row)? as u8,
        is_ours: client_order_id.parts().is_ok().into(),
        reserved: [0; 2],
        price: amount(path, row, "price", d.price_scale)?,
        qty: amount(path, row, "origQty", d.qty_scale)?,
        filled: amount(path, row, "executedQty", d.qty_scale)?,
    })
}

fn report(path: &str, row: &Value, d: &InstrumentDefinition) -> Result<OrderReportRecord, RestError> {
    let status = row["status"].as_str().ok_or_else(|| malformed(path, "status"))?;
    let state = order_state(status).map_err(|_| malformed(path, "status"))?;
    Ok(OrderReportRecord {
        client_order_id: client_id(path, row)?,
        venue_order_id: number(path, row, "orderId")?,
        filled: amount(path, row, "executedQty", d.qty_scale)?,
        state: state as u8,
        reserved: [0; 7],
    })
}

fn trade(path: &str, row: &Value, d: &InstrumentDefinition) -> Result<FillRecord, RestError> {
    let mut fee_asset = [0; 8];
    let asset = row["commissionAsset"].as_str().unwrap_or_default().as_bytes();
    fee_asset[..asset.len().min(8)].copy_from_slice(&asset[..asset.len().min(8)]);
    Ok(FillRecord {
        client_order_id: ClientOrderId::from_venue(b""),
        venue_order_id: number(path, row, "orderId")?,
        trade_id: number(path, row, "id")?,
        venue_ms: number(path, row, "time")?,
        price: amount(path, row, "price", d.price_scale)?,
        qty: amount(path, row, "qty", d.qty_scale)?,
        fee_e8: amount(path, row, "commission", 8)?,
        fee_asset,
        instrument: d.instrument,
        side: side(path, row)? as u8,
        is_maker: row["maker"].as_bool().unwrap_or(false).into(),
        is_reconciled: 1,
        reserved: 0,
    })
}

fn parse_definitions(answer: &Value, symbols: &[&str]) -> Result<Vec<InstrumentDefinition>, String> {
    let listed = answer["symbols"].as_array().ok_or("symbols")?;
    let find = |symbol: &&str| listed.iter().find(|row| row["symbol"] == **symbol);
    symbols
        .iter()
        .enumerate()
        .map(|(index, symbol)| {
            let row = find(symbol).ok_or_else(|| format!("symbol {symbol:?}"))?;
            definition(index as u32, symbol, row).ok_or_else(|| format!("filters of {symbol:?}"))
        })
        .collect()
}

/// Units one decimal place finer than the venue's quantities, so that off-lot market data is kept.
fn definition(index: u32, symbol: &str, row: &Value) -> Option<InstrumentDefinition> {
    let filter = |kind: &str| row["filters"].as_array()?.iter().find(|f| f["filterType"] == kind);
    let text = |filter: &Value, key: &str| filter[key].as_str().map(str::to_owned);
    let (price, lot) = (filter("PRICE_FILTER")?, filter("LOT_SIZE")?);
    let (tick, step) = (text(price, "tickSize")?, text(lot, "stepSize")?);
    let price_places = decimal::places_of(tick.as_bytes()).ok()?;
    let qty_places = decimal::places_of(step.as_bytes()).ok()?;
    let precision = |key: &str, places: u8| places.max(row[key].as_u64().unwrap_or(0).min(8) as u8);
    let price_scale = precision("pricePrecision", price_places);
    let qty_scale = (precision("quantityPrecision", qty_places) + 1).min(8);
    let at = |text: String, scale: u8| decimal::parse(text.as_bytes(), scale).ok();
    let bound = |filter: &Value, key: &str, scale: u8| at(text(filter, key)?, scale);
    // A bound of zero is disabled.
    let or_max = |value: i64| if value == 0 { i64::MAX } else { value };
    let notional = filter("MIN_NOTIONAL").and_then(|f| bound(f, "notional", 8)).unwrap_or(0);
    let definition = InstrumentDefinition {
        symbol: Symbol::new(symbol)?,
        instrument: index,
        version: 1,
        price_scale,
        qty_scale,
        is_trading: u8::from(row["status"] == "TRADING"),
        price_places,
        qty_places,
        reserved: [0; 3],
        tick: at(tick, price_scale)?,
        lot: at(step, qty_scale)?,
        price_min: bound(price, "minPrice", price_scale)?,
        price_max: or_max(bound(price, "maxPrice", price_scale)?),
        qty_min: bound(lot, "minQty", qty_scale)?,
        qty_max: or_max(bound(lot, "maxQty", qty_scale)?),
        notional_min_e8: notional,
    };
    definition.fault().is_none().then_some(definition)
}

/// Hosts that trade real money.
pub fn is_live_host(host: &str) -> bool {
    let host = host.to_lowercase();
    (host == "binance.com" || host.ends_with(".binance.com")) && !host.starts_with("demo-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_become_definitions() {
        let answer: Value = serde_json::from_str(
            r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","pricePrecision":2,"quantityPrecision":3,"filters":[
            {"filterType":"PRICE_FILTER","maxPrice":"4529764","minPrice":"556.80","tickSize":"0.10"},
            {"filterType":"LOT_SIZE","maxQty":"1000","minQty":"0.001","stepSize":"0.001"},
            {"filterType":"MIN_NOTIONAL","notional":"100"}]}]}"#,
        )
        .unwrap();
        let d = parse_definitions(&answer, &["BTCUSDT"]).unwrap()[0];
        assert_eq!((d.price_scale, d.price_places, d.tick), (2, 1, 10));
        assert_eq!((d.qty_scale, d.qty_places, d.lot), (4, 3, 10));
        assert_eq!((d.price_min, d.qty_max, d.notional_min_e8), (55_680, 10_000_000, 10_000_000_000));
        assert!(parse_definitions(&answer, &["ETHUSDT"]).is_err());
    }

    #[test]
    fn live_hosts_are_known() {
        assert!(is_live_host("fapi.binance.com") && is_live_host("FSTREAM.binance.com"));
        assert!(!is_live_host("127.0.0.1") && !is_live_host("demo-fapi.binance.com"));
        assert!(!is_live_host("testnet.binancefuture.com") && !is_live_host("notbinance.com"));
    }
}
