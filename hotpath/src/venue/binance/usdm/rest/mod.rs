//! REST of Binance USD-M: what the session thread asks for, and its answers as domain records.
//!
//! Blocking, cold, every body capped. Source: Binance USD-M Futures, REST API.

mod budget;
mod parse;
mod transport;

pub use budget::{Budget, Urgency};
pub use parse::{Funding, settles_in};
pub use transport::{Answer, Call, Http, Method, Transport};

use super::super::sign::percent_encode;
use crate::{order::OrderName, venue::Credentials};
use parse::{
    balance, by_symbol, encode, funding, malformed, open_order, parse, parse_definitions, position, refusal,
    report, stop_report, trade, weight_limit,
};
use serde_json::Value;
use std::{error::Error, sync::Arc};
use thiserror::Error;
use tickpath_shared::{
    config::KeyKind,
    record::{
        BalanceRecord, FillRecord, OpenOrderRecord, OrderReportRecord, PositionRecord, StopReportRecord,
    },
    types::{ClientOrderId, InstrumentDefinition, OrderState, StopState},
};

/// Largest answer read, and largest `exchangeInfo`.
const BODY_MAX: u64 = 1 << 20;
const EXCHANGE_INFO_MAX: u64 = 16 << 20;
/// Rows of a page of trades or orders, and most pages of a list that numbers them.
const PAGE: usize = 1000;
const PAGES: usize = 10;
/// How often a question is asked whose answer was the venue's own failure.
const ATTEMPTS: usize = 3;
/// Venue's code for an order it does not know.
const CODE_NO_SUCH_ORDER: i64 = -2013;
/// Venue's code for a time stamp outside of the request's window.
const CODE_OUT_OF_TIME: i64 = -1021;

