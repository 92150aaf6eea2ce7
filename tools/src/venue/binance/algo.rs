//! Conditional orders: they wait outside the book until a price is reached, then become ordinary orders.

use super::{
    account::Ticket,
    events,
    exchange::Exchange,
    filters::Filters,
    orders::{Answer, parse_side},
    parameters::Parameters,
    refused::Refused,
    text,
};
use serde_json::{Value, json};
use tickpath_hotpath::{market::MarketKind, sim::Submit};
use tickpath_shared::types::{OrderType, PositionSide, SelfTrade, Side, TimeInForce, decimal};

/// Conditional orders open at once, over all symbols.
const ALGOS_MAX: usize = 200;

/// What kind of condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlgoKind {
    Stop,
    StopMarket,
    TakeProfit,
    TakeProfitMarket,
    TrailingStopMarket,
}

impl AlgoKind {
    fn parse(text: &str) -> Option<Self> {
        [Self::Stop, Self::StopMarket, Self::TakeProfit, Self::TakeProfitMarket, Self::TrailingStopMarket]
            .into_iter()
            .find(|kind| kind.text() == text)
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Stop => "STOP",
            Self::StopMarket => "STOP_MARKET",
            Self::TakeProfit => "TAKE_PROFIT",
            Self::TakeProfitMarket => "TAKE_PROFIT_MARKET",
            Self::TrailingStopMarket => "TRAILING_STOP_MARKET",
        }
    }

    const fn is_market(self) -> bool {
        matches!(self, Self::StopMarket | Self::TakeProfitMarket | Self::TrailingStopMarket)
    }

    /// The order waits for a higher price.
    fn is_upward(self, side: Side) -> bool {
        let is_stop = !matches!(self, Self::TakeProfit | Self::TakeProfitMarket);
        is_stop == (side == Side::Buy)
    }
}

/// Where a conditional order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlgoStatus {
    New,
    Canceled,
    Triggering,
    Triggered,
    Finished,
    Rejected,
}

impl AlgoStatus {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Canceled => "CANCELED",
            Self::Triggering => "TRIGGERING",
            Self::Triggered => "TRIGGERED",
            Self::Finished => "FINISHED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// A conditional order.
#[derive(Clone, Debug)]
pub(super) struct AlgoOrder {
    pub(super) id: u64,
    pub(super) client_algo_id: String,
    pub(super) instrument: usize,
    pub(super) kind: AlgoKind,
    pub(super) side: Side,
    pub(super) position: PositionSide,
    pub(super) time_in_force: String,
    pub(super) qty: i64,
    pub(super) price: Option<i64>,
    pub(super) trigger_price: i64,
    /// Parts of ten thousand that a trailing stop stays behind the best price since its activation.
    callback_e4: i64,
    is_active: bool,
    best_price: i64,
    /// The mark price triggers it, not the last trade.
    pub(super) is_mark: bool,
    pub(super) is_reduce_only: bool,
    pub(super) is_close_position: bool,
    pub(super) status: AlgoStatus,
    pub(super) reject_reason: String,
    /// Order that it became, 0 before.
    pub(super) order_id: u64,
    pub(super) triggered_ms: u64,
    created_ms: u64,
    updated_ms: u64,
}

impl AlgoOrder {
    /// Type of the order that it becomes.
    pub(super) fn result_kind(&self) -> OrderType {
        if self.kind.is_market() { OrderType::Market } else { OrderType::Limit }
    }

    /// Takes a price; true when the condition holds.
    fn is_met(&mut self, price: i64) -> bool {
        if self.kind != AlgoKind::TrailingStopMarket {
            return is_reached(self.kind.is_upward(self.side), price, self.trigger_price);
        }
        // A trailing buy waits for a low, then follows it up; a sell the reverse.
        let is_buy = self.side == Side::Buy;
        self.is_active |= is_reached(!is_buy, price, self.trigger_price);
        if !self.is_active {
            return false;
        }
        if self.best_price == 0 || is_reached(!is_buy, price, self.best_price) {
            self.best_price = price;
        }
        let distance = self.best_price * self.callback_e4 / 10_000;
        let bound = if is_buy { self.best_price + distance } else { self.best_price - distance };
        is_reached(is_buy, price, bound)
    }
}

fn is_reached(is_upward: bool, price: i64, bound: i64) -> bool {
    if is_upward { price >= bound } else { price <= bound }
}

/// All conditional orders.
#[derive(Clone, Debug, Default)]
pub(super) struct AlgoBook {
    orders: Vec<AlgoOrder>,
}

impl AlgoBook {
    fn open(&self) -> impl Iterator<Item = &AlgoOrder> {
        self.orders.iter().filter(|algo| algo.status == AlgoStatus::New)
    }

