use super::*;
use crate::wire::text::PADDING;

/// Runs code with a kernel's features where the processor has them.
#[cfg(target_arch = "x86_64")]
mod on {
    use super::*;

    /// # Safety
    ///
    /// The processor has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn with_avx512(text: &str, rows: &Rows) -> (Option<i64>, Vec<u32>) {
        // SAFETY: the features are enabled.
        unsafe { number_and_quotes::<Avx512>(text, rows) }
    }

    /// # Safety
    ///
    /// The processor has the features.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn with_avx2(text: &str, rows: &Rows) -> (Option<i64>, Vec<u32>) {
        // SAFETY: the features are enabled.
        unsafe { number_and_quotes::<Avx2>(text, rows) }
    }

    /// Converts the number that starts the text and ends before its first quote or comma.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    #[inline(always)]
    unsafe fn number_and_quotes<K: Kernel>(text: &str, rows: &Rows) -> (Option<i64>, Vec<u32>) {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(text.len() + PADDING, b'"');
        let padded = Text::new(&bytes, text.len()).unwrap();
        let len = text.find(['"', ',']).unwrap_or(text.len());
        let proof = Proof::new([rows.proof(); 4]);
        let mut quotes = vec![0; 512];
        // SAFETY: the text is padded.
        unsafe {
            let mut values = [0; 4];
            let bad = K::numbers([padded.at(0); 4], [rows.row(len); 4], &proof, &mut values);
            assert!(values.iter().all(|v| *v == values[0]));
            let count = K::quotes(padded, 0, &mut quotes);
            quotes.truncate(count);
            (K::is_clean(bad).then_some(values[0]), quotes)
        }
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
}

fn decimals(places: usize, scale: usize) -> Rows {
    let mut rows = Rows::integer(b',');
    rows.set_decimal(places, scale);
    rows
}

#[test]
fn numbers_are_exact_or_refused() {
    let cases = [
        ("61800.20\"", decimals(2, 2), Some(6_180_020)),
        ("61800.20\"", decimals(2, 4), Some(618_002_000)),
        ("0.001\"", decimals(3, 3), Some(1)),
        ("0.001\"", decimals(2, 3), None),
        (".50\"", decimals(2, 2), None),
        ("-1.50\"", decimals(2, 2), None),
        ("1e3.00\"", decimals(2, 2), None),
        ("1.500\"", decimals(2, 2), None),
        ("437848\"", decimals(0, 3), Some(437_848_000)),
        ("4378.8\"", decimals(0, 3), None),
        ("5123107837557,", Rows::integer(b','), Some(5_123_107_837_557)),
        ("999999999999999,", Rows::integer(b','), Some(999_999_999_999_999)),
        ("9999999999999999,", Rows::integer(b','), None),
        ("7,", Rows::integer(b'}'), None),
        (",", Rows::integer(b','), None),
    ];
    for (text, rows, expected) in cases {
        for (found, _) in on::each(text, &rows) {
            assert_eq!(found, expected, "{text}");
        }
    }
}

#[test]
fn every_length_and_scale_is_right() {
    for places in 0..6 {
        for scale in places..6 {
            let rows = decimals(places, scale);
            for digits in (places + 1)..=(15 - (scale - places)) {
                let whole: String = (0..digits).map(|i| char::from(b'1' + (i % 9) as u8)).collect();
                let value: i64 = whole.parse::<i64>().unwrap() * 10_i64.pow((scale - places) as u32);
                let mut text = whole.clone();
                if places > 0 {
                    text.insert(digits - places, '.');
                }
                // The longest with a point are sixteen bytes.
                let expected = (text.len() <= 15 + usize::from(places > 0)).then_some(value);
                for (found, _) in on::each(&format!("{text}\","), &rows) {
                    assert_eq!(found, expected, "{text} at {scale}");
                }
            }
        }
    }
}

#[test]
fn quotes_are_found_wherever_they_are() {
    let mut state = 7_u64;
    for len in 0..400 {
        let text: String = (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if state >> 61 == 0 { '"' } else { 'x' }
            })
            .collect();
        let expected: Vec<u32> = text.match_indices('"').map(|(i, _)| i as u32).collect();
        for (_, found) in on::each(&text, &Rows::integer(b',')) {
            assert_eq!(found, expected);
        }
    }
    let all = "\"".repeat(300);
    for (_, found) in on::each(&all, &Rows::integer(b',')) {
        assert_eq!(found.len(), 300);
    }
}

#[test]
fn a_set_is_named_or_refused() {
    assert_eq!(Isa::named("plain"), Ok(Isa::Plain));
    assert!(Isa::named("mmx").unwrap_err().contains("plain"));
    assert_eq!(Isa::available().last(), Some(&Isa::Plain));
}
