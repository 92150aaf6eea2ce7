use super::*;
use std::cell::RefCell;
use tickpath_shared::types::{Grid, Symbol};

fn definitions() -> Vec<InstrumentDefinition> {
    let btc = InstrumentDefinition::on_grids(
        Symbol::new("BTCUSDT").unwrap(),
        0,
        Grid { scale: 2, places: 1, step: 10 },
        Grid { scale: 4, places: 3, step: 10 },
    );
    let doge = InstrumentDefinition::on_grids(
        Symbol::new("DOGEUSDT").unwrap(),
        1,
        Grid { scale: 5, places: 5, step: 1 },
        Grid { scale: 0, places: 0, step: 1 },
    );
    vec![btc, doge]
}

/// Decodes by every way and insists that they agree.
fn decode(frame: &str) -> Result<(Found, Vec<Level>), DecodeError> {
    let mut general = Vec::new();
    let slow = Fallback::new(65_536).decode(frame.as_bytes(), &definitions(), &mut general);
    DECODERS.with_borrow_mut(|decoders| {
        decoders.iter_mut().for_each(|decoder| agrees(decoder, frame, &slow, &general));
    });
    slow.map(|decoded| (decoded, general))
}

thread_local! {
    static DECODERS: RefCell<Vec<MarketDecoder>> = RefCell::new(
        Isa::available().into_iter().map(|isa| MarketDecoder::with_isa(isa, &definitions(), 65_536)).collect(),
    );
}

fn agrees(decoder: &mut MarketDecoder, frame: &str, slow: &Result<Found, DecodeError>, levels: &[Level]) {
    // The second time with what the first taught.
    for _ in 0..2 {
        let decoded = decoder.decode_bytes(frame.as_bytes());
        let found = decoded.map(|decoded| match decoded {
            Decoded::Event => Found::Event(*decoder.header()),
            Decoded::Ignored => Found::Ignored,
            Decoded::Closing => Found::Closing,
            Decoded::UnknownSymbol => Found::UnknownSymbol,
        });
        assert_eq!(found, *slow, "{frame}");
        if matches!(slow, Ok(Found::Event(_))) {
            assert_eq!(decoder.levels(), levels, "{frame}");
        }
    }
}

// Genuine frames, Binance USD-M, 2024-08-08, the depth frame cut to three levels.
const DEPTH: &str = r#"{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"],["61496.50","0.010"]],"a":[["61510.90","0.000"]]}}"#;
const TICKER: &str = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}"#;
const TRADE: &str = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}"#;
const MARK: &str = r#"{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1680652701000,"s":"BTCUSDT","p":"28147.27373413","P":"28142.15563565","i":"28159.75642857","r":"0.00002754","T":1680652800000}}"#;

#[test]
fn a_genuine_depth_frame_decodes() {
    let (decoded, levels) = decode(DEPTH).unwrap();
    let Found::Event(header) = decoded else { panic!("{decoded:?}") };
    assert_eq!((header.bids, header.asks), (2, 1));
    assert_eq!(
        (header.first_update_id, header.last_update_id, header.previous_update_id),
        (5_123_107_832_006, 5_123_107_837_557, 5_123_107_831_937)
    );
    assert_eq!(levels[0], Level { price: 5_871_020, qty: 140 });
    assert_eq!(levels[2], Level { price: 6_151_090, qty: 0 });
}

