//! Every component beside its peers: `cargo bench -p benches --features peers`. Rows may be named.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use benches::{
    Contender, Mode, Target,
    capture::{AGG_TRADE, Frames, definition},
    peers::{AggTrade, Combined, Depth, Ticker},
    title,
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, hint::black_box};
use tickpath_hotpath::{
    book::Book,
    market::{Level, MarketHeader},
    venue::MarketDecoder,
    wire::{simd::Isa, text::Text},
};
use tickpath_shared::{
    journal::{Lane, LaneSpec},
    record::{Cause, Class, Kind},
};

fn decode_all(decoder: &mut MarketDecoder, frames: &Frames) -> u64 {
    for (start, end) in frames.spans() {
        let Some(text) = Text::new(&frames.bytes()[start..], end - start) else { continue };
        let decoded = decoder.decode(text);
        assert!(decoded.is_ok(), "genuine frames decode");
        black_box((decoded.is_ok(), decoder.levels()));
    }
    frames.len() as u64
}

fn serde_json_all<T: DeserializeOwned>(frames: &Frames) -> u64 {
    for frame in frames.iter() {
        let Ok(event) = serde_json::from_str::<Combined<T>>(black_box(frame)) else {
            unreachable!("genuine")
        };
        black_box(&event.data);
    }
    frames.len() as u64
}

#[cfg(feature = "peers")]
fn sonic_rs_all<T: DeserializeOwned>(frames: &Frames) -> u64 {
    for frame in frames.iter() {
        let Ok(event) = sonic_rs::from_str::<Combined<T>>(black_box(frame)) else { unreachable!("genuine") };
        black_box(&event.data);
    }
    frames.len() as u64
}

fn decode<T: DeserializeOwned>(mode: Mode, row: &str, frames: &Frames, serde: f64, sonic: f64) {
    if !mode.wants(row) {
        return;
    }
    let isas = Isa::available();
    let mut decoders: Vec<MarketDecoder> =
        isas.iter().map(|isa| MarketDecoder::with_isa(*isa, &[definition()], 1 << 20)).collect();
    let [best, others @ ..] = decoders.as_mut_slice() else { return };
    // With AVX2 as the best the stated allowance applies.
    let allowance = if isas[0] == Isa::Avx512 { 1.0 } else { 1.35 };
    let mut rivals = vec![(
        Contender::new("serde_json typed, fixed point", || serde_json_all::<T>(frames)),
        Target::Faster(serde / allowance),
    )];
    #[cfg(feature = "peers")]
    rivals.push((
        Contender::new("sonic-rs typed, fixed point", || sonic_rs_all::<T>(frames)),
        Target::Faster(sonic / allowance),
    ));
    #[cfg(not(feature = "peers"))]
    let _ = sonic;
    for (decoder, isa) in others.iter_mut().zip(&isas[1..]) {
        let name = if *isa == Isa::Avx2 { "ours with AVX2" } else { "ours without vectors" };
        rivals.push((Contender::new(name, || decode_all(decoder, frames)), Target::None));
    }
    mode.compare(row, Contender::new("ours", || decode_all(best, frames)), rivals);
}

/// One level change; true for a bid.
type Change = (bool, Level);

/// Snapshot and level changes of the capture, or of a market that moves about its touch.
fn changes(frames: &Frames) -> (Vec<Change>, Vec<Change>) {
    let mut decoder = MarketDecoder::new(&[definition()], 1 << 20);
    let of = |header: MarketHeader, levels: &[Level]| -> Vec<Change> {
        levels.iter().enumerate().map(|(i, level)| (i < usize::from(header.bids), *level)).collect()
    };
    let mut start = Vec::new();
    if let Some(header) = frames.snapshot.as_ref().and_then(|s| decoder.decode_snapshot(s.as_bytes(), 0).ok())
    {
        start = of(header, decoder.levels());
    }
    let mut all = Vec::new();
    for frame in frames.iter().filter(|frame| frame.contains("@depth")) {
        if decoder.decode_bytes(frame.as_bytes()).is_ok() {
            all.extend(of(*decoder.header(), decoder.levels()));
        }
    }
    (start, all)
}

fn put(book: &mut Book, (is_bid, level): Change) {
    if is_bid { book.apply(&[level], &[]) } else { book.apply(&[], &[level]) }
}

