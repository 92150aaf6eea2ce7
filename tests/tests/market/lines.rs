//! Several connections to the same streams in virtual time: recorded data over lines with delays of their own, lines
//! that are cut, and connections that are replaced before they end.

use std::collections::BTreeMap;
use tickpath_hotpath::{
    book::{DiffResult, SyncedBook},
    market::{Level, MarketEvent, MarketHeader, MarketKind},
    stage::feed::lines::{BOOKS, Lines, Verdict},
    venue::{Decoded, MarketDecoder},
};
use tickpath_shared::Nanos;
use tickpath_tests::random::Random;
use tickpath_tests::recorded_pair;
use tickpath_tools::{
    capture::{CaptureReader, MarketLine, MarketSource},
    venue,
};

const MS: Nanos = 1_000_000;

/// What is recorded of one instrument.
struct Recorded {
    snapshot: Option<MarketLine>,
    /// Time and event of every diff.
    diffs: Vec<(Nanos, MarketHeader, Vec<Level>)>,
}

fn recorded() -> Option<Recorded> {
    let [btc, _] = recorded_pair()?;
    let mut reader = CaptureReader::open(&[btc]).unwrap();
    let mut decoder = MarketDecoder::new(&venue::definitions(), 1 << 20);
    let (mut found, mut first_ns) = (Recorded { snapshot: None, diffs: Vec::new() }, None);
    while let Some(line) = reader.next_line().unwrap() {
        if line.is_snapshot() {
            found.snapshot = Some(line);
        } else if decoder.decode_bytes(line.text.as_bytes()) == Ok(Decoded::Event)
            && decoder.header().kind == MarketKind::Depth as u16
        {
            let start = *first_ns.get_or_insert(line.time_ns);
            found.diffs.push((line.time_ns - start, *decoder.header(), decoder.levels().to_vec()));
        }
    }
    Some(found)
}

/// A book that takes what the lines let through, beside one that takes every diff.
struct Books {
    ours: SyncedBook,
    truth: SyncedBook,
    /// Index of the next diff of the truth.
    next: usize,
    gaps: u64,
    invalid: u64,
}

impl Books {
    fn new(recorded: &Recorded) -> Self {
        let definitions = venue::definitions();
        let mut decoder = MarketDecoder::new(&definitions, 1 << 20);
        let text = &recorded.snapshot.as_ref().unwrap().text;
        let header = decoder.decode_snapshot(text.as_bytes(), 0).unwrap();
        let synced = || {
            let mut book = SyncedBook::new(definitions[0].tick, 65_536);
            book.on_snapshot(&MarketEvent { header: &header, levels: decoder.levels() });
            book
        };
        Self { ours: synced(), truth: synced(), next: 0, gaps: 0, invalid: 0 }
    }

    fn take(&mut self, recorded: &Recorded, index: usize) {
        let (_, header, levels) = &recorded.diffs[index];
        let result = self.ours.on_diff(&MarketEvent { header, levels });
        self.gaps += u64::from(matches!(result, DiffResult::Gap { .. } | DiffResult::Crossed));
        while self.next <= index {
            let (_, header, levels) = &recorded.diffs[self.next];
            self.truth.on_diff(&MarketEvent { header, levels });
            self.next += 1;
        }
        let is_same = self.ours.book().digest() == self.truth.book().digest();
        self.invalid += u64::from(self.truth.is_valid() && (!self.ours.is_valid() || !is_same));
    }
}

/// Arrivals in order: time, slot, index of the diff.
type Arrivals = BTreeMap<(Nanos, u64), (usize, usize)>;

/// A line's deliveries: each some time after its event, none before the one ahead of it.
fn deliver(
    arrivals: &mut Arrivals,
    slot: usize,
    diffs: impl Iterator<Item = (usize, Nanos)>,
    random: &mut Random,
) {
    let mut last = 0;
    for (index, sent) in diffs {
        // Mostly a few milliseconds, now and then many: what a path over a network does.
        let jitter = if random.chance(0.02) { random.below(120) } else { random.below(8) };
        last = (sent + (2 + jitter) * MS).max(last);
        let number = arrivals.len() as u64;
        arrivals.insert((last, number), (slot, index));
    }
}

fn quantile(ages: &mut [Nanos], part: usize) -> f64 {
    ages.sort_unstable();
    ages[(ages.len() * part / 100).min(ages.len() - 1)] as f64 / 1e6
}

