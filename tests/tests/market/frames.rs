//! The frame decoder against serde_json: on every recorded frame, and on damaged ones, by every instruction set.

use serde::{Deserialize, de::IgnoredAny};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
};
use tickpath_hotpath::{
    market::{Level, MarketHeader, MarketKind},
    venue::{Decoded, MarketDecoder},
    wire::simd::Isa,
};
use tickpath_shared::types::{Grid, InstrumentDefinition, Symbol, decimal};
use tickpath_tests::{data_dir, need, recorded_pair};

pub fn definitions() -> Vec<InstrumentDefinition> {
    let of = |symbol: &str, index: u32, price_scale: u8, qty_scale: u8| {
        let price = Grid { scale: price_scale, places: price_scale, step: 1 };
        let qty = Grid { scale: qty_scale, places: qty_scale, step: 1 };
        InstrumentDefinition::on_grids(Symbol::new(symbol).unwrap(), index, price, qty)
    };
    let names = ["BTCUSDT", "ETHUSDT", "SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"];
    names.iter().enumerate().map(|(i, name)| of(name, i as u32, 5, 4)).collect()
}

#[derive(Deserialize)]
struct Head {
    stream: String,
    data: Tag,
}

#[derive(Deserialize)]
struct Tag {
    e: String,
}

#[derive(Deserialize)]
struct Of<T> {
    #[serde(rename = "stream")]
    _stream: IgnoredAny,
    data: T,
}

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the venue's field names")]
struct Depth {
    s: String,
    T: u64,
    U: u64,
    u: u64,
    pu: u64,
    b: Vec<(String, String)>,
    a: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the venue's field names")]
struct Ticker {
    s: String,
    T: u64,
    u: u64,
    b: String,
    B: String,
    a: String,
    A: String,
}

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the venue's field names")]
struct Trade {
    s: String,
    T: u64,
    #[serde(alias = "a")]
    t: u64,
    p: String,
    q: String,
    m: bool,
    X: Option<String>,
}

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the venue's field names")]
struct Mark {
    s: String,
    E: u64,
    p: String,
}

/// What serde_json makes of a frame.
#[derive(Debug, PartialEq)]
pub enum Meaning {
    /// An event with these identifiers and levels.
    Event(MarketHeader, Vec<Level>),
    /// Well-formed and not for us.
    Nothing,
    /// Refused, or without an exact value.
    Refused,
}

/// Amounts by pairs of scales.
fn levels(texts: &[(&str, u8)]) -> Option<Vec<i64>> {
    texts.iter().map(|(text, scale)| decimal::parse(text.as_bytes(), *scale).ok()).collect()
}

/// The event of a kind with these amounts, prices and quantities in turn.
fn event(d: &InstrumentDefinition, kind: MarketKind, header: MarketHeader, texts: &[(&str, u8)]) -> Meaning {
    let Some(amounts) = levels(texts).filter(|a| a.iter().all(|v| *v >= 0)) else { return Meaning::Refused };
    let levels = amounts.chunks(2).map(|c| Level { price: c[0], qty: c.get(1).copied().unwrap_or(0) });
    let header = MarketHeader { kind: kind as u16, instrument: d.instrument as u16, ..header };
    Meaning::Event(header, levels.collect())
}

fn depth(data: &Depth, d: &InstrumentDefinition) -> Meaning {
    let header = MarketHeader {
        bids: data.b.len() as u16,
        asks: data.a.len() as u16,
        first_update_id: data.U,
        last_update_id: data.u,
        previous_update_id: data.pu,
        venue_ms: data.T,
        ..MarketHeader::default()
    };
    let pair = |(p, q): &'_ (String, String)| [(p.clone(), d.price_scale), (q.clone(), d.qty_scale)];
    let texts: Vec<(String, u8)> = data.b.iter().chain(&data.a).flat_map(pair).collect();
    let texts: Vec<(&str, u8)> = texts.iter().map(|(text, scale)| (text.as_str(), *scale)).collect();
    event(d, MarketKind::Depth, header, &texts)
}

fn ticker(data: &Ticker, d: &InstrumentDefinition) -> Meaning {
    let header = MarketHeader {
        bids: 1,
        asks: 1,
        last_update_id: data.u,
        venue_ms: data.T,
        ..MarketHeader::default()
    };
    let (p, q) = (d.price_scale, d.qty_scale);
    event(d, MarketKind::Ticker, header, &[(&data.b, p), (&data.B, q), (&data.a, p), (&data.A, q)])
}

fn trade(data: &Trade, d: &InstrumentDefinition) -> Meaning {
    if data.X.as_ref().is_some_and(|class| class != "MARKET") {
        return Meaning::Nothing;
    }
    let header = MarketHeader {
        bids: u16::from(!data.m),
        asks: u16::from(data.m),
        last_update_id: data.t,
        venue_ms: data.T,
        ..MarketHeader::default()
    };
    event(d, MarketKind::Trade, header, &[(&data.p, d.price_scale), (&data.q, d.qty_scale)])
}

fn mark(data: &Mark, d: &InstrumentDefinition) -> Meaning {
    let header = MarketHeader { bids: 1, venue_ms: data.E, ..MarketHeader::default() };
    event(d, MarketKind::Mark, header, &[(&data.p, 8)])
}

/// Reads a frame as `T` and says what it means for its instrument.
fn typed<T: for<'de> Deserialize<'de>>(
    frame: &[u8],
    definitions: &[InstrumentDefinition],
    symbol: fn(&T) -> &str,
    meaning: fn(&T, &InstrumentDefinition) -> Meaning,
) -> Meaning {
    let Ok(Of { data, .. }) = serde_json::from_slice::<Of<T>>(frame) else { return Meaning::Refused };
    match definitions.iter().find(|d| d.symbol.as_str() == symbol(&data)) {
        Some(definition) => meaning(&data, definition),
        None => Meaning::Nothing,
    }
}

pub fn reference(frame: &[u8], definitions: &[InstrumentDefinition]) -> Meaning {
    // Fields of no interest must be values too: typed reading skips over numbers that are out of range.
    if serde_json::from_slice::<serde_json::Value>(frame).is_err() {
        return Meaning::Refused;
    }
    let Ok(head) = serde_json::from_slice::<Head>(frame) else { return Meaning::Refused };
    let rest = head.stream.split_once("@depth").map(|(_, rest)| rest);
    if rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return Meaning::Nothing;
    }
    match head.data.e.as_str() {
        "depthUpdate" => typed::<Depth>(frame, definitions, |data| &data.s, depth),
        "bookTicker" => typed::<Ticker>(frame, definitions, |data| &data.s, ticker),
        "trade" | "aggTrade" => typed::<Trade>(frame, definitions, |data| &data.s, trade),
        "markPriceUpdate" => typed::<Mark>(frame, definitions, |data| &data.s, mark),
        _ => Meaning::Nothing,
    }
}

