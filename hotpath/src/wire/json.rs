//! A cursor over JSON of a known shape: no blanks, no escapes, keys in any order.
//!
//! Whatever it does not expect is [`Irregular`], which sends the frame to the general parser; it never
//! guesses. Every structural byte is checked.

use tickpath_shared::types::decimal::pow10;

/// The text is not of the expected shape; the general parser decides what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Irregular;

/// Position in a text.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes consumed.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// What has not been consumed.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Consumes so many bytes of the rest.
    #[inline]
    pub fn skip(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.text.len());
    }

    /// True at the end of the text.
    pub fn is_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// The next byte without consuming it; 0 at the end.
    #[inline]
    pub fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Consumes exactly `text`.
    ///
    /// # Errors
    ///
    /// [`Irregular`] when something else stands there.
    #[inline]
    pub fn literal(&mut self, text: &[u8]) -> Result<(), Irregular> {
        if self.text[self.at..].starts_with(text) {
            self.at += text.len();
            return Ok(());
        }
        Err(Irregular)
    }

    /// Consumes `byte` if it is next.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte && self.at < self.text.len();
        self.at += usize::from(is_next);
        is_next
    }

    /// Consumes a string and returns what is between the quotes.
    ///
    /// # Errors
    ///
    /// [`Irregular`] for anything but a string of ASCII characters without escapes.
    #[inline]
    pub fn string(&mut self) -> Result<&'a [u8], Irregular> {
        self.literal(b"\"")?;
        let start = self.at;
        for (i, &byte) in self.text[start..].iter().enumerate() {
            match byte {
                b'"' => {
                    self.at = start + i + 1;
                    return Ok(&self.text[start..start + i]);
                }
                // Beyond ASCII the general parser judges whether the text is UTF-8.
                b'\\' | 0..=0x1f | 0x80.. => return Err(Irregular),
                _ => {}
            }
        }
        Err(Irregular)
    }

    /// Consumes a key and its colon.
    ///
    /// # Errors
    ///
    /// [`Irregular`] for anything else.
    #[inline]
    pub fn key(&mut self) -> Result<&'a [u8], Irregular> {
        let key = self.string()?;
        self.literal(b":")?;
        Ok(key)
    }

    /// Consumes an unsigned integer without sign, fraction, exponent or leading zero.
    ///
    /// # Errors
    ///
    /// [`Irregular`] for anything else, or beyond 64 bits.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, Irregular> {
        let (start, mut value) = (self.at, 0_u64);
        while let digit @ b'0'..=b'9' = self.peek() {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - start;
        if digits > DIGITS_SAFE {
            // Rare enough to be read once more, now with a look at every step.
            value = value_of_many(&self.text[start..self.at]).ok_or(Irregular)?;
        }
        let is_bare = !matches!(self.peek(), b'.' | b'e' | b'E' | b'-' | b'+');
        let is_plain = digits == 1 || (digits > 1 && self.text[start] != b'0');
        if is_plain && is_bare { Ok(value) } else { Err(Irregular) }
    }

    /// Consumes a quoted non-negative decimal and returns it in units of `10^-scale`.
    ///
    /// # Errors
    ///
    /// [`Irregular`] for anything that has no exact value at the scale within 18 digits.
    #[inline]
    pub fn quoted_decimal(&mut self, scale: u8) -> Result<i64, Irregular> {
        let text = &self.text[self.at..];
        if text.first() != Some(&b'"') {
            return Err(Irregular);
        }
        let mut value = 0;
        let point = digits(text, 1, &mut value);
        let (whole_digits, mut end, mut places) = (point - 1, point, 0);
        if text.get(point) == Some(&b'.') {
            end = digits(text, point + 1, &mut value);
            places = end - point - 1;
            if places == 0 {
                return Err(Irregular);
            }
        }
        // At most 18 digits in all cannot have wrapped, with the zeros that scaling adds.
        let scale = usize::from(scale);
        let is_exact = whole_digits > 0 && whole_digits + places.max(scale) <= 18;
        if !is_exact || text.get(end) != Some(&b'"') {
            return Err(Irregular);
        }
        self.at += end + 1;
        if places <= scale {
            return Ok(value as i64 * pow10((scale - places) as u8));
        }
        let surplus = pow10((places - scale) as u8);
        if value as i64 % surplus == 0 { Ok(value as i64 / surplus) } else { Err(Irregular) }
    }

    /// Consumes a value of any scalar kind without looking at it.
    ///
    /// # Errors
    ///
    /// [`Irregular`] for arrays, objects and anything malformed.
    pub fn skip_scalar(&mut self) -> Result<(), Irregular> {
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'0'..=b'9' => self.unsigned().map(|_| ()),
            _ => Err(Irregular),
        }
    }
}

/// Appends the digits from a position to `value`, which wraps beyond 19 of them, and returns where they end.
#[inline(always)]
fn digits(text: &[u8], from: usize, value: &mut u64) -> usize {
    let mut at = from;
    while let Some(byte) = text.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// As many decimal digits fit 64 bits, whichever they are.
const DIGITS_SAFE: usize = 19;

/// Value of digits, `None` beyond 64 bits.
#[cold]
fn value_of_many(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::types::decimal;

    #[test]
    fn decimals_agree_with_the_exact_parser() {
        for text in
            ["61800.20", "0.001", "0", "00.5", "1.", ".5", "", "-1", "1e3", "12345678901234567.1", "9.999999"]
        {
            let quoted = format!("\"{text}\"");
            let fast = Cursor::new(quoted.as_bytes()).quoted_decimal(3);
            if let Ok(value) = fast {
                assert_eq!(decimal::parse(text.as_bytes(), 3), Ok(value), "{text}");
            }
        }
        assert_eq!(Cursor::new(b"\"61800.20\"").quoted_decimal(2), Ok(6_180_020));
        assert_eq!(Cursor::new(b"\"0.0010\"").quoted_decimal(3), Ok(1));
        assert_eq!(Cursor::new(b"\"0.0011\"").quoted_decimal(3), Err(Irregular));
    }

    #[test]
    fn integers_are_plain() {
        assert_eq!(Cursor::new(b"5123107837557,").unsigned(), Ok(5_123_107_837_557));
        assert_eq!(Cursor::new(b"18446744073709551615,").unsigned(), Ok(u64::MAX));
        let beyond: [&[u8]; 3] = [b"18446744073709551616", b"99999999999999999999", &[b'9'; 60]];
        for text in [&b"-1"[..], b"1.5", b"1e3", b"01", b""].into_iter().chain(beyond) {
            assert_eq!(Cursor::new(text).unsigned(), Err(Irregular));
        }
    }

    #[test]
    fn strings_with_escapes_are_irregular() {
        assert_eq!(Cursor::new(br#""a\"b""#).string(), Err(Irregular));
        assert_eq!(Cursor::new(b"\"abc").string(), Err(Irregular));
        assert_eq!(Cursor::new(b"\"abc\"").string(), Ok(&b"abc"[..]));
    }
}