/// Why a request has no usable answer. For an order this always means: outcome unknown.
#[derive(Debug, Error)]
pub enum RestError {
    /// No answer: refused, timed out, broken off, too large.
    #[error("{path}: {source}")]
    Transport {
        /// Path of the request.
        path: String,
        /// What the client said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Not asked: the address has used up its weight, or was told to wait.
    #[error("{path}: not asked, the venue's request limit leaves room in {wait_ms} ms")]
    NoBudget {
        /// Path of the request.
        path: String,
        /// Milliseconds until it may be asked.
        wait_ms: u64,
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
    /// Trades came while the account was read, every time.
    #[error("the account did not stand still in any of {attempts} readings: its positions are not proven")]
    Unquiet {
        /// Readings.
        attempts: usize,
    },
}

/// A REST client of one account.
#[derive(Clone)]
pub struct Rest {
    transport: Arc<dyn Transport>,
    credentials: Arc<Credentials>,
    recv_window_ms: u64,
    budget: Arc<Budget>,
}

/// An endpoint: how it is asked and what it costs.
struct Endpoint {
    method: Method,
    path: &'static str,
    weight: u64,
    urgency: Urgency,
    body_max: u64,
    /// Requests at most: more than one where a second request changes nothing that the first one did not.
    attempts: usize,
}

const fn get(path: &'static str, weight: u64) -> Endpoint {
    let (method, urgency) = (Method::Get, Urgency::Ordinary);
    Endpoint { method, path, weight, urgency, body_max: BODY_MAX, attempts: ATTEMPTS }
}

/// An endpoint that takes risk away.
const fn risk(method: Method, path: &'static str, weight: u64) -> Endpoint {
    let attempts = if matches!(method, Method::Get) { ATTEMPTS } else { 1 };
    Endpoint { method, path, weight, urgency: Urgency::Risk, body_max: BODY_MAX, attempts }
}

impl Rest {
    /// A client over a transport.
    pub fn new(transport: Arc<dyn Transport>, credentials: Arc<Credentials>, recv_window_ms: u64) -> Self {
        Self { transport, credentials, recv_window_ms, budget: Arc::default() }
    }

    /// Request weight of the address.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Asks, and asks again at once where the venue's own machinery failed: a reading of many pages would otherwise
    /// start all over for each page that was lost.
    fn call(&self, endpoint: &Endpoint, query: &str) -> Result<Vec<u8>, RestError> {
        for _ in 1..endpoint.attempts {
            let answer = self.call_once(endpoint, query);
            if !matches!(answer, Err(RestError::Refused { status: 500 | 502 | 504, .. })) {
                return answer;
            }
        }
        self.call_once(endpoint, query)
    }

    fn call_once(&self, endpoint: &Endpoint, query: &str) -> Result<Vec<u8>, RestError> {
        let path = endpoint.path;
        let now_ms = self.transport.now_ms();
        self.budget
            .admit(endpoint.weight, endpoint.urgency, now_ms)
            .map_err(|wait_ms| RestError::NoBudget { path: path.to_owned(), wait_ms })?;
        let api_key = self.credentials.api_key.as_str();
        let call = Call { method: endpoint.method, path, query, api_key, body_max: endpoint.body_max };
        let answer = self
            .transport
            .call(&call)
            .map_err(|source| RestError::Transport { path: path.to_owned(), source })?;
        let asked_ms = now_ms;
        let now_ms = self.transport.now_ms();
        if let Some(used) = answer.used_weight {
            self.budget.note_used(used, asked_ms, now_ms);
        }
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let refused = refusal(path, answer.status, &answer.body);
        if let RestError::Refused { status: 429 | 418, message, .. } = &refused {
            self.budget.block(answer.retry_after_s, parse::banned_until(message), now_ms);
        }
        Err(refused)
    }

    /// A signed request. One that was out of its time by the venue's clock was not carried out: it is stamped with
    /// that clock and sent once more.
    fn signed(&self, endpoint: &Endpoint, query: &str, venue_ms: u64) -> Result<Value, RestError> {
        match self.signed_at(endpoint, query, venue_ms) {
            Err(RestError::Refused { code: CODE_OUT_OF_TIME, .. }) => {
                let venue_ms = self.time_for(endpoint.urgency)?;
                self.signed_at(endpoint, query, venue_ms)
            }
            other => other,
        }
    }

    fn signed_at(&self, endpoint: &Endpoint, query: &str, venue_ms: u64) -> Result<Value, RestError> {
        let separator = if query.is_empty() { "" } else { "&" };
        let payload = format!("{query}{separator}recvWindow={}&timestamp={venue_ms}", self.recv_window_ms);
        let signature = self.credentials.secret.sign_to_string(payload.as_bytes());
        let query = format!("{payload}&signature={}", percent_encode(&signature));
        parse(endpoint.path, &self.call(endpoint, &query)?)
    }

    /// The venue's clock in unix milliseconds.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn server_time(&self) -> Result<u64, RestError> {
        self.time_for(Urgency::Ordinary)
    }

    /// The venue's clock, as urgent as what it is asked for.
    fn time_for(&self, urgency: Urgency) -> Result<u64, RestError> {
        let time = Endpoint { urgency, ..get("/fapi/v1/time", 1) };
        let answer = parse(time.path, &self.call(&time, "")?)?;
        answer["serverTime"].as_u64().ok_or_else(|| malformed(time.path, "serverTime"))
    }

    /// Definitions of the symbols, in their order, version 1.
    ///
    /// # Errors
    ///
    /// [`RestError`]; a symbol that is not listed is malformed.
    pub fn definitions(&self, symbols: &[&str]) -> Result<Vec<InstrumentDefinition>, RestError> {
        const INFO: Endpoint = Endpoint { body_max: EXCHANGE_INFO_MAX, ..get("/fapi/v1/exchangeInfo", 1) };
        let answer = parse(INFO.path, &self.call(&INFO, "")?)?;
        if let Some(limit) = weight_limit(&answer) {
            self.budget.set_limit(limit);
        }
        parse_definitions(&answer, symbols).map_err(|what| malformed(INFO.path, &what))
    }

    /// A book snapshot as received.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn snapshot(&self, symbol: &str) -> Result<Vec<u8>, RestError> {
        self.call(&get("/fapi/v1/depth", 20), &format!("symbol={}&limit=1000", encode(symbol)))
    }

