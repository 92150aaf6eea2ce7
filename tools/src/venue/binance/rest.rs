//! REST endpoints of the simulator: one table says what each costs, who may ask, and who answers.

use super::{
    super::{AccountKey, connection::HttpRequest},
    exchange::{Exchange, Instrument},
    limits::Cost,
    orders::Answer,
    parameters::Parameters,
    refused::Refused,
    text::{price_text, qty_text},
};
use serde_json::{Value, json};
use tickpath_hotpath::venue::binance::sign::{verify_ed25519, verify_hmac};
use tickpath_shared::types::decimal;

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Body, JSON.
    pub body: String,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Anybody,
    /// With a key.
    Key,
    /// With a key, a time stamp and a signature.
    Signed,
}

type Handler = fn(&mut Exchange, &Parameters) -> Answer;

struct Route {
    method: &'static str,
    path: &'static str,
    access: Access,
    cost: Cost,
    handler: Handler,
}

const fn route(
    method: &'static str,
    path: &'static str,
    access: Access,
    cost: Cost,
    handler: Handler,
) -> Route {
    Route { method, path, access, cost, handler }
}

const fn weight(weight: u64) -> Cost {
    Cost::weight(weight)
}

use Access::{Anybody, Key, Signed};

const ROUTES: &[Route] = &[
    route("GET", "/fapi/v1/ping", Anybody, weight(1), |_, _| Ok(json!({}))),
    route("GET", "/fapi/v1/time", Anybody, weight(1), |x, _| Ok(json!({"serverTime": x.clock_ms()}))),
    route("GET", "/fapi/v1/exchangeInfo", Anybody, weight(1), Exchange::exchange_info),
    route("GET", "/fapi/v1/ticker/bookTicker", Anybody, weight(2), Exchange::book_ticker),
    route("GET", "/fapi/v1/ticker/price", Anybody, weight(1), Exchange::price_ticker),
    route("GET", "/fapi/v2/ticker/price", Anybody, weight(1), Exchange::price_ticker),
    route("GET", "/fapi/v1/premiumIndex", Anybody, weight(1), Exchange::premium_index),
    route("POST", "/fapi/v1/listenKey", Key, weight(1), |x, _| Ok(json!({"listenKey": x.start_listening()}))),
    route("PUT", "/fapi/v1/listenKey", Key, weight(1), |x, _| Ok(json!({"listenKey": x.keep_listening()?}))),
    route("DELETE", "/fapi/v1/listenKey", Key, weight(1), |x, _| {
        x.listen = None;
        Ok(json!({}))
    }),
    route("POST", "/fapi/v1/order", Signed, Cost::ORDER, Exchange::place),
    route("POST", "/fapi/v1/order/test", Signed, weight(1), Exchange::test_order),
    route("PUT", "/fapi/v1/order", Signed, Cost::ORDER, Exchange::modify),
    route("DELETE", "/fapi/v1/order", Signed, weight(1), Exchange::cancel),
    route("GET", "/fapi/v1/order", Signed, weight(1), Exchange::query),
    route("GET", "/fapi/v1/openOrder", Signed, weight(1), Exchange::query_open),
    route("GET", "/fapi/v1/openOrders", Signed, weight(1), Exchange::open_orders),
    route("GET", "/fapi/v1/allOrders", Signed, weight(5), Exchange::all_orders),
    route("DELETE", "/fapi/v1/allOpenOrders", Signed, weight(1), Exchange::cancel_all),
    route("POST", "/fapi/v1/batchOrders", Signed, Cost::BATCH, Exchange::place_batch),
    route("PUT", "/fapi/v1/batchOrders", Signed, Cost::BATCH, Exchange::modify_batch),
    route("DELETE", "/fapi/v1/batchOrders", Signed, weight(1), Exchange::cancel_batch),
    route("POST", "/fapi/v1/countdownCancelAll", Signed, weight(10), Exchange::set_countdown),
    route("POST", "/fapi/v1/algoOrder", Signed, Cost::ORDER, Exchange::place_algo),
    route("DELETE", "/fapi/v1/algoOrder", Signed, weight(1), Exchange::cancel_algo),
    route("GET", "/fapi/v1/algoOrder", Signed, weight(1), Exchange::query_algo),
    route("DELETE", "/fapi/v1/algoOpenOrders", Signed, weight(1), Exchange::cancel_algos),
    route("GET", "/fapi/v1/openAlgoOrders", Signed, weight(1), Exchange::open_algos),
    route("GET", "/fapi/v1/allAlgoOrders", Signed, weight(5), Exchange::all_algos),
    route("GET", "/fapi/v2/account", Signed, weight(5), Exchange::account_status),
    route("GET", "/fapi/v3/account", Signed, weight(5), Exchange::account_status),
    route("GET", "/fapi/v2/balance", Signed, weight(5), Exchange::balance),
    route("GET", "/fapi/v3/balance", Signed, weight(5), Exchange::balance),
    route("GET", "/fapi/v2/positionRisk", Signed, weight(5), Exchange::position_risk_v2),
    route("GET", "/fapi/v3/positionRisk", Signed, weight(5), Exchange::position_risk),
    route("GET", "/fapi/v1/accountConfig", Signed, weight(5), Exchange::account_config),
    route("GET", "/fapi/v1/symbolConfig", Signed, weight(5), Exchange::symbol_config),
    route("GET", "/fapi/v1/commissionRate", Signed, weight(20), Exchange::commission_rate),
    route("GET", "/fapi/v1/userTrades", Signed, weight(5), Exchange::user_trades),
    route("GET", "/fapi/v1/income", Signed, weight(30), Exchange::income),
    route("POST", "/fapi/v1/leverage", Signed, weight(1), Exchange::set_leverage),
    route("GET", "/fapi/v1/leverageBracket", Signed, weight(1), Exchange::leverage_bracket),
    route("POST", "/fapi/v1/marginType", Signed, weight(1), Exchange::set_margin_type),
    route("GET", "/fapi/v1/positionSide/dual", Signed, weight(30), Exchange::position_mode),
    route("POST", "/fapi/v1/positionSide/dual", Signed, weight(1), Exchange::set_position_mode),
    route("GET", "/fapi/v1/multiAssetsMargin", Signed, weight(30), Exchange::multi_assets),
    route("GET", "/fapi/v1/feeBurn", Signed, weight(1), Exchange::fee_burn),
    route("GET", "/fapi/v1/rateLimit/order", Signed, weight(1), Exchange::order_limits),
    route("GET", "/fapi/v1/apiTradingStatus", Signed, weight(1), Exchange::trading_status),
    route("GET", "/sapi/v1/account/apiRestrictions", Signed, weight(1), Exchange::key_rights),
];

