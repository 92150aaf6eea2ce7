use super::*;
use tickpath_hotpath::{
    book::{DiffResult, SyncedBook},
    market::{MarketEvent, MarketKind},
    venue::{Decoded, MarketDecoder},
    wire::simd::Isa,
};

/// Lines of a seed.
fn lines(seed: u64, count: usize) -> Vec<MarketLine> {
    let mut market = SyntheticMarket::new(seed, 1_700_000_000_000);
    (0..count).map(|_| market.next_line().unwrap().unwrap()).collect()
}

#[test]
fn a_seed_gives_the_same_market() {
    assert_eq!(lines(7, 500), lines(7, 500));
    assert_ne!(lines(7, 500), lines(8, 500));
}

#[test]
fn every_ticker_agrees_with_the_book_of_the_diffs() {
    let definitions = crate::venue::definitions();
    let mut decoder = MarketDecoder::new(&definitions, 1 << 20);
    let mut books = [0, 1].map(|i| SyncedBook::new(definitions[i].tick, 2000));
    let mut checked = 0;
    for line in lines(3, 20_000) {
        if line.is_snapshot() {
            let index = definitions.iter().position(|d| d.symbol.as_str() == line.symbol).unwrap();
            let header = decoder.decode_snapshot(line.text.as_bytes(), index).unwrap();
            books[index].on_snapshot(&MarketEvent { header: &header, levels: decoder.levels() });
            continue;
        }
        assert_eq!(decoder.decode_bytes(line.text.as_bytes()), Ok(Decoded::Event), "{}", line.text);
        let event = decoder.event();
        let header = event.header;
        let book = &mut books[usize::from(header.instrument)];
        match header.market_kind() {
            MarketKind::Depth => {
                assert!(
                    matches!(book.on_diff(&event), DiffResult::Applied | DiffResult::Joined),
                    "{}",
                    line.text
                );
            }
            MarketKind::Ticker if header.last_update_id == book.last_update_id() => {
                assert_eq!([book.top().bid, book.top().ask], event.levels);
                checked += 1;
            }
            _ => {}
        }
    }
    assert!(checked > 3000 && decoder.fallbacks() == 0, "{checked}");
    // The simulator's frames have the venue's shapes: a few walks teach them, no more are needed.
    let is_vector = Isa::available()[0] != Isa::Plain;
    println!("{} of 20000 frames walked", decoder.walks());
    assert!(!is_vector || decoder.walks() < 1_000, "{} of 20000 frames walked", decoder.walks());
}
