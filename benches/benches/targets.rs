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
    market::Level,
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

fn book(mode: Mode) {
    let row = "book level change + best";
    if !mode.wants(row) {
        return;
    }
    let levels: Vec<Level> = (0..1000).map(|i| Level { price: 100_000 - i * 10, qty: 1 + i }).collect();
    let mut ours = Book::new(10, 65_536);
    ours.apply(&levels, &[]);
    let mut peer: BTreeMap<i64, i64> = levels.iter().map(|l| (l.price, l.qty)).collect();
    let mut step = 0_i64;
    let changes: Vec<Level> = (0..100_000)
        .map(|_| {
            step = (step * 1_103_515_245 + 12_345) & 0x7fff_ffff;
            Level { price: 100_000 - (step % 50) * 10, qty: step % 7 }
        })
        .collect();
    let map = Contender::new("BTreeMap", || {
        for level in &changes {
            if level.qty == 0 {
                peer.remove(&level.price)
            } else {
                peer.insert(level.price, level.qty)
            };
            black_box(peer.last_key_value());
        }
        changes.len() as u64
    });
    let ours = Contender::new("ours", || {
        for level in &changes {
            ours.apply(&[*level], &[]);
            black_box(ours.top());
        }
        changes.len() as u64
    });
    mode.compare(row, ours, vec![(map, Target::Faster(11.0))]);
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
    book(mode);
    journal(mode);
}