pub fn ours(decoder: &mut MarketDecoder, frame: &[u8]) -> Meaning {
    match decoder.decode_bytes(frame) {
        Ok(Decoded::Event) => {
            let header = MarketHeader { off_tick: 0, ..*decoder.header() };
            Meaning::Event(header, decoder.levels().to_vec())
        }
        Ok(Decoded::Ignored | Decoded::Closing | Decoded::UnknownSymbol) => Meaning::Nothing,
        Err(_) => Meaning::Refused,
    }
}

/// Text frames of a capture, without the REST snapshot.
fn frames_of(file: &str) -> Vec<String> {
    let path = data_dir().join(file);
    let opened = File::open(&path).unwrap();
    let mut text = String::new();
    if file.ends_with(".gz") {
        flate2::read::GzDecoder::new(opened).read_to_string(&mut text).unwrap();
    } else {
        BufReader::new(opened).read_to_string(&mut text).unwrap();
    }
    let frame = |line: &str| line.split_once(' ').map_or(line, |(_, frame)| frame).to_owned();
    text.lines().map(frame).filter(|frame| frame.starts_with("{\"stream\"")).collect()
}

pub fn decoders() -> Vec<MarketDecoder> {
    let decoder = |isa| MarketDecoder::with_isa(isa, &definitions(), 1 << 20);
    Isa::available().into_iter().map(decoder).collect()
}