impl Exchange {
    /// Answers a request; `None` when the answer has to wait. `token` names the client then.
    pub fn on_http(&mut self, request: &HttpRequest, token: usize) -> Option<HttpAnswer> {
        let p = Parameters::of_request(&request.query, &request.body);
        let result = if request.path == "/fapi/v1/depth" {
            self.depth(&p, token).transpose()?
        } else {
            self.route(request, &p).map(|body| body.to_string())
        };
        Some(self.answer(result))
    }

    fn answer(&mut self, result: Result<String, Refused>) -> HttpAnswer {
        let used = self.usage.headers(self.now_ms).into_iter();
        let mut headers: Vec<(String, String)> = used.map(|(k, v)| (k.to_owned(), v.to_string())).collect();
        let (status, body) = match result {
            Ok(body) => (200, body),
            Err(refused) => {
                let retry =
                    refused.retry_after_ms.map(|ms| ("Retry-After".into(), ms.div_ceil(1000).to_string()));
                headers.extend(retry);
                (refused.status, json!({"code": refused.code, "msg": refused.message}).to_string())
            }
        };
        HttpAnswer { status, headers, body }
    }

    fn depth(&mut self, p: &Parameters, token: usize) -> Result<Option<String>, Refused> {
        let (index, limit) = (self.symbol(p)?, p.parsed("limit")?.unwrap_or(500));
        let weight = match limit {
            0..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        };
        self.usage.charge(Cost::weight(weight), self.now_ms)?;
        self.snapshot(index, limit, token)
    }

    fn route(&mut self, request: &HttpRequest, p: &Parameters) -> Answer {
        let is_asked = |r: &&Route| r.path == request.path && r.method == request.method;
        let Some(route) = ROUTES.iter().find(is_asked) else {
            let text = format!("{} {} is not served by this simulator.", request.method, request.path);
            return Err(Refused::new(-5000, text).with_status(404));
        };
        let mut cost = route.cost;
        if p.get("symbol").is_none() && route.path.ends_with("/openOrders") {
            cost = weight(40);
        }
        self.usage.charge(cost, self.now_ms)?;
        match route.access {
            Anybody => {}
            Key => {
                self.find_key(&request.api_key).ok_or_else(Refused::key)?;
            }
            Signed => self.check_signed(request, p)?,
        }
        (route.handler)(self, p)
    }

    pub(super) fn find_key(&self, api_key: &str) -> Option<&AccountKey> {
        self.keys.iter().find(|key| match key {
            AccountKey::Hmac { api_key: of, .. } | AccountKey::Ed25519 { api_key: of, .. } => of == api_key,
        })
    }

    /// Signature and time stamp of a signed request. The string signed is the query as sent, followed by the
    /// body as sent, without the signature parameter.
    fn check_signed(&self, request: &HttpRequest, p: &Parameters) -> Result<(), Refused> {
        let key = self.find_key(&request.api_key).ok_or_else(Refused::key)?;
        let strip = |text: &str| -> String {
            text.split('&').filter(|p| !p.starts_with("signature=")).collect::<Vec<_>>().join("&")
        };
        let payload = strip(&request.query) + &strip(&request.body);
        if !verify(key, payload.as_bytes(), p.required("signature")?) {
            return Err(Refused::new(-1022, "Signature for this request is not valid."));
        }
        self.check_time(p)
    }