    /// Starts or extends the account stream and returns its key.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn listen_key(&self) -> Result<String, RestError> {
        // The key is the same until it expires, however often it is asked for.
        const KEY: Endpoint = Endpoint { attempts: ATTEMPTS, ..risk(Method::Post, "/fapi/v1/listenKey", 1) };
        let answer = parse(KEY.path, &self.call(&KEY, "")?)?;
        answer["listenKey"].as_str().map(str::to_owned).ok_or_else(|| malformed(KEY.path, "listenKey"))
    }

    /// Extends the account stream.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn keep_listen_key(&self) -> Result<(), RestError> {
        self.call(&risk(Method::Put, "/fapi/v1/listenKey", 1), "").map(|_| ())
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
        const RISK: Endpoint = get("/fapi/v3/positionRisk", 5);
        let (path, answer) = (RISK.path, self.signed(&RISK, "", venue_ms)?);
        let rows = answer.as_array().ok_or_else(|| malformed(path, "array"))?;
        definitions.iter().map(|definition| position(path, rows, definition)).collect()
    }

    /// Assets of the account, at `venue_ms`.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn balances(&self, venue_ms: u64) -> Result<Vec<BalanceRecord>, RestError> {
        const BALANCE: Endpoint = get("/fapi/v3/balance", 5);
        let (path, answer) = (BALANCE.path, self.signed(&BALANCE, "", venue_ms)?);
        let rows = answer.as_array().ok_or_else(|| malformed(path, "array"))?;
        rows.iter().filter_map(|row| balance(path, row, venue_ms).transpose()).collect()
    }

    /// Funding that was due from a moment on, the oldest first.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn funding(&self, from_ms: u64, venue_ms: u64) -> Result<Vec<Funding>, RestError> {
        const INCOME: Endpoint = get("/fapi/v1/income", 30);
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let which = format!("incomeType=FUNDING_FEE&startTime={from_ms}&limit={PAGE}&page={page}");
            let answer = self.signed(&INCOME, &which, venue_ms)?;
            let rows = answer.as_array().ok_or_else(|| malformed(INCOME.path, "array"))?;
            for row in rows {
                all.push(funding(INCOME.path, row)?);
            }
            if rows.len() < PAGE {
                return Ok(all);
            }
        }
        Err(malformed(INCOME.path, "the end of the list"))
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
        const OPEN: Endpoint = risk(Method::Get, "/fapi/v1/openOrders", 40);
        let (path, answer) = (OPEN.path, self.signed(&OPEN, "", venue_ms)?);
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
        self.list_trades(definition, &format!("fromId={from_id}&limit={PAGE}"), venue_ms)
    }

    /// Trades of one order.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn trades_of(
        &self,
        definition: &InstrumentDefinition,
        venue_order_id: u64,
        venue_ms: u64,
    ) -> Result<Vec<FillRecord>, RestError> {
        self.list_trades(definition, &format!("orderId={venue_order_id}&limit={PAGE}"), venue_ms)
    }

    fn list_trades(
        &self,
        definition: &InstrumentDefinition,
        which: &str,
        venue_ms: u64,
    ) -> Result<Vec<FillRecord>, RestError> {
        const TRADES: Endpoint = get("/fapi/v1/userTrades", 5);
        let symbol = encode(definition.symbol.as_str());
        let answer = self.signed(&TRADES, &format!("symbol={symbol}&{which}"), venue_ms)?;
        let rows = answer.as_array().ok_or_else(|| malformed(TRADES.path, "array"))?;
        rows.iter().map(|row| trade(TRADES.path, row, definition)).collect()
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
        const ORDERS: Endpoint = get("/fapi/v1/allOrders", 5);
        let query = format!("symbol={}&orderId={from_id}&limit={PAGE}", encode(definition.symbol.as_str()));
        let answer = self.signed(&ORDERS, &query, venue_ms)?;
        let rows = answer.as_array().ok_or_else(|| malformed(ORDERS.path, "array"))?;
        rows.iter().map(|row| report(ORDERS.path, row, definition)).collect()
    }

    /// What the venue knows about one order; state `Absent` when it does not know it.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn order(
        &self,
        definition: &InstrumentDefinition,
        name: &OrderName,
        venue_ms: u64,
    ) -> Result<OrderReportRecord, RestError> {
        const ORDER: Endpoint = get("/fapi/v1/order", 1);
        match self.signed(&ORDER, &named(definition, name), venue_ms) {
            Ok(row) => report(ORDER.path, &row, definition),
            Err(RestError::Refused { code: CODE_NO_SUCH_ORDER, .. }) => Ok(OrderReportRecord {
                client_order_id: name.client_order_id,
                venue_order_id: 0,
                filled: 0,
                state: OrderState::Absent as u8,
                is_proven: 0,
                reserved: [0; 2],
                age_ms: 0,
                price: 0,
                qty: 0,
            }),
            Err(e) => Err(e),
        }
    }

    /// Stops of the instruments that wait for their price and have names as ours: others may be of kinds that we do not
    /// know.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn open_stops(
        &self,
        definitions: &[InstrumentDefinition],
        venue_ms: u64,
    ) -> Result<Vec<StopReportRecord>, RestError> {
        const OPEN: Endpoint = risk(Method::Get, "/fapi/v1/openAlgoOrders", 40);
        let (path, answer) = (OPEN.path, self.signed(&OPEN, "", venue_ms)?);
        let rows = answer.as_array().ok_or_else(|| malformed(path, "array"))?;
        let is_ours = |row: &&Value| {
            let id = row["clientAlgoId"].as_str().unwrap_or_default();
            ClientOrderId::from_venue(id.as_bytes()).parts().is_ok()
        };
        let ours = rows.iter().filter(is_ours);
        let known = ours.filter_map(|row| Some((row, by_symbol(definitions, row)?)));
        known.map(|(row, definition)| stop_report(path, row, definition)).collect()
    }

    /// What the venue knows about one stop; state `Absent` when it does not know it.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn stop(
        &self,
        definition: &InstrumentDefinition,
        id: &ClientOrderId,
        venue_ms: u64,
    ) -> Result<StopReportRecord, RestError> {
        const STOP: Endpoint = get("/fapi/v1/algoOrder", 1);
        match self.signed(&STOP, &format!("clientAlgoId={}", encode(id.as_str())), venue_ms) {
            Ok(row) => stop_report(STOP.path, &row, definition),
            Err(RestError::Refused { code: CODE_NO_SUCH_ORDER, .. }) => Ok(StopReportRecord {
                client_order_id: *id,
                stop_id: 0,
                venue_order_id: 0,
                trigger: 0,
                instrument: definition.instrument,
                age_ms: 0,
                state: StopState::Absent as u8,
                side: 0,
                is_closing: 0,
                reserved: [0; 5],
            }),
            Err(e) => Err(e),
        }
    }

    /// Cancels one order: the second road, for when the order session is down.
    ///
    /// # Errors
    ///
    /// [`RestError`]; a refusal with code -2011 says that the venue does not hold the order.
    pub fn cancel(
        &self,
        definition: &InstrumentDefinition,
        name: &OrderName,
        venue_ms: u64,
    ) -> Result<(), RestError> {
        const CANCEL: Endpoint = risk(Method::Delete, "/fapi/v1/order", 1);
        self.signed(&CANCEL, &named(definition, name), venue_ms).map(|_| ())
    }

    /// Cancels every open order of a symbol.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn cancel_all(&self, symbol: &str, venue_ms: u64) -> Result<(), RestError> {
        let query = format!("symbol={}", encode(symbol));
        self.signed(&risk(Method::Delete, "/fapi/v1/allOpenOrders", 1), &query, venue_ms).map(|_| ())
    }

    /// Lets the venue cancel every order of a symbol after `ms` milliseconds unless it is called again; 0 stops the
    /// countdown.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn count_down(&self, symbol: &str, ms: u64, venue_ms: u64) -> Result<(), RestError> {
        let query = format!("symbol={}&countdownTime={ms}", encode(symbol));
        self.signed(&risk(Method::Post, "/fapi/v1/countdownCancelAll", 10), &query, venue_ms).map(|_| ())
    }

    /// The account holds long and short positions apart.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn is_hedging(&self, venue_ms: u64) -> Result<bool, RestError> {
        const MODE: Endpoint = get("/fapi/v1/positionSide/dual", 30);
        let answer = self.signed(&MODE, "", venue_ms)?;
        answer["dualSidePosition"].as_bool().ok_or_else(|| malformed(MODE.path, "dualSidePosition"))
    }

    /// Leverage of every symbol of the account.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn leverages(&self, venue_ms: u64) -> Result<Vec<(String, u32)>, RestError> {
        const CONFIG: Endpoint = get("/fapi/v1/symbolConfig", 5);
        let answer = self.signed(&CONFIG, "", venue_ms)?;
        let rows = answer.as_array().ok_or_else(|| malformed(CONFIG.path, "array"))?;
        let of = |row: &Value| Some((row["symbol"].as_str()?.to_owned(), row["leverage"].as_u64()? as u32));
        rows.iter().map(|row| of(row).ok_or_else(|| malformed(CONFIG.path, "leverage"))).collect()
    }

    /// Changes the leverage of a symbol.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn set_leverage(&self, symbol: &str, leverage: u32, venue_ms: u64) -> Result<(), RestError> {
        let query = format!("symbol={}&leverage={leverage}", encode(symbol));
        self.signed(&risk(Method::Post, "/fapi/v1/leverage", 1), &query, venue_ms).map(|_| ())
    }

    /// The key may take money out of the account.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn can_withdraw(&self, venue_ms: u64) -> Result<bool, RestError> {
        const RIGHTS: Endpoint = get("/sapi/v1/account/apiRestrictions", 1);
        let answer = self.signed(&RIGHTS, "", venue_ms)?;
        answer["enableWithdrawals"].as_bool().ok_or_else(|| malformed(RIGHTS.path, "enableWithdrawals"))
    }
}

