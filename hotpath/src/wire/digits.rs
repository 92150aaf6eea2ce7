//! Integers and decimals as text, eight digits a step without a loop over them.

use tickpath_shared::types::decimal;

/// Below this the sixteen digits of two steps are enough; others take the general writer.
const VALUE_MAX: i64 = 10_000_000_000_000_000;
/// Below this the eight digits of one step are enough.
const SMALL_MAX: u64 = 100_000_000;
/// Most decimals that leave a digit before the point.
const PLACES_MAX: u8 = 15;

/// Room that a number needs, whatever its length.
pub const ROOM: usize = decimal::TEXT_MAX;

/// Eight digits of a number below 10^8, most significant first.
#[inline(always)]
pub(crate) fn eight(value: u64) -> [u8; 8] {
    // Halves, then pairs, then single digits, all lanes of a word at once.
    let halves = (value / 10_000) | (value % 10_000) << 32;
    let tops = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = ((halves - 100 * tops) << 16) + tops;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens + ((pairs - 10 * tens) << 8) + 0x3030_3030_3030_3030).to_le_bytes()
}

/// Writes a number of `10^-places` units with exactly `places` decimals, as [`decimal::write`] does, and returns
/// its length.
#[inline]
pub fn write(value: i64, places: u8, out: &mut [u8; ROOM]) -> usize {
    if !(0..VALUE_MAX).contains(&value) || places > PLACES_MAX {
        return decimal::write(value, places, out);
    }
    let (value, places) = (value as u64, usize::from(places));
    if let Some(small) = Small::new(value, places as u8) {
        small.write(out);
        return small.len();
    }
    let mut digits = [b'0'; 16];
    digits[..8].copy_from_slice(&eight(value / 100_000_000 % 100_000_000));
    digits[8..].copy_from_slice(&eight(value % 100_000_000));
    let zeros = (u128::from_le_bytes(digits) ^ u128::from_le_bytes([b'0'; 16])).trailing_zeros() as usize / 8;
    // At least one digit stands before the point.
    let start = zeros.min(15 - places);
    let whole = 16 - start - places;
    // Sixteen bytes are copied whatever the length: what is behind the number is overwritten or cut off.
    let mut shifted = [0; 32];
    shifted[..16].copy_from_slice(&digits);
    let text: &[u8; 16] = shifted[start..].first_chunk().unwrap_or(&digits);
    out[..16].copy_from_slice(text);
    if places == 0 {
        return whole;
    }
    let fraction: &[u8; 16] = shifted[16 - places..].first_chunk().unwrap_or(&digits);
    out[whole] = b'.';
    let behind = &mut out[whole + 1..];
    let len = behind.len().min(16);
    behind[..len].copy_from_slice(&fraction[..len]);
    whole + 1 + places
}

/// A number of at most eight digits, all of them in one word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    /// The digits that count, at the lower end.
    digits: u64,
    /// Those behind the point.
    fraction: u64,
    whole: usize,
    places: usize,
}

impl Small {
    /// A number of `10^-places` units; `None` where a word has no room for it.
    #[inline(always)]
    pub(crate) fn new(value: u64, places: u8) -> Option<Self> {
        let places = usize::from(places);
        if value >= SMALL_MAX || places >= 8 {
            return None;
        }
        let digits = u64::from_le_bytes(eight(value));
        let zeros = (digits ^ u64::from_le_bytes([b'0'; 8])).trailing_zeros() as usize / 8;
        // At least one digit stands before the point.
        let start = zeros.min(7 - places);
        let fraction = if places == 0 { 0 } else { digits >> (64 - 8 * places) };
        Some(Self { digits: digits >> (8 * start), fraction, whole: 8 - start - places, places })
    }

    /// Length of its text.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.whole + usize::from(self.places > 0) + self.places
    }

    /// Writes it as [`write`] does. Full words are written whatever the length: at most seven bytes behind the number
    /// are overwritten.
    #[inline(always)]
    pub(crate) fn write(&self, out: &mut [u8; ROOM]) {
        out[..8].copy_from_slice(&self.digits.to_le_bytes());
        if self.places > 0 {
            out[self.whole] = b'.';
            out[self.whole + 1..self.whole + 9].copy_from_slice(&self.fraction.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assert_same(value: i64, places: u8) {
        let (mut fast, mut general) = ([0; ROOM], [0; ROOM]);
        let len = write(value, places, &mut fast);
        let expected = decimal::write(value, places, &mut general);
        assert_eq!(fast[..len], general[..expected], "{value} with {places} decimals");
    }

    proptest! {
        #[test]
        fn agrees_with_the_general_writer(value: i64, shift in 0_u32..19, places in 0_u8..=18) {
            assert_same(value / 10_i64.pow(shift), places);
        }
    }

    #[test]
    fn nothing_is_lost_at_the_edges() {
        for value in [0, 1, 9, 99_999_999, 100_000_000, VALUE_MAX - 1, VALUE_MAX, VALUE_MAX + 1, i64::MAX, -1]
        {
            (0..=18).for_each(|places| assert_same(value, places));
        }
    }
}