    fn is_waiting(&self, instrument: usize) -> bool {
        self.open().any(|algo| algo.instrument == instrument)
    }
}

impl Exchange {
    /// `algoOrder.place`, `POST /fapi/v1/algoOrder`.
    pub(super) fn place_algo(&mut self, p: &Parameters) -> Answer {
        let algo = self.check_algo(p)?;
        self.algos.orders.push(algo.clone());
        self.tell_algo(&algo);
        Ok(self.show(&algo))
    }

    fn check_algo(&self, p: &Parameters) -> Result<AlgoOrder, Refused> {
        if p.required("algoType")? != "CONDITIONAL" {
            return Err(Refused::parameter("algoType"));
        }
        let index = self.symbol(p)?;
        let kind =
            AlgoKind::parse(p.required("type")?).ok_or_else(|| Refused::new(-1116, "Invalid orderType."))?;
        if self.algos.open().count() >= ALGOS_MAX {
            return Err(Refused::new(-4045, "Reach max stop order limit."));
        }
        let side = parse_side(p)?;
        let (position, is_reduce_only) = self.position_side(p)?;
        let (filters, is_close_position) = (&self.instruments[index].filters, p.flag("closePosition")?);
        let qty = algo_qty(filters, kind, is_close_position, p)?;
        self.check_only_one(index, side, kind, is_close_position, p)?;
        let price = if kind.is_market() { None } else { Some(filters.price(p.required("price")?)?) };
        let is_trailing = kind == AlgoKind::TrailingStopMarket;
        let is_mark = p.get("workingType") == Some("MARK_PRICE");
        let now = self.working_price(index, is_mark);
        let trigger_price = trigger_price(filters, is_trailing, now, p)?;
        let count = self.algos.orders.len();
        let mut algo = AlgoOrder {
            id: 2_000_001 + count as u64,
            client_algo_id: p.get("clientAlgoId").map_or_else(|| format!("sim-algo-{count}"), str::to_owned),
            instrument: index,
            kind,
            side,
            position,
            time_in_force: p.get("timeInForce").unwrap_or("GTC").to_owned(),
            qty,
            price,
            trigger_price,
            callback_e4: if is_trailing { callback(p)? } else { 0 },
            is_active: false,
            best_price: 0,
            is_mark,
            is_reduce_only: is_reduce_only || is_close_position,
            is_close_position,
            status: AlgoStatus::New,
            reject_reason: String::new(),
            order_id: 0,
            triggered_ms: 0,
            created_ms: self.now_ms,
            updated_ms: self.now_ms,
        };
        if now != 0 && algo.is_met(now) {
            return Err(Refused::new(-2021, "Order would immediately trigger."));
        }
        Ok(algo)
    }

    /// A name is given once, and a position has one stop and one target that close it.
    fn check_only_one(
        &self,
        index: usize,
        side: Side,
        kind: AlgoKind,
        is_close_position: bool,
        p: &Parameters,
    ) -> Result<(), Refused> {
        let name = p.get("clientAlgoId");
        if self.algos.open().any(|algo| name == Some(algo.client_algo_id.as_str())) {
            return Err(Refused::new(-4116, "ClientOrderId is duplicated."));
        }
        let is_same = |algo: &AlgoOrder| {
            (algo.instrument, algo.side, algo.kind) == (index, side, kind) && algo.is_close_position
        };
        if is_close_position && self.algos.open().any(is_same) {
            let message =
                "An open stop or take profit order with GTE and closePosition in the direction is existing.";
            return Err(Refused::new(-4130, message));
        }
        Ok(())
    }

    /// Mark price or last trade, in price units.
    fn working_price(&self, index: usize, is_mark: bool) -> i64 {
        let instrument = &self.instruments[index];
        if is_mark || instrument.last_price == 0 {
            let unit = decimal::pow10(8 - instrument.definition().price_scale);
            return instrument.mark_e8() / unit;
        }
        instrument.last_price
    }

