//! Requests of the WebSocket API as text.
//!
//! The *canonical text* is the whole request without key and signature; it is what the journal keeps and
//! what replay must reproduce. With a logged-on session it is also what is sent. Parameters are written
//! sorted by name, so that signing needs no sorting.

mod kept;

use self::kept::KeptText;
use super::super::sign::{SIGNATURE_TEXT_MAX, Secret};
use crate::wire::digits;
use serde::{Deserialize, Serialize};
use tickpath_shared::types::{
    ClientOrderId, InstrumentDefinition, OrderTerms, OrderType, PriceMatch, Side, TimeInForce, decimal,
};

/// Longest text of a request, key and signature included, with room for pieces that are copied in full width.
pub const REQUEST_BYTES_MAX: usize = 1024;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A new limit order.
    Place {
        /// Side.
        side: Side,
        /// Time in force.
        time_in_force: TimeInForce,
        /// Limit price.
        price: i64,
        /// Quantity.
        qty: i64,
        /// May only reduce the position.
        is_reduce_only: bool,
    },
    /// A new order of other terms.
    PlaceWith {
        /// Side.
        side: Side,
        /// Time in force.
        time_in_force: TimeInForce,
        /// Limit price, of an order that has one.
        price: i64,
        /// Quantity.
        qty: i64,
        /// May only reduce the position.
        is_reduce_only: bool,
        /// The terms.
        terms: OrderTerms,
    },
    /// Another price and quantity of an order.
    Amend {
        /// Its side.
        side: Side,
        /// Limit price.
        price: i64,
        /// Quantity, what has filled included.
        qty: i64,
        /// Which of the order's amendments, below 100: answers name nothing else to tell them apart.
        number: u8,
    },
    /// A stop that closes the whole position once the mark price has reached its trigger.
    PlaceStop {
        /// Side of the order that it becomes.
        side: Side,
        /// Price at which it triggers.
        trigger: i64,
    },
    /// Cancel a stop by client order id.
    CancelStop,
    /// Cancel by client order id.
    Cancel,
    /// Cancel by the venue's order id: of an order of somebody else whose client order id is longer than we keep.
    CancelNumber(u64),
}

/// Builds requests in a fixed buffer. A plain order is mostly the text of the one before.
#[derive(Serialize, Deserialize)]
pub struct OrderEncoder {
    recv_window_ms: u64,
    #[serde(skip)]
    bytes: Vec<u8>,
    /// By instrument and [`kept_index`].
    #[serde(skip)]
    kept: Vec<KeptText>,
}

/// Kept texts of an instrument: side, time in force, reduce-only.
const KEPT: usize = 2 * TIMES * 2;
const TIMES: usize = TimeInForce::ALL.len();

/// A request under construction.
struct Draft<'e> {
    bytes: &'e mut [u8],
    at: usize,
}

impl OrderEncoder {
    /// An encoder; `recv_window_ms` is how long a request may travel.
    pub fn new(recv_window_ms: u64, definitions: &[InstrumentDefinition]) -> Self {
        let mut encoder = Self { recv_window_ms, bytes: Vec::new(), kept: Vec::new() };
        encoder.prepare(definitions.len());
        encoder
    }

    /// Makes room for the texts of so many instruments.
    #[cold]
    fn prepare(&mut self, instruments: usize) {
        self.bytes.resize(REQUEST_BYTES_MAX, 0);
        self.kept.resize(instruments * KEPT, KeptText::EMPTY);
    }

