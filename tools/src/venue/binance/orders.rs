//! Placing, modifying, canceling and querying orders, the same for REST and the WebSocket API.

use super::{
    account::{OrderRow, Ticket},
    exchange::Exchange,
    filters::ORDERS_MAX,
    parameters::Parameters,
    refused::Refused,
    text,
};
use serde_json::{Value, json};
use tickpath_hotpath::sim::{AmendRefusal, End, SimOrder, SimOutcome, Submit};
use tickpath_shared::types::{OrderType, PositionSide, SelfTrade, Side, TimeInForce};

/// The answer to a request.
pub(super) type Answer = Result<Value, Refused>;

/// Good-till-date orders live at least so long, and end before this.
const GOOD_TILL_MS_MIN: u64 = 600_000;
const GOOD_TILL_MS_END: u64 = 253_402_300_799_000;
/// Times an order may be modified.
const AMENDMENTS_MAX: u32 = 9_999;
const CLIENT_ID_BYTES_MAX: usize = 36;

/// An order that has passed every check.
struct NewOrder {
    index: usize,
    submit: Submit,
    ticket: Ticket,
    /// The answer shows what became of it, not that it was accepted.
    is_result: bool,
}

pub(super) fn parse_side(p: &Parameters) -> Result<Side, Refused> {
    match p.required("side")? {
        "BUY" => Ok(Side::Buy),
        "SELL" => Ok(Side::Sell),
        _ => Err(Refused::new(-1117, "Invalid side.")),
    }
}

impl Exchange {
    pub(super) fn symbol(&self, p: &Parameters) -> Result<usize, Refused> {
        self.find(p.required("symbol")?).ok_or_else(Refused::symbol)
    }

    /// `order.place`, `POST /fapi/v1/order`.
    pub(super) fn place(&mut self, p: &Parameters) -> Answer {
        let order = self.check_order(p)?;
        self.submit(order)
    }

    /// `POST /fapi/v1/order/test`: every check, no order.
    pub(super) fn test_order(&mut self, p: &Parameters) -> Answer {
        self.check_order(p).map(|_| json!({}))
    }

    fn check_order(&self, p: &Parameters) -> Result<NewOrder, Refused> {
        let index = self.symbol(p)?;
        let side = parse_side(p)?;
        let kind = match p.required("type")? {
            "LIMIT" => OrderType::Limit,
            "MARKET" => OrderType::Market,
            "STOP" | "STOP_MARKET" | "TAKE_PROFIT" | "TAKE_PROFIT_MARKET" | "TRAILING_STOP_MARKET" => {
                let text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.";
                return Err(Refused::new(-4120, text));
            }
            _ => return Err(Refused::new(-1116, "Invalid orderType.")),
        };
        let (time_in_force, good_till_ms) = self.time_in_force(kind, p)?;
        let (position, is_reduce_only) = self.position_side(p)?;
        let client_order_id = self.client_order_id(index, p.get("newClientOrderId"))?;
        let filters = &self.instruments[index].filters;
        if filters.definition.is_trading == 0 && !is_reduce_only {
            return Err(Refused::new(-4140, "Invalid symbol status for opening position."));
        }
        let price = self.limit_price(index, kind, side, p)?;
        let qty = filters.qty(p.required("quantity")?, kind == OrderType::Market)?;
        let submit = Submit {
            id: self.account.next_id(),
            side,
            position,
            time_in_force,
            price,
            qty: self.reduced(index, position, side, qty, is_reduce_only)?,
            is_reduce_only,
            self_trade: self_trade(p)?,
        };
        self.check_against_market(index, &submit)?;
        self.check_margin(index, &submit)?;
        if self.account.open().filter(|row| row.instrument == index).count() >= ORDERS_MAX {
            return Err(Refused::new(-2025, "Reach max open order limit."));
        }
        let price_match = p.get("priceMatch").unwrap_or("NONE").to_owned();
        let ticket = Ticket { client_order_id, kind, good_till_ms, price_match };
        Ok(NewOrder { index, submit, ticket, is_result: p.get("newOrderRespType") == Some("RESULT") })
    }