fn map_put(maps: &mut [BTreeMap<i64, i64>; 2], (is_bid, level): Change) {
    let side = &mut maps[usize::from(is_bid)];
    if level.qty == 0 {
        side.remove(&level.price)
    } else {
        side.insert(level.price, level.qty)
    };
}

fn book(mode: Mode, frames: &Frames) {
    let row = "book level change + best, capture";
    if !mode.wants(row) {
        return;
    }
    let (start, all) = changes(frames);
    let count = all.len() as u64;
    let mut ours = Book::new(definition().tick, 65_536);
    let mut maps: [BTreeMap<i64, i64>; 2] = Default::default();
    start.iter().for_each(|change| put(&mut ours, *change));
    start.iter().for_each(|change| map_put(&mut maps, *change));
    let ours = Contender::new("ours", || {
        for change in &all {
            put(&mut ours, *change);
            black_box(ours.top());
        }
        count
    });
    let map = Contender::new("BTreeMap", || {
        for change in &all {
            map_put(&mut maps, *change);
            black_box((maps[1].last_key_value(), maps[0].first_key_value()));
        }
        count
    });
    let rivals = vec![(map, Target::Faster(11.0))];
    #[cfg(not(feature = "peers"))]
    mode.compare(row, ours, rivals);
    #[cfg(feature = "peers")]
    {
        use hftbacktest::depth::{HashMapMarketDepth, L2MarketDepth, MarketDepth};
        let mut depth = HashMapMarketDepth::new(0.1, 0.001);
        let floats = |changes: &[Change]| -> Vec<(bool, f64, f64)> {
            changes
                .iter()
                .map(|(is_bid, l)| (*is_bid, l.price as f64 / 100.0, l.qty as f64 / 1000.0))
                .collect()
        };
        let set = |depth: &mut HashMapMarketDepth, (is_bid, price, qty): (bool, f64, f64)| {
            if is_bid {
                depth.update_bid_depth(price, qty, 0)
            } else {
                depth.update_ask_depth(price, qty, 0)
            };
        };
        floats(&start).into_iter().for_each(|change| set(&mut depth, change));
        let all = floats(&all);
        let hash = Contender::new("hftbacktest HashMapMarketDepth", move || {
            for change in &all {
                set(&mut depth, *change);
                black_box((depth.best_bid_tick(), depth.best_ask_tick()));
            }
            count
        });
        let rivals = rivals.into_iter().chain([(hash, Target::Faster(5.0))]).collect();
        mode.compare(row, ours, rivals);
    }
}

fn journal(mode: Mode) {
    let row = "journal append 64 B";
    let dir = std::env::temp_dir().join(format!("tickpath-bench-{}", std::process::id()));
    if !mode.wants(row) || std::fs::create_dir_all(&dir).is_err() {
        return;
    }
    let spec = LaneSpec { session: 1, lane: 0, name: "bench".into(), segment_bytes: 1 << 20, segments: 64 };
    if let Ok(mut lane) = Lane::create(&dir, spec, "") {
        let shared = lane.shared();
        let mut memory = vec![0_u8; 1 << 20];
        let store = Contender::new("64 B store", || {
            for i in 0..8_000_usize {
                let at = (i * 64) % memory.len();
                memory[at..at + 64].copy_from_slice(&black_box([7_u8; 64]));
            }
            8_000
        });
        let ours = Contender::new("ours", || {
            for _ in 0..8_000 {
                let _ = black_box(lane.append(Kind::Timer, Class::Audit, 1, Cause::NONE, &[&[7; 64]]));
            }
            shared.reclaim(lane.position());
            8_000
        });
        mode.compare(row, ours, vec![(store, Target::Within(2.2))]);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn main() {
    let mode = Mode::from_arguments();
    println!("{}", title());
    let frames = Frames::load();
    let agg = Frames::repeated(AGG_TRADE, 1000);
    decode::<Ticker>(mode, "decode bookTicker, capture", &frames.of("@bookTicker"), 11.0, 7.5);
    decode::<AggTrade>(mode, "decode aggTrade", &agg, 11.0, 7.5);
    decode::<Depth>(mode, "decode depth, capture", &frames.of("@depth"), 10.0, 6.5);
    book(mode, &frames);
    journal(mode);
}
