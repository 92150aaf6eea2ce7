//! The WebSocket API (orders) and the control messages of streams.

use super::{
    exchange::{Exchange, Reply},
    rest::{Refused, check_time, verify},
    text,
};
use serde_json::{Map, Value, json};
use tickpath_hotpath::{
    sim::{SimOutcome, Submit},
    venue::binance::sign::sorted_query,
};
use tickpath_shared::types::{ClientOrderId, MisfitKind, OrderType, Side, TimeInForce, decimal};

impl Exchange {
    /// Answers one request of the order API.
    pub(super) fn on_api(&mut self, logged_on: &mut Option<String>, text: &str) -> String {
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return error(&Value::Null, (400, -1100, "Invalid JSON."));
        };
        let empty = Map::new();
        let parameters = request["params"].as_object().unwrap_or(&empty);
        let result = match request["method"].as_str().unwrap_or_default() {
            "session.logon" => self.log_on(logged_on, parameters),
            method => self
                .check_request(logged_on.as_deref(), parameters)
                .and_then(|()| self.order_method(method, parameters)),
        };
        match result {
            Ok(result) => format!(r#"{{"id":{},"status":200,"result":{result}}}"#, request["id"]),
            Err(refused) => error(&request["id"], refused),
        }
    }

    fn order_method(&mut self, method: &str, parameters: &Map<String, Value>) -> Result<String, Refused> {
        match method {
            "order.place" => self.place(parameters),
            "order.cancel" => self.cancel(parameters),
            "order.status" => {
                let (index, id) =
                    self.named_order(parameters).ok_or((400, -2013, "Order does not exist."))?;
                self.order_result(index, id)
            }
            _ => Err((400, -1, "Unknown method.")),
        }
    }

    fn log_on(
        &self,
        logged_on: &mut Option<String>,
        parameters: &Map<String, Value>,
    ) -> Result<String, Refused> {
        let api_key = self.check_signature(parameters)?;
        *logged_on = Some(api_key.clone());
        let now = Self::now_ms();
        Ok(json!({"apiKey": api_key, "authorizedSince": now, "connectedSince": now, "returnRateLimits": false, "serverTime": now}).to_string())
    }

    /// A logged-on session needs a time stamp; others, and requests with a key of their own, a signature too.
    fn check_request(&self, logged_on: Option<&str>, parameters: &Map<String, Value>) -> Result<(), Refused> {
        if logged_on.is_none() || parameters.contains_key("apiKey") {
            self.check_signature(parameters)?;
        }
        check_time(
            parameters.get("timestamp").and_then(Value::as_u64),
            parameters.get("recvWindow").and_then(Value::as_u64),
        )
    }

    /// Verifies a signature over all other parameters, sorted by name, with the textual values of the JSON.
    fn check_signature(&self, parameters: &Map<String, Value>) -> Result<String, Refused> {
        let value = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let payload = sorted_query(parameters.iter().map(|(k, v)| (k.as_str(), value(v))));
        let text = |name: &str| parameters.get(name).and_then(Value::as_str).unwrap_or_default();
        let key = self.find_key(text("apiKey")).ok_or((
            401,
            -2015,
            "Invalid API-key, IP, or permissions for action.",
        ))?;
        if !verify(key, payload.as_bytes(), text("signature")) {
            return Err((400, -1022, "Signature for this request is not valid."));
        }
        check_time(
            parameters.get("timestamp").and_then(Value::as_u64),
            parameters.get("recvWindow").and_then(Value::as_u64),
        )?;
        Ok(text("apiKey").to_owned())
    }

    fn place(&mut self, parameters: &Map<String, Value>) -> Result<String, Refused> {
        let text = |name: &str| parameters.get(name).and_then(Value::as_str);
        let index = text("symbol").and_then(|s| self.find(s)).ok_or((400, -1121, "Invalid symbol."))?;
        let side = match text("side") {
            Some("BUY") => Side::Buy,
            Some("SELL") => Side::Sell,
            _ => return Err((400, -1117, "Invalid side.")),
        };
        let kind = match text("type") {
            Some("LIMIT") => OrderType::Limit,
            Some("MARKET") => OrderType::Market,
            _ => return Err((400, -4120, "Order type not supported for this endpoint.")),
        };
        let time_in_force = time_in_force(kind, text("timeInForce"))?;
        let (price, qty) = self.amounts(index, kind, text("price"), text("quantity"))?;
        let client_order_id =
            text("newClientOrderId").map_or_else(|| format!("sim-{}", self.account.next_id()), str::to_owned);
        let is_duplicate =
            self.account.by_client_id(index, &client_order_id).is_some_and(|row| row.is_open());
        if is_duplicate {
            return Err((400, -4116, "ClientOrderId is duplicated."));
        }
        let is_reduce_only = text("reduceOnly") == Some("true");
        let qty = if is_reduce_only { qty.min(self.account.ledger.reducible(index, side)) } else { qty };
        if qty == 0 {
            return Err((400, -2022, "ReduceOnly Order is rejected."));
        }
        let submit = Submit {
            id: self.account.next_id(),
            client_order_id: ClientOrderId::from_venue(client_order_id.as_bytes()),
            side,
            time_in_force,
            price,
            qty,
            is_reduce_only,
        };
        self.submit(index, submit, client_order_id, kind)
    }

