//! Diffs without vectors: the same two forms as [`super::diffs`], read from front to back. Every literal and the number
//! of decimals are known, and a number is taken to be as long as the one before it on its side: where that is so, nothing
//! has to wait for its digits, which are converted eight in a word.

#![expect(unsafe_code, reason = "positions within a padded text are read without a check of each byte")]

use super::{Event, diffs::Diffs, units::Units};
use crate::{
    market::{LEVELS_MAX, Level, MarketHeader, MarketKind},
    wire::{
        json::{Cursor, Irregular},
        text::Text,
    },
};

impl Diffs {
    /// Decodes a diff in one of its two forms; `None` for every other frame. The event's levels are empty
    /// before.
    pub(super) fn decode_plain(&self, text: Text<'_>, event: &mut Event) -> Option<()> {
        let index = self.find(text, |prefix| text.as_bytes().starts_with(prefix.as_bytes()))?;
        self.read(index, text, event).ok()
    }

    fn read(&self, index: usize, text: Text<'_>, event: &mut Event) -> Result<(), Irregular> {
        let (stream, units) = self.stream(index);
        if !units.is_narrow() {
            return Err(Irregular);
        }
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.literal(stream.prefix())?;
        cursor.unsigned()?;
        cursor.literal(b",\"T\":")?;
        let venue_ms = cursor.unsigned()?;
        let [old, new] = stream.middles();
        let is_new = cursor.literal(old).is_err();
        if is_new {
            cursor.literal(new)?;
        }
        let first_update_id = cursor.unsigned()?;
        cursor.literal(b",\"u\":")?;
        let last_update_id = cursor.unsigned()?;
        cursor.literal(b",\"pu\":")?;
        let previous_update_id = cursor.unsigned()?;
        let mut off_tick = 0;
        cursor.literal(b",\"b\":[")?;
        let side = reader_of(units);
        let bids = side(&mut cursor, text, units, event, &mut off_tick)?;
        cursor.literal(b",\"a\":[")?;
        let asks = side(&mut cursor, text, units, event, &mut off_tick)?;
        cursor.literal(if is_new { self.tail() } else { b"}}" })?;
        if !cursor.is_end() {
            return Err(Irregular);
        }
        event.header = MarketHeader {
            kind: MarketKind::Depth as u16,
            instrument: stream.instrument(),
            bids,
            asks,
            first_update_id,
            last_update_id,
            previous_update_id,
            venue_ms,
            off_tick,
            ..MarketHeader::default()
        };
        Ok(())
    }
}

/// Reads levels up to the closing bracket; returns how many.
type Reader = fn(&mut Cursor<'_>, Text<'_>, &Units, &mut Event, &mut u32) -> Result<u16, Irregular>;

/// [`side`] for the decimals of an instrument: known beforehand where they are usual, which spares it a third of its
/// steps.
fn reader_of(units: &Units) -> Reader {
    const fn of_price<const PRICE: usize>(qty_places: usize) -> Reader {
        match qty_places {
            0 => side::<PRICE, 0>,
            1 => side::<PRICE, 1>,
            2 => side::<PRICE, 2>,
            3 => side::<PRICE, 3>,
            _ => side::<ANY, ANY>,
        }
    }
    match units.price_places() {
        1 => of_price::<1>(units.qty_places()),
        2 => of_price::<2>(units.qty_places()),
        3 => of_price::<3>(units.qty_places()),
        4 => of_price::<4>(units.qty_places()),
        _ => side::<ANY, ANY>,
    }
}

/// Levels up to the closing bracket; returns how many. The decimals are those of the units, or [`ANY`].
fn side<const PRICE: usize, const QTY: usize>(
    cursor: &mut Cursor<'_>,
    text: Text<'_>,
    units: &Units,
    event: &mut Event,
    off_tick: &mut u32,
) -> Result<u16, Irregular> {
    let before = event.levels.len();
    if cursor.take(b']') {
        return Ok(0);
    }
    let (mut prices, mut qtys) =
        (Form::<PRICE>::new(units.price_places()), Form::<QTY>::new(units.qty_places()));
    let (price_factor, qty_factor, tick) = (units.price_factor(), units.qty_factor(), units.tick);
    // SAFETY: both positions lie within the text or at its end.
    let (mut at, end) = unsafe { (text.at(cursor.offset()), text.at(text.len())) };
    let room = event.levels.spare_capacity_mut();
    let room_len = room.len().min(LEVELS_MAX - before);
    for (count, slot) in room[..room_len].iter_mut().enumerate() {
        // SAFETY: a level reads at most a few dozen bytes from a position within the text, fewer than follow it.
        let (level, behind, is_last) = unsafe { level(at, &mut prices, &mut qtys) }.ok_or(Irregular)?;
        if behind > end {
            return Err(Irregular);
        }
        at = behind;
        let price = level[0] as i64 * price_factor;
        *off_tick += u32::from(!tick.divides(price));
        slot.write(Level { price, qty: level[1] as i64 * qty_factor });
        if is_last {
            // SAFETY: so many were written; the position is within the text, behind where the cursor stands.
            unsafe {
                event.levels.set_len(before + count + 1);
                cursor.skip(at.offset_from_unsigned(text.at(cursor.offset())));
            }
            return Ok(count as u16 + 1);
        }
    }
    // More levels than an event has room for.
    Err(Irregular)
}

