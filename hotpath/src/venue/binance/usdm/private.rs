//! Frames of the private sockets: answers of the WebSocket API and account events.
//!
//! Parsed with simd-json and reused buffers. Source: Binance USD-M Futures, WebSocket API and User Data
//! Streams.

use simd_json::{Buffers, Tape, prelude::*, tape::Value};
use tickpath_shared::{
    record::{BalanceRecord, FillRecord},
    types::{ClientOrderId, InstrumentDefinition, OrderState, Side, StopState, decimal},
};

use super::{SHUTDOWN, decode::find_symbol};
use crate::{breaker::Funding, order::Report, risk::OrderCount};

type Node<'t> = Value<'t, 't>;

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A new order.
    Place,
    /// Another price and quantity.
    Amend {
        /// Which of the order's amendments.
        number: u8,
    },
    /// A cancel.
    Cancel,
    /// A stop that is to rest at the venue.
    PlaceStop,
    /// A cancel of one.
    CancelStop,
}

/// What a private frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateEvent {
    /// The venue carried out a request.
    Accepted {
        /// About what.
        request: RequestKind,
        /// About which order.
        client_order_id: ClientOrderId,
        /// The order as the venue sees it.
        report: Report,
    },
    /// The venue refused a request.
    Refused {
        /// About what.
        request: RequestKind,
        /// About which order.
        client_order_id: ClientOrderId,
        /// Venue's error code.
        code: i32,
    },
    /// The venue does not know what became of a request.
    Unknown {
        /// About what.
        request: RequestKind,
        /// About which order.
        client_order_id: ClientOrderId,
        /// Venue's error code.
        code: i32,
    },
    /// An order changed; `fill` is there when it was executed.
    Order {
        /// Which order.
        client_order_id: ClientOrderId,
        /// Instrument index.
        instrument: u32,
        /// The order as the venue sees it.
        report: Report,
        /// The execution.
        fill: Option<FillRecord>,
    },
    /// A fill told early: without fee, and without what became of its order.
    EarlyFill(EarlyFill),
    /// Balances and positions changed.
    Account(AccountChange),
    /// A stop that rests at the venue changed.
    Stop(StopChange),
    /// Margin is short, or was: an alarm, nothing more.
    MarginCall,
    /// Somebody changed the leverage of an instrument.
    Leverage {
        /// Instrument index.
        instrument: u32,
        /// The leverage now.
        leverage: u32,
    },
    /// Somebody changed the margin mode of the account.
    MarginMode,
    /// The session's key has become invalid.
    SessionLost {
        /// Venue's error code.
        code: i32,
    },
    /// The account stream's key has expired: no event will follow.
    KeyExpired,
    /// The venue will close the connection.
    Closing,
    /// Well-formed and of no use to us.
    Ignored,
}

/// A fill as told before everything else about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EarlyFill {
    /// Instrument index.
    pub instrument: u32,
    /// Venue's trade id.
    pub trade_id: u64,
    /// Which order.
    pub client_order_id: ClientOrderId,
    /// Signed quantity.
    pub qty: i64,
    /// Price.
    pub price: i64,
}

/// Most positions that one event is read for; those of instruments beyond are looked at when the account is read.
pub const POSITIONS_MAX: usize = 8;

/// Positions as the venue shows them, one an instrument: both sides of an account that hedges together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShownPositions {
    rows: [(u32, i64); POSITIONS_MAX],
    len: usize,
}

impl ShownPositions {
    /// Instrument index and signed quantity of each.
    pub fn iter(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        self.rows[..self.len].iter().copied()
    }

    fn add(&mut self, instrument: u32, qty: i64) {
        if let Some(row) = self.rows[..self.len].iter_mut().find(|row| row.0 == instrument) {
            row.1 += qty;
        } else if let Some(row) = self.rows.get_mut(self.len) {
            *row = (instrument, qty);
            self.len += 1;
        }
    }
}

/// Most assets that one event is read for.
const BALANCES_MAX: usize = 4;

/// Balances and positions as the venue shows them; those that are not listed did not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// Positions.
    pub positions: ShownPositions,
    /// Funding was exchanged.
    pub funding: Option<Funding>,
    balances: [Option<BalanceRecord>; BALANCES_MAX],
}

impl AccountChange {
    /// Assets whose balance has changed.
    pub fn balances(&self) -> impl Iterator<Item = &BalanceRecord> {
        self.balances.iter().flatten()
    }
}