    /// Looks at the conditional orders of an instrument after a trade or a mark price.
    pub(super) fn trigger_algos(&mut self, index: usize, by: MarketKind) {
        let is_mark = match by {
            MarketKind::Mark => true,
            MarketKind::Trade => false,
            _ => return,
        };
        if !self.algos.is_waiting(index) {
            return;
        }
        let price = self.working_price(index, is_mark);
        for at in 0..self.algos.orders.len() {
            let algo = &mut self.algos.orders[at];
            let is_asked =
                algo.status == AlgoStatus::New && algo.instrument == index && algo.is_mark == is_mark;
            if is_asked && algo.is_met(price) {
                self.trigger(at);
            }
        }
    }

    fn trigger(&mut self, at: usize) {
        self.step_algo(at, AlgoStatus::Triggering);
        let algo = self.algos.orders[at].clone();
        let reducible = self.account.ledger.reducible(algo.instrument, algo.position, algo.side);
        let wanted = if algo.is_close_position { reducible } else { algo.qty };
        let result = self
            .reduced(algo.instrument, algo.position, algo.side, wanted, algo.is_reduce_only)
            .and_then(|qty| self.submit_algo(&algo, qty));
        let algo = &mut self.algos.orders[at];
        algo.triggered_ms = self.now_ms;
        match result {
            Ok(order_id) => {
                algo.order_id = order_id;
                self.step_algo(at, AlgoStatus::Triggered);
                self.step_algo(at, AlgoStatus::Finished);
            }
            Err(refused) => {
                algo.reject_reason = refused.message;
                self.step_algo(at, AlgoStatus::Rejected);
            }
        }
    }

    fn submit_algo(&mut self, algo: &AlgoOrder, qty: i64) -> Result<u64, Refused> {
        let kind = algo.result_kind();
        let time_in_force = match (kind, algo.time_in_force.as_str()) {
            (OrderType::Market, _) | (_, "IOC") => TimeInForce::Ioc,
            (_, "FOK") => TimeInForce::Fok,
            (_, "GTX") => TimeInForce::Gtx,
            _ => TimeInForce::Gtc,
        };
        let submit = Submit {
            id: 0,
            side: algo.side,
            position: algo.position,
            time_in_force,
            price: algo.price,
            qty,
            is_reduce_only: algo.is_reduce_only,
            self_trade: SelfTrade::ExpireMaker,
        };
        let ticket = Ticket {
            client_order_id: algo.client_algo_id.clone(),
            kind,
            good_till_ms: 0,
            price_match: "NONE".into(),
        };
        self.submit_triggered(algo.instrument, submit, ticket)
    }

    fn step_algo(&mut self, at: usize, status: AlgoStatus) {
        let now_ms = self.now_ms;
        let algo = &mut self.algos.orders[at];
        (algo.status, algo.updated_ms) = (status, now_ms);
        let algo = algo.clone();
        self.tell_algo(&algo);
    }

    fn tell_algo(&mut self, algo: &AlgoOrder) {
        let definition = self.instruments[algo.instrument].definition();
        self.events.push(events::algo_update(definition, algo, self.now_ms));
    }

    fn named_algo(&self, p: &Parameters) -> Result<usize, Refused> {
        let (id, client) = (p.parsed::<u64>("algoId")?, p.get("clientAlgoId"));
        let is_named = |algo: &AlgoOrder| Some(algo.id) == id || Some(algo.client_algo_id.as_str()) == client;
        self.algos.orders.iter().rposition(is_named).ok_or_else(Refused::unknown_order)
    }

    /// `algoOrder.cancel`, `DELETE /fapi/v1/algoOrder`.
    pub(super) fn cancel_algo(&mut self, p: &Parameters) -> Answer {
        let at = self.named_algo(p)?;
        if self.algos.orders[at].status != AlgoStatus::New {
            return Err(Refused::unknown_cancel());
        }
        self.step_algo(at, AlgoStatus::Canceled);
        let algo = &self.algos.orders[at];
        Ok(json!({"algoId": algo.id, "clientAlgoId": algo.client_algo_id, "code": "200", "msg": "success"}))
    }