    fn time_in_force(&self, kind: OrderType, p: &Parameters) -> Result<(TimeInForce, u64), Refused> {
        let text = p.get("timeInForce");
        let good_till_ms: u64 = p.parsed("goodTillDate")?.unwrap_or(0);
        if kind == OrderType::Market {
            return match text {
                None => Ok((TimeInForce::Ioc, 0)),
                Some(_) => Err(Refused::not_required("timeInForce")),
            };
        }
        if good_till_ms != 0 && text != Some("GTD") {
            return Err(Refused::not_required("goodTillDate"));
        }
        match text {
            None => Err(Refused::parameter("timeInForce")),
            Some("GTC") => Ok((TimeInForce::Gtc, 0)),
            Some("IOC") => Ok((TimeInForce::Ioc, 0)),
            Some("FOK") => Ok((TimeInForce::Fok, 0)),
            Some("GTX") => Ok((TimeInForce::Gtx, 0)),
            Some("GTD")
                if good_till_ms > self.now_ms + GOOD_TILL_MS_MIN && good_till_ms < GOOD_TILL_MS_END =>
            {
                Ok((TimeInForce::Gtc, good_till_ms / 1000 * 1000))
            }
            Some("GTD") => Err(Refused::new(-5040, "Good till date is invalid.")),
            Some(_) => Err(Refused::new(-1115, "Invalid timeInForce.")),
        }
    }

    /// Position and whether the order may only reduce it; which of the two is said depends on the account's mode.
    pub(super) fn position_side(&self, p: &Parameters) -> Result<(PositionSide, bool), Refused> {
        let mismatch = || Refused::new(-4061, "Order's position side does not match user's setting.");
        let position = match p.get("positionSide") {
            None | Some("BOTH") => PositionSide::Both,
            Some("LONG") => PositionSide::Long,
            Some("SHORT") => PositionSide::Short,
            Some(_) => return Err(Refused::new(-4060, "Invalid position side.")),
        };
        if self.account.is_hedge != (position != PositionSide::Both) {
            return Err(mismatch());
        }
        let is_reduce_only = p.flag("reduceOnly")?;
        if self.account.is_hedge && p.get("reduceOnly").is_some() {
            return Err(Refused::not_required("reduceonly"));
        }
        // Closing is implied where the sides are held apart.
        let side = parse_side(p)?;
        let is_closing =
            matches!((position, side), (PositionSide::Long, Side::Sell) | (PositionSide::Short, Side::Buy));
        Ok((position, is_reduce_only || is_closing))
    }

    /// Quantity that a reduce-only order may have: that of the position at most.
    pub(super) fn reduced(
        &self,
        index: usize,
        position: PositionSide,
        side: Side,
        qty: i64,
        is_reduce_only: bool,
    ) -> Result<i64, Refused> {
        if !is_reduce_only {
            return Ok(qty);
        }
        match qty.min(self.account.ledger.reducible(index, position, side)) {
            0 => Err(Refused::new(-2022, "ReduceOnly Order is rejected.")),
            qty => Ok(qty),
        }
    }

    fn client_order_id(&self, index: usize, text: Option<&str>) -> Result<String, Refused> {
        let Some(text) = text else { return Ok(format!("sim-{}", self.account.next_id())) };
        if text.len() > CLIENT_ID_BYTES_MAX {
            return Err(Refused::new(-4015, "Client order id length should be less than 36 chars."));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b".:/_-".contains(&b)) {
            return Err(Refused::new(-1100, "Illegal characters found in parameter 'newClientOrderId'."));
        }
        if self.account.by_client_id(index, text).is_some_and(OrderRow::is_open) {
            return Err(Refused::new(-4116, "ClientOrderId is duplicated."));
        }
        Ok(text.to_owned())
    }