/// A conditional order as the venue sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopChange {
    /// Client order id.
    pub client_order_id: ClientOrderId,
    /// Venue's number of it.
    pub stop_id: u64,
    /// The order that it became, 0 before.
    pub venue_order_id: u64,
    /// Where it stands.
    pub state: StopState,
}

/// A private frame that is not what the venue documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateError;

/// Frames that name a secret and must not enter a lane.
pub fn is_secret(frame: &[u8]) -> bool {
    const KEY: &[u8] = b"listenKey";
    // Its first letter is rare enough to look for alone.
    let mut places = frame.iter().enumerate().filter(|(_, byte)| **byte == KEY[0]);
    places.any(|(at, _)| frame[at..].starts_with(KEY))
}

/// What is journalled and processed instead of a frame that names a listen key.
pub const KEY_EXPIRED: &[u8] = br#"{"e":"listenKeyExpired"}"#;

/// Decodes private frames. Allocates everything it needs for frames up to its size at the start.
pub struct PrivateDecoder {
    text: Vec<u8>,
    buffers: Buffers,
    tape: Option<Tape<'static>>,
    counts: [OrderCount; COUNTS_MAX],
}

/// Counts of orders that an answer is read for.
const COUNTS_MAX: usize = 4;

impl Default for PrivateDecoder {
    /// Without reserved memory: it grows with its frames.
    fn default() -> Self {
        Self::new(0)
    }
}

impl PrivateDecoder {
    /// A decoder for frames up to `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        let tape = Tape(Vec::with_capacity(bytes_max / 4));
        Self {
            text: crate::pages::room(bytes_max),
            buffers: Buffers::new(bytes_max),
            tape: Some(tape),
            counts: [OrderCount::default(); COUNTS_MAX],
        }
    }

    /// Decodes one frame.
    ///
    /// # Errors
    ///
    /// [`PrivateError`]: count it; the order's query will tell.
    pub fn decode(
        &mut self,
        frame: &[u8],
        definitions: &[InstrumentDefinition],
    ) -> Result<PrivateEvent, PrivateError> {
        self.text.clear();
        self.text.extend_from_slice(frame);
        let mut tape = self.tape.take().unwrap_or_else(|| Tape(Vec::new())).reset();
        let result = match simd_json::fill_tape(&mut self.text, &mut self.buffers, &mut tape) {
            Ok(()) => {
                self.counts = order_counts(tape.as_value());
                read(tape.as_value(), definitions)
            }
            Err(_) => Err(PrivateError),
        };
        self.tape = Some(tape.reset());
        result
    }

    /// Orders as the last frame says that the venue counts them; those of no interval are none.
    pub fn order_counts(&self) -> &[OrderCount] {
        &self.counts
    }
}

fn order_counts(root: Node<'_>) -> [OrderCount; COUNTS_MAX] {
    let mut counts = [OrderCount::default(); COUNTS_MAX];
    // Account events have none.
    if root.as_object().is_none() || root.get("status").is_none() {
        return counts;
    }
    let told = rows(root, "rateLimits").filter(|row| row.get_str("rateLimitType") == Some("ORDERS"));
    for (place, row) in counts.iter_mut().zip(told.filter_map(order_count)) {
        *place = row;
    }
    counts
}

fn order_count(row: Node<'_>) -> Option<OrderCount> {
    let unit_ms = match row.get_str("interval")? {
        "SECOND" => 1_000,
        "MINUTE" => 60_000,
        "HOUR" => 3_600_000,
        "DAY" => 86_400_000,
        _ => return None,
    };
    let number = |key| row.get_u64(key);
    Some(OrderCount {
        interval_ms: unit_ms * number("intervalNum")?.min(1_000),
        limit: u32::try_from(number("limit")?).ok()?,
        count: u32::try_from(number("count")?).ok()?,
    })
}

fn read(root: Node<'_>, definitions: &[InstrumentDefinition]) -> Result<PrivateEvent, PrivateError> {
    if root.as_object().is_none() {
        return Ok(PrivateEvent::Ignored);
    }
    // Combined mode wraps account events like market data, the order API some of its own.
    let event = root.get("data").or_else(|| root.get("event")).unwrap_or(root);
    match event.get_str("e") {
        Some("ORDER_TRADE_UPDATE") => order_update(event, definitions),
        Some("TRADE_LITE") => early_fill(event, definitions),
        Some("ACCOUNT_UPDATE") => account_update(event, definitions),
        Some("ALGO_UPDATE") => stop_update(event, definitions),
        Some("MARGIN_CALL") => Ok(PrivateEvent::MarginCall),
        Some("ACCOUNT_CONFIG_UPDATE") => config_update(event, definitions),
        Some("listenKeyExpired") => Ok(PrivateEvent::KeyExpired),
        Some(SHUTDOWN) => Ok(PrivateEvent::Closing),
        Some(_) => Ok(PrivateEvent::Ignored),
        None if root.get("status").is_some() => answer(root, definitions),
        None => Ok(PrivateEvent::Ignored),
    }
}

