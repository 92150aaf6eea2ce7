//! Answers of REST as domain records, and what is wrong with those that are none.

use super::{
    super::private::{event_state, stop_state},
    RestError,
};
use serde_json::Value;
use tickpath_shared::{
    record::{
        BalanceRecord, FillRecord, OpenOrderRecord, OrderReportRecord, PositionRecord, StopReportRecord,
    },
    types::{ClientOrderId, InstrumentDefinition, Side, Symbol, decimal},
};

pub(super) fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (b as char).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

pub(super) fn parse(path: &str, body: &[u8]) -> Result<Value, RestError> {
    serde_json::from_slice(body).map_err(|_| malformed(path, "JSON"))
}

pub(super) fn malformed(path: &str, what: &str) -> RestError {
    RestError::Malformed { path: path.to_owned(), what: what.to_owned() }
}

pub(super) fn refusal(path: &str, status: u16, body: &[u8]) -> RestError {
    let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let code = answer["code"].as_i64().unwrap_or(0);
    let message = answer["msg"].as_str().unwrap_or("no JSON body").chars().take(200).collect();
    RestError::Refused { path: path.to_owned(), status, code, message }
}

pub(super) fn by_symbol<'a>(
    definitions: &'a [InstrumentDefinition],
    row: &Value,
) -> Option<&'a InstrumentDefinition> {
    let symbol = row["symbol"].as_str()?;
    definitions.iter().find(|d| d.symbol.as_str() == symbol)
}

pub(super) fn amount(path: &str, row: &Value, key: &str, scale: u8) -> Result<i64, RestError> {
    let text = row[key].as_str().ok_or_else(|| malformed(path, key))?;
    decimal::parse(text.as_bytes(), scale).map_err(|e| malformed(path, &format!("{key} {text:?} ({e})")))
}

pub(super) fn number(path: &str, row: &Value, key: &str) -> Result<u64, RestError> {
    row[key].as_u64().ok_or_else(|| malformed(path, key))
}

pub(super) fn side(path: &str, row: &Value) -> Result<Side, RestError> {
    match row["side"].as_str() {
        Some("BUY") => Ok(Side::Buy),
        Some("SELL") => Ok(Side::Sell),
        _ => Err(malformed(path, "side")),
    }
}

pub(super) fn client_id(path: &str, row: &Value) -> Result<ClientOrderId, RestError> {
    let text = row["clientOrderId"].as_str().ok_or_else(|| malformed(path, "clientOrderId"))?;
    Ok(ClientOrderId::from_venue(text.as_bytes()))
}

pub(super) fn position(
    path: &str,
    rows: &[Value],
    d: &InstrumentDefinition,
) -> Result<PositionRecord, RestError> {
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

/// A balance; `None` for an asset whose name is longer than any that there is.
pub(super) fn balance(path: &str, row: &Value, venue_ms: u64) -> Result<Option<BalanceRecord>, RestError> {
    let name = row["asset"].as_str().ok_or_else(|| malformed(path, "asset"))?;
    let [wallet_e8, cross_e8] =
        [amount(path, row, "balance", 8)?, amount(path, row, "crossWalletBalance", 8)?];
    Ok(BalanceRecord::name(name).map(|asset| BalanceRecord { asset, wallet_e8, cross_e8, venue_ms }))
}

/// Funding that was paid or received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funding {
    /// In which asset.
    pub asset: String,
    /// Received, x 10^8.
    pub amount_e8: i64,
    /// When it was due by the venue's clock, unix milliseconds.
    pub venue_ms: u64,
}

/// An instrument's profits and funding are of this asset: what its symbol ends with, before the date of a delivery.
pub fn settles_in(definition: &InstrumentDefinition, asset: &str) -> bool {
    let symbol = definition.symbol.as_str();
    !asset.is_empty() && symbol.split_once('_').map_or(symbol, |(pair, _)| pair).ends_with(asset)
}

pub(super) fn funding(path: &str, row: &Value) -> Result<Funding, RestError> {
    let asset = row["asset"].as_str().ok_or_else(|| malformed(path, "asset"))?.to_owned();
    Ok(Funding { asset, amount_e8: amount(path, row, "income", 8)?, venue_ms: number(path, row, "time")? })
}