#[test]
fn every_recorded_frame_means_what_serde_json_makes_of_it() {
    if recorded_pair().is_none() {
        return;
    }
    let files = [
        "binance-usdm/btcusdt_depth0ms-bookTicker-trade+snapshot_2024-08-08T2354Z.txt.gz",
        "binance-usdm/ethusdt_depth0ms-bookTicker-trade+snapshot_2024-08-08T2354Z.txt.gz",
        "binance-usdm/btcusdt_depth0ms-bookTicker-trade-markPrice+snapshot_2023-04-04T2358Z.txt.gz",
        "binance-usdm/btcusdt_depth0ms-bookTicker-trade-markPrice_2023-04-05T0000Z.txt.gz",
    ];
    let definitions = definitions();
    let mut decoders = decoders();
    let mut frames = 0_u64;
    for file in files {
        for frame in frames_of(file) {
            frames += 1;
            let expected = reference(frame.as_bytes(), &definitions);
            for decoder in &mut decoders {
                assert_eq!(ours(decoder, frame.as_bytes()), expected, "{frame}");
            }
        }
    }
    for (decoder, isa) in decoders.iter().zip(Isa::available()) {
        println!("{}: {frames} frames, {} walked", isa.name(), decoder.walks());
        assert_eq!(decoder.fallbacks(), 0);
        assert!(isa == Isa::Plain || decoder.walks() * 100 < frames, "{} walked", decoder.walks());
    }
}

#[test]
fn frames_of_2026_need_no_general_parser() {
    let Some(path) = need("messages/binance-usdm_market-frames_2026-format.jsonl") else { return };
    #[derive(Deserialize)]
    struct Line {
        raw: String,
    }
    let definitions = definitions();
    for mut decoder in decoders() {
        for line in BufReader::new(File::open(&path).unwrap()).lines() {
            let raw = serde_json::from_str::<Line>(&line.unwrap()).unwrap().raw;
            let expected = reference(raw.as_bytes(), &definitions);
            let Meaning::Event(..) = expected else { continue };
            assert_eq!(ours(&mut decoder, raw.as_bytes()), expected, "{raw}");
        }
        assert_eq!(decoder.fallbacks(), 0);
    }
}

/// A small generator: the same damage for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// Changes a frame in one to three places.
    fn damage(&mut self, frame: &mut Vec<u8>) {
        const BYTES: &[u8] = b"0123456789\"\",:[]{}.-+eE \\tfnz\x00\x1f\x7f\x80\xc3\xff";
        const PIECES: [&[u8]; 12] = [
            b"\"",
            b"\"\"",
            b"\\u0031",
            b"null",
            b"1e3",
            b"-0",
            b"00",
            b"\"b\":[],",
            b"[\"1\",\"2\"],",
            b" ",
            b"\"u\":1,",
            b".0",
        ];
        for _ in 0..=self.below(3) {
            let at = self.below(frame.len().max(1)).min(frame.len().saturating_sub(1));
            match self.below(5) {
                0 | 1 => frame[at] = BYTES[self.below(BYTES.len())],
                2 => {
                    frame.remove(at);
                }
                3 => {
                    let piece = PIECES[self.below(PIECES.len())];
                    frame.splice(at..at, piece.iter().copied());
                }
                _ => frame.truncate(at.max(40)),
            }
        }
    }
}

#[test]
fn a_million_damaged_frames_are_never_misread() {
    let Some([btc, _]) = recorded_pair() else { return };
    let whole = frames_of(btc.strip_prefix(data_dir()).unwrap().to_str().unwrap());
    let mut genuine: Vec<&String> = whole.iter().filter(|f| f.len() < 700).step_by(61).collect();
    genuine.truncate(900);
    let older = frames_of(
        "binance-usdm/btcusdt_depth0ms-bookTicker-trade-markPrice+snapshot_2023-04-04T2358Z.txt.gz",
    );
    genuine.extend(older.iter().filter(|f| f.contains("markPrice")));
    let definitions = definitions();
    let mut decoders = decoders();
    let mut draw = Draw(20_240_808);
    let (mut events, mut refused) = (0_u64, 0_u64);
    for _ in 0..1_000_000 {
        let mut frame = genuine[draw.below(genuine.len())].as_bytes().to_vec();
        draw.damage(&mut frame);
        let expected = reference(&frame, &definitions);
        match expected {
            Meaning::Event(..) => events += 1,
            Meaning::Refused => refused += 1,
            Meaning::Nothing => {}
        }
        for decoder in &mut decoders {
            let found = ours(decoder, &frame);
            // A frame without a value may be called damaged or of no use; a value must be the same.
            let is_same = match (&expected, &found) {
                (Meaning::Event(..), _) | (_, Meaning::Event(..)) => expected == found,
                _ => true,
            };
            assert!(is_same, "{found:?} for {expected:?}: {}", String::from_utf8_lossy(&frame));
        }
    }
    println!("{events} events, {refused} refused, {} by the general parser", decoders[0].fallbacks());
    assert!(events > 50_000 && refused > 100_000);
}
