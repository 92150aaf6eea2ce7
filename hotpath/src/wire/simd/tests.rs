use super::*;
use crate::wire::text::PADDING;

/// Levels are compared with it.
const TICK: i64 = 20;

/// Runs code with a kernel's features where the processor has them.
#[cfg(target_arch = "x86_64")]
mod on {
    use super::*;

    /// # Safety
    ///
    /// The processor has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn with_avx512(text: &str, rows: &Rows) -> (Option<i64>, Vec<u32>) {
        // SAFETY: the features are enabled.
        unsafe { number_and_ends::<Avx512>(text, rows) }
    }

    /// # Safety
    ///
    /// The processor has the features.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn with_avx2(text: &str, rows: &Rows) -> (Option<i64>, Vec<u32>) {
        // SAFETY: the features are enabled.
        unsafe { number_and_ends::<Avx2>(text, rows) }
    }

    /// Converts the number that starts the text and ends before its first quote or comma.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    #[inline(always)]
    unsafe fn number_and_ends<K: Kernel>(text: &str, rows: &Rows) -> (Option<i64>, Vec<u32>) {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(text.len() + PADDING, b'"');
        let padded = Text::new(&bytes, text.len()).unwrap();
        let len = text.find(['"', ',']).unwrap_or(text.len());
        let proof = Proof::new([rows.proof(); 4]);
        let mut index = vec![0; 512];
        // SAFETY: the text is padded.
        unsafe {
            let mut values = [0; 4];
            let seen = K::numbers([padded.at(0); 4], [rows.row(len); 4], &proof, &mut values);
            assert!(values.iter().all(|v| *v == values[0]));
            let entries = K::strings(padded, 0, &mut index);
            let ends = index[..entries].chunks_exact(K::ENTRIES).map(|string| string[K::ENTRIES - 1]);
            (K::is_within(seen, &MOST).then_some(values[0]), ends.collect())
        }
    }

    /// # Safety
    ///
    /// The processor has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn level_with_avx512(text: &[u8], lens: [usize; 2], rows: &LevelRows) -> Option<[i64; 2]> {
        // SAFETY: the features are enabled.
        unsafe { level::<Avx512>(text, lens, rows) }
    }

    /// # Safety
    ///
    /// The processor has the features.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn level_with_avx2(text: &[u8], lens: [usize; 2], rows: &LevelRows) -> Option<[i64; 2]> {
        // SAFETY: the features are enabled.
        unsafe { level::<Avx2>(text, lens, rows) }
    }

    /// Converts the level that starts the text, as both levels of a step and beside none in either place.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    #[inline(always)]
    unsafe fn level<K: Kernel>(text: &[u8], lens: [usize; 2], rows: &LevelRows) -> Option<[i64; 2]> {
        let mut bytes = text.to_vec();
        bytes.resize(text.len() + PADDING, b'x');
        let padded = Text::new(&bytes, text.len()).unwrap();
        let row = rows.row(0, lens[0] + 1, lens[0] + lens[1] + 4);
        let tick = Divisor::new(TICK);
        let is_off = |value: i64| u32::from(value % TICK != 0);
        // SAFETY: the text is padded.
        unsafe {
            let (price, qty) = (padded.at(0), padded.at(lens[0] + 3));
            let run = |pair: [&LevelRow; 2]| {
                let mut values = [0; 4];
                let (seen, off) = K::levels([price, qty, price, qty], pair, rows.proof(), tick, &mut values);
                let [one, _, two, _] = values;
                assert_eq!(off, [is_off(one), is_off(one) + is_off(two)], "{values:?}");
                (seen, values)
            };
            let (seen, values) = run([row; 2]);
            assert_eq!(values[..2], values[2..]);
            let is_taken = K::is_within(seen, &LEVELS_MOST);
            // A level that is none leaves zeros, of which the proof tells.
            let none = rows.row(0, 0, 0);
            let (seen, beside) = run([row, none]);
            assert_eq!((&beside[..2], K::is_within(seen, &LEVELS_MOST)), (&values[..2], false));
            let low = K::merge_low(K::nothing(), seen);
            let (_, beside) = run([none, row]);
            assert_eq!((K::is_within(low, &LEVELS_MOST), &beside[2..]), (is_taken, &values[..2]));
            is_taken.then_some([values[0], values[1]])
        }
    }

    /// # Safety
    ///
    /// The processor has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn strings_with_avx512(text: Text<'_>, out: &mut [u32]) -> usize {
        // SAFETY: the features are enabled.
        unsafe { Avx512::strings(text, 0, out) }
    }

    /// # Safety
    ///
    /// The processor has the features.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn strings_with_avx2(text: Text<'_>, out: &mut [u32]) -> usize {
        // SAFETY: the features are enabled.
        unsafe { Avx2::strings(text, 0, out) }
    }

    /// The index of a text of so many quotes for each entry of a string, which more quotes follow, and how many those are;
    /// nothing may be written beyond the room.
    pub(super) fn each_index(entries: usize, room: usize) -> Vec<(usize, Vec<u32>)> {
        const UNTOUCHED: u32 = 0xdead_beef;
        let run = |isa: Isa| {
            let quotes = match isa {
                Isa::Avx512 => 2 / Avx512::ENTRIES,
                Isa::Avx2 => 2 / Avx2::ENTRIES,
                Isa::Plain => return None,
            };
            let bytes = vec![b'"'; entries * quotes + PADDING];
            let padded = Text::new(&bytes, entries * quotes).unwrap();
            let mut out = vec![UNTOUCHED; room + 64];
            let count = if isa == Isa::Avx512 {
                // SAFETY: the set is available, and the text is padded.
                unsafe { strings_with_avx512(padded, &mut out[..room]) }
            } else {
                // SAFETY: as above.
                unsafe { strings_with_avx2(padded, &mut out[..room]) }
            };
            assert!(out[room..].iter().all(|found| *found == UNTOUCHED), "{isa:?} {entries}");
            out.truncate(count);
            Some((quotes, out))
        };
        Isa::available().into_iter().filter_map(run).collect()
    }

    pub(super) fn each_level(text: &[u8], lens: [usize; 2], rows: &LevelRows) -> Vec<Option<[i64; 2]>> {
        let run = |isa: Isa| match isa {
            // SAFETY: the set is available.
            Isa::Avx512 => Some(unsafe { level_with_avx512(text, lens, rows) }),
            // SAFETY: as above.
            Isa::Avx2 => Some(unsafe { level_with_avx2(text, lens, rows) }),
            Isa::Plain => None,
        };
        Isa::available().into_iter().filter_map(run).collect()
    }

    pub(super) fn each(text: &str, rows: &Rows) -> Vec<(Option<i64>, Vec<u32>)> {
        let run = |isa: Isa| match isa {
            // SAFETY: the set is available.
            Isa::Avx512 => Some(unsafe { with_avx512(text, rows) }),
            // SAFETY: as above.
            Isa::Avx2 => Some(unsafe { with_avx2(text, rows) }),
            Isa::Plain => None,
        };
        Isa::available().into_iter().filter_map(run).collect()
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod on {
    pub(super) fn each(_: &str, _: &super::Rows) -> Vec<(Option<i64>, Vec<u32>)> {
        Vec::new()
    }

    pub(super) fn each_level(_: &[u8], _: [usize; 2], _: &super::LevelRows) -> Vec<Option<[i64; 2]>> {
        Vec::new()
    }

    pub(super) fn each_index(_: usize, _: usize) -> Vec<(usize, Vec<u32>)> {
        Vec::new()
    }
}

/// A level's text, and the lengths of its numbers.
fn level_of(price: &str, qty: &str) -> (Vec<u8>, [usize; 2]) {
    (format!("{price}\",\"{qty}\"").into_bytes(), [price.len(), qty.len()])
}

#[test]
fn integers_are_exact_or_refused() {
    let cases = [
        ("5123107837557,", b',', Some(5_123_107_837_557)),
        ("999999999999999,", b',', Some(999_999_999_999_999)),
        ("9999999999999999,", b',', None),
        ("7,", b'}', None),
        ("7x1,", b',', None),
        (",", b',', None),
    ];
    for (text, terminator, expected) in cases {
        for (found, _) in on::each(text, &Rows::integer(terminator)) {
            assert_eq!(found, expected, "{text}");
        }
    }
}

#[test]
fn levels_are_exact_or_refused() {
    let cases = [
        ("61800.20", "0.001", [2, 3], [2, 3], Some([6_180_020, 1])),
        ("61800.20", "12.345", [2, 3], [4, 3], Some([618_002_000, 12_345])),
        ("437848", "7", [0, 0], [3, 1], Some([437_848_000, 70])),
        ("61800.20", "0.001", [2, 2], [2, 3], None),
        ("4378.8", "1", [0, 0], [3, 0], None),
        (".50", "1.0", [2, 1], [2, 1], None),
        ("-1.50", "1.0", [2, 1], [2, 1], None),
        ("1e3.00", "1.0", [2, 1], [2, 1], None),
        ("1.500", "1.0", [2, 1], [2, 1], None),
        ("1.50", "", [2, 0], [2, 0], None),
        ("", "1", [0, 0], [0, 0], None),
    ];
    for (price, qty, places, scales, expected) in cases {
        let (text, lens) = level_of(price, qty);
        for found in on::each_level(&text, lens, &LevelRows::new(places, scales)) {
            assert_eq!(found, expected, "{price} {qty}");
        }
    }
}

/// A decimal of so many digits, and its value in units of `10^-scale`.
fn decimal(digits: usize, places: usize, scale: usize) -> (String, i64) {
    let mut text: String = (0..digits).map(|i| char::from(b'1' + (i % 9) as u8)).collect();
    let value = text.parse::<i64>().unwrap() * 10_i64.pow((scale - places) as u32);
    if places > 0 {
        text.insert(digits - places, '.');
    }
    (text, value)
}

#[test]
fn levels_of_every_length_and_scale_are_right() {
    let mut taken = 0;
    for (places, scale) in (0..6).flat_map(|places| (places..6).map(move |scale| (places, scale))) {
        let rows = LevelRows::new([places; 2], [scale; 2]);
        let digits = |most: usize| (places + 1)..=(most - (scale - places));
        for (price, qty) in digits(15).flat_map(|price| digits(15).map(move |qty| (price, qty))) {
            let zeros = scale - places;
            let ((price, price_value), (qty, qty_value)) =
                (decimal(price, places, scale), decimal(qty, places, scale));
            let digits = |text: &str| text.len() - usize::from(places > 0) + zeros;
            // A price has sixteen slots less four proofs and its load reaches the quantity's quote; a quantity has two
            // proofs, and its load reaches its own quote.
            let is_price = digits(&price) <= 12 && price.len() <= 13;
            let is_qty = digits(&qty) <= 14 && qty.len() <= 15;
            let expected = (is_price && is_qty).then_some([price_value, qty_value]);
            let (text, lens) = level_of(&price, &qty);
            for found in on::each_level(&text, lens, &rows) {
                assert_eq!(found, expected, "{price} {qty} at {scale}");
                taken += usize::from(found.is_some());
            }
        }
    }
    assert!(taken > 1_000 || Isa::available() == [Isa::Plain], "{taken}");
}

#[test]
fn every_damaged_byte_of_a_level_and_every_wrong_length_is_refused() {
    for (price, qty, places) in [("61800.20", "12.345", [2, 3]), ("61800", "7", [0, 0])] {
        let (text, lens) = level_of(price, qty);
        let rows = LevelRows::new(places, places);
        for at in 0..text.len() {
            for byte in 0..=u8::MAX {
                let mut damaged = text.clone();
                damaged[at] = byte;
                let is_level = byte == text[at] || text[at].is_ascii_digit() && byte.is_ascii_digit();
                for found in on::each_level(&damaged, lens, &rows) {
                    assert_eq!(found.is_some(), is_level, "{}", damaged.escape_ascii());
                }
            }
        }
        for (price, qty) in (0..16).flat_map(|price| (0..32).map(move |qty| (price, qty))) {
            for found in on::each_level(&text, [price, qty], &rows) {
                assert_eq!(found.is_some(), [price, qty] == lens, "{price} {qty}");
            }
        }
    }
}

#[test]
fn strings_end_with_every_second_quote_wherever_they_are() {
    let mut state = 7_u64;
    for len in 0..400 {
        let text: String = (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if state >> 61 == 0 { '"' } else { 'x' }
            })
            .collect();
        let expected: Vec<u32> = text.match_indices('"').map(|(i, _)| i as u32).skip(1).step_by(2).collect();
        for (_, found) in on::each(&text, &Rows::integer(b',')) {
            assert_eq!(found, expected);
        }
    }
    let all = "\"".repeat(300);
    for (_, found) in on::each(&all, &Rows::integer(b',')) {
        assert_eq!(found.len(), 150);
    }
}

#[test]
fn no_entry_is_written_beyond_the_room() {
    for (room, entries) in
        [64, 128, 192].into_iter().flat_map(|room| (0..=room).map(move |entries| (room, entries)))
    {
        for (quotes, found) in on::each_index(entries, room) {
            let expected: Vec<u32> = (1..=entries).map(|entry| (entry * quotes - 1) as u32).collect();
            assert_eq!(found, expected, "{entries} in room for {room}");
        }
        for (_, found) in on::each_index(room + 1, room) {
            assert!(found.is_empty(), "more than the room for {room}");
        }
    }
}

#[test]
fn a_pattern_has_no_zeros_of_its_own() {
    let mut pattern = Pattern::default();
    assert!(pattern.cover(&[b'x'; Pattern::MAX]));
    assert!(!pattern.cover(b"a\0b"), "a zero stands for any byte");
    assert!(!pattern.cover(&[b'x'; Pattern::MAX + 1]));
}

#[test]
fn a_set_is_named_or_refused() {
    assert_eq!(Isa::named("plain"), Ok(Isa::Plain));
    assert!(Isa::named("mmx").unwrap_err().contains("plain"));
    assert_eq!(Isa::available().last(), Some(&Isa::Plain));
}