/// Most digits before a point, and by [`Units::is_narrow`] most decimals: no value wraps, and a level is at most 46 bytes.
const DIGITS_MAX: usize = 9;

/// `["price","qty"]` and the comma or bracket behind it: both numbers without their points, what is behind them, and
/// whether the level is the last.
///
/// # Safety
///
/// As many bytes are readable from `start` on as the longest level has.
#[inline(always)]
unsafe fn level<const PRICE: usize, const QTY: usize>(
    start: *const u8,
    prices: &mut Form<PRICE>,
    qtys: &mut Form<QTY>,
) -> Option<([u64; 2], *const u8, bool)> {
    const THREE: u32 = 0x00ff_ffff;
    // SAFETY: the caller has bytes enough.
    unsafe {
        let opening = start.cast::<u16>().read_unaligned() == u16::from_ne_bytes(*b"[\"");
        let (price, at) = prices.read(start.add(2))?;
        let between = at.cast::<u32>().read_unaligned().to_le() & THREE == u32::from_le_bytes(*b"\",\"\0");
        let (qty, at) = qtys.read(at.add(3))?;
        let closing = at.cast::<u32>().read_unaligned().to_le() & THREE;
        let is_last = closing == u32::from_le_bytes(*b"\"]]\0");
        let is_closed = is_last || closing == u32::from_le_bytes(*b"\"],\0");
        (opening & between & is_closed).then_some(([price, qty], at.add(3), is_last))
    }
}

/// Digits of a word.
const WORD: usize = 8;
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Decimals that are not known beforehand.
const ANY: usize = usize::MAX;

/// How the last number of its kind was written. All have `PLACES` decimals.
struct Form<const PLACES: usize> {
    /// Decimals, where `PLACES` does not say.
    places: usize,
    /// Digits of the whole part; 0 before the first number.
    whole: usize,
    /// Bits by which a word that begins with the whole part is shifted to end with it.
    shift: u32,
    /// Zeros where digits are.
    zeros: u64,
}

impl<const PLACES: usize> Form<PLACES> {
    const fn new(places: usize) -> Self {
        Self { places, whole: 0, shift: 0, zeros: 0 }
    }

    #[inline(always)]
    const fn places(&self) -> usize {
        if PLACES == ANY { self.places } else { PLACES }
    }

    /// A number without its point, and what is behind it.
    ///
    /// # Safety
    ///
    /// As many bytes are readable from the position on as the longest number has, and a word more.
    #[inline(always)]
    unsafe fn read(&mut self, at: *const u8) -> Option<(u64, *const u8)> {
        let places = self.places();
        let stop = if places == 0 { b'"' } else { b'.' };
        // SAFETY: the whole part has at most seven digits, so that sixteen bytes are read at most before it is known to be as
        // long as the one before; the caller has as many.
        unsafe {
            let is_as_before = *at.add(self.whole) == stop && self.whole > 0;
            if !is_as_before && !self.measure(word(at), stop) {
                return amount(at, places);
            }
            let (mut digits, mut end) = (word(at) << self.shift, at.add(self.whole));
            if places > 0 {
                let bits = 8 * places as u32;
                digits = digits >> bits | word(end.add(1)) << (u64::BITS - bits);
                end = end.add(places + 1);
            }
            digits ^= self.zeros;
            if others_in(digits) != 0 {
                // Damaged, or shorter than the one before and followed by what looks like the end of one as long.
                return amount(at, places);
            }
            Some((value_of(digits), end))
        }
    }