fn answer(root: Node<'_>, definitions: &[InstrumentDefinition]) -> Result<PrivateEvent, PrivateError> {
    let code = root.get("error").and_then(|e| e.get_i64("code")).unwrap_or(0) as i32;
    let Some(id) = root.get_str("id") else {
        // Errors of the session itself carry no id.
        return Ok(PrivateEvent::SessionLost { code });
    };
    let (request, client_order_id) = match id.as_bytes().split_first() {
        Some((b'p', rest)) => (RequestKind::Place, ClientOrderId::from_venue(rest)),
        Some((b'm', [name @ .., b'.', tens @ b'0'..=b'9', ones @ b'0'..=b'9'])) => {
            let number = (tens - b'0') * 10 + (ones - b'0');
            (RequestKind::Amend { number }, ClientOrderId::from_venue(name))
        }
        Some((b'c', rest)) => (RequestKind::Cancel, ClientOrderId::from_venue(rest)),
        Some((b's', rest)) => (RequestKind::PlaceStop, ClientOrderId::from_venue(rest)),
        Some((b'x', rest)) => (RequestKind::CancelStop, ClientOrderId::from_venue(rest)),
        _ => return Ok(PrivateEvent::Ignored),
    };
    let status = root.get_u64("status").ok_or(PrivateError)?;
    if status == 200 {
        let result = root.get("result").ok_or(PrivateError)?;
        if matches!(request, RequestKind::PlaceStop | RequestKind::CancelStop) {
            let stop_id = result.get_u64("algoId").ok_or(PrivateError)?;
            let is_placed = request == RequestKind::PlaceStop;
            let state = if is_placed { StopState::Waiting } else { StopState::Canceled };
            let change = StopChange { client_order_id, stop_id, venue_order_id: 0, state };
            return Ok(PrivateEvent::Stop(change));
        }
        let report = answer_report(result, definitions)?;
        return Ok(PrivateEvent::Accepted { request, client_order_id, report });
    }
    Ok(if is_outcome_unknown(status, code) {
        PrivateEvent::Unknown { request, client_order_id, code }
    } else {
        PrivateEvent::Refused { request, client_order_id, code }
    })
}

/// Codes and statuses that leave open whether the request was carried out.
fn is_outcome_unknown(status: u64, code: i32) -> bool {
    // -1008 (overload) is a definite failure although it may come with a 503.
    matches!(code, -1000 | -1001 | -1006 | -1007) || (status >= 500 && code != -1008) || status == 408
}

/// An order as REST and WebSocket answers show it.
fn answer_report(result: Node<'_>, definitions: &[InstrumentDefinition]) -> Result<Report, PrivateError> {
    let symbol = result.get_str("symbol").ok_or(PrivateError)?;
    let definition = &definitions[find_symbol(definitions, symbol.as_bytes()).ok_or(PrivateError)?];
    Ok(Report {
        state: order_state(result.get_str("status").ok_or(PrivateError)?)?,
        filled: amount(result, "executedQty", definition.qty_scale).unwrap_or(0),
        venue_order_id: result.get_u64("orderId").ok_or(PrivateError)?,
        price: amount(result, "price", definition.price_scale).unwrap_or(0),
        qty: amount(result, "origQty", definition.qty_scale).unwrap_or(0),
    })
}

/// The venue's order status as ours.
fn order_state(status: &str) -> Result<OrderState, PrivateError> {
    Ok(match status {
        "NEW" => OrderState::Working,
        "PARTIALLY_FILLED" => OrderState::PartiallyFilled,
        "FILLED" => OrderState::Filled,
        "CANCELED" => OrderState::Canceled,
        "EXPIRED" | "EXPIRED_IN_MATCH" => OrderState::Expired,
        "REJECTED" => OrderState::Rejected,
        _ => return Err(PrivateError),
    })
}

