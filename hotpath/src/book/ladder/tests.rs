use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Ticks of a page, and of all pages that are near the touch at once.
const PAGE: i64 = 256;
const POOL: i64 = 256 * PAGE;
/// A page begins here.
const TOUCH: i64 = 200_000 * PAGE;

/// The definition: everything in a map.
#[derive(Default)]
struct Naive {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Naive {
    fn set(&mut self, is_bid: bool, Level { price, qty }: Level) {
        let side = if is_bid { &mut self.bids } else { &mut self.asks };
        if qty == 0 {
            side.remove(&price)
        } else {
            side.insert(price, qty)
        };
    }

    fn top(&self) -> Top {
        let level = |entry: Option<(&i64, &i64)>| {
            entry.map_or(Level::default(), |(&price, &qty)| Level { price, qty })
        };
        Top { bid: level(self.bids.last_key_value()), ask: level(self.asks.first_key_value()) }
    }

    fn levels(&self) -> [Vec<Level>; 2] {
        let level = |(&price, &qty): (&i64, &i64)| Level { price, qty };
        [self.bids.iter().rev().map(level).collect(), self.asks.iter().map(level).collect()]
    }
}

/// A book and its definition side by side.
struct Pair {
    book: Book,
    naive: Naive,
}

impl Pair {
    fn new(tick: i64) -> Self {
        Self { book: Book::new(tick, 65_536), naive: Naive::default() }
    }

    fn set(&mut self, is_bid: bool, price: i64, qty: i64) {
        let level = [Level { price, qty }];
        if is_bid {
            self.book.apply(&level, &[])
        } else {
            self.book.apply(&[], &level)
        }
        self.naive.set(is_bid, level[0]);
        assert_eq!(self.book.top(), self.naive.top(), "after {is_bid} {price} {qty}");
    }

    fn listed(&self) -> [Vec<Level>; 2] {
        [self.book.bids().collect(), self.book.asks().collect()]
    }

    fn assert_same(&self) {
        assert_eq!(self.listed(), self.naive.levels());
        self.assert_listed_are_all();
    }

    /// Best prices and digest are those of the levels that are listed.
    fn assert_listed_are_all(&self) {
        let listed = self.listed();
        let mut again = Book::new(self.book.tick, 65_536);
        again.apply(&listed[0], &listed[1]);
        assert_eq!((again.digest(), again.top()), (self.book.digest(), self.book.top()));
    }

    /// A table with little room: what is listed is true, and down to where it says so nothing is missing.
    fn assert_as_trusted(&self) {
        let (listed, known, trusted) = (self.listed(), self.naive.levels(), self.book.trusted_to());
        let good = [listed.clone(), known.clone()].map(|[bids, asks]| {
            let is_bid_good = |level: &&Level| level.price >= trusted[0];
            let is_ask_good = |level: &&Level| level.price <= trusted[1];
            let bids: Vec<_> = bids.iter().filter(is_bid_good).copied().collect();
            [bids, asks.iter().filter(is_ask_good).copied().collect()]
        });
        assert_eq!(good[0], good[1]);
        for (listed, known) in listed.iter().zip(&known) {
            let mut known = known.iter();
            assert!(listed.iter().all(|level| known.any(|k| k == level)), "in order, none invented");
        }
        let missing = [0, 1].map(|side| known[side].len() - listed[side].len());
        assert!(missing[0] + missing[1] <= self.book.overflows() as usize);
        self.assert_listed_are_all();
    }
}

/// A small generator.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as i64) % bound
    }
}

#[test]
fn five_thousand_levels_a_side_survive_moves_of_ten_percent() {
    let (mut pair, mut draw) = (Pair::new(10), Draw(1));
    let mut mid = 6_180_000;
    let fill = |pair: &mut Pair, mid: i64| {
        for i in 1..=5_000 {
            pair.set(true, mid - i * 10, i);
            pair.set(false, mid + i * 10, i);
        }
    };
    fill(&mut pair, mid);
    for step in 0..40 {
        // Up and down by a tenth, level by level as the venue would: the old touch goes, a new one comes.
        let target = if step % 2 == 0 { mid + mid / 10 / 10 * 10 } else { mid - mid / 11 / 10 * 10 };
        for price in pair.naive.asks.range(..=target).map(|(p, _)| *p).collect::<Vec<_>>() {
            pair.set(false, price, 0);
        }
        for price in pair.naive.bids.range(target..).map(|(p, _)| *p).collect::<Vec<_>>() {
            pair.set(true, price, 0);
        }
        mid = target;
        for _ in 0..2_000 {
            let offset = draw.below(5_000) * 10 + 10;
            let qty = draw.below(4);
            if draw.below(2) == 0 {
                pair.set(true, mid - offset, qty)
            } else {
                pair.set(false, mid + offset, qty)
            }
        }
        pair.assert_same();
    }
    assert_eq!(pair.book.overflows(), 0);
}

