//! Instructions of the hot path's pieces, counted by callgrind: the same on every run, whatever else the machine
//! does, but for books whose far levels are hashed with a secret (a few percent of their worst updates). Valgrind shows
//! no AVX-512, so these are the AVX2 paths. More than three percent above the baseline fails.
//!
//! `cargo bench -p benches --bench instructions` needs valgrind and gungraun-runner of the same version. A new
//! compiler, see [`baseline`], gets new baselines in a commit of its own.

#![expect(missing_docs, unused_qualifications, reason = "in what the macros expand to")]

use benches::{
    capture::{AGG_TRADE, Frames, definition},
    signals::{self, Indicators, Ticks},
};
use gungraun::{
    Callgrind, EntryPoint, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group,
    main,
};
use std::hint::black_box;
use tickpath_hotpath::{
    book::Book,
    market::Level,
    signal::{Bar, Changepoint, Garch, HedgeRatio},
    venue::{MarketDecoder, OrderEncoder, Request},
    wire::{
        simd::Isa,
        text::Text,
        ws::{ClientFrame, encode_masked},
    },
};
use tickpath_shared::types::{ClientOrderId, InstanceId, Side, TimeInForce};
use tickpath_tools::latency::Rehearsal;

/// Instructions of a whole benchmark, by rustc 1.95.0; `.ci/run` compares with no other.
mod baseline {
    pub(super) const TICKER: u64 = 288_710;
    pub(super) const AGG_TRADE: u64 = 331_710;
    pub(super) const DEPTH: u64 = 1_374_657;
    pub(super) const DEPTH_PLAIN: u64 = 1_897_693;
    pub(super) const BOOK: u64 = 45_930;
    pub(super) const ORDER: u64 = 371_469;
    /// A thousand ticks with an order each.
    pub(super) const TICK_TO_ORDER: u64 = 7_881_647;
    pub(super) const INDICATORS: u64 = 277_733;
    pub(super) const HEDGE_RATIO: u64 = 68_946;
    pub(super) const GARCH: u64 = 24_189;
    pub(super) const CHANGEPOINT: u64 = 1_955_749;
    pub(super) const PAIRS_TICK: u64 = 202_060;
}

/// Messages of a benchmark.
const MESSAGES: usize = 1_000;

/// Most instructions that a single change of a book may take.
const WORST_UPDATE: u64 = 60_000;

fn gate(instructions: u64) -> LibraryBenchmarkConfig {
    limit(instructions + instructions * 3 / 100)
}