    /// `DELETE /fapi/v1/algoOpenOrders`.
    pub(super) fn cancel_algos(&mut self, p: &Parameters) -> Answer {
        let index = self.symbol(p)?;
        for at in 0..self.algos.orders.len() {
            let algo = &self.algos.orders[at];
            if algo.instrument == index && algo.status == AlgoStatus::New {
                self.step_algo(at, AlgoStatus::Canceled);
            }
        }
        Ok(json!({"code": 200, "msg": "The operation of cancel all open order is done."}))
    }

    /// `GET /fapi/v1/algoOrder`.
    pub(super) fn query_algo(&mut self, p: &Parameters) -> Answer {
        let at = self.named_algo(p)?;
        Ok(self.show(&self.algos.orders[at]))
    }

    /// `GET /fapi/v1/openAlgoOrders`.
    pub(super) fn open_algos(&mut self, p: &Parameters) -> Answer {
        let symbol =
            p.get("symbol").map(|symbol| self.find(symbol).ok_or_else(Refused::symbol)).transpose()?;
        let open = self.algos.open().filter(|algo| symbol.is_none_or(|index| algo.instrument == index));
        Ok(Value::Array(open.map(|algo| self.show(algo)).collect()))
    }

    /// `GET /fapi/v1/allAlgoOrders`.
    pub(super) fn all_algos(&mut self, p: &Parameters) -> Answer {
        let index = self.symbol(p)?;
        let of = self.algos.orders.iter().filter(|algo| algo.instrument == index);
        Ok(Value::Array(of.map(|algo| self.show(algo)).collect()))
    }

    fn show(&self, algo: &AlgoOrder) -> Value {
        let d = self.instruments[algo.instrument].definition();
        let price = algo.price.map_or_else(|| "0.000".into(), |price| text::price_text(d, price));
        json!({
            "algoId": algo.id, "clientAlgoId": algo.client_algo_id, "algoType": "CONDITIONAL",
            "orderType": algo.kind.text(), "symbol": d.symbol.as_str(), "side": text::side(algo.side),
            "positionSide": text::position_side(algo.position), "timeInForce": algo.time_in_force,
            "quantity": text::qty_text(d, algo.qty), "algoStatus": algo.status.text(),
            "triggerPrice": text::price_text(d, algo.trigger_price), "price": price,
            "icebergQuantity": null, "selfTradePreventionMode": "EXPIRE_MAKER",
            "workingType": if algo.is_mark { "MARK_PRICE" } else { "CONTRACT_PRICE" }, "priceMatch": "NONE",
            "closePosition": algo.is_close_position, "priceProtect": false, "reduceOnly": algo.is_reduce_only,
            "actualOrderId": if algo.order_id == 0 { String::new() } else { algo.order_id.to_string() },
            "createTime": algo.created_ms, "updateTime": algo.updated_ms, "triggerTime": algo.triggered_ms,
            "goodTillDate": 0,
        })
    }
}

/// Price that a conditional order waits for; a trailing stop may begin at once.
fn trigger_price(filters: &Filters, is_trailing: bool, now: i64, p: &Parameters) -> Result<i64, Refused> {
    let text = if is_trailing { p.get("activatePrice") } else { Some(p.required("triggerPrice")?) };
    text.map_or(Ok(now), |text| filters.price(text))
}

/// Quantity of a conditional order; 0 for one that closes whatever the position is by then.
fn algo_qty(
    filters: &Filters,
    kind: AlgoKind,
    is_close_position: bool,
    p: &Parameters,
) -> Result<i64, Refused> {
    let is_closable = matches!(kind, AlgoKind::StopMarket | AlgoKind::TakeProfitMarket);
    match (is_close_position, p.get("quantity")) {
        (true, Some(_)) => Err(Refused::not_required("quantity")),
        (true, None) if !is_closable => {
            Err(Refused::new(-4136, "Target strategy invalid for closePosition."))
        }
        (true, None) => Ok(0),
        (false, _) => filters.qty(p.required("quantity")?, kind.is_market()),
    }
}

/// Callback rate of a trailing stop in parts of ten thousand: 0.1 % to 20 %.
fn callback(p: &Parameters) -> Result<i64, Refused> {
    let rate = decimal::parse(p.required("callbackRate")?.as_bytes(), 2);
    let rate = rate.map_err(|_| Refused::parameter("callbackRate"))?;
    if (10..=2_000).contains(&rate) { Ok(rate) } else { Err(Refused::new(-2007, "Invalid callBack rate.")) }
}
