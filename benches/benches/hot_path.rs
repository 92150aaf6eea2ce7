//! Decoding, books and the journal, each beside what a user would otherwise write, in one run.
//!
//! `cargo bench` measures; as a test every row runs a few times so that it cannot rot.

use serde::Deserialize;
use std::{collections::BTreeMap, hint::black_box};
use tickpath_benches::median_ns;
use tickpath_hotpath::{book::Book, market::Level, venue::MarketDecoder};
use tickpath_shared::{
    journal::{Lane, LaneSpec},
    record::{Cause, Class, Kind},
    types::{Grid, InstrumentDefinition, Symbol},
};

// Genuine frame, Binance USD-M, 2024-08-08.
const TICKER: &str = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}"#;

#[derive(Deserialize)]
struct Combined<'a> {
    #[serde(borrow)]
    data: Ticker<'a>,
}

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the venue's field names")]
struct Ticker<'a> {
    u: u64,
    b: &'a str,
    B: &'a str,
    a: &'a str,
    A: &'a str,
}

fn definition() -> InstrumentDefinition {
    let Some(symbol) = Symbol::new("BTCUSDT") else { unreachable!("a constant symbol") };
    let price = Grid { scale: 2, places: 1, step: 10 };
    let qty = Grid { scale: 4, places: 3, step: 10 };
    InstrumentDefinition::on_grids(symbol, 0, price, qty)
}

fn row(name: &str, ours: f64, peer: &str, theirs: f64) {
    eprintln!("{name:<28} {ours:>9.1} ns   {peer:<24} {theirs:>9.1} ns   {:>6.2}x", theirs / ours);
}

fn decode(calls: u32) {
    let mut decoder = MarketDecoder::new(&[definition()], 1 << 20);
    let ours = median_ns(calls, || {
        let _ = black_box(decoder.decode(black_box(TICKER.as_bytes())));
    });
    let theirs = median_ns(calls, || {
        let Ok(frame) = serde_json::from_str::<Combined<'_>>(black_box(TICKER)) else {
            unreachable!("genuine")
        };
        let d = frame.data;
        let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
        black_box((d.u, number(d.b), number(d.B), number(d.a), number(d.A)));
    });
    row("decode bookTicker", ours, "serde_json + f64", theirs);
}

fn book(calls: u32) {
    let levels: Vec<Level> = (0..1000).map(|i| Level { price: 100_000 - i * 10, qty: 1 + i }).collect();
    let mut ours_book = Book::new(16_384);
    ours_book.apply(&levels, &[]);
    let mut peer: BTreeMap<i64, i64> = levels.iter().map(|l| (l.price, l.qty)).collect();
    let mut step = 0_i64;
    let mut next = || {
        step = (step * 1_103_515_245 + 12_345) & 0x7fff_ffff;
        Level { price: 100_000 - (step % 50) * 10, qty: step % 7 }
    };
    let ours = median_ns(calls, || {
        ours_book.apply(&[next()], &[]);
        black_box(ours_book.top());
    });
    let theirs = median_ns(calls, || {
        let level = next();
        if level.qty == 0 {
            peer.remove(&level.price)
        } else {
            peer.insert(level.price, level.qty)
        };
        black_box(peer.last_key_value());
    });
    row("book level change + best", ours, "BTreeMap", theirs);
}

fn journal(calls: u32) {
    let dir = std::env::temp_dir().join(format!("tickpath-bench-{}", std::process::id()));
    if std::fs::create_dir_all(&dir).is_err() {
        return;
    }
    let spec = LaneSpec { session: 1, lane: 0, name: "bench".into(), segment_bytes: 1 << 20, segments: 64 };
    if let Ok(mut lane) = Lane::create(&dir, spec, "") {
        let shared = lane.shared();
        let mut appended = 0_u32;
        let ours = median_ns(calls, || {
            let _ = black_box(lane.append(Kind::Timer, Class::Audit, 1, Cause::NONE, &[&[7; 64]]));
            appended += 1;
            if appended.is_multiple_of(100_000) {
                shared.reclaim(lane.position());
            }
        });
        let mut file = Vec::with_capacity(64 << 20);
        let theirs = median_ns(calls, || {
            if file.len() > 63 << 20 {
                file.clear();
            }
            file.extend_from_slice(black_box(&[7_u8; 104]));
        });
        row("journal append 64 B", ours, "Vec::extend, no checksum", theirs);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn main() {
    // cargo passes --bench when it measures; as a test the rows only have to run.
    let calls = if std::env::args().any(|a| a == "--bench") { 20_000 } else { 20 };
    decode(calls);
    book(calls);
    journal(calls);
}