/// Query that names an order by its client order id.
fn named(definition: &InstrumentDefinition, name: &OrderName) -> String {
    let symbol = encode(definition.symbol.as_str());
    match name.number() {
        Some(number) => format!("symbol={symbol}&orderId={number}"),
        None => format!("symbol={symbol}&origClientOrderId={}", encode(name.client_order_id.as_str())),
    }
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

/// Hosts that trade real money.
pub fn is_live_host(host: &str) -> bool {
    let host = host.to_lowercase();
    (host == "binance.com" || host.ends_with(".binance.com")) && !host.starts_with("demo-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Fails so many times with a status, then answers.
    struct Failing {
        status: u16,
        failures: usize,
        asked: AtomicUsize,
    }

    impl Transport for Failing {
        fn now_ms(&self) -> u64 {
            1
        }

        fn call(&self, _: &Call<'_>) -> Result<Answer, Box<dyn Error + Send + Sync>> {
            let is_failure = self.asked.fetch_add(1, Ordering::Relaxed) < self.failures;
            let status = if is_failure { self.status } else { 200 };
            let body = br#"{"serverTime":7,"listenKey":"k"}"#.to_vec();
            Ok(Answer { status, body, ..Answer::default() })
        }
    }

    fn failing(status: u16, failures: usize) -> (Rest, Arc<Failing>) {
        let transport = Arc::new(Failing { status, failures, asked: AtomicUsize::new(0) });
        let secret = crate::venue::Secret::hmac("secret").unwrap();
        let credentials = Credentials { api_key: "key".into(), secret, kind: KeyKind::Hmac };
        (Rest::new(Arc::clone(&transport) as Arc<dyn Transport>, Arc::new(credentials), 2000), transport)
    }

    #[test]
    fn questions_are_asked_again_where_the_venues_machinery_failed() {
        let mut seen = Vec::new();
        for (status, failures) in [(502, 2), (500, 3), (504, 1), (503, 1), (429, 1), (400, 1)] {
            let (rest, transport) = failing(status, failures);
            seen.push((rest.server_time().is_ok(), transport.asked.load(Ordering::Relaxed)));
        }
        let expected = [(true, 3), (false, 3), (true, 2), (false, 1), (false, 1), (false, 1)];
        assert_eq!(seen, expected, "overload, limits and refusals are not answered with more requests");
    }

    #[test]
    fn what_changes_something_is_never_repeated_by_itself() {
        let (rest, transport) = failing(502, 1);
        assert!(rest.cancel_all("X", 1).is_err() && transport.asked.load(Ordering::Relaxed) == 1);
        let (rest, transport) = failing(502, 1);
        assert_eq!((rest.listen_key().unwrap().as_str(), transport.asked.load(Ordering::Relaxed)), ("k", 2));
    }

    #[test]
    fn live_hosts_are_known() {
        assert!(is_live_host("fapi.binance.com") && is_live_host("FSTREAM.binance.com"));
        assert!(!is_live_host("127.0.0.1") && !is_live_host("demo-fapi.binance.com"));
        assert!(!is_live_host("testnet.binancefuture.com") && !is_live_host("notbinance.com"));
    }
}