    /// Time stamps must be recent by the venue's clock.
    pub(super) fn check_time(&self, p: &Parameters) -> Result<(), Refused> {
        let timestamp: u64 = p.parsed("timestamp")?.ok_or_else(|| Refused::parameter("timestamp"))?;
        let window: u64 = p.parsed("recvWindow")?.unwrap_or(5000);
        let now_ms = self.clock_ms();
        if timestamp >= now_ms + 1000 {
            return Err(Refused::new(
                -1021,
                "Timestamp for this request was 1000ms ahead of the server's time.",
            ));
        }
        if now_ms.saturating_sub(timestamp) > window {
            return Err(Refused::new(-1021, "Timestamp for this request is outside of the recvWindow."));
        }
        Ok(())
    }

    fn exchange_info(&mut self, _: &Parameters) -> Answer {
        Ok(json!({
            "timezone": "UTC", "serverTime": self.clock_ms(), "futuresType": "U_MARGINED",
            "rateLimits": self.usage.show(self.now_ms, false), "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": true, "autoAssetExchange": "-10000"}],
            "symbols": self.instruments.iter().map(symbol_info).collect::<Value>(),
        }))
    }

    fn each(&self, p: &Parameters, row: impl Fn(&Instrument) -> Value) -> Answer {
        match p.get("symbol") {
            Some(_) => Ok(row(&self.instruments[self.symbol(p)?])),
            None => Ok(self.instruments.iter().map(row).collect()),
        }
    }

    fn book_ticker(&mut self, p: &Parameters) -> Answer {
        self.each(p, |instrument| {
            let (d, top) = (instrument.definition(), instrument.matcher.top());
            json!({
                "symbol": instrument.symbol(), "bidPrice": price_text(d, top.bid.price),
                "bidQty": qty_text(d, top.bid.qty), "askPrice": price_text(d, top.ask.price),
                "askQty": qty_text(d, top.ask.qty), "time": instrument.venue_ms,
                "lastUpdateId": instrument.update_id.unwrap_or(0),
            })
        })
    }

    fn price_ticker(&mut self, p: &Parameters) -> Answer {
        self.each(p, |instrument| {
            let price = price_text(instrument.definition(), instrument.last_price);
            json!({"symbol": instrument.symbol(), "price": price, "time": instrument.venue_ms})
        })
    }

    fn premium_index(&mut self, p: &Parameters) -> Answer {
        let now_ms = self.now_ms;
        self.each(p, |instrument| {
            let mark = decimal::to_text(instrument.mark_e8(), 8);
            let (rate, next) = instrument.funding;
            json!({
                "symbol": instrument.symbol(), "markPrice": mark, "indexPrice": mark, "estimatedSettlePrice": mark,
                "lastFundingRate": decimal::to_text(rate, 8), "interestRate": "0.00010000",
                "nextFundingTime": next, "time": now_ms,
            })
        })
    }
}

fn symbol_info(instrument: &Instrument) -> Value {
    let (d, filters) = (instrument.definition(), &instrument.filters);
    let symbol = instrument.symbol();
    let (tick, lot) = (price_text(d, d.tick), qty_text(d, d.lot));
    let percent = |e4: i128| decimal::to_text(e4 as i64, 4);
    let whole = |units: i64, scale: u8| decimal::to_text(units / decimal::pow10(scale), 0);
    json!({
        "symbol": symbol, "pair": symbol, "contractType": "PERPETUAL", "deliveryDate": 4_133_404_800_000_u64,
        "onboardDate": 1_569_398_400_000_u64, "status": if d.is_trading == 1 { "TRADING" } else { "BREAK" },
        "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000",
        "baseAsset": symbol.trim_end_matches("USDT"), "quoteAsset": "USDT", "marginAsset": "USDT",
        "pricePrecision": d.price_scale, "quantityPrecision": d.qty_places, "baseAssetPrecision": 8,
        "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500", "liquidationFee": "0.012500", "marketTakeBound": "0.05",
        "filters": [
            {"filterType": "PRICE_FILTER", "maxPrice": whole(d.price_max, d.price_scale), "minPrice": tick, "tickSize": tick},
            {"filterType": "LOT_SIZE", "maxQty": whole(d.qty_max, d.qty_scale), "minQty": lot, "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "maxQty": whole(filters.market_qty_max, d.qty_scale), "minQty": lot, "stepSize": lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": super::filters::ORDERS_MAX},
            {"filterType": "MIN_NOTIONAL", "notional": whole(d.notional_min_e8, 8)},
            {"filterType": "PERCENT_PRICE", "multiplierUp": percent(filters.percent_up_e4),
             "multiplierDown": percent(filters.percent_down_e4), "multiplierDecimal": "4"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    })
}

pub(super) fn verify(key: &AccountKey, payload: &[u8], signature: &str) -> bool {
    match key {
        AccountKey::Hmac { secret, .. } => verify_hmac(secret.as_bytes(), payload, signature),
        AccountKey::Ed25519 { public, .. } => verify_ed25519(public, payload, signature),
    }
}