pub(super) fn open_order(
    path: &str,
    row: &Value,
    d: &InstrumentDefinition,
) -> Result<OpenOrderRecord, RestError> {
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

pub(super) fn report(
    path: &str,
    row: &Value,
    d: &InstrumentDefinition,
) -> Result<OrderReportRecord, RestError> {
    let status = row["status"].as_str().ok_or_else(|| malformed(path, "status"))?;
    let state = event_state(status);
    Ok(OrderReportRecord {
        client_order_id: client_id(path, row)?,
        venue_order_id: number(path, row, "orderId")?,
        filled: amount(path, row, "executedQty", d.qty_scale)?,
        state: state as u8,
        is_proven: 0,
        reserved: [0; 2],
        age_ms: 0,
        price: amount(path, row, "price", d.price_scale)?,
        qty: amount(path, row, "origQty", d.qty_scale)?,
    })
}

pub(super) fn stop_report(
    path: &str,
    row: &Value,
    d: &InstrumentDefinition,
) -> Result<StopReportRecord, RestError> {
    let id = row["clientAlgoId"].as_str().ok_or_else(|| malformed(path, "clientAlgoId"))?;
    let status = row["algoStatus"].as_str().ok_or_else(|| malformed(path, "algoStatus"))?;
    let state = stop_state(status).ok_or_else(|| malformed(path, &format!("algoStatus {status:?}")))?;
    // Empty before it has become an order; a number is taken, too.
    let order = row["actualOrderId"].as_u64().map(|id| id.to_string());
    let order = order.as_deref().or(row["actualOrderId"].as_str()).unwrap_or_default();
    Ok(StopReportRecord {
        client_order_id: ClientOrderId::from_venue(id.as_bytes()),
        stop_id: number(path, row, "algoId")?,
        venue_order_id: if order.is_empty() {
            0
        } else {
            order.parse().map_err(|_| malformed(path, "actualOrderId"))?
        },
        trigger: amount(path, row, "triggerPrice", d.price_scale)?,
        instrument: d.instrument,
        age_ms: 0,
        state: state as u8,
        side: side(path, row)? as u8,
        is_closing: row["closePosition"].as_bool().unwrap_or(false).into(),
        reserved: [0; 5],
    })
}

pub(super) fn trade(path: &str, row: &Value, d: &InstrumentDefinition) -> Result<FillRecord, RestError> {
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

pub(super) fn parse_definitions(
    answer: &Value,
    symbols: &[&str],
) -> Result<Vec<InstrumentDefinition>, String> {
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
pub(super) fn definition(index: u32, symbol: &str, row: &Value) -> Option<InstrumentDefinition> {
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
    // A multiplier finer than a part of ten thousand is left to the venue to judge.
    let band = |key: &str| {
        let e4 = filter("PERCENT_PRICE").and_then(|f| bound(f, key, 4)).unwrap_or(0);
        u32::try_from(e4).unwrap_or(0)
    };
    let market = |key: &str| filter("MARKET_LOT_SIZE").and_then(|f| bound(f, key, qty_scale)).unwrap_or(0);
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
        price_up_e4: band("multiplierUp"),
        price_down_e4: band("multiplierDown"),
        market_qty_min: market("minQty"),
        market_qty_max: market("maxQty"),
        market_lot: market("stepSize"),
    };
    definition.fault().is_none().then_some(definition)
}

/// Weight of an address in a minute, as the venue publishes it.
pub(super) fn weight_limit(answer: &Value) -> Option<u64> {
    let limits = answer["rateLimits"].as_array()?;
    limits.iter().find(|l| l["rateLimitType"] == "REQUEST_WEIGHT" && l["interval"] == "MINUTE")?["limit"]
        .as_u64()
}

/// Unix milliseconds until which an address is banned, from the venue's text.
pub(super) fn banned_until(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("banned until ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_bans_are_read() {
        let answer = serde_json::json!({"rateLimits": [
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "limit": 1200},
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]});
        assert_eq!(weight_limit(&answer), Some(6000));
        let banned = "Way too many requests; IP banned until 1573038720123. Please use the websocket.";
        assert_eq!(
            (banned_until(banned), banned_until("Too many requests.")),
            (Some(1_573_038_720_123), None)
        );
    }

    #[test]
    fn filters_become_definitions() {
        let answer: Value = serde_json::from_str(
            r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","pricePrecision":2,"quantityPrecision":3,"filters":[
            {"filterType":"PRICE_FILTER","maxPrice":"4529764","minPrice":"556.80","tickSize":"0.10"},
            {"filterType":"LOT_SIZE","maxQty":"1000","minQty":"0.001","stepSize":"0.001"},
            {"filterType":"MARKET_LOT_SIZE","maxQty":"120","minQty":"0.002","stepSize":"0"},
            {"filterType":"PERCENT_PRICE","multiplierUp":"1.0500","multiplierDown":"0.9500","multiplierDecimal":"4"},
            {"filterType":"MIN_NOTIONAL","notional":"100"}]}]}"#,
        )
        .unwrap();
        let d = parse_definitions(&answer, &["BTCUSDT"]).unwrap()[0];
        assert_eq!((d.price_scale, d.price_places, d.tick), (2, 1, 10));
        assert_eq!((d.qty_scale, d.qty_places, d.lot), (4, 3, 10));
        assert_eq!((d.price_min, d.qty_max, d.notional_min_e8), (55_680, 10_000_000, 10_000_000_000));
        assert_eq!((d.price_up_e4, d.price_down_e4), (10_500, 9_500));
        let is_market = [10, 20, 1_200_000, 1_200_010].map(|qty| d.is_market_qty(qty));
        assert_eq!(is_market, [false, true, true, false], "a step of zero is that of any order");
        assert!(parse_definitions(&answer, &["ETHUSDT"]).is_err());
    }
}