    /// The canonical text of a request about one order, stamped with the venue's time.
    #[inline]
    pub fn encode(
        &mut self,
        request: &Request,
        definition: &InstrumentDefinition,
        id: &ClientOrderId,
        venue_ms: u64,
    ) -> &[u8] {
        let first = definition.instrument as usize * KEPT;
        if self.kept.len() < first + KEPT {
            // Only after an encoder was read back from a file.
            self.prepare(definition.instrument as usize + 1);
        }
        if let Request::Place { side, time_in_force, price, qty, is_reduce_only } = *request {
            let at = first + kept_index(side, time_in_force, is_reduce_only);
            if !self.kept[at].follow(definition, id, price, qty, venue_ms) {
                let terms = OrderTerms::LIMIT;
                let request = Request::PlaceWith { side, time_in_force, price, qty, is_reduce_only, terms };
                let mut draft = Draft { bytes: &mut self.bytes, at: 0 };
                draft.place_with(&request, definition, id, self.recv_window_ms, venue_ms);
                let len = draft.at;
                self.kept[at].keep(definition, &self.bytes[..len], venue_ms);
                return &self.bytes[..len];
            }
            return self.kept[at].text();
        }
        let mut draft = Draft { bytes: &mut self.bytes, at: 0 };
        match *request {
            Request::Place { .. } | Request::PlaceWith { .. } => {
                draft.place_with(request, definition, id, self.recv_window_ms, venue_ms)
            }
            Request::PlaceStop { side, trigger } => {
                draft.place_stop(side, trigger, definition, id, self.recv_window_ms, venue_ms)
            }
            Request::CancelStop => draft.cancel_stop(id, self.recv_window_ms, venue_ms),
            Request::Amend { .. } | Request::Cancel | Request::CancelNumber(_) => {
                draft.change(request, definition, id, self.recv_window_ms, venue_ms);
            }
        }
        let len = draft.at;
        &self.bytes[..len]
    }
}

const fn side_word(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

const fn time_word(time_in_force: TimeInForce) -> &'static str {
    match time_in_force {
        TimeInForce::Gtc => "GTC",
        TimeInForce::Ioc => "IOC",
        TimeInForce::Fok => "FOK",
        TimeInForce::Gtx => "GTX",
        TimeInForce::Gtd => "GTD",
    }
}

const fn match_word(price_match: PriceMatch) -> &'static str {
    match price_match {
        PriceMatch::Opponent => "OPPONENT",
        PriceMatch::Opponent5 => "OPPONENT_5",
        PriceMatch::Queue => "QUEUE",
        PriceMatch::Queue5 => "QUEUE_5",
        PriceMatch::Queue10 => "QUEUE_10",
        PriceMatch::Queue20 => "QUEUE_20",
    }
}

fn kept_index(side: Side, time_in_force: TimeInForce, is_reduce_only: bool) -> usize {
    (side as usize - 1) * 2 * TIMES + (time_in_force as usize - 1) * 2 + usize::from(is_reduce_only)
}