#[test]
fn gaps_of_ten_percent_in_turn_stay_exact() {
    let mut pair = Pair::new(1);
    for round in 0..2_000 {
        let high = 1_100_000 + round % 7;
        pair.set(true, high, 5);
        pair.set(true, 1_000_000 - round, 5);
        pair.set(true, high, 0);
    }
    pair.assert_same();
}

#[test]
fn a_book_of_one_side_has_no_other_best() {
    let mut pair = Pair::new(10);
    pair.set(false, 500, 3);
    assert_eq!(pair.book.top().bid, Level::default());
    pair.set(false, 500, 0);
    assert_eq!(pair.book.top(), Top::default());
}

#[test]
fn one_level_more_than_fits_drops_the_farthest_and_moves_the_trust() {
    // Levels so far apart that each has a page of its own: beyond the 33 near the touch they fill the table.
    let mut book = Book::new(1, 1_000);
    let level = |i: i64| Level { price: 50_000_000 - i * 1_000, qty: 1 };
    let levels: Vec<Level> = (0..1_033).map(level).collect();
    book.replace(&levels, &[]);
    assert_eq!((book.overflows(), book.trusted_to()[0]), (0, level(1_032).price));
    // One that never was goes: nothing to give up.
    book.apply(&[Level { qty: 0, ..level(1_040) }], &[]);
    book.apply(&[level(1_033)], &[]);
    assert_eq!(book.overflows(), 1);
    assert_eq!(book.qty_at(true, level(1_033).price), 0);
    assert_eq!(book.bids().count(), 1_033);
    // A better level takes the place of a page near the touch, whose level pushes out the farthest one.
    book.apply(&[Level { price: level(0).price + POOL, qty: 1 }], &[]);
    assert_eq!((book.overflows(), book.qty_at(true, level(1_032).price)), (2, 0));
    assert_eq!(book.trusted_to()[0], level(1_032).price + 1);
}

#[test]
fn more_pages_than_the_table_takes_at_once_leave_the_best_levels_exact() {
    let mut pair = Pair::new(1);
    pair.book = Book::new(1, 1);
    let (page, touch) = (PAGE, TOUCH);
    for i in 0..POOL {
        let level = Level { price: touch - POOL + i, qty: 1 };
        pair.book.apply(&[level], &[]);
        pair.naive.set(true, level);
    }
    // Each drives 256 levels out of the pool, until the table has more than it may have.
    let above = (0..40).map(|i| touch + i * page);
    above.clone().for_each(|price| pair.set(true, price, 2));
    assert!(above.clone().all(|price| pair.book.qty_at(true, price) == 2));
    above.rev().for_each(|price| pair.set(true, price, 0));
    let trusted = pair.book.trusted_to()[0];
    assert!(pair.book.overflows() > 0 && trusted < touch - 200 * page, "the farthest ones went");
    let kept = pair.naive.bids.range(trusted..).rev().map(|(&price, &qty)| Level { price, qty });
    assert!(kept.eq(pair.book.bids().take_while(|level| level.price >= trusted)));
}

#[test]
fn prices_between_ticks_are_kept() {
    let mut pair = Pair::new(10);
    for (price, qty) in [(100, 1), (105, 2), (95, 3), (105, 0), (103, 4), (90, 5)] {
        pair.set(true, price, qty);
        pair.set(false, price + 1_000, qty);
    }
    pair.assert_same();
    assert_eq!(pair.book.qty_at(true, 103), 4);
}

#[test]
fn clearing_leaves_nothing_behind() {
    let mut pair = Pair::new(1);
    for i in 0..200_000_i64 {
        pair.book.apply(&[Level { price: 1_000_000 - i * 311 % 900_000, qty: i + 1 }], &[]);
    }
    pair.book.clear();
    assert_eq!((pair.book.top(), pair.book.digest(), pair.book.bids().count()), (Top::default(), 0, 0));
    pair.set(true, 999_999, 7);
    pair.assert_same();
}