    /// Limit price as sent or as matched; `None` for a market order.
    fn limit_price(
        &self,
        index: usize,
        kind: OrderType,
        side: Side,
        p: &Parameters,
    ) -> Result<Option<i64>, Refused> {
        let matched = p.get("priceMatch").filter(|m| *m != "NONE");
        match (kind, p.get("price"), matched) {
            (OrderType::Market, None, None) => Ok(None),
            (OrderType::Market, Some(_), _) => Err(Refused::not_required("price")),
            (OrderType::Market, None, Some(_)) => Err(Refused::new(-5037, "Invalid price match.")),
            (OrderType::Limit, Some(_), Some(_)) => {
                Err(Refused::new(-5038, "Price match only supports orders without price."))
            }
            (OrderType::Limit, Some(text), None) => self.instruments[index].filters.price(text).map(Some),
            (OrderType::Limit, None, Some(matched)) => self.match_price(index, side, matched).map(Some),
            (OrderType::Limit, None, None) => Err(Refused::parameter("price")),
        }
    }

    /// Price of the opposite side or of the own one, at a depth.
    fn match_price(&self, index: usize, side: Side, matched: &str) -> Result<i64, Refused> {
        let (which, depth) = match matched {
            "OPPONENT" => (side.opposite(), 1),
            "OPPONENT_5" => (side.opposite(), 5),
            "QUEUE" => (side, 1),
            "QUEUE_5" => (side, 5),
            "QUEUE_10" => (side, 10),
            "QUEUE_20" => (side, 20),
            _ => return Err(Refused::new(-5037, "Invalid price match.")),
        };
        let book = self.instruments[index].matcher.book();
        let level = match which {
            Side::Buy => book.bids().nth(depth - 1),
            Side::Sell => book.asks().nth(depth - 1),
        };
        level.map(|l| l.price).ok_or_else(|| Refused::new(-5039, "Failed to match a price from the book."))
    }

    /// Notional, and distance from the mark of a price or from the book of a market order.
    pub(super) fn check_against_market(&self, index: usize, submit: &Submit) -> Result<(), Refused> {
        let instrument = &self.instruments[index];
        let (filters, mark_e8) = (&instrument.filters, instrument.mark_e8());
        if let Some(price) = submit.price {
            filters.check_percent(submit.side, price, mark_e8)?;
        } else {
            let top = instrument.matcher.top();
            let best = if submit.side == Side::Buy { top.ask } else { top.bid };
            if best.qty == 0 || filters.check_percent(submit.side, best.price, mark_e8).is_err() {
                let text = "The counterparty's best price does not meet the PERCENT_PRICE filter limit.";
                return Err(Refused::new(-4131, text));
            }
        }
        if submit.is_reduce_only {
            return Ok(());
        }
        let price_e8 = submit.price.map_or(i128::from(mark_e8), |p| filters.definition.price_to_e8(p));
        filters.check_notional(price_e8, submit.qty)
    }

    /// What an order could add to a position needs margin.
    fn check_margin(&self, index: usize, submit: &Submit) -> Result<(), Refused> {
        if submit.is_reduce_only {
            return Ok(());
        }
        let (instrument, ledger) = (&self.instruments[index], &self.account.ledger);
        let added = submit.qty - submit.qty.min(ledger.reducible(index, submit.position, submit.side));
        let price_e8 =
            submit.price.map_or(i128::from(instrument.mark_e8()), |p| instrument.definition().price_to_e8(p));
        let needed = instrument.filters.notional_e8(price_e8, added) / i128::from(ledger.leverage(index));
        if needed > self.account.available_e8(&self.all_filters(), &self.marks_e8()) {
            return Err(Refused::new(-2019, "Margin is insufficient."));
        }
        Ok(())
    }

    fn submit(&mut self, order: NewOrder) -> Answer {
        let NewOrder { index, submit, ticket, is_result } = order;
        let mut outcomes = Vec::new();
        self.instruments[index].matcher.submit(submit, &mut outcomes);
        let Some(SimOutcome::Accepted(accepted)) = outcomes.first() else {
            return Err(if submit.time_in_force == TimeInForce::Gtx {
                let text = "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not be recorded in the order history";
                Refused::new(-5022, text)
            } else {
                let text = "Due to the order could not be filled immediately, the FOK order has been rejected. The order will not be recorded in the order history";
                Refused::new(-5021, text)
            });
        };
        let row = self.new_row(index, *accepted, ticket);
        self.account.add(row.clone());
        self.book_outcomes(index, &outcomes);
        let definition = *self.instruments[index].definition();
        let shown = if is_result { self.account.get(submit.id).unwrap_or(&row) } else { &row };
        Ok(Value::Object(text::entry(&definition, shown)))
    }

