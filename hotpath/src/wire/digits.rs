//! Integers and decimals as text, eight digits a step without a loop over them.

/// Largest value that is written: sixteen digits.
const VALUE_MAX: u64 = 10_000_000_000_000_000;

/// Room that a number needs, whatever its length.
pub const ROOM: usize = 24;

/// Eight digits of a number below 10^8, most significant first.
#[inline(always)]
fn eight(value: u64) -> [u8; 8] {
    // Halves, then pairs, then single digits, all lanes of a word at once.
    let halves = (value / 10_000) | (value % 10_000) << 32;
    let tops = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = ((halves - 100 * tops) << 16) + tops;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens + ((pairs - 10 * tens) << 8) + 0x3030_3030_3030_3030).to_le_bytes()
}

/// Writes a number of `10^-places` units with exactly `places` decimals and returns its length; at most sixteen
/// digits are written, whatever lies above them is lost, so callers bound their values.
#[inline]
pub fn write(value: u64, places: usize, out: &mut [u8; ROOM]) -> usize {
    debug_assert!(value < VALUE_MAX && places < 16, "{value} with {places} decimals");
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_formatter(value in 0_u64..VALUE_MAX, shift in 0_u32..16, places in 0_usize..9) {
            let value = value / 10_u64.pow(shift);
            let scale = 10_u64.pow(places as u32);
            let expected = match places {
                0 => value.to_string(),
                _ => format!("{}.{:0places$}", value / scale, value % scale),
            };
            let mut out = [0; ROOM];
            let len = write(value, places, &mut out);
            prop_assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), expected);
        }
    }
}