#[test]
fn a_large_quantity_leaves_nothing_behind_where_it_was() {
    let mut book = Book::new(1, 1_000);
    let bid = |book: &mut Book, price: i64, qty: i64| book.apply(&[Level { price, qty }], &[]);
    bid(&mut book, TOUCH, 5 << 32);
    // Its page leaves the pool, and everything goes.
    bid(&mut book, TOUCH + POOL + 1, 1);
    [TOUCH, TOUCH + POOL + 1].into_iter().for_each(|price| bid(&mut book, price, 0));
    book.clear();
    bid(&mut book, TOUCH, 7);
    assert_eq!((book.top().bid.qty, book.qty_at(true, TOUCH)), (7, 7));
}

#[test]
fn a_page_that_comes_back_to_a_full_table_loses_nothing_of_its_own() {
    let mut book = Book::new(1, 1);
    let touch = TOUCH;
    let bid = |book: &mut Book, price: i64, qty: i64| book.apply(&[Level { price, qty }], &[]);
    (0..3).for_each(|i| bid(&mut book, touch + i, 1));
    bid(&mut book, touch + POOL, 1);
    bid(&mut book, touch + POOL, 0);
    let kept: Vec<i64> = book.bids().map(|level| level.price).collect();
    bid(&mut book, touch + 3, 1);
    assert!(book.bids().skip(1).map(|level| level.price).eq(kept));
}

#[test]
fn the_touch_falls_back_to_what_it_left_far_behind() {
    let mut pair = Pair::new(1);
    let (left, touch) = (TOUCH, TOUCH + POOL + 44 * PAGE);
    for price in [left - 600, left, touch] {
        pair.set(true, price, 1);
    }
    for price in [touch, left, left - 600] {
        pair.set(true, price, 0);
    }
    pair.assert_same();
}

#[test]
fn levels_that_the_touch_went_away_from_are_stored_too() {
    let mut book = Book::new(1, 1_000);
    for i in 0..50_000 {
        book.apply(&[Level { price: TOUCH + i, qty: 1 }], &[]);
    }
    let again: Book = serde_json::from_str(&serde_json::to_string(&book).unwrap()).unwrap();
    assert_eq!((again.digest(), again.overflows(), again.bids().count()), (book.digest(), 0, 50_000));
}

#[test]
fn a_stored_book_is_the_same() {
    let mut book = Book::new(10, 500);
    for i in 0..3_000 {
        book.apply(&[Level { price: 9_000_000 - i * 10_000 % 8_000_000, qty: 1 + i }], &[]);
    }
    let again: Book = serde_json::from_str(&serde_json::to_string(&book).unwrap()).unwrap();
    assert_eq!(
        (again.digest(), again.top(), again.overflows()),
        (book.digest(), book.top(), book.overflows())
    );
    assert_eq!(again.trusted_to(), book.trusted_to());
}

proptest! {
    #[test]
    fn agrees_with_a_map(changes in prop::collection::vec((any::<bool>(), 0_i64..3, 1_i64..2000, 0_usize..9), 0..600)) {
        let mut pair = Pair::new(10);
        for (is_bid, distance, price, qty) in changes {
            // Quantities of all lengths; prices near, some pages away, and far beyond the pool.
            let qty = [0, 1, 2, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 5 << 32, (1 << 33) - 1, i64::MAX][qty];
            let price = [1_000_000 + price, 1_000_000 + price * 160, 1_000_000 + price * 40_000][distance as usize];
            pair.set(is_bid, price, qty);
        }
        pair.assert_same();
    }

    #[test]
    fn a_table_with_little_room_drops_what_it_says_and_no_more(
        far_max in 1_usize..200,
        steps in prop::collection::vec((any::<bool>(), 0_u8..5, 0_i64..3, 0_i64..600, 1_i64..700), 1..80),
    ) {
        let mut pair = Pair::new(1);
        pair.book = Book::new(1, far_max);
        for (is_bid, what, zone, offset, size) in steps {
            // Pages of different zones share their places in the pool.
            let first = 10_000_000 + zone * POOL + offset;
            let changes: Vec<Level> = match what {
                0 => vec![Level { price: first, qty: [0, 1, 1 << 32, i64::MAX][size as usize % 4] }],
                1 | 2 => (first..first + size).map(|price| Level { price, qty: size }).collect(),
                _ => {
                    let best = pair.naive.levels()[usize::from(!is_bid)].clone();
                    best.iter().take(size as usize).map(|level| Level { qty: 0, ..*level }).collect()
                }
            };
            for level in changes {
                let (bids, asks) = if is_bid { ([level].to_vec(), vec![]) } else { (vec![], [level].to_vec()) };
                pair.book.apply(&bids, &asks);
                pair.naive.set(is_bid, level);
            }
            pair.assert_as_trusted();
        }
    }
}