    fn submit(
        &mut self,
        index: usize,
        submit: Submit,
        client_order_id: String,
        kind: OrderType,
    ) -> Result<String, Refused> {
        self.account.begin(client_order_id, kind);
        let mut outcomes = Vec::new();
        self.instruments[index].matcher.submit(submit, &mut outcomes);
        match outcomes.first() {
            Some(SimOutcome::Refused(_, TimeInForce::Gtx)) => {
                return Err((
                    400,
                    -5022,
                    "Due to the order could not be executed as maker, the Post Only order will be rejected.",
                ));
            }
            Some(SimOutcome::Refused(..)) => {
                return Err((
                    400,
                    -5021,
                    "Due to the order could not be filled immediately, the FOK order has been rejected.",
                ));
            }
            _ => {}
        }
        // The answer shows the order as accepted; what it executed follows as events.
        let definition = self.instruments[index].definition;
        let (first, rest) = outcomes.split_at(1);
        self.book_outcomes(index, first);
        let answer = self.account.get(submit.id).map(|row| text::order(&definition, row));
        self.book_outcomes(index, rest);
        answer.ok_or((500, -1000, "An unknown error occurred."))
    }

    /// Price and quantity in units, checked against the filters.
    fn amounts(
        &self,
        index: usize,
        kind: OrderType,
        price: Option<&str>,
        qty: Option<&str>,
    ) -> Result<(Option<i64>, i64), Refused> {
        let definition = &self.instruments[index].definition;
        let malformed = (400, -1102, "Mandatory parameter was not sent, was empty/null, or malformed.");
        let too_precise = (400, -1111, "Precision is over the maximum defined for this asset.");
        let parse = |text: Option<&str>, scale| {
            decimal::parse(text.ok_or(malformed)?.as_bytes(), scale).map_err(|_| too_precise)
        };
        let qty = parse(qty, definition.qty_scale)?;
        let price = if kind == OrderType::Limit { Some(parse(price, definition.price_scale)?) } else { None };
        match definition.misfit(price.unwrap_or(definition.tick), qty) {
            Some(MisfitKind::Price) => return Err((400, -4014, "Price not increased by tick size.")),
            Some(MisfitKind::Qty) => return Err((400, -4023, "Quantity not increased by step size.")),
            None => {}
        }
        Ok((price, qty))
    }

    /// Instrument and venue id of the order that the parameters name.
    fn named_order(&self, parameters: &Map<String, Value>) -> Option<(usize, u64)> {
        let index = self.find(parameters.get("symbol")?.as_str()?)?;
        if let Some(id) = parameters.get("orderId").and_then(Value::as_u64) {
            return self.account.get(id).map(|row| (index, row.order.submit.id));
        }
        let id = parameters.get("origClientOrderId")?.as_str()?;
        self.account.by_client_id(index, id).map(|row| (index, row.order.submit.id))
    }

    fn order_result(&self, index: usize, id: u64) -> Result<String, Refused> {
        let row = self.account.get(id).ok_or((400, -2013, "Order does not exist."))?;
        Ok(text::order(&self.instruments[index].definition, row))
    }

    fn cancel(&mut self, parameters: &Map<String, Value>) -> Result<String, Refused> {
        let unknown = (400, -2011, "Unknown order sent.");
        let (index, id) = self.named_order(parameters).ok_or(unknown)?;
        if !self.cancel_order(index, id) {
            return Err(unknown);
        }
        self.order_result(index, id)
    }
}

fn time_in_force(kind: OrderType, text: Option<&str>) -> Result<TimeInForce, Refused> {
    match (kind, text) {
        (OrderType::Market, None) => Ok(TimeInForce::Ioc),
        (OrderType::Market, Some(_)) => Err((400, -1106, "Parameter 'timeInForce' sent when not required.")),
        (OrderType::Limit, Some("GTC")) => Ok(TimeInForce::Gtc),
        (OrderType::Limit, Some("IOC")) => Ok(TimeInForce::Ioc),
        (OrderType::Limit, Some("FOK")) => Ok(TimeInForce::Fok),
        (OrderType::Limit, Some("GTX")) => Ok(TimeInForce::Gtx),
        (OrderType::Limit, _) => Err((400, -1115, "Invalid timeInForce.")),
    }
}

fn error(id: &Value, (status, code, message): Refused) -> String {
    format!(r#"{{"id":{id},"status":{status},"error":{{"code":{code},"msg":"{message}"}}}}"#)
}

/// SUBSCRIBE and its kin. An acknowledgement says nothing about whether the stream delivers on this route.
pub(super) fn control(streams: &mut Vec<String>, is_combined: &mut bool, text: &str) -> Reply {
    let Ok(request) = serde_json::from_str::<Value>(text) else {
        return Reply::Close(r#"{"error":{"code":3,"msg":"Invalid JSON: expected value"}}"#.to_owned());
    };
    let id = &request["id"];
    if !id.is_u64() {
        return Reply::Text(
            r#"{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"}"#.to_owned(),
        );
    }
    let names: Vec<String> = request["params"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect();
    let result = match request["method"].as_str() {
        Some("SUBSCRIBE") => {
            streams.extend(names);
            streams.sort();
            streams.dedup();
            Value::Null
        }
        Some("UNSUBSCRIBE") => {
            streams.retain(|stream| !names.contains(stream));
            Value::Null
        }
        Some("LIST_SUBSCRIPTIONS") => json!(streams),
        Some("SET_PROPERTY") => {
            *is_combined = request["params"][1].as_bool().unwrap_or(*is_combined);
            Value::Null
        }
        Some("GET_PROPERTY") => json!(is_combined),
        _ => return Reply::Text(r#"{"code":2,"msg":"Invalid request: unknown variant"}"#.to_owned()),
    };
    Reply::Text(json!({"result": result, "id": id}).to_string())
}