#[test]
fn two_lines_are_younger_than_the_better_one_and_exact_when_one_is_cut() {
    let Some(recorded) = recorded() else { return };
    let sent = |i: usize| recorded.diffs[i].0;
    let all = || (0..recorded.diffs.len()).map(|i| (i, sent(i)));
    // The second line is cut a while before the end.
    let cut = recorded.diffs.len() * 9 / 10;
    let (mut arrivals, mut alone) = (Arrivals::new(), [Vec::new(), Vec::new()]);
    for slot in 0..2 {
        let mut random = Random::new(slot as u64 + 11);
        let mut own = Arrivals::new();
        deliver(&mut own, BOOKS + slot, all(), &mut random);
        for ((at, _), (slot, index)) in own {
            if index < cut {
                alone[slot].push(at - sent(index));
            }
            if slot == BOOKS || index < cut {
                let number = arrivals.len() as u64;
                arrivals.insert((at, number), (slot, index));
            }
        }
    }
    let (mut lines, mut books, mut merged) = (Lines::default(), Books::new(&recorded), Vec::new());
    lines.open(BOOKS, None, 0);
    lines.open(BOOKS + 1, None, 0);
    let (mut copies, mut is_cut, mut led) = (0_u64, false, [0_u64; 2]);
    for ((at, _), (slot, index)) in arrivals {
        if index >= cut && !is_cut {
            is_cut = true;
            assert_eq!(lines.close(BOOKS + 1, at), 1);
        }
        let is_first = !lines.is_merging(slot)
            || match lines.judge(slot, &recorded.diffs[index].1, at) {
                Verdict::First => true,
                Verdict::Early => false,
                Verdict::Copy(lead) => {
                    copies += 1;
                    if let Some((first, _)) = lead {
                        led[first] += 1;
                    }
                    false
                }
            };
        if is_first {
            if index < cut {
                merged.push(at - sent(index));
            }
            books.take(&recorded, index);
        }
    }
    let [mut a, mut b] = alone;
    for part in [50, 99] {
        let (one, two, both) = (quantile(&mut a, part), quantile(&mut b, part), quantile(&mut merged, part));
        println!("age of updates p{part}: lines {one:.1} and {two:.1} ms, together {both:.1} ms");
        assert!(both < one.min(two), "p{part}: {both} is not below {one} and {two}");
    }
    println!("{copies} copies dropped; first: {} and {}; {} gaps", led[0], led[1], books.gaps);
    assert_eq!((books.gaps, books.invalid), (0, 0));
    assert!(led[0] > 1000 && led[1] > 1000);
}

#[test]
fn a_thousand_connections_are_replaced_without_a_gap_or_a_double() {
    let Some(recorded) = recorded() else { return };
    let count = recorded.diffs.len();
    let (mut rollovers, mut gaps, mut invalid, mut doubles) = (0_u64, 0, 0, 0_u64);
    let mut seed = 5;
    while rollovers < 1000 {
        seed += 1;
        let mut random = Random::new(seed);
        // A new connection every seven seconds or so, in the slots in turn; each runs until it is replaced.
        let mut starts = vec![0];
        while *starts.last().unwrap() + 60 < count {
            starts.push(starts.last().unwrap() + 150 + random.below(60) as usize);
        }
        let mut arrivals = Arrivals::new();
        for (number, &start) in starts.iter().enumerate() {
            let diffs = (start.min(count)..count).map(|i| (i, recorded.diffs[i].0));
            deliver(&mut arrivals, number, diffs, &mut random);
        }
        let (mut lines, mut books) = (Lines::default(), Books::new(&recorded));
        let slot_of = |number: usize| BOOKS + number % 2;
        lines.open(slot_of(0), None, 0);
        // Connections that are open, by number.
        let (mut open, mut next, mut taken) = (vec![0], 1, None);
        for ((at, _), (number, index)) in arrivals {
            if number == next && open.len() == 1 {
                lines.open(slot_of(next), Some(slot_of(next - 1)), at);
                open.push(next);
                next += 1;
            }
            if !open.contains(&number) {
                continue;
            }
            let slot = slot_of(number);
            let is_first =
                !lines.is_merging(slot) || lines.judge(slot, &recorded.diffs[index].1, at) == Verdict::First;
            if is_first {
                doubles += u64::from(taken >= Some(index));
                taken = taken.max(Some(index));
                books.take(&recorded, index);
            }
            if lines.is_replacing(slot)
                && let Some(old) = lines.retire(slot, at)
            {
                assert_eq!(lines.close(old, at), 1);
                open.retain(|n| *n == number);
                rollovers += 1;
            }
        }
        (gaps, invalid) = (gaps + books.gaps, invalid + books.invalid);
    }
    println!(
        "{rollovers} connections replaced; {gaps} gaps, {doubles} doubles, {invalid} diffs with another book"
    );
    assert_eq!((gaps, doubles, invalid), (0, 0, 0));
}
