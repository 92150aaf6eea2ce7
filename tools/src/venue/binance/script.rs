//! Texts of a scripted market, for measurements that must know which order answers which tick.

use tickpath_shared::types::decimal;

/// Price of the tick that all scripted prices are counted from, in tenths.
const BASE: i64 = 618_000;
/// Asks move over so many ticks before they start over: an order's price tells its tick among so many.
pub const DISTINCT: u64 = 64;

/// Full book before the `number`-th diff.
pub fn snapshot(number: u64) -> String {
    let levels = |first: i64, step: i64| {
        let level = |i: i64| format!("[\"{}\",\"1.500\"]", decimal::to_text(first + i * step, 1));
        (0..500).map(level).collect::<Vec<_>>().join(",")
    };
    let best = match number {
        0 => String::new(),
        _ => format!("[\"{}\",\"0.010\"],", price_of(number - 1)),
    };
    format!(
        "{{\"lastUpdateId\":{},\"E\":1,\"T\":1,\"bids\":[{}],\"asks\":[{best}{}]}}",
        1000 + number,
        levels(BASE - 1, -1),
        levels(BASE + DISTINCT as i64, 1)
    )
}

/// A mark price.
pub fn mark(price: &str, ms: u64) -> String {
    format!(
        "{{\"stream\":\"btcusdt@markPrice@1s\",\"data\":{{\"e\":\"markPriceUpdate\",\"E\":{ms},\"s\":\"BTCUSDT\",\
         \"p\":\"{price}\",\"P\":\"{price}\",\"i\":\"{price}\",\"r\":\"0.00010000\",\"T\":{}}}}}",
        ms + 1000
    )
}

/// Best bid of a frame of best prices.
pub fn bid_of(frame: &str) -> Option<&str> {
    std::str::from_utf8(text_after(frame.as_bytes(), b"\"b\":\"")?).ok()
}

/// The `number`-th diff, from 0: seven levels a side, its best ask [`price_of`] the number.
pub fn diff(number: u64, ms: u64) -> String {
    let (best, before) = (price_units(number), price_units(number + DISTINCT - 1));
    let qty = |i: u64| decimal::to_text(10 + ((number * 7 + i * 13) % 900) as i64, 3);
    let price = |units: i64| decimal::to_text(units, 1);
    let mut asks = format!("[\"{}\",\"{}\"]", price(best), qty(0));
    if number > 0 {
        asks += &format!(",[\"{}\",\"0.000\"]", price(before));
    }
    let far = 7 - 1 - u64::from(number > 0);
    (1..=far)
        .for_each(|i| asks += &format!(",[\"{}\",\"{}\"]", price(BASE + (DISTINCT + i * 9) as i64), qty(i)));
    let bids: Vec<String> =
        (0..7).map(|i| format!("[\"{}\",\"{}\"]", price(BASE - 1 - i * 8), qty(i as u64 + 20))).collect();
    let (last, previous) = (1001 + number, 1000 + number);
    format!(
        "{{\"stream\":\"btcusdt@depth@0ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{ms},\"T\":{ms},\"s\":\"BTCUSDT\",\
         \"U\":{last},\"u\":{last},\"pu\":{previous},\"b\":[{}],\"a\":[{asks}]}}}}",
        bids.join(",")
    )
}

/// Best ask after the `number`-th diff, in tenths.
pub fn price_units(number: u64) -> i64 {
    BASE + (number % DISTINCT) as i64
}

/// Best ask after the `number`-th diff, as the venue writes it.
pub fn price_of(number: u64) -> String {
    decimal::to_text(price_units(number), 1)
}

/// Price of an order request, in tenths.
pub fn order_price(request: &[u8]) -> Option<i64> {
    decimal::parse(text_after(request, b"\"price\":\"")?, 1).ok()
}

/// Client order id of an order request.
pub fn order_id(request: &[u8]) -> Option<&[u8]> {
    text_after(request, b"\"newClientOrderId\":\"")
}

fn text_after<'t>(request: &'t [u8], key: &[u8]) -> Option<&'t [u8]> {
    let start = request.windows(key.len()).position(|w| w == key)? + key.len();
    let len = request[start..].iter().position(|b| *b == b'"')?;
    Some(&request[start..start + len])
}

/// The venue's refusal of an order: its outcome is certain and no position comes of it.
pub fn refusal(client_order_id: &str) -> String {
    format!(
        "{{\"id\":\"p{client_order_id}\",\"status\":400,\"error\":{{\"code\":-2019,\"msg\":\"Margin is insufficient.\"}}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_hotpath::{
        book::SyncedBook,
        market::MarketEvent,
        venue::{Decoded, MarketDecoder},
    };

    #[test]
    fn the_script_is_a_book_whose_best_ask_names_the_diff() {
        let definitions = super::super::super::definitions();
        let mut decoder = MarketDecoder::new(&definitions, 1 << 16);
        let mut book = SyncedBook::new(definitions[0].tick, 65_536);
        let header = decoder.decode_snapshot(snapshot(0).as_bytes(), 0).unwrap();
        book.on_snapshot(&MarketEvent { header: &header, levels: decoder.levels() });
        for number in 0..300 {
            let text = diff(number, 1_700_000_000_000 + number);
            assert_eq!(decoder.decode_bytes(text.as_bytes()), Ok(Decoded::Event));
            let header = *decoder.header();
            assert_eq!((header.bids, header.asks), (7, 7));
            book.on_diff(&MarketEvent { header: &header, levels: decoder.levels() });
            assert!(book.is_valid());
            let ask = decimal::parse(price_of(number).as_bytes(), definitions[0].price_scale).unwrap();
            assert_eq!(book.top().ask.price, ask, "diff {number}");
        }
        assert_eq!(decoder.fallbacks(), 0);
    }

    #[test]
    fn an_order_names_itself() {
        let request = br#"{"params":{"newClientOrderId":"tp001","price":"61800.20"}}"#;
        assert_eq!(order_price(request), Some(618_002));
        assert_eq!(order_id(request), Some(&b"tp001"[..]));
        assert_eq!(order_id(b"{}"), None);
    }
}
