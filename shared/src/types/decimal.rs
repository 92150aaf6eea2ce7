//! Exact decimals: text to scaled `i64` and back. No float, no rounding, no wrap.

use thiserror::Error;

/// Digits after the point that a scaled `i64` may have.
pub const SCALE_MAX: u8 = 12;

/// Why a decimal text has no exact value at a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecimalError {
    /// No digits at all.
    #[error("no digits")]
    Empty,
    /// A byte that is neither digit, leading minus nor the only point.
    #[error("byte 0x{byte:02x} at offset {offset} is not part of a decimal")]
    Unexpected {
        /// The byte.
        byte: u8,
        /// Its offset in the text.
        offset: usize,
    },
    /// Non-zero digits after the last decimal place of the scale.
    #[error("more than {scale} decimal places")]
    TooPrecise {
        /// Decimal places allowed.
        scale: u8,
    },
    /// The value does not fit an `i64` at the scale.
    #[error("value beyond 64 bits at {scale} decimal places")]
    Overflow {
        /// Decimal places asked for.
        scale: u8,
    },
}

/// Every power of ten that fits: limits look them up several times an order, and a loop over digits would have each
/// wait for the one before.
static POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// `10^exponent`.
///
/// # Panics
///
/// When `exponent` is above 18: a scale is checked where it is configured.
#[inline]
pub const fn pow10(exponent: u8) -> i64 {
    assert!((exponent as usize) < POWERS.len(), "power of ten beyond 64 bits");
    POWERS[exponent as usize]
}

/// Parses `[-]digits[.digits]` to an integer of `10^-scale` units, exactly.
///
/// Trailing zeros beyond the scale are accepted because they carry no value; exponents, signs other
/// than a leading minus, blanks and bare points are refused.
///
/// # Errors
///
/// [`DecimalError`]: the text is no plain decimal or has no exact value at `scale`.
pub fn parse(text: &[u8], scale: u8) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let lead = text.len() - digits.len();
    let mut value = 0_i64;
    let mut places: Option<u8> = None;
    let mut seen = 0_usize;
    for (i, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                seen += 1;
                if places == Some(scale) {
                    if byte != b'0' {
                        return Err(DecimalError::TooPrecise { scale });
                    }
                    continue;
                }
                value = push_digit(value, byte).ok_or(DecimalError::Overflow { scale })?;
                places = places.map(|p| p + 1);
            }
            b'.' if places.is_none() && i > 0 && i + 1 < digits.len() => places = Some(0),
            _ => {
                return Err(DecimalError::Unexpected { byte, offset: lead + i });
            }
        }
    }
    if seen == 0 {
        return Err(DecimalError::Empty);
    }
    let missing = scale - places.unwrap_or(0);
    let value = value.checked_mul(pow10(missing)).ok_or(DecimalError::Overflow { scale })?;
    Ok(if negative { -value } else { value })
}

fn push_digit(value: i64, byte: u8) -> Option<i64> {
    value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))
}

/// Number of decimal places that the text needs, trailing zeros not counted.
///
/// # Errors
///
/// [`DecimalError`] when the text is no plain decimal of at most [`SCALE_MAX`] places.
pub fn places_of(text: &[u8]) -> Result<u8, DecimalError> {
    parse(text, SCALE_MAX)?;
    let fraction = text.iter().position(|&b| b == b'.').map_or(&[][..], |dot| &text[dot + 1..]);
    let needed = fraction.iter().rposition(|&b| b != b'0').map_or(0, |last| last + 1);
    u8::try_from(needed).map_err(|_| DecimalError::TooPrecise { scale: SCALE_MAX })
}

/// Longest text [`write`] produces: sign, 19 digits, point and a leading zero.
pub const TEXT_MAX: usize = 24;

/// Writes `value` of `10^-scale` units with exactly `scale` decimal places; returns the length.
///
/// # Panics
///
/// When `out` is shorter than [`TEXT_MAX`].
pub fn write(value: i64, scale: u8, out: &mut [u8]) -> usize {
    let scale = usize::from(scale);
    let mut digits = [b'0'; TEXT_MAX];
    let mut start = TEXT_MAX;
    let mut rest = value.unsigned_abs();
    while rest > 0 || TEXT_MAX - start <= scale {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        out[len..len + bytes.len()].copy_from_slice(bytes);
        len += bytes.len();
    };
    if value < 0 {
        put(b"-");
    }
    put(&digits[start..TEXT_MAX - scale]);
    if scale > 0 {
        put(b".");
        put(&digits[TEXT_MAX - scale..]);
    }
    len
}

/// `value` of `10^-scale` units as text with exactly `scale` decimal places. Allocates.
pub fn to_text(value: i64, scale: u8) -> String {
    let mut buffer = [0; TEXT_MAX];
    let len = write(value, scale, &mut buffer);
    String::from_utf8_lossy(&buffer[..len]).into_owned()
}

/// Serde glue for an amount of `10^-8` units written as a decimal string, such as `"12.5"`.
pub mod e8 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Reads a decimal string.
    ///
    /// # Errors
    ///
    /// When the text is no exact decimal of at most eight places.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
        let text = String::deserialize(d)?;
        super::parse(text.as_bytes(), 8).map_err(|e| D::Error::custom(format!("{text:?}: {e}")))
    }

    /// Writes a decimal string.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &i64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::to_text(*value, 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exact_values_parse() {
        assert_eq!(parse(b"61800.20", 2), Ok(6_180_020));
        assert_eq!(parse(b"61800.20", 1), Ok(618_002));
        assert_eq!(parse(b"-0", 3), Ok(0));
        assert_eq!(parse(b"0.001", 3), Ok(1));
        assert_eq!(parse(b"7", 8), Ok(700_000_000));
    }

    #[test]
    fn edges_are_refused() {
        for text in [&b""[..], b"-", b".", b"1.", b".5", b"1e400", b"NaN", b"+1", b" 1", b"1.2.3", b"--1"] {
            assert!(parse(text, 4).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
        assert_eq!(parse(b"1.005", 2), Err(DecimalError::TooPrecise { scale: 2 }));
        assert_eq!(parse(&[b'9'; 40], 0), Err(DecimalError::Overflow { scale: 0 }));
    }

    #[test]
    fn places_ignore_trailing_zeros() {
        assert_eq!(places_of(b"0.10"), Ok(1));
        assert_eq!(places_of(b"1"), Ok(0));
        assert_eq!(places_of(b"0.00100000"), Ok(3));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any::<i64>().prop_filter("negatable", |v| *v != i64::MIN), scale in 0_u8..=SCALE_MAX) {
            let text = to_text(value, scale);
            prop_assert_eq!(parse(text.as_bytes(), scale), Ok(value));
        }

        #[test]
        fn any_text_is_exact_or_refused(text in "-?[0-9]{0,22}(\\.[0-9]{0,12})?", scale in 0_u8..=8) {
            if let Ok(value) = parse(text.as_bytes(), scale) {
                let back = to_text(value, scale);
                let trim = |t: &str| {
                    let t = t.trim_start_matches('-').trim_start_matches('0');
                    if t.contains('.') { t.trim_end_matches('0').trim_end_matches('.').to_owned() } else { t.to_owned() }
                };
                prop_assert_eq!(trim(&back), trim(&text));
            }
        }
    }
}