    fn new_row(&self, instrument: usize, order: SimOrder, ticket: Ticket) -> OrderRow {
        OrderRow {
            instrument,
            ticket,
            order,
            end: None,
            quote_e8: 0,
            amendments: 0,
            modify_id: None,
            placed_ms: self.now_ms,
            updated_ms: self.now_ms,
        }
    }

    /// Submits an order that a conditional one has become; returns its id.
    pub(super) fn submit_triggered(
        &mut self,
        index: usize,
        submit: Submit,
        ticket: Ticket,
    ) -> Result<u64, Refused> {
        let submit = Submit { id: self.account.next_id(), ..submit };
        self.check_margin(index, &submit)?;
        self.submit(NewOrder { index, submit, ticket, is_result: false })?;
        Ok(submit.id)
    }

    /// `order.modify`, `PUT /fapi/v1/order`: a new price and total quantity, at the end of the queue.
    pub(super) fn modify(&mut self, p: &Parameters) -> Answer {
        let (index, id) = self.named_order(p)?.ok_or_else(Refused::unknown_order)?;
        let row = self.account.get(id).filter(|row| row.is_open()).ok_or_else(Refused::unknown_order)?;
        let before = row.order.submit;
        if parse_side(p)? != before.side {
            return Err(Refused::new(-1117, "Invalid side."));
        }
        if row.amendments >= AMENDMENTS_MAX {
            return Err(Refused::new(-5026, "Exceed maximum modify order limit."));
        }
        if p.flag("reduceOnly")? && !before.is_reduce_only {
            return Err(Refused::new(-5047, "The order is not reduce only."));
        }
        let filters = self.instruments[index].filters;
        let qty = filters.qty(p.required("quantity")?, false)?;
        let Some(price) = self.limit_price(index, OrderType::Limit, before.side, p)? else {
            return Err(Refused::parameter("price"));
        };
        let submit = Submit { price: Some(price), qty, ..before };
        self.check_against_market(index, &submit).map_err(|refused| match refused.code {
            -4164 => Refused { code: -5029, ..refused },
            _ => refused,
        })?;
        let mut outcomes = Vec::new();
        match self.instruments[index].matcher.amend(id, price, qty, &mut outcomes) {
            Ok(()) => {}
            Err(AmendRefusal::NotResting) => return Err(Refused::unknown_order()),
            Err(AmendRefusal::Unchanged) => {
                return Err(Refused::new(-5027, "No need to modify the order."));
            }
        }
        let modify_id = p.parsed("modifyId")?;
        if let Some(row) = self.account.get_mut(id) {
            (row.modify_id, row.amendments) = (modify_id, row.amendments + 1);
        }
        self.book_outcomes(index, &outcomes);
        self.entry(index, id)
    }

    /// `order.cancel`, `DELETE /fapi/v1/order`.
    pub(super) fn cancel(&mut self, p: &Parameters) -> Answer {
        let (index, id) = self.named_order(p)?.ok_or_else(Refused::unknown_cancel)?;
        if self.end_orders(index, &[id], End::Canceled) == 0 {
            return Err(Refused::unknown_cancel());
        }
        self.entry(index, id)
    }

    /// `DELETE /fapi/v1/allOpenOrders`.
    pub(super) fn cancel_all(&mut self, p: &Parameters) -> Answer {
        let index = self.symbol(p)?;
        let open = self.account.open_of(index);
        self.end_orders(index, &open, End::Canceled);
        Ok(json!({"code": 200, "msg": "The operation of cancel all open order is done."}))
    }

    /// `order.status`, `GET /fapi/v1/order`.
    pub(super) fn query(&mut self, p: &Parameters) -> Answer {
        let (index, id) = self.named_order(p)?.ok_or_else(Refused::unknown_order)?;
        let row = self.account.get(id).ok_or_else(Refused::unknown_order)?;
        Ok(text::order(self.instruments[index].definition(), row))
    }