    /// Finds out how long the whole part of the number that a word begins with is. False where it has none, where its
    /// digits do not fit a word, or where something else follows than should.
    #[inline(always)]
    fn measure(&mut self, word: u64, stop: u8) -> bool {
        let whole = others_in(word ^ ZEROS).trailing_zeros() as usize / 8;
        let used = whole + self.places();
        if !(1..WORD).contains(&whole) || used > WORD || (word >> (8 * whole)) as u8 != stop {
            return false;
        }
        self.whole = whole;
        self.shift = 8 * (WORD - whole) as u32;
        self.zeros = ZEROS << (8 * (WORD - used));
        true
    }
}

/// The upper bit of every byte that is no digit, up to the first at least.
#[inline(always)]
const fn others_in(digits: u64) -> u64 {
    (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080
}

/// The word at a position, its first byte the lowest.
///
/// # Safety
///
/// Eight bytes are readable there.
#[inline(always)]
unsafe fn word(at: *const u8) -> u64 {
    // SAFETY: the caller has them.
    unsafe { at.cast::<u64>().read_unaligned() }.to_le()
}

/// Value of eight digits, the first the lowest byte: pairs, then fours, then all, every lane of a word at once.
#[inline(always)]
const fn value_of(digits: u64) -> u64 {
    const LANES: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & LANES).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & LANES).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// A number with so many decimals, digit by digit, and what is behind it.
///
/// # Safety
///
/// As many bytes are readable from the position on as the longest number has, and four more.
#[inline(never)]
unsafe fn amount(mut at: *const u8, places: usize) -> Option<(u64, *const u8)> {
    // SAFETY: the caller has bytes enough for the most digits.
    unsafe {
        let mut value = u64::from((*at).wrapping_sub(b'0'));
        if value > 9 {
            return None;
        }
        let mut whole = 1;
        loop {
            let digit = u64::from((*at.add(whole)).wrapping_sub(b'0'));
            if digit > 9 {
                break;
            }
            value = value * 10 + digit;
            whole += 1;
            if whole > DIGITS_MAX {
                return None;
            }
        }
        at = at.add(whole);
        if places == 0 {
            return Some((value, at));
        }
        if *at != b'.' {
            return None;
        }
        let mut worst = 0;
        for i in 1..=places {
            let digit = u64::from((*at.add(i)).wrapping_sub(b'0'));
            worst |= digit + 0x76;
            value = value * 10 + digit;
        }
        (worst & 0x80 == 0 && worst < 0x100).then_some((value, at.add(places + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads numbers one after another by one form, whatever follows them; each as its digits say, whatever was read before
    /// it.
    fn check<const PLACES: usize>(places: usize, whole_parts: &[&str]) {
        check_before::<PLACES>(places, whole_parts, "\",\"7.77\"],[\"");
        check_before::<PLACES>(places, whole_parts, "\"],[\"7.77\",\"");
    }

    fn check_before<const PLACES: usize>(places: usize, whole_parts: &[&str], rest: &str) {
        let mut form = Form::<PLACES>::new(places);
        for (i, whole) in whole_parts.iter().enumerate() {
            let fraction: String = "987654321".chars().cycle().skip(i % 9).take(places).collect();
            let point = if places == 0 { "" } else { "." };
            let number = format!("{whole}{point}{fraction}");
            let mut text = format!("{number}{rest}").into_bytes();
            text.resize(text.len() + 64, b'7');
            // SAFETY: more than the longest number follows.
            let (value, behind) = unsafe { form.read(text.as_ptr()) }.unwrap();
            assert_eq!(value, format!("{whole}{fraction}").parse::<u64>().unwrap(), "{number}");
            assert_eq!(behind, text[number.len()..].as_ptr());
            for at in 0..number.len() {
                let digit = std::mem::replace(&mut text[at], b':');
                // SAFETY: as above.
                let read = unsafe { form.read(text.as_ptr()) };
                // What stops early is refused by whoever looks for the quote behind it.
                assert!(read.is_none_or(|(_, end)| end != behind), "{number} damaged at {at}");
                text[at] = digit;
            }
        }
    }

    #[test]
    fn numbers_are_read_whatever_stood_before_them() {
        // Five digits and then one, six and two, seven and three: the quote of the next number is where theirs was.
        let whole = [
            "6",
            "61496",
            "61497",
            "0",
            "123456789",
            "100000",
            "7",
            "12345678",
            "1234567",
            "42",
            "9",
            "12345",
            "0",
            "123456",
            "42",
            "1234567",
            "421",
            "123",
            "4",
            "1234",
            "42",
        ];
        (0..=DIGITS_MAX).for_each(|places| check::<ANY>(places, &whole));
        check::<0>(0, &whole);
        check::<1>(1, &whole);
        check::<2>(2, &whole);
        check::<3>(3, &whole);
    }
}
