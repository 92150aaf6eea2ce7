//! Messages of the venue as text.

use super::{account::OrderRow, exchange::qty_text};
use tickpath_hotpath::{market::Level, sim::LedgerTrade};
use tickpath_shared::types::{InstrumentDefinition, OrderState, OrderType, Side, TimeInForce, decimal};

pub(super) fn levels(definition: &InstrumentDefinition, levels: impl Iterator<Item = Level>) -> String {
    let rows: Vec<String> = levels
        .map(|l| format!(r#"["{}","{}"]"#, price_text(definition, l.price), qty_text(definition, l.qty)))
        .collect();
    format!("[{}]", rows.join(","))
}

pub(super) fn price_text(definition: &InstrumentDefinition, price: i64) -> String {
    decimal::to_text(price, definition.price_scale)
}

pub(super) fn mark_price(stream: &str, symbol: &str, ms: u64, price_e8: i64) -> String {
    let price = decimal::to_text(price_e8, 8);
    format!(
        r#"{{"stream":"{stream}","data":{{"e":"markPriceUpdate","E":{ms},"s":"{symbol}","p":"{price}","P":"{price}","i":"{price}","r":"0.00010000","T":{}}}}}"#,
        ms + 1000
    )
}

pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

pub(super) fn time_in_force(tif: TimeInForce) -> &'static str {
    match tif {
        TimeInForce::Gtc => "GTC",
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

pub(super) fn status(state: OrderState) -> &'static str {
    match state {
        OrderState::PartiallyFilled => "PARTIALLY_FILLED",
        OrderState::Filled => "FILLED",
        OrderState::Canceled => "CANCELED",
        OrderState::Expired => "EXPIRED",
        OrderState::Rejected | OrderState::Absent => "REJECTED",
        OrderState::Sent | OrderState::Working | OrderState::Unknown => "NEW",
    }
}

/// An order as REST and the WebSocket API show it.
pub(super) fn order(definition: &InstrumentDefinition, row: &OrderRow) -> String {
    let (submit, d) = (&row.order.submit, definition);
    let price = price_text(d, submit.price.unwrap_or(0));
    let filled = qty_text(d, row.order.filled);
    format!(
        r#"{{"orderId":{},"symbol":"{}","status":"{}","clientOrderId":"{}","price":"{price}","origQty":"{}","executedQty":"{filled}","cumQty":"{filled}","timeInForce":"{}","type":"{}","reduceOnly":{},"closePosition":false,"side":"{}","positionSide":"BOTH","stopPrice":"0.00","workingType":"CONTRACT_PRICE","priceProtect":false,"origType":"LIMIT","priceMatch":"NONE","selfTradePreventionMode":"EXPIRE_MAKER","goodTillDate":0,"time":{},"updateTime":{}}}"#,
        submit.id,
        d.symbol.as_str(),
        status(row.order.state),
        row.client_order_id,
        qty_text(d, submit.qty),
        time_in_force(submit.time_in_force),
        order_type(row.kind),
        submit.is_reduce_only,
        side(submit.side),
        row.placed_ms,
        row.updated_ms,
    )
}

/// A row of `userTrades`.
pub(super) fn user_trade(d: &InstrumentDefinition, trade: &LedgerTrade) -> String {
    let (e, submit) = (&trade.execution, &trade.order.submit);
    let quote = decimal::to_text(d.notional_e8(e.price, e.qty) as i64, 8);
    format!(
        r#"{{"buyer":{},"commission":"{}","commissionAsset":"USDT","id":{},"maker":{},"orderId":{},"price":"{}","qty":"{}","quoteQty":"{quote}","realizedPnl":"0","side":"{}","positionSide":"BOTH","symbol":"{}","time":{}}}"#,
        submit.side == Side::Buy,
        decimal::to_text(trade.fee_e8, 8),
        trade.trade_id,
        e.is_maker,
        submit.id,
        price_text(d, e.price),
        qty_text(d, e.qty),
        side(submit.side),
        d.symbol.as_str(),
        trade.venue_ms,
    )
}

/// `ORDER_TRADE_UPDATE`; `trade` when the order was executed.
pub(super) fn order_update(
    d: &InstrumentDefinition,
    row: &OrderRow,
    execution_type: &str,
    trade: Option<&LedgerTrade>,
    ms: u64,
) -> String {
    let submit = &row.order.submit;
    let (last_qty, last_price, fee, trade_id, is_maker) = trade.map_or_else(
        || ("0".to_owned(), "0".to_owned(), "0".to_owned(), 0, false),
        |t| {
            let e = &t.execution;
            (
                qty_text(d, e.qty),
                price_text(d, e.price),
                decimal::to_text(t.fee_e8, 8),
                t.trade_id,
                e.is_maker,
            )
        },
    );
    format!(
        r#"{{"e":"ORDER_TRADE_UPDATE","E":{ms},"T":{ms},"o":{{"s":"{}","c":"{}","S":"{}","o":"{kind}","f":"{}","q":"{}","p":"{}","ap":"0","sp":"0","x":"{execution_type}","X":"{}","i":{},"l":"{last_qty}","z":"{}","L":"{last_price}","n":"{fee}","N":"USDT","T":{ms},"t":{trade_id},"b":"0","a":"0","m":{is_maker},"R":{},"wt":"CONTRACT_PRICE","ot":"{kind}","ps":"BOTH","cp":false,"pP":false,"si":0,"ss":0,"rp":"0","V":"EXPIRE_MAKER","pm":"NONE","gtd":0,"er":"0"}}}}"#,
        d.symbol.as_str(),
        row.client_order_id,
        side(submit.side),
        time_in_force(submit.time_in_force),
        qty_text(d, submit.qty),
        price_text(d, submit.price.unwrap_or(0)),
        status(row.order.state),
        submit.id,
        qty_text(d, row.order.filled),
        submit.is_reduce_only,
        kind = order_type(row.kind),
    )
}

/// `ACCOUNT_UPDATE` with one position.
pub(super) fn account_update(d: &InstrumentDefinition, position: i64, entry_e8: i64, ms: u64) -> String {
    format!(
        r#"{{"e":"ACCOUNT_UPDATE","E":{ms},"T":{ms},"a":{{"m":"ORDER","B":[],"P":[{{"s":"{}","pa":"{}","ep":"{}","bep":"0","cr":"0","up":"0","mt":"cross","iw":"0","ps":"BOTH"}}]}}}}"#,
        d.symbol.as_str(),
        qty_text(d, position),
        decimal::to_text(entry_e8, 8),
    )
}