/// As [`order_state`] of an event. A word that is new to us must not cost the fill beside it: such an order is asked
/// about. Orders of the venue's own making (liquidation, insurance fund) are shown as new until they have filled.
pub(super) fn event_state(status: &str) -> OrderState {
    match status {
        "NEW_INSURANCE" | "NEW_ADL" => OrderState::Working,
        _ => order_state(status).unwrap_or(OrderState::Unknown),
    }
}

fn amount(event: Node<'_>, key: &str, scale: u8) -> Result<i64, PrivateError> {
    let text = event.get_str(key).ok_or(PrivateError)?;
    decimal::parse(text.as_bytes(), scale).map_err(|_| PrivateError)
}

fn order_update(event: Node<'_>, definitions: &[InstrumentDefinition]) -> Result<PrivateEvent, PrivateError> {
    let order = event.get("o").ok_or(PrivateError)?;
    let symbol = order.get_str("s").ok_or(PrivateError)?;
    let Some(index) = find_symbol(definitions, symbol.as_bytes()) else { return Ok(PrivateEvent::Ignored) };
    let definition = &definitions[index];
    let client_order_id = ClientOrderId::from_venue(order.get_str("c").ok_or(PrivateError)?.as_bytes());
    let report = Report {
        state: event_state(order.get_str("X").ok_or(PrivateError)?),
        filled: amount(order, "z", definition.qty_scale)?,
        venue_order_id: order.get_u64("i").ok_or(PrivateError)?,
        price: amount(order, "p", definition.price_scale).unwrap_or(0),
        qty: amount(order, "q", definition.qty_scale).unwrap_or(0),
    };
    // A liquidation is announced with an execution type before it has executed.
    let is_execution = matches!(order.get_str("x"), Some("TRADE" | "CALCULATED"))
        && order.get_u64("t").ok_or(PrivateError)? != 0;
    let fill = if is_execution { Some(execution(order, definition, client_order_id)?) } else { None };
    Ok(PrivateEvent::Order { client_order_id, instrument: index as u32, report, fill })
}

fn side(event: Node<'_>) -> Result<Side, PrivateError> {
    match event.get_str("S") {
        Some("BUY") => Ok(Side::Buy),
        Some("SELL") => Ok(Side::Sell),
        _ => Err(PrivateError),
    }
}

/// Index of an event's symbol, `None` for one that is not configured.
fn instrument(event: Node<'_>, definitions: &[InstrumentDefinition]) -> Result<Option<usize>, PrivateError> {
    Ok(find_symbol(definitions, event.get_str("s").ok_or(PrivateError)?.as_bytes()))
}

fn early_fill(event: Node<'_>, definitions: &[InstrumentDefinition]) -> Result<PrivateEvent, PrivateError> {
    let Some(index) = instrument(event, definitions)? else { return Ok(PrivateEvent::Ignored) };
    let definition = &definitions[index];
    Ok(PrivateEvent::EarlyFill(EarlyFill {
        instrument: index as u32,
        trade_id: event.get_u64("t").ok_or(PrivateError)?,
        client_order_id: ClientOrderId::from_venue(event.get_str("c").ok_or(PrivateError)?.as_bytes()),
        qty: side(event)?.sign() * amount(event, "l", definition.qty_scale)?,
        price: amount(event, "L", definition.price_scale)?,
    }))
}

fn account_update(
    event: Node<'_>,
    definitions: &[InstrumentDefinition],
) -> Result<PrivateEvent, PrivateError> {
    let Some(account) = event.get("a") else { return Ok(PrivateEvent::Ignored) };
    let venue_ms = event.get_u64("T").ok_or(PrivateError)?;
    let is_funding = account.get_str("m") == Some("FUNDING_FEE");
    let mut change = AccountChange {
        positions: ShownPositions::default(),
        funding: if is_funding { funding(account, venue_ms, definitions)? } else { None },
        balances: [None; BALANCES_MAX],
    };
    // For people to look at: one that cannot be read must not cost what is said beside it.
    let balances = rows(account, "B").filter_map(|row| balance(row, venue_ms));
    for (place, balance) in change.balances.iter_mut().zip(balances) {
        *place = Some(balance);
    }
    // Positions that are listed with funding are as they were.
    if !is_funding {
        for row in rows(account, "P") {
            if let Some(index) = instrument(row, definitions)? {
                change.positions.add(index as u32, amount(row, "pa", definitions[index].qty_scale)?);
            }
        }
    }
    Ok(PrivateEvent::Account(change))
}

fn rows<'t>(node: Node<'t>, key: &str) -> impl Iterator<Item = Node<'t>> + use<'t> {
    node.get(key).and_then(|rows| rows.as_array()).into_iter().flat_map(|rows| rows.iter())
}