impl Draft<'_> {
    /// A new order that is not like nearly all others.
    #[cold]
    fn place_with(
        &mut self,
        request: &Request,
        definition: &InstrumentDefinition,
        id: &ClientOrderId,
        recv_window_ms: u64,
        venue_ms: u64,
    ) {
        let Request::PlaceWith { side, time_in_force, price, qty, is_reduce_only, terms } = *request else {
            unreachable!("the caller matched")
        };
        let is_market = terms.order_type == OrderType::Market;
        self.put(b"{\"id\":\"p");
        self.id(id);
        self.put(b"\",\"method\":\"order.place\",\"params\":{");
        if terms.good_till_ms != 0 {
            self.put(b"\"goodTillDate\":");
            self.number(terms.good_till_ms as i64, 0);
            self.put(b",");
        }
        self.put(b"\"newClientOrderId\":\"");
        self.id(id);
        self.put(b"\",\"newOrderRespType\":\"ACK\"");
        if let Some(price_match) = terms.price_match {
            self.member("priceMatch", match_word(price_match));
        } else if !is_market {
            self.put(b",\"price\":\"");
            self.amount(price, definition.price_scale, definition.price_places);
            self.put(b"\"");
        }
        self.put(b",\"quantity\":\"");
        self.amount(qty, definition.qty_scale, definition.qty_places);
        self.put(b"\",\"recvWindow\":");
        self.number(recv_window_ms as i64, 0);
        if is_reduce_only {
            self.member("reduceOnly", "true");
        }
        self.member("selfTradePreventionMode", "EXPIRE_MAKER");
        self.member("side", side_word(side));
        self.member("symbol", definition.symbol.as_str());
        if !is_market {
            self.member("timeInForce", time_word(time_in_force));
        }
        self.put(b",\"timestamp\":");
        self.number(venue_ms as i64, 0);
        self.member("type", if is_market { "MARKET" } else { "LIMIT" });
        self.put(b"}}");
    }

    /// A stop that closes the position, whatever it is by then.
    #[cold]
    fn place_stop(
        &mut self,
        side: Side,
        trigger: i64,
        definition: &InstrumentDefinition,
        id: &ClientOrderId,
        recv_window_ms: u64,
        venue_ms: u64,
    ) {
        self.put(b"{\"id\":\"s");
        self.id(id);
        self.put(
            b"\",\"method\":\"algoOrder.place\",\"params\":{\"algoType\":\"CONDITIONAL\",\"clientAlgoId\":\"",
        );
        self.id(id);
        self.put(b"\",\"closePosition\":\"true\",\"recvWindow\":");
        self.number(recv_window_ms as i64, 0);
        self.member("side", side_word(side));
        self.member("symbol", definition.symbol.as_str());
        self.put(b",\"timestamp\":");
        self.number(venue_ms as i64, 0);
        self.put(b",\"triggerPrice\":\"");
        self.amount(trigger, definition.price_scale, definition.price_places);
        self.put(b"\",\"type\":\"STOP_MARKET\",\"workingType\":\"MARK_PRICE\"}}");
    }

    fn cancel_stop(&mut self, id: &ClientOrderId, recv_window_ms: u64, venue_ms: u64) {
        self.put(b"{\"id\":\"x");
        self.id(id);
        self.put(b"\",\"method\":\"algoOrder.cancel\",\"params\":{\"clientAlgoId\":\"");
        self.id(id);
        self.put(b"\",\"recvWindow\":");
        self.number(recv_window_ms as i64, 0);
        self.put(b",\"timestamp\":");
        self.number(venue_ms as i64, 0);
        self.put(b"}}");
    }

    fn member(&mut self, name: &str, value: &str) {
        for part in [",\"", name, "\":\"", value, "\""] {
            self.put(part.as_bytes());
        }
    }

    /// A request about an order that the venue has.
    fn change(
        &mut self,
        request: &Request,
        definition: &InstrumentDefinition,
        id: &ClientOrderId,
        recv_window_ms: u64,
        venue_ms: u64,
    ) {
        match *request {
            Request::Amend { side, price, qty, number } => {
                self.put(b"{\"id\":\"m");
                self.id(id);
                self.put(&[b'.', b'0' + number / 10 % 10, b'0' + number % 10]);
                self.put(b"\",\"method\":\"order.modify\",\"params\":{\"origClientOrderId\":\"");
                self.id(id);
                self.put(b"\",\"price\":\"");
                self.amount(price, definition.price_scale, definition.price_places);
                self.put(b"\",\"quantity\":\"");
                self.amount(qty, definition.qty_scale, definition.qty_places);
                self.put(b"\",\"recvWindow\":");
                self.number(recv_window_ms as i64, 0);
                self.put(match side {
                    Side::Buy => b",\"side\":\"BUY\"",
                    Side::Sell => b",\"side\":\"SELL\"",
                });
            }
            _ => {
                self.put(b"{\"id\":\"c");
                self.id(id);
                self.put(b"\",\"method\":\"order.cancel\",\"params\":{");
                if let Request::CancelNumber(number) = *request {
                    self.put(b"\"orderId\":");
                    self.number(number as i64, 0);
                } else {
                    self.put(b"\"origClientOrderId\":\"");
                    self.id(id);
                    self.put(b"\"");
                }
                self.put(b",\"recvWindow\":");
                self.number(recv_window_ms as i64, 0);
            }
        }
        self.put(b",\"symbol\":\"");
        self.put(definition.symbol.as_bytes());
        self.put(b"\",\"timestamp\":");
        self.number(venue_ms as i64, 0);
        self.put(b"}}");
    }

    #[inline(always)]
    fn put(&mut self, text: &[u8]) {
        // The longest request is known, see `REQUEST_BYTES_MAX`.
        self.bytes[self.at..self.at + text.len()].copy_from_slice(text);
        self.at += text.len();
    }

    /// Copies a piece of a constant width, of which `len` bytes count: what is behind them is overwritten.
    #[inline(always)]
    fn wide<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        let Some(room) = self.bytes[self.at..].first_chunk_mut::<N>() else {
            unreachable!("a request is far shorter than its buffer")
        };
        *room = *bytes;
        self.at += len;
    }

    #[inline(always)]
    fn id(&mut self, id: &ClientOrderId) {
        self.wide(id.as_padded(), id.len());
    }

    #[inline(always)]
    fn number(&mut self, value: i64, places: u8) {
        let Some((room, _)) = self.bytes[self.at..].split_first_chunk_mut::<{ digits::ROOM }>() else {
            unreachable!("a request is far shorter than its buffer")
        };
        self.at += digits::write(value, places, room);
    }

    /// An amount of `10^-scale` units with `places` decimal places; the definition guarantees that the
    /// digits cut off are zeros for whatever lies on the grid.
    #[inline(always)]
    fn amount(&mut self, value: i64, scale: u8, places: u8) {
        let value = if scale == places { value } else { value / decimal::pow10(scale - places) };
        self.number(value, places);
    }
}

