//! Words and amounts of the venue, and an order as it shows it.

use super::{account::OrderRow, events::average_price};
use serde_json::{Map, Value, json};
use tickpath_hotpath::{
    market::Level,
    sim::{End, LedgerTrade},
};
use tickpath_shared::types::{
    InstrumentDefinition, OrderState, OrderType, PositionSide, Side, TimeInForce, decimal,
};

pub(super) fn levels(definition: &InstrumentDefinition, levels: impl Iterator<Item = Level>) -> String {
    let rows: Vec<String> = levels
        .map(|l| format!(r#"["{}","{}"]"#, price_text(definition, l.price), qty_text(definition, l.qty)))
        .collect();
    format!("[{}]", rows.join(","))
}

pub(super) fn price_text(definition: &InstrumentDefinition, price: i64) -> String {
    decimal::to_text(price, definition.price_scale)
}

/// A quantity as the venue writes it: with the decimal places of orders, unless it is finer.
pub(super) fn qty_text(definition: &InstrumentDefinition, qty: i64) -> String {
    let divisor = decimal::pow10(definition.qty_scale - definition.qty_places);
    if qty % divisor == 0 {
        decimal::to_text(qty / divisor, definition.qty_places)
    } else {
        decimal::to_text(qty, definition.qty_scale)
    }
}

/// An amount x 10^8; the venue's amounts are far from the bounds of 64 bits.
pub(super) fn amount_e8(amount: i128) -> String {
    decimal::to_text(amount.clamp(i64::MIN.into(), i64::MAX.into()) as i64, 8)
}

pub(super) fn mark_price(stream: &str, symbol: &str, ms: u64, price_e8: i64, funding_ms: u64) -> String {
    let price = decimal::to_text(price_e8, 8);
    format!(
        r#"{{"stream":"{stream}","data":{{"e":"markPriceUpdate","E":{ms},"s":"{symbol}","p":"{price}","P":"{price}","i":"{price}","r":"0.00010000","T":{funding_ms}}}}}"#
    )
}

pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

pub(super) fn position_side(position: PositionSide) -> &'static str {
    match position {
        PositionSide::Both => "BOTH",
        PositionSide::Long => "LONG",
        PositionSide::Short => "SHORT",
    }
}

pub(super) fn time_in_force(row: &OrderRow) -> &'static str {
    match row.order.submit.time_in_force {
        // A market order expires what it cannot fill, and is shown so nevertheless.
        _ if row.ticket.kind == OrderType::Market => "GTC",
        TimeInForce::Gtc if row.ticket.good_till_ms > 0 => "GTD",
        TimeInForce::Gtc => "GTC",
        TimeInForce::Gtd => "GTD",
        TimeInForce::Ioc => "IOC",
        TimeInForce::Fok => "FOK",
        TimeInForce::Gtx => "GTX",
    }
}

pub(super) fn order_type(kind: OrderType) -> &'static str {
    match kind {
        OrderType::Limit => "LIMIT",
        OrderType::Market => "MARKET",
    }
}

pub(super) fn status(row: &OrderRow) -> &'static str {
    match row.order.state {
        OrderState::PartiallyFilled => "PARTIALLY_FILLED",
        OrderState::Filled => "FILLED",
        OrderState::Canceled => "CANCELED",
        OrderState::Expired if row.end == Some(End::SelfTrade) => "EXPIRED_IN_MATCH",
        OrderState::Expired => "EXPIRED",
        OrderState::Rejected | OrderState::Absent => "REJECTED",
        OrderState::Sent | OrderState::Working | OrderState::Unknown => "NEW",
    }
}

/// An order as answers to place, modify and cancel show it.
pub(super) fn entry(d: &InstrumentDefinition, row: &OrderRow) -> Map<String, Value> {
    let submit = &row.order.submit;
    let filled = qty_text(d, row.order.filled);
    let kind = order_type(row.ticket.kind);
    let shown = json!({
        "orderId": submit.id, "symbol": d.symbol.as_str(), "status": status(row),
        "clientOrderId": row.ticket.client_order_id, "price": price_text(d, submit.price.unwrap_or(0)),
        "origQty": qty_text(d, submit.qty), "executedQty": filled, "cumQty": filled,
        "timeInForce": time_in_force(row), "type": kind, "reduceOnly": submit.is_reduce_only,
        "closePosition": false, "side": side(submit.side), "positionSide": position_side(submit.position),
        "stopPrice": "0.00", "workingType": "CONTRACT_PRICE", "priceProtect": false, "origType": kind,
        "priceMatch": row.ticket.price_match, "selfTradePreventionMode": row.self_trade(),
        "goodTillDate": row.ticket.good_till_ms, "updateTime": row.updated_ms,
    });
    let mut shown = match shown {
        Value::Object(map) => map,
        other => unreachable!("an order is an object: {other}"),
    };
    if let Some(id) = row.modify_id {
        shown.insert("modifyId".into(), id.into());
    }
    shown
}

/// An order as queries show it: with averages from its executions and the time it was placed.
pub(super) fn order(d: &InstrumentDefinition, row: &OrderRow) -> Value {
    let mut shown = entry(d, row);
    shown.insert("avgPrice".into(), average_price(d, row).into());
    shown.insert("cumQuote".into(), amount_e8(row.quote_e8).into());
    shown.insert("time".into(), row.placed_ms.into());
    Value::Object(shown)
}

/// A row of `userTrades`.
pub(super) fn user_trade(d: &InstrumentDefinition, trade: &LedgerTrade) -> Value {
    let (e, submit) = (&trade.execution, &trade.order.submit);
    json!({
        "buyer": submit.side == Side::Buy, "commission": decimal::to_text(trade.fee_e8, 8),
        "commissionAsset": "USDT", "id": trade.trade_id, "maker": e.is_maker, "orderId": submit.id,
        "price": price_text(d, e.price), "qty": qty_text(d, e.qty),
        "quoteQty": amount_e8(d.notional_e8(e.price, e.qty)), "realizedPnl": amount_e8(trade.realized_e8),
        "side": side(submit.side), "positionSide": position_side(submit.position),
        "symbol": d.symbol.as_str(), "time": trade.venue_ms,
    })
}