    /// `GET /fapi/v1/openOrder`.
    pub(super) fn query_open(&mut self, p: &Parameters) -> Answer {
        let named = self.named_order(p)?.ok_or_else(Refused::unknown_order)?;
        let row = self.account.get(named.1).filter(|row| row.is_open());
        let row = row.ok_or_else(Refused::unknown_order)?;
        Ok(text::order(self.instruments[named.0].definition(), row))
    }

    /// `POST`, `PUT` and `DELETE /fapi/v1/batchOrders`: each for itself.
    pub(super) fn place_batch(&mut self, p: &Parameters) -> Answer {
        self.batch(p, Self::place)
    }

    pub(super) fn modify_batch(&mut self, p: &Parameters) -> Answer {
        self.batch(p, Self::modify)
    }

    fn batch(&mut self, p: &Parameters, each: fn(&mut Self, &Parameters) -> Answer) -> Answer {
        let malformed = || Refused::parameter("batchOrders");
        let rows: Value = serde_json::from_str(p.required("batchOrders")?).map_err(|_| malformed())?;
        let rows = rows.as_array().filter(|rows| (1..=5).contains(&rows.len())).ok_or_else(malformed)?;
        let parameters: Option<Vec<_>> =
            rows.iter().map(|r| r.as_object().map(Parameters::of_json)).collect();
        let answers = parameters.ok_or_else(malformed)?.iter().map(|p| or_error(each(self, p))).collect();
        Ok(Value::Array(answers))
    }

    pub(super) fn cancel_batch(&mut self, p: &Parameters) -> Answer {
        let index = self.symbol(p)?;
        let by_client = p.get("orderIdList").is_none();
        let name = if by_client { "origClientOrderIdList" } else { "orderIdList" };
        let malformed = || Refused::parameter(name);
        let ids: Value = serde_json::from_str(p.required(name)?).map_err(|_| malformed())?;
        let ids = ids.as_array().filter(|ids| (1..=10).contains(&ids.len())).ok_or_else(malformed)?.clone();
        let answers = ids.iter().map(|id| {
            let found = match id.as_str() {
                Some(text) if by_client => self.account.by_client_id(index, text),
                _ => id.as_u64().and_then(|id| self.account.get(id)),
            };
            let id = found.map(|row| row.order.submit.id);
            let ended = id.filter(|id| self.end_orders(index, &[*id], End::Canceled) == 1);
            or_error(ended.ok_or_else(Refused::unknown_cancel).and_then(|id| self.entry(index, id)))
        });
        Ok(Value::Array(answers.collect()))
    }

    fn entry(&self, index: usize, id: u64) -> Answer {
        let row = self.account.get(id).ok_or_else(Refused::unknown_order)?;
        Ok(Value::Object(text::entry(self.instruments[index].definition(), row)))
    }

    /// Instrument and venue id of the order that the parameters name.
    fn named_order(&self, p: &Parameters) -> Result<Option<(usize, u64)>, Refused> {
        let index = self.symbol(p)?;
        if let Some(id) = p.parsed::<u64>("orderId")? {
            let row = self.account.get(id).filter(|row| row.instrument == index);
            return Ok(row.map(|_| (index, id)));
        }
        let text = p.get("origClientOrderId").ok_or_else(|| {
            Refused::new(
                -1102,
                "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
            )
        })?;
        Ok(self.account.by_client_id(index, text).map(|row| (index, row.order.submit.id)))
    }
}

pub(super) fn self_trade(p: &Parameters) -> Result<SelfTrade, Refused> {
    match p.get("selfTradePreventionMode") {
        None | Some("EXPIRE_MAKER") => Ok(SelfTrade::ExpireMaker),
        Some("NONE") => Ok(SelfTrade::Allow),
        Some("EXPIRE_TAKER") => Ok(SelfTrade::ExpireTaker),
        Some("EXPIRE_BOTH") => Ok(SelfTrade::ExpireBoth),
        Some(_) => Err(Refused::new(-5041, "Invalid selfTradePreventionMode.")),
    }
}

/// An element of a batch's answer.
fn or_error(answer: Answer) -> Value {
    answer.unwrap_or_else(|refused| json!({"code": refused.code, "msg": refused.message}))
}
