//! Requests of the WebSocket API as text.
//!
//! The *canonical text* is the whole request without key and signature; it is what the journal keeps and
//! what replay must reproduce. With a logged-on session it is also what is sent. Parameters are written
//! sorted by name, so that signing needs no sorting.

use super::super::sign::{SIGNATURE_TEXT_MAX, Secret};
use serde::{Deserialize, Serialize};
use tickpath_shared::types::{ClientOrderId, InstrumentDefinition, Side, TimeInForce, decimal};

/// Longest text of a request, key and signature included.
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
    /// Cancel by client order id.
    Cancel,
}

/// Builds requests in a fixed buffer.
#[derive(Serialize, Deserialize)]
pub struct OrderEncoder {
    #[serde(skip)]
    bytes: Vec<u8>,
    recv_window_ms: u64,
}

impl OrderEncoder {
    /// An encoder; `recv_window_ms` is how long a request may travel.
    pub fn new(recv_window_ms: u64) -> Self {
        Self { bytes: Vec::with_capacity(REQUEST_BYTES_MAX), recv_window_ms }
    }

    /// The canonical text of a request about one order, stamped with the venue's time.
    pub fn encode(
        &mut self,
        request: &Request,
        definition: &InstrumentDefinition,
        id: &ClientOrderId,
        venue_ms: u64,
    ) -> &[u8] {
        self.bytes.clear();
        match request {
            Request::Place { .. } => self.place(request, definition, id),
            Request::Cancel => self.cancel(definition, id),
        }
        self.put(b",\"timestamp\":");
        self.number(venue_ms);
        if matches!(request, Request::Place { .. }) {
            self.put(b",\"type\":\"LIMIT\"");
        }
        self.put(b"}}");
        &self.bytes
    }

    fn place(&mut self, request: &Request, definition: &InstrumentDefinition, id: &ClientOrderId) {
        let Request::Place { side, time_in_force, price, qty, is_reduce_only } = *request else { return };
        self.put(b"{\"id\":\"p");
        self.put(id.as_bytes());
        self.put(b"\",\"method\":\"order.place\",\"params\":{\"newClientOrderId\":\"");
        self.put(id.as_bytes());
        self.put(b"\",\"newOrderRespType\":\"ACK\",\"price\":\"");
        self.amount(price, definition.price_scale, definition.price_places);
        self.put(b"\",\"quantity\":\"");
        self.amount(qty, definition.qty_scale, definition.qty_places);
        self.put(b"\",\"recvWindow\":");
        self.number(self.recv_window_ms);
        if is_reduce_only {
            self.put(b",\"reduceOnly\":\"true\"");
        }
        self.put(b",\"selfTradePreventionMode\":\"EXPIRE_MAKER\",\"side\":\"");
        self.put(match side {
            Side::Buy => b"BUY",
            Side::Sell => b"SELL",
        });
        self.put(b"\",\"symbol\":\"");
        self.put(definition.symbol.as_bytes());
        self.put(b"\",\"timeInForce\":\"");
        self.put(match time_in_force {
            TimeInForce::Gtc => b"GTC",
            TimeInForce::Ioc => b"IOC",
            TimeInForce::Fok => b"FOK",
            TimeInForce::Gtx => b"GTX",
        });
        self.put(b"\"");
    }

    fn cancel(&mut self, definition: &InstrumentDefinition, id: &ClientOrderId) {
        self.put(b"{\"id\":\"c");
        self.put(id.as_bytes());
        self.put(b"\",\"method\":\"order.cancel\",\"params\":{\"origClientOrderId\":\"");
        self.put(id.as_bytes());
        self.put(b"\",\"recvWindow\":");
        self.number(self.recv_window_ms);
        self.put(b",\"symbol\":\"");
        self.put(definition.symbol.as_bytes());
        self.put(b"\"");
    }

    fn put(&mut self, bytes: &[u8]) {
        debug_assert!(self.bytes.len() + bytes.len() <= REQUEST_BYTES_MAX, "a request fits its buffer");
        self.bytes.extend_from_slice(bytes);
    }

    fn number(&mut self, value: u64) {
        self.amount(value as i64, 0, 0);
    }

    /// An amount of `10^-scale` units with `places` decimal places; the definition guarantees that the
    /// digits cut off are zeros for whatever lies on the grid.
    fn amount(&mut self, value: i64, scale: u8, places: u8) {
        let mut text = [0; decimal::TEXT_MAX];
        let len = decimal::write(value / decimal::pow10(scale - places), places, &mut text);
        self.put(&text[..len]);
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
    out.clear();
    out.extend_from_slice(b"apiKey=");
    out.extend_from_slice(api_key.as_bytes());
    out.push(b'&');
    // `"k":"v","k":1` becomes `k=v&k=1`: our values hold no escapes, commas or colons.
    out.extend(parameters.iter().filter(|b| **b != b'"').map(|b| match b {
        b':' => b'=',
        b',' => b'&',
        other => *other,
    }));
    let mut signature = [0; SIGNATURE_TEXT_MAX];
    let len = secret.sign(out, &mut signature);
    out.clear();
    out.extend_from_slice(&canonical[..at]);
    out.extend_from_slice(b"\"apiKey\":\"");
    out.extend_from_slice(api_key.as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(parameters);
    out.extend_from_slice(b",\"signature\":\"");
    out.extend_from_slice(&signature[..len]);
    out.extend_from_slice(b"\"}}");
}

#[cfg(test)]
mod tests {
    use super::super::super::sign::{sorted_query, verify_hmac};
    use super::*;
    use tickpath_shared::types::{Grid, InstanceId, Symbol};

    fn definition() -> InstrumentDefinition {
        let price = Grid { scale: 2, places: 1, step: 10 };
        let qty = Grid { scale: 4, places: 3, step: 10 };
        InstrumentDefinition::on_grids(Symbol::new("BTCUSDT").unwrap(), 0, price, qty)
    }

    fn text(request: &Request) -> String {
        let id = ClientOrderId::new(InstanceId::new("001").unwrap(), 1_700_000_000, 1);
        let mut encoder = OrderEncoder::new(2000);
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
    fn a_signed_request_verifies_as_the_venue_does_it() {
        for request in [PLACE, Request::Cancel] {
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
            assert!(query.starts_with("apiKey=the-key&"));
            assert!(verify_hmac(b"the-secret", query.as_bytes(), parameters["signature"].as_str().unwrap()));
        }
    }
}
