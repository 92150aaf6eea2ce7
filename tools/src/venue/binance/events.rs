//! Account events as text, their keys in the order in which the venue writes them.

use super::{
    account::OrderRow,
    algo::AlgoOrder,
    text::{amount_e8, order_type, position_side, price_text, qty_text, side, status, time_in_force},
};
use tickpath_hotpath::sim::{End, LedgerTrade, SimPosition};
use tickpath_shared::types::{InstrumentDefinition, OrderType, PositionSide, decimal};

/// Why an order ended early, as the venue numbers it.
fn expiry_reason(end: Option<End>) -> u8 {
    match end {
        Some(End::SelfTrade) => 1,
        Some(End::Remainder) => 2,
        Some(End::ReduceOnly) => 4,
        Some(End::Canceled | End::GoodTill) | None => 0,
    }
}

/// Execution type of an order that ended.
pub(super) fn execution_type(end: End) -> &'static str {
    match end {
        End::Canceled | End::GoodTill => "CANCELED",
        End::Remainder | End::SelfTrade | End::ReduceOnly => "EXPIRED",
    }
}

/// `TRADE_LITE`: the fill alone, before anything else tells of it.
pub(super) fn trade_lite(d: &InstrumentDefinition, row: &OrderRow, trade: &LedgerTrade, ms: u64) -> String {
    let (submit, e) = (&trade.order.submit, &trade.execution);
    format!(
        r#"{{"e":"TRADE_LITE","E":{ms},"T":{ms},"s":"{}","q":"{}","p":"{}","m":{},"c":"{}","S":"{}","L":"{}","l":"{}","t":{},"i":{}}}"#,
        d.symbol.as_str(),
        qty_text(d, submit.qty),
        price_text(d, submit.price.unwrap_or(0)),
        e.is_maker,
        row.ticket.client_order_id,
        side(submit.side),
        price_text(d, e.price),
        qty_text(d, e.qty),
        trade.trade_id,
        submit.id,
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
    let zero = || "0".to_owned();
    let (last_qty, last_price, fee, realized) = trade.map_or((zero(), zero(), zero(), zero()), |t| {
        let e = &t.execution;
        let fee = decimal::to_text(t.fee_e8, 8);
        (qty_text(d, e.qty), price_text(d, e.price), fee, amount_e8(t.realized_e8))
    });
    let (trade_id, is_maker) = trade.map_or((0, false), |t| (t.trade_id, t.execution.is_maker));
    let modify_id = match row.modify_id {
        Some(id) if execution_type == "AMENDMENT" => format!(r#","M":{id}"#),
        _ => String::new(),
    };
    format!(
        r#"{{"e":"ORDER_TRADE_UPDATE","T":{ms},"E":{ms},"o":{{"s":"{}","c":"{}","S":"{}","o":"{kind}","f":"{}","q":"{}","p":"{}","ap":"{}","sp":"0","x":"{execution_type}","X":"{}","i":{},"l":"{last_qty}","z":"{}","L":"{last_price}","n":"{fee}","N":"USDT","T":{ms},"t":{trade_id},"b":"0","a":"0","m":{is_maker},"R":{},"wt":"CONTRACT_PRICE","ot":"{kind}","ps":"{}","cp":false,"rp":"{realized}","pP":false,"si":0,"ss":0,"V":"{}","pm":"{}","gtd":{},"er":"{}"{modify_id}}}}}"#,
        d.symbol.as_str(),
        row.ticket.client_order_id,
        side(submit.side),
        time_in_force(row),
        qty_text(d, submit.qty),
        price_text(d, submit.price.unwrap_or(0)),
        average_price(d, row),
        status(row),
        submit.id,
        qty_text(d, row.order.filled),
        submit.is_reduce_only,
        position_side(submit.position),
        row.self_trade(),
        row.ticket.price_match,
        row.ticket.good_till_ms,
        expiry_reason(row.end),
        kind = order_type(row.ticket.kind),
    )
}

/// Average price of an order's executions.
pub(super) fn average_price(d: &InstrumentDefinition, row: &OrderRow) -> String {
    if row.order.filled == 0 {
        return "0".into();
    }
    let units = i128::from(decimal::pow10(d.qty_scale));
    amount_e8(row.quote_e8 * units / i128::from(row.order.filled))
}

/// `ACCOUNT_UPDATE`: the wallet and the positions of one instrument that changed.
pub(super) fn account_update(
    reason: &str,
    wallet_e8: i128,
    funding: Option<(&InstrumentDefinition, i128)>,
    positions: &[(&InstrumentDefinition, PositionSide, &SimPosition, i64)],
    ms: u64,
) -> String {
    let row = |(d, which, p, mark_e8): &(&InstrumentDefinition, PositionSide, &SimPosition, i64)| {
        let entry = decimal::to_text(p.entry_price_e8(d), 8);
        format!(
            r#"{{"s":"{}","pa":"{}","ep":"{entry}","cr":"{}","up":"{}","mt":"cross","iw":"0","ps":"{}","ma":"USDT","bep":"{entry}"}}"#,
            d.symbol.as_str(),
            qty_text(d, p.qty),
            amount_e8(p.realized_e8),
            amount_e8(p.unrealized_e8(d, *mark_e8)),
            position_side(*which),
        )
    };
    let rows: Vec<String> = positions.iter().map(row).collect();
    let wallet = amount_e8(wallet_e8);
    // A change of the balance but for profit and commission, and of which symbol it is.
    let change = amount_e8(funding.map_or(0, |(_, received)| received));
    let symbol = funding.map_or_else(String::new, |(d, _)| format!(r#""S":"{}","#, d.symbol.as_str()));
    format!(
        r#"{{"e":"ACCOUNT_UPDATE","T":{ms},"E":{ms},"a":{{"B":[{{"a":"USDT","wb":"{wallet}","cw":"{wallet}","bc":"{change}"}}],"P":[{}],{symbol}"m":"{reason}"}}}}"#,
        rows.join(",")
    )
}

/// `ACCOUNT_CONFIG_UPDATE` of a leverage.
pub(super) fn leverage_update(symbol: &str, leverage: u32, ms: u64) -> String {
    format!(r#"{{"e":"ACCOUNT_CONFIG_UPDATE","T":{ms},"E":{ms},"ac":{{"s":"{symbol}","l":{leverage}}}}}"#)
}

/// `listenKeyExpired`.
pub(super) fn key_expired(key: &str, ms: u64) -> String {
    format!(r#"{{"e":"listenKeyExpired","E":{ms},"listenKey":"{key}"}}"#)
}

/// `ALGO_UPDATE`.
pub(super) fn algo_update(d: &InstrumentDefinition, algo: &AlgoOrder, ms: u64) -> String {
    let price = algo.price.map_or_else(|| "0".into(), |p| price_text(d, p));
    let actual = if algo.order_id == 0 { String::new() } else { algo.order_id.to_string() };
    let actual_type = if algo.order_id == 0 { "0" } else { order_type(algo.result_kind()) };
    let is_market = algo.result_kind() == OrderType::Market;
    format!(
        r#"{{"e":"ALGO_UPDATE","T":{ms},"E":{ms},"o":{{"caid":"{}","aid":{},"at":"CONDITIONAL","o":"{}","s":"{}","S":"{}","ps":"{}","f":"{}","q":"{}","X":"{}","ai":"{actual}","ap":"0.00000","aq":"0.00000","act":"{actual_type}","tp":"{}","p":"{price}","V":"EXPIRE_MAKER","wt":"{}","pm":"NONE","cp":{},"pP":false,"R":{},"tt":{},"gtd":0,"rm":"{}"}}}}"#,
        algo.client_algo_id,
        algo.id,
        algo.kind.text(),
        d.symbol.as_str(),
        side(algo.side),
        position_side(algo.position),
        if is_market { "GTC" } else { algo.time_in_force.as_str() },
        qty_text(d, algo.qty),
        algo.status.text(),
        price_text(d, algo.trigger_price),
        if algo.is_mark { "MARK_PRICE" } else { "CONTRACT_PRICE" },
        algo.is_close_position,
        algo.is_reduce_only,
        algo.triggered_ms,
        algo.reject_reason,
    )
}