/// A balance; `None` for one that is not as documented.
fn balance(row: Node<'_>, venue_ms: u64) -> Option<BalanceRecord> {
    let asset = BalanceRecord::name(row.get_str("a")?)?;
    let (wallet_e8, cross_e8) = (amount(row, "wb", 8).ok()?, amount(row, "cw", 8).ok()?);
    Some(BalanceRecord { asset, wallet_e8, cross_e8, venue_ms })
}

/// What funding brought or cost; `None` for an instrument that is not configured.
fn funding(
    account: Node<'_>,
    venue_ms: u64,
    definitions: &[InstrumentDefinition],
) -> Result<Option<Funding>, PrivateError> {
    // Of isolated margin the position is listed, of cross margin the symbol may be said.
    let listed = rows(account, "P").next();
    let listed = listed.as_ref().and_then(|row| row.get_str("s"));
    let instrument = match account.get_str("S").or(listed) {
        Some(symbol) => match find_symbol(definitions, symbol.as_bytes()) {
            Some(index) => Some(index as u32),
            None => return Ok(None),
        },
        None => None,
    };
    let mut received_e8 = 0_i64;
    for row in rows(account, "B") {
        received_e8 = received_e8.checked_add(amount(row, "bc", 8)?).ok_or(PrivateError)?;
    }
    Ok(Some(Funding { instrument, venue_ms, received_e8 }))
}

fn stop_update(event: Node<'_>, definitions: &[InstrumentDefinition]) -> Result<PrivateEvent, PrivateError> {
    let order = event.get("o").ok_or(PrivateError)?;
    if instrument(order, definitions)?.is_none() {
        return Ok(PrivateEvent::Ignored);
    }
    let actual = order.get_str("ai").unwrap_or_default();
    Ok(PrivateEvent::Stop(StopChange {
        client_order_id: ClientOrderId::from_venue(order.get_str("caid").ok_or(PrivateError)?.as_bytes()),
        stop_id: order.get_u64("aid").ok_or(PrivateError)?,
        venue_order_id: if actual.is_empty() { 0 } else { actual.parse().map_err(|_| PrivateError)? },
        state: order.get_str("X").and_then(stop_state).ok_or(PrivateError)?,
    }))
}

/// The venue's word for where a conditional order stands, as ours.
pub(super) fn stop_state(status: &str) -> Option<StopState> {
    Some(match status {
        "NEW" => StopState::Waiting,
        "TRIGGERING" | "TRIGGERED" => StopState::Triggered,
        "FINISHED" => StopState::Finished,
        "CANCELED" => StopState::Canceled,
        "REJECTED" => StopState::Rejected,
        "EXPIRED" => StopState::Expired,
        _ => return None,
    })
}

fn config_update(
    event: Node<'_>,
    definitions: &[InstrumentDefinition],
) -> Result<PrivateEvent, PrivateError> {
    let Some(change) = event.get("ac") else { return Ok(PrivateEvent::MarginMode) };
    let Some(index) = instrument(change, definitions)? else { return Ok(PrivateEvent::Ignored) };
    let leverage = change.get_u64("l").ok_or(PrivateError)?;
    Ok(PrivateEvent::Leverage { instrument: index as u32, leverage: leverage as u32 })
}

fn execution(
    order: Node<'_>,
    definition: &InstrumentDefinition,
    client_order_id: ClientOrderId,
) -> Result<FillRecord, PrivateError> {
    let side = side(order)?;
    let mut fee_asset = [0; 8];
    let asset = order.get_str("N").unwrap_or_default().as_bytes();
    let len = asset.len().min(8);
    fee_asset[..len].copy_from_slice(&asset[..len]);
    Ok(FillRecord {
        client_order_id,
        venue_order_id: order.get_u64("i").ok_or(PrivateError)?,
        trade_id: order.get_u64("t").ok_or(PrivateError)?,
        venue_ms: order.get_u64("T").ok_or(PrivateError)?,
        price: amount(order, "L", definition.price_scale)?,
        qty: amount(order, "l", definition.qty_scale)?,
        fee_e8: amount(order, "n", 8).unwrap_or(0),
        fee_asset,
        instrument: definition.instrument,
        side: side as u8,
        is_maker: u8::from(order.get_bool("m").ok_or(PrivateError)?),
        is_reconciled: 0,
        reserved: 0,
    })
}

#[cfg(test)]
mod tests;