/// Adds key and signature to a canonical text for sessions without a logon. `out` is overwritten.
///
/// # Panics
///
/// When the text is not one of [`OrderEncoder`].
pub fn sign_request(canonical: &[u8], api_key: &str, secret: &Secret, out: &mut Vec<u8>) {
    const OPEN: &[u8] = b"\"params\":{";
    let at = canonical.windows(OPEN.len()).position(|w| w == OPEN).map(|at| at + OPEN.len());
    let (Some(at), Some(parameters_end)) = (at, canonical.len().checked_sub(2)) else {
        unreachable!("a canonical text has parameters")
    };
    let parameters = &canonical[at..parameters_end];
    let (before, after) = parameters.split_at(sorted_place(parameters, b"apiKey"));
    // `"k":"v","k":1` becomes `k=v&k=1`: our values hold no escapes, commas or colons.
    let as_query = |b: &u8| match b {
        b'"' => None,
        b':' => Some(b'='),
        b',' => Some(b'&'),
        other => Some(*other),
    };
    out.clear();
    out.extend(before.iter().filter_map(as_query));
    out.extend_from_slice(b"apiKey=");
    out.extend_from_slice(api_key.as_bytes());
    out.push(b'&');
    out.extend(after.iter().filter_map(as_query));
    let mut signature = [0; SIGNATURE_TEXT_MAX];
    let len = secret.sign(out, &mut signature);
    out.clear();
    out.extend_from_slice(&canonical[..at]);
    out.extend_from_slice(before);
    out.extend_from_slice(b"\"apiKey\":\"");
    out.extend_from_slice(api_key.as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(after);
    out.extend_from_slice(b",\"signature\":\"");
    out.extend_from_slice(&signature[..len]);
    out.extend_from_slice(b"\"}}");
}

/// Where a parameter belongs among those that are sorted by name.
fn sorted_place(parameters: &[u8], name: &[u8]) -> usize {
    let mut at = 0;
    while parameters[at..].strip_prefix(b"\"").is_some_and(|rest| rest < name)
        && let Some(len) = parameters[at..].iter().position(|b| *b == b',')
    {
        at += len + 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::super::sign::{sorted_query, verify_hmac};
    use super::*;
    use proptest::prelude::*;
    use tickpath_shared::types::{Grid, InstanceId, Symbol};

    fn definition() -> InstrumentDefinition {
        let price = Grid { scale: 2, places: 1, step: 10 };
        let qty = Grid { scale: 4, places: 3, step: 10 };
        InstrumentDefinition::on_grids(Symbol::new("BTCUSDT").unwrap(), 0, price, qty)
    }

    fn text(request: &Request) -> String {
        let id = ClientOrderId::new(InstanceId::new("001").unwrap(), 1_700_000_000, 1);
        let mut encoder = OrderEncoder::new(2000, &[definition()]);
        String::from_utf8(encoder.encode(request, &definition(), &id, 1_702_555_533_821).to_vec()).unwrap()
    }

    const PLACE: Request = Request::Place {
        side: Side::Buy,
        time_in_force: TimeInForce::Ioc,
        price: 6_180_020,
        qty: 140,
        is_reduce_only: true,
    };

    #[test]
    fn an_encoder_read_back_writes_the_same_for_every_instrument() {
        let second = InstrumentDefinition { instrument: 1, ..definition() };
        let all = [definition(), second];
        let id = ClientOrderId::new(InstanceId::new("001").unwrap(), 1_700_000_000, 1);
        let mut encoder = OrderEncoder::new(2000, &all);
        let mut again: OrderEncoder =
            serde_json::from_str(&serde_json::to_string(&encoder).unwrap()).unwrap();
        for definition in [&all[1], &all[0]] {
            let text = again.encode(&PLACE, definition, &id, 1).to_vec();
            assert_eq!(text, encoder.encode(&PLACE, definition, &id, 1));
            assert!(text.ends_with(b"\"timestamp\":1,\"type\":\"LIMIT\"}}"));
        }
    }

    /// Parameters of an order with terms, in the order in which they are signed.
    fn with(terms: OrderTerms, time_in_force: TimeInForce) -> Vec<(String, String)> {
        let (side, price, qty, is_reduce_only) = (Side::Sell, 6_180_020, 140, true);
        let request = Request::PlaceWith { side, time_in_force, price, qty, is_reduce_only, terms };
        let text = text(&request);
        assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["method"] == "order.place");
        let inside = text.split_once("\"params\":{").unwrap().1.strip_suffix("}}").unwrap();
        let member = |member: &str| {
            let (name, value) = member.split_once(':').unwrap();
            (name.trim_matches('"').to_owned(), value.trim_matches('"').to_owned())
        };
        let members: Vec<_> = inside.split(',').map(member).collect();
        assert!(members.is_sorted(), "{members:?}");
        members
    }

    #[test]
    fn other_terms_are_written_as_the_venue_wants_them() {
        let value = |members: &[(String, String)], name: &str| {
            members.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
        };
        let market =
            with(OrderTerms { order_type: OrderType::Market, ..OrderTerms::LIMIT }, TimeInForce::Ioc);
        let told =
            ["type", "price", "timeInForce", "quantity", "reduceOnly"].map(|name| value(&market, name));
        let wanted = [Some("MARKET"), None, None, Some("0.014"), Some("true")];
        assert_eq!(told, wanted.map(|text| text.map(str::to_owned)));
        for price_match in PriceMatch::ALL {
            let matched = OrderTerms { price_match: Some(*price_match), ..OrderTerms::LIMIT };
            let members = with(matched, TimeInForce::Gtx);
            assert_eq!(value(&members, "priceMatch"), Some(price_match.label().to_uppercase()));
            assert_eq!(
                (value(&members, "price"), value(&members, "timeInForce")),
                (None, Some("GTX".into()))
            );
        }
        let ending = OrderTerms { good_till_ms: 1_702_559_133_000, ..OrderTerms::LIMIT };
        let members = with(ending, TimeInForce::Gtd);
        let told =
            ["goodTillDate", "price", "timeInForce", "type"].map(|name| value(&members, name).unwrap());
        assert_eq!(told, ["1702559133000", "61800.2", "GTD", "LIMIT"]);
    }

    #[test]
    fn a_stop_closes_the_position_at_the_mark_price() {
        let text = text(&Request::PlaceStop { side: Side::Sell, trigger: 6_180_020 });
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let id = json["params"]["clientAlgoId"].as_str().unwrap().to_owned();
        assert_eq!(json["id"].as_str().unwrap(), format!("s{id}"));
        let wanted = serde_json::json!({
            "algoType": "CONDITIONAL", "clientAlgoId": id, "closePosition": "true", "recvWindow": 2000,
            "side": "SELL", "symbol": "BTCUSDT", "timestamp": 1_702_555_533_821_u64,
            "triggerPrice": "61800.2", "type": "STOP_MARKET", "workingType": "MARK_PRICE",
        });
        assert_eq!((&json["method"], &json["params"]), (&"algoOrder.place".into(), &wanted));
    }

    #[test]
    fn an_order_is_json_with_sorted_parameters_and_the_venues_decimals() {
        let json: serde_json::Value = serde_json::from_str(&text(&PLACE)).unwrap();
        assert_eq!(json["method"], "order.place");
        assert_eq!(json["params"]["price"], "61800.2");
        assert_eq!(json["params"]["quantity"], "0.014");
        assert_eq!(json["params"]["reduceOnly"], "true");
        assert_eq!(json["params"]["timestamp"], 1_702_555_533_821_u64);
        assert_eq!(
            json["id"].as_str().unwrap(),
            format!("p{}", json["params"]["newClientOrderId"].as_str().unwrap())
        );
    }

    #[test]
    fn time_is_written_as_a_number_whatever_came_before() {
        let mut encoder = OrderEncoder::new(2000, &[definition()]);
        let id = ClientOrderId::new(InstanceId::new("001").unwrap(), 1_700_000_000, 1);
        let times =
            [0, 999, 1_000, 1_001, 1_009_999, 1_702_555_533_821, 1_702_555_533_007, 1_702_555_534_000, 5];
        for ms in times {
            let text = encoder.encode(&PLACE, &definition(), &id, ms).to_vec();
            let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(json["params"]["timestamp"], ms);
        }
    }

    proptest! {
        /// Whatever was written before, an order's text is that of an encoder that has written nothing.
        #[test]
        fn the_order_before_leaves_nothing_behind(
            orders in prop::collection::vec(
                (0_u64..3, 1_i64..200_000, 1_i64..30_000, 0_u64..4, any::<bool>(), any::<bool>()), 2..60),
        ) {
            let instance = InstanceId::new("001").unwrap();
            let definitions = [definition(), InstrumentDefinition { instrument: 1, ..definition() }];
            let mut kept = OrderEncoder::new(2000, &definitions);
            let mut venue_ms = 1_702_599_999_000;
            for (number, (epoch, price, qty, step, is_buy, is_second)) in orders.into_iter().enumerate() {
                let mut definition = definitions[usize::from(is_second)];
                // Rules change while a session goes on.
                definition.qty_places = 3 - u8::from(step == 3);
                venue_ms += step * 400;
                let id = ClientOrderId::new(instance, 1_700_000_000 + epoch / 2, number as u64);
                let request = Request::Place {
                    side: if is_buy { Side::Buy } else { Side::Sell },
                    time_in_force: TimeInForce::Gtx,
                    price: price * 10_i64.pow(1 + (step % 2) as u32 * 4),
                    qty: qty * 100,
                    is_reduce_only: epoch == 1,
                };
                let mut fresh = OrderEncoder::new(2000, &definitions);
                let expected = fresh.encode(&request, &definition, &id, venue_ms).to_vec();
                let found = kept.encode(&request, &definition, &id, venue_ms).to_vec();
                prop_assert_eq!(String::from_utf8(found).unwrap(), String::from_utf8(expected).unwrap());
            }
        }
    }

    #[test]
    fn a_signed_request_verifies_as_the_venue_does_it() {
        let amend = Request::Amend { side: Side::Sell, price: 6_180_030, qty: 150, number: 7 };
        let numbered = Request::CancelNumber(8_389_765_512_345_678_901);
        let stop = Request::PlaceStop { side: Side::Buy, trigger: 6_180_030 };
        for request in [PLACE, amend, Request::Cancel, numbered, stop, Request::CancelStop] {
            let canonical = text(&request);
            let mut out = Vec::new();
            sign_request(canonical.as_bytes(), "the-key", &Secret::hmac("the-secret").unwrap(), &mut out);
            let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let parameters = json["params"].as_object().unwrap();
            let query = sorted_query(
                parameters
                    .iter()
                    .map(|(k, v)| (k.as_str(), v.as_str().map_or_else(|| v.to_string(), str::to_owned))),
            );
            assert!(query.contains("apiKey=the-key&"));
            assert!(verify_hmac(b"the-secret", query.as_bytes(), parameters["signature"].as_str().unwrap()));
        }
    }
}