/// A diff of so many bids and asks; every third price is off the tick.
fn diff_of(bids: usize, asks: usize) -> String {
    let side = |levels: usize, from: usize| -> String {
        let level = |i: usize| {
            let off_tick = if i.is_multiple_of(3) { 5 } else { 0 };
            format!(r#"["{}.{}{off_tick}","{}.014"]"#, from + i / 10, i % 10, i % 40)
        };
        (0..levels).map(level).collect::<Vec<_>>().join(",")
    };
    let head = DEPTH.split_once("[[").unwrap().0;
    format!(r#"{head}[{}],"a":[{}]}}}}"#, side(bids, 10_000), side(asks, 30_000))
}

#[test]
fn levels_of_any_number_are_counted_and_so_are_those_off_the_tick() {
    for (bids, asks) in (0..12).flat_map(|bids| (0..12).map(move |asks| (bids, asks))) {
        let (Found::Event(header), levels) = decode(&diff_of(bids, asks)).unwrap() else {
            panic!("an event")
        };
        assert_eq!(
            (usize::from(header.bids), usize::from(header.asks), levels.len()),
            (bids, asks, bids + asks)
        );
        assert_eq!(header.off_tick as usize, bids.div_ceil(3) + asks.div_ceil(3));
    }
}

#[test]
fn as_many_levels_as_there_is_room_for_are_taken_and_no_more() {
    let most = LEVELS_MAX;
    for (bids, asks) in [(most, 0), (0, most), (most / 2 - 1, most / 2 + 1), (1, most - 1)] {
        let (_, levels) = decode(&diff_of(bids, asks)).unwrap();
        assert_eq!(levels.len(), most);
    }
    for (bids, asks) in [(most + 1, 0), (0, most + 1), (most, 1), (most, 200), (100, most)] {
        assert!(decode(&diff_of(bids, asks)).is_err(), "{bids} {asks}");
    }
    // As many quotes as the index has room for, and a few around that.
    let prefix = DEPTH.split_once("[[").unwrap().0;
    for quotes in LEVELS_MAX * 4 + 150..LEVELS_MAX * 4 + 400 {
        assert!(decode(&format!("{prefix}{}", "\"".repeat(quotes))).is_err());
    }
}

#[test]
fn genuine_ticker_trade_and_mark_frames_decode() {
    let (_, levels) = decode(TICKER).unwrap();
    assert_eq!(levels, [Level { price: 6_180_020, qty: 25_070 }, Level { price: 6_180_030, qty: 25_100 }]);
    let (decoded, _) = decode(TRADE).unwrap();
    assert!(matches!(decoded, Found::Event(h) if h.bids == 1 && h.last_update_id == 5_266_583_935));
    let (_, levels) = decode(MARK).unwrap();
    assert_eq!(levels[0].price, 2_814_727_373_413);
}

#[test]
fn later_fields_blanks_and_other_orders_change_nothing() {
    let expected = decode(TICKER).unwrap();
    let newer = TICKER
        .replace("\"s\":\"BTCUSDT\"", "\"s\":\"BTCUSDT\",\"ps\":\"BTCUSDT\"")
        .replace("}}", ",\"st\":1}}");
    assert_eq!(decode(&newer).unwrap(), expected);
    assert_eq!(decode(&TICKER.replace(",\"b\"", ", \"b\"")).unwrap(), expected);
    let raw = TICKER.split_once("\"data\":").unwrap().1;
    assert_eq!(decode(&raw[..raw.len() - 1]).unwrap(), expected);
    let nested = TICKER.replace("}}", ",\"new\":{\"x\":[1,2]}}}");
    assert_eq!(decode(&nested).unwrap(), expected);
}

#[test]
fn only_market_trades_count() {
    let (decoded, _) = decode(&TRADE.replace("MARKET", "INSURANCE_FUND")).unwrap();
    assert_eq!(decoded, Found::Ignored);
}

#[test]
fn partial_books_and_foreign_symbols_are_not_diffs() {
    assert_eq!(decode(&DEPTH.replace("@depth@0ms", "@depth20@100ms")).unwrap().0, Found::Ignored);
    assert_eq!(decode(&DEPTH.replace("\"BTCUSDT\"", "\"XRPUSDT\"")).unwrap().0, Found::UnknownSymbol);
    assert_eq!(decode(r#"{"e":"kline","E":1,"k":{"t":1}}"#).unwrap().0, Found::Ignored);
    assert_eq!(decode(r#"{"result":null,"id":1}"#).unwrap().0, Found::Ignored);
    for text in [
        r#"{"e":"serverShutdown","E":1}"#,
        r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#,
    ] {
        assert_eq!(decode(text).unwrap().0, Found::Closing);
    }
}

#[test]
fn numbers_without_an_exact_value_are_errors() {
    for bad in ["-1.0", "1e3", "1.00005", "", "99999999999999999999", "NaN"] {
        let result = decode(&DEPTH.replace("0.014", bad));
        assert!(matches!(result, Err(DecodeError::Number("b"))), "{bad}: {result:?}");
    }
}

#[test]
fn missing_and_repeated_fields_are_errors() {
    assert_eq!(decode(&DEPTH.replace("\"pu\":5123107831937,", "")), Err(DecodeError::Field("pu")));
    assert_eq!(decode(&DEPTH.replace("\"pu\"", "\"u\"")).err(), Some(DecodeError::Field("u")));
    assert_eq!(decode(&DEPTH[..DEPTH.len() - 1]).err(), Some(DecodeError::Syntax));
}

/// Frames in the form of 2026, cut to two levels.
const NEWER: [&str; 4] = [
    r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1785048482829,"T":1785048482718,"s":"BTCUSDT","ps":"BTCUSDT","U":359220619477,"u":359220619477,"pu":359220613550,"b":[],"a":[["64346.70","589.8041"],["64346.80","0.0200"]],"st":1}}"#,
    r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":359220650272,"s":"BTCUSDT","ps":"BTCUSDT","b":"64336.00","B":"73.3346","a":"64346.70","A":"589.8026","T":1785048483771,"E":1785048483771,"st":1}}"#,
    r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1785048482872,"a":300238285,"s":"BTCUSDT","p":"64346.70","q":"0.0200","nq":"0.0200","f":521512568,"l":521512568,"T":1785048482718,"m":false,"st":1}}"#,
    r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1771263510195,"a":3141966230,"s":"BTCUSDT","p":"68005.00","q":"2.6950","nq":"2.6950","f":7297376181,"l":7297376207,"T":1771263510041,"m":true}}"#,
];