fn limit(instructions: u64) -> LibraryBenchmarkConfig {
    let mut tool = Callgrind::default();
    tool.hard_limits([(EventKind::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(tool);
    config
}

/// A decoder that has seen the frames once, so that nothing is learned while it is watched.
fn decoder(frame: &str) -> (MarketDecoder, Frames) {
    warm(MarketDecoder::new(&[definition()], 1 << 16), frame)
}

fn warm(mut decoder: MarketDecoder, frame: &str) -> (MarketDecoder, Frames) {
    let frames = Frames::repeated(frame, MESSAGES);
    for frame in frames.iter().take(2) {
        assert!(decoder.decode_bytes(frame.as_bytes()).is_ok());
    }
    (decoder, frames)
}

fn ticker() -> (MarketDecoder, Frames) {
    decoder(benches::capture::SAMPLES[0])
}

fn depth() -> (MarketDecoder, Frames) {
    decoder(benches::capture::SAMPLES[1])
}

fn depth_plain() -> (MarketDecoder, Frames) {
    let decoder = MarketDecoder::with_isa(Isa::Plain, &[definition()], 1 << 16);
    warm(decoder, benches::capture::SAMPLES[1])
}

fn agg_trade() -> (MarketDecoder, Frames) {
    decoder(AGG_TRADE)
}

#[library_benchmark]
#[bench::ticker(setup = ticker, config = gate(baseline::TICKER))]
#[bench::agg_trade(setup = agg_trade, config = gate(baseline::AGG_TRADE))]
#[bench::depth(setup = depth, config = gate(baseline::DEPTH))]
#[bench::depth_plain(setup = depth_plain, config = gate(baseline::DEPTH_PLAIN))]
fn decode((mut decoder, frames): (MarketDecoder, Frames)) -> MarketDecoder {
    for (start, end) in frames.spans() {
        if let Some(text) = Text::new(&frames.text().as_bytes()[start..], end - start) {
            let _ = black_box(decoder.decode(text));
        }
    }
    decoder
}

fn market() -> (Book, Vec<Level>) {
    let mut book = Book::new(10, 65_536);
    let levels: Vec<Level> = (0..1_000).map(|i| Level { price: 6_180_000 - i * 10, qty: 1 + i }).collect();
    book.replace(&levels, &[]);
    let changes = (0..MESSAGES as i64).map(|i| {
        let step = (i * 1_103_515_245 + 12_345) & 0x7fff_ffff;
        Level { price: 6_180_000 - (step % 3_000) * 10, qty: step % 7 }
    });
    (book, changes.collect())
}

#[library_benchmark]
#[bench::changes(setup = market, config = gate(baseline::BOOK))]
fn book((mut book, changes): (Book, Vec<Level>)) -> Book {
    for change in changes {
        book.apply(&[change], &[]);
        black_box(book.top());
    }
    book
}

/// Keys of a page.
const PAGE: i64 = 256;
/// A page of keys begins here.
const TOUCH: i64 = PAGE * 200_000;
/// Keys of the pool.
const NEAR: i64 = PAGE * 256;

/// A level at a price; the worst updates are of bids at every price.
fn bid(price: i64, qty: i64) -> [Level; 1] {
    [Level { price, qty }]
}

/// A quantity of more than four bytes.
const WIDE: i64 = 1 << 40;

/// A book with a level at every price near the touch, and one a page as far as the table reaches: at the price of a page
/// that is looked at last by whoever wants the best, or of those that follow the farthest.
fn full() -> Book {
    let mut book = Book::new(1, 65_536);
    (0..NEAR).for_each(|i| book.apply(&bid(TOUCH - NEAR + i, 1), &[]));
    far_levels(&mut book, TOUCH - NEAR, 1);
    is_as_built(&book, NEAR + 65_536, 0);
    book
}

fn far_levels(book: &mut Book, below: i64, qty: i64) {
    book.apply(&bid(below - PAGE, qty), &[]);
    (2..=65_536).for_each(|i| book.apply(&bid(below - i * PAGE + PAGE - 1, qty), &[]));
}

/// So many levels are there, and so many were dropped: a book of another make would be changed in fewer steps.
fn is_as_built(book: &Book, levels: i64, dropped: u64) {
    assert_eq!((book.bids().count() as i64, book.overflows()), (levels, dropped));
}

// A better level in a page of its own drives a page of levels out into the full table.
fn new_page() -> (Book, [Level; 1]) {
    (full(), bid(TOUCH, 1))
}

// Pages of levels went to the table, as many as it has slack for, and the touch comes back to them.
fn page_comes_back() -> (Book, [Level; 1]) {
    let mut book = full();
    let above = || (0..4).map(|page| TOUCH + page * PAGE);
    above().for_each(|price| book.apply(&bid(price, 1), &[]));
    above().for_each(|price| book.apply(&bid(price, 0), &[]));
    (1..NEAR * 3 / 4).for_each(|i| book.apply(&bid(TOUCH - i, 0), &[]));
    is_as_built(&book, NEAR / 4 + 1 + 65_536 - 4, 4);
    (book, bid(TOUCH - NEAR, 2))
}

// The touch comes down to a page that the table has, all of it, in whose place the pool has another, all of it, with wide
// quantities; the table has more than its limit.
fn pages_change_places() -> (Book, [Level; 1]) {
    let mut book = Book::new(1, 65_536);
    let page = |at: i64| at..at + PAGE;
    // Of other places than that of the two.
    let (above, beside) = (TOUCH + 2 * NEAR + PAGE, TOUCH + 2 * PAGE);
    page(TOUCH).for_each(|price| book.apply(&bid(price, WIDE), &[]));
    page(beside).for_each(|price| book.apply(&bid(price, WIDE), &[]));
    book.apply(&bid(above, WIDE), &[]);
    page(TOUCH + NEAR).for_each(|price| book.apply(&bid(price, WIDE), &[]));
    far_levels(&mut book, TOUCH - NEAR, WIDE);
    is_as_built(&book, 2 * PAGE + 1 + 65_536, PAGE as u64);
    // The second page of the pool goes to the table as well.
    book.apply(&bid(beside + 2 * NEAR, WIDE), &[]);
    is_as_built(&book, 2 * PAGE + 2 + 65_536 - 1, PAGE as u64 + 1);
    [beside + 2 * NEAR, above].into_iter().for_each(|price| book.apply(&bid(price, 0), &[]));
    (book, bid(TOUCH + NEAR, 2 * WIDE))
}

// The best level goes, the pool is empty, and the best that is left is one of the full table at the lowest price of a
// page.
fn far_level_is_next() -> (Book, [Level; 1]) {
    let mut book = full();
    (0..NEAR - 1).for_each(|i| book.apply(&bid(TOUCH - NEAR + i, 0), &[]));
    is_as_built(&book, 1 + 65_536, 0);
    (book, bid(TOUCH - 1, 0))
}

// The same, and the level that goes is of the table too: it came when that had no room for pages any more.
fn both_are_far() -> (Book, [Level; 1]) {
    let mut book = full();
    (0..6).for_each(|page| book.apply(&bid(TOUCH + page * PAGE, 1), &[]));
    is_as_built(&book, NEAR + 65_536, 6);
    (4 * PAGE + 1..NEAR).for_each(|i| book.apply(&bid(TOUCH - NEAR + i, 0), &[]));
    (0..5).for_each(|page| book.apply(&bid(TOUCH + page * PAGE, 0), &[]));
    (book, bid(TOUCH + 5 * PAGE, 0))
}

// The longest ways of one level: a page goes, a page comes, nothing is near.
#[library_benchmark]
#[bench::new_page(setup = new_page, config = limit(WORST_UPDATE))]
#[bench::page_comes_back(setup = page_comes_back, config = limit(WORST_UPDATE))]
#[bench::pages_change_places(setup = pages_change_places, config = limit(WORST_UPDATE))]
#[bench::far_level_is_next(setup = far_level_is_next, config = limit(WORST_UPDATE))]
#[bench::both_are_far(setup = both_are_far, config = limit(WORST_UPDATE))]
fn worst_update((mut book, change): (Book, [Level; 1])) -> Book {
    book.apply(&change, &[]);
    book
}

fn encoder() -> (OrderEncoder, ClientOrderId, Vec<u8>) {
    let Ok(instance) = InstanceId::new("001") else { unreachable!("a constant") };
    let id = ClientOrderId::new(instance, 1_700_000_000, 1);
    (OrderEncoder::new(2_000, &[definition()]), id, vec![0; 2_048])
}

#[library_benchmark]
#[bench::place(setup = encoder, config = gate(baseline::ORDER))]
fn order((mut encoder, mut id, mut out): (OrderEncoder, ClientOrderId, Vec<u8>)) -> Vec<u8> {
    let definition = definition();
    for i in 0..MESSAGES as i64 {
        id = id.successor();
        let request = Request::Place {
            side: Side::Buy,
            time_in_force: TimeInForce::Ioc,
            price: 6_180_020 + (i % 100) * 10,
            qty: 14 + i % 50,
            is_reduce_only: false,
        };
        let text = encoder.encode(&request, &definition, &id, 1_702_555_533_821);
        black_box(encode_masked(ClientFrame::Text, text, [1, 2, 3, 4], &mut out));
    }
    out
}

/// Where a tick enters the stages: only what happens below is counted, not the venue's answers in between.
const RECEIVE: &str = "*Ours*receive*";

fn way(instructions: u64) -> LibraryBenchmarkConfig {
    let mut tool = Callgrind::default();
    tool.entry_point(EntryPoint::Custom(RECEIVE.to_owned()));
    tool.hard_limits([(EventKind::Ir, instructions + instructions * 3 / 100)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(tool);
    config
}

/// A rig that answers no tick would have a short way to count: it must not come to that.
fn rehearsal(is_reclaimed: bool) -> Rehearsal {
    Rehearsal::new(is_reclaimed).unwrap_or_else(|e| panic!("no rehearsal: {e:#}"))
}

fn archived() -> Option<Rehearsal> {
    Some(rehearsal(true))
}

fn unarchived() -> Option<Rehearsal> {
    Some(rehearsal(false))
}

// A tick's whole way in the process, with and without somebody who takes the journal: the hot path must not know.
#[library_benchmark]
#[bench::archived(setup = archived, config = way(baseline::TICK_TO_ORDER))]
#[bench::unarchived(setup = unarchived, config = way(baseline::TICK_TO_ORDER))]
fn tick_to_order(rehearsal: Option<Rehearsal>) -> Option<Rehearsal> {
    let mut rehearsal = rehearsal?;
    assert!(rehearsal.run() == MESSAGES);
    Some(rehearsal)
}

fn indicator_set() -> (Indicators, Vec<Bar>) {
    (Indicators::default(), signals::bars(MESSAGES))
}

// All six, each with every bar.
#[library_benchmark]
#[bench::all(setup = indicator_set, config = gate(baseline::INDICATORS))]
fn indicators((mut all, bars): (Indicators, Vec<Bar>)) -> Indicators {
    for bar in &bars {
        black_box((all.sma.push(bar.close), all.ema.push(bar.close), all.rsi.push(bar.close)));
        black_box((all.macd.push(bar.close), all.bollinger.push(bar.close), all.atr.push(bar)));
    }
    all
}

fn filter() -> (HedgeRatio, Vec<f64>) {
    (signals::hedge_ratio(), signals::draws(MESSAGES))
}

#[library_benchmark]
#[bench::observe(setup = filter, config = gate(baseline::HEDGE_RATIO))]
fn hedge_ratio((mut filter, draws): (HedgeRatio, Vec<f64>)) -> HedgeRatio {
    for draw in &draws {
        black_box(filter.observe(11.0 + draw, 8.0 - draw));
    }
    filter
}

fn recursion() -> (Garch, Vec<f64>) {
    (signals::garch(), signals::draws(MESSAGES))
}

#[library_benchmark]
#[bench::push(setup = recursion, config = gate(baseline::GARCH))]
fn garch((mut garch, draws): (Garch, Vec<f64>)) -> Garch {
    for draw in &draws {
        black_box(garch.push(*draw));
    }
    garch
}

fn detector() -> (Changepoint, Vec<f64>) {
    (signals::changepoint(Isa::Avx2), signals::draws(MESSAGES / 10))
}

// Run lengths up to 500.
#[library_benchmark]
#[bench::push(setup = detector, config = gate(baseline::CHANGEPOINT))]
fn changepoint((mut detector, draws): (Changepoint, Vec<f64>)) -> Changepoint {
    for draw in &draws {
        black_box(detector.push(*draw));
    }
    detector
}

fn ticks() -> Ticks {
    let mut ticks = Ticks::new(true);
    ticks.run(2);
    ticks
}

// The engine's whole turn with the pairs strategy, too soon for a sample.
#[library_benchmark]
#[bench::no_sample(setup = ticks, config = gate(baseline::PAIRS_TICK))]
fn pairs_tick(mut ticks: Ticks) -> Ticks {
    black_box(ticks.run(MESSAGES));
    ticks
}

library_benchmark_group!(
    name = hot_path,
    benchmarks = [
        decode,
        book,
        worst_update,
        order,
        tick_to_order,
        indicators,
        hedge_ratio,
        garch,
        changepoint,
        pairs_tick
    ]
);
main!(library_benchmark_groups = hot_path);