#[test]
fn frequent_frames_of_both_forms_need_no_walk() {
    let older = [DEPTH, TICKER, TRADE].map(|frame| frame.to_owned());
    for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Plain) {
        let mut decoder = MarketDecoder::with_isa(isa, &definitions(), 65_536);
        for frame in older.iter().map(String::as_str).chain(NEWER) {
            decode(frame).unwrap();
            decoder.decode_bytes(frame.as_bytes()).unwrap();
            let walks = decoder.walks();
            decoder.decode_bytes(frame.as_bytes()).unwrap();
            assert_eq!(decoder.walks(), walks, "{isa:?}: {frame}");
        }
    }
}

/// Where a short quantity stands behind a long one, the next price's quote is where the long one's was.
#[test]
fn diffs_of_whole_quantities_need_no_walk() {
    let quantities = ["12345", "0", "123456", "42", "1234567", "421", "6", "98765432", "1"];
    let level = |(i, qty): (usize, &&str)| format!(r#"["0.1{i:04}","{qty}"]"#);
    let levels: Vec<String> = quantities.iter().enumerate().map(level).collect();
    let frame = format!(
        r#"{{"stream":"dogeusdt@depth@0ms","data":{{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"DOGEUSDT","U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[{}],"a":[["0.20000","7"]]}}}}"#,
        levels.join(",")
    );
    let (_, found) = decode(&frame).unwrap();
    assert_eq!(found.iter().map(|level| level.qty.to_string()).collect::<Vec<_>>()[..9], quantities);
    for isa in Isa::available() {
        let mut decoder = MarketDecoder::with_isa(isa, &definitions(), 65_536);
        decoder.decode_bytes(frame.as_bytes()).unwrap();
        let walks = decoder.walks();
        decoder.decode_bytes(frame.as_bytes()).unwrap();
        assert_eq!(decoder.walks(), walks, "{isa:?}");
    }
}

/// In a buffer the rest of a frame that ends too early stands right behind it, and the next frame behind that.
#[test]
fn a_frame_that_ends_too_early_is_none_whatever_stands_behind_it() {
    for frame in [DEPTH, TICKER, TRADE].into_iter().chain(NEWER) {
        let bytes = frame.repeat(2 + PADDING / frame.len());
        for isa in Isa::available() {
            let mut decoder = MarketDecoder::with_isa(isa, &definitions(), 65_536);
            for end in (1..frame.len()).rev() {
                let text = Text::new(bytes.as_bytes(), end).unwrap();
                assert!(decoder.decode(text).is_err(), "{isa:?}: {}", &frame[..end]);
            }
            assert!(decoder.decode(Text::new(bytes.as_bytes(), frame.len()).unwrap()).is_ok());
        }
    }
}

/// As many quotes as before, one of them elsewhere.
#[test]
fn a_quote_that_moved_is_judged_as_by_the_general_parser() {
    for frame in [DEPTH].into_iter().chain(NEWER) {
        for (from, _) in frame.match_indices('"') {
            let mut without = frame.to_owned();
            without.remove(from);
            for to in (0..=without.len()).filter(|to| *to != from && to.abs_diff(from) < 48) {
                let mut moved = without.clone();
                moved.insert(to, '"');
                let _ = decode(&moved);
            }
        }
    }
}

#[test]
fn every_damaged_byte_is_judged_as_by_the_general_parser() {
    for frame in [DEPTH, TICKER, TRADE].into_iter().chain(NEWER) {
        for at in 0..frame.len() {
            for byte in [b'0', b'9', b'"', b',', b'.', b'[', b']', b'}', b' ', b'-', b'e', b'z'] {
                let mut damaged = frame.as_bytes().to_vec();
                damaged[at] = byte;
                let _ = decode(std::str::from_utf8(&damaged).unwrap());
            }
            let mut shorter = frame.to_owned();
            shorter.remove(at);
            let _ = decode(&shorter);
            let _ = decode(&frame[..at]);
        }
    }
}
